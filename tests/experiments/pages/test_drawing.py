"""Every head has one look, everywhere, and it comes from its place in HEADS."""

import re

from made_up_results import figure, history, results

from experiments.pages import drawing, report_page
from heads.models import HEADS

OKABE_ITO = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"}


def test_the_first_four_heads_look_as_they_always_did():
    assert [(head, drawing.look(head).colour, drawing.look(head).marker) for head in list(HEADS)[:4]] == [
        ("text", "#0072b2", "o"),
        ("image", "#d55e00", "s"),
        ("early", "#009e73", "^"),
        ("late", "#cc79a7", "D"),
    ]
    assert [drawing.look(head).line for head in list(HEADS)[:4]] == ["-", "--", "-.", (0.0, (1.5, 1.2))]
    assert drawing.look("LR text") == drawing.look("chance") == drawing.REFERENCE
    assert drawing.look("ensemble") not in (drawing.REFERENCE, *map(drawing.look, HEADS))


def luminance(colour: str) -> float:
    """Relative, as WCAG 2 has it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_no_colour_fades_into_the_page():
    for light, dark in drawing.PALETTE.items():
        assert 1.05 / (luminance(light) + 0.05) > 2.2, light
        assert (luminance(dark) + 0.05) / (luminance("#14171b") + 0.05) > 5, dark


def test_there_are_looks_enough():
    assert set(drawing.PALETTE) > OKABE_ITO
    looks = [drawing.numbered(number) for number in range(56)]
    assert len({look.colour for look in looks[:8]}) == 8
    assert len({(look.colour, look.line) for look in looks}) == 56
    assert drawing.REFERENCE not in looks


def test_every_colour_has_a_light_and_a_dark_value():
    light, dark = re.findall(r":root\{([^}]*)\}", drawing.css())
    names = [[each.split(":")[0] for each in shades.split(";")] for shades in (light, dark)]
    assert names[0] == names[1] == ["--ink", "--faint", "--paper", *(f"--look-{number}" for number in range(1, 9))]
    assert "--look-1:#0072b2;--look-2:#d55e00;--look-3:#009e73;--look-4:#cc79a7" in light
    assert "--look-1:#56b4e9;--look-2:#f0923b;--look-3:#2fc89b;--look-4:#e6a0c6" in dark


def test_a_new_head_appears_in_the_report_with_a_look_of_its_own(toy, tmp_path):
    areas = {head: figure(0.7, 0.6, 0.8) for head in ("text", "image", "early", "late", toy)}
    page = report_page.page(results(areas, history={toy: history([1, 2])}), None, False, tmp_path)
    tone = drawing.tone(toy)
    assert drawing.look(toy) not in [drawing.look(head) for head in HEADS if head != toy]
    assert page.opening[0].tiles[-1].tone == tone
    own = [panel.name for panel in page.panels if panel.name.endswith(f"-{toy}")]
    assert own == [
        *(f"{kind}-{split}-toy" for split in ("test", "dev") for kind in ("confusion", "calibration")),
        "loss-toy",
        "dev-auc-toy",
    ]
    panels = {panel.name: panel.svg for panel in page.panels}
    for name in ("auc-roc-test", "roc-test", "precision-recall-test", *own):
        assert tone in panels[name], name
