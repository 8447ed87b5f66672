"""A sweep as a picture: dev AUC-ROC against each setting that was swept."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.pages.drawing import look
from experiments.search.ranking import Candidate, swept
from extract.files import replacing
from heads.models import HEADS

ACROSS = 3  # panels side by side
Value = Callable[[Candidate], str | int | float]


def write(folder: Path, ranked: Sequence[Candidate]) -> None:
    """sweep.png and sweep.svg, the same bytes for the same trials."""
    figure = draw(ranked)
    with matplotlib.rc_context({"svg.hashsalt": "memefuse"}):
        for kind, about in (("png", {"Software": None}), ("svg", {"Date": None})):
            with replacing(folder / f"sweep.{kind}") as aside:
                figure.savefig(aside, format=kind, dpi=150, metadata=about)


def draw(ranked: Sequence[Candidate]) -> Figure:
    """A panel per swept setting, and one for the encoders where there are several."""
    panels: dict[str, Value] = {name.replace("_", " "): partial(_setting, name) for name in swept(ranked)}
    pairs = {each.encoders for each in ranked}
    if len(pairs) > len({each.head for each in ranked}) or not panels:
        panels["encoders"] = lambda each: "\n+ ".join(each.encoders)
    across = 2 if len(panels) == 4 else min(len(panels), ACROSS)
    down = -(-len(panels) // across)
    figure = Figure(figsize=(4.2 * across + 0.6, 3.3 * down + 0.7), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False, sharey=True)
    for place, (name, value) in enumerate(panels.items()):
        _panel(axes.flat[place], name, value, ranked)
    for spare in axes.flat[len(panels) :]:
        spare.set_visible(False)
    for row in axes:
        row[0].set_ylabel("dev AUC-ROC, mean over seeds")
    handles, names = axes.flat[0].get_legend_handles_labels()
    title = "each point a configuration; lines join the best"
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False, title=title)
    return figure


def _setting(name: str, candidate: Candidate) -> str | int | float:
    return candidate.settings.get(name, "none")  # a head that does not read it


def _panel(axes: Axes, name: str, value: Value, ranked: Sequence[Candidate]) -> None:
    """Every candidate as a point, and a line through each head's best."""
    ticks = sorted({value(each) for each in ranked}, key=lambda tick: (isinstance(tick, str), tick))
    heads = [head for head in HEADS if any(each.head == head for each in ranked)]
    for number, head in enumerate(heads):
        shift = (number - (len(heads) - 1) / 2) * 0.16  # heads beside each other, not on top of each other
        scores = [[each.mean for each in ranked if each.head == head and value(each) == tick] for tick in ticks]
        points = [(place + shift, score) for place, held in enumerate(scores) for score in held]
        how = look(head)
        style: dict[str, Any] = {"color": how.colour, "marker": how.marker}
        axes.scatter([at for at, _ in points], [score for _, score in points], s=14, alpha=0.35, linewidths=0, **style)
        best = [(place + shift, max(held)) for place, held in enumerate(scores) if held]
        axes.plot(*zip(*best, strict=True), label=head, markersize=5, linewidth=1.2, linestyle=how.line, **style)
    axes.set_xticks(range(len(ticks)), [f"{tick:g}" if isinstance(tick, float) else str(tick) for tick in ticks])
    if any(len(str(tick)) > 12 for tick in ticks):
        axes.tick_params(axis="x", labelsize=6)
    axes.set_xlabel(name)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
