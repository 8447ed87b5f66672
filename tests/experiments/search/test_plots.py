"""A sweep's plot has the looks that heads have everywhere."""

from experiments.pages import drawing
from experiments.search import plots
from experiments.search.ranking import Candidate


def test_a_sweep_s_plot_has_the_same_looks(toy):
    ranked = [Candidate(head, "bert", "resnet", {"hidden": 64}, (0.7, 0.8)) for head in ("late", toy, "text")]
    [panel] = [axes for axes in plots.draw(ranked).axes if axes.get_visible()]
    lines = {line.get_label(): (line.get_color(), line.get_marker()) for line in panel.get_lines()}
    assert lines == {head: (drawing.look(head).colour, drawing.look(head).marker) for head in ("text", "late", toy)}
