"""Pages in headless Chromium: nothing goes wrong, nothing is asked for, everything shows, on a phone too."""

import browser
import made_up_memes
import planted
import pytest

from experiments import compare, explore, report

pytestmark = pytest.mark.browser
BOXES = (
    "[...document.querySelectorAll('svg')].map(svg => svg.getBoundingClientRect()).map(box => [box.width, box.height])"
)
WIDE = """[...document.querySelectorAll('main *, header *, nav *')].filter(each => {
  const box = each.getBoundingClientRect();
  return box.right > innerWidth + 1 && box.width && !each.closest('.box, svg, .veil')
}).map(each => each.outerHTML.slice(0, 120))"""
VEILED = "[...document.querySelectorAll('.veil img')].map(each => getComputedStyle(each).filter)"
SHOWN = "[...document.querySelectorAll('.veil img')].map(each => each.decode().then(() => each.naturalWidth))"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A report and a dataset's page."""
    folder = tmp_path_factory.mktemp("pages")
    planted.features(folder / "features", {"train": 60, "dev": 40, "test": 40})
    compare.main(
        [*map(str, ["--features", folder / "features", "--out", folder / "out", "--seeds", 2, "--device", "cpu"])]
    )
    made_up_memes.beside(folder / "features", folder / "data", planted.TEXT)
    report.main(["--reports", str(folder / "out"), "--data", str(folder / "data")])
    explore.main(["--data", str(folder / "data"), "--out", str(folder / "out")])
    return {name: (folder / "out" / f"{name}.html").as_uri() for name in ("report", "dataset")}


@pytest.fixture(scope="module")
def tab():
    binary = browser.find()
    if binary is None:
        pytest.skip("no Chromium here: install one (apt-get install chromium) to test pages in it")
    with browser.tab(binary) as tab:
        yield tab


@pytest.mark.parametrize("name", ["report", "dataset"])
@pytest.mark.parametrize("screen", [{}, {"dark": True}, {"width": 390, "height": 844, "touch": True}], ids=str)
def test_a_page_opens_in_peace(tab, pages, name, screen):
    tab.open(pages[name], **screen)
    assert tab.complaints == []
    assert [address for address in tab.requests if not address.startswith("data:")] == [pages[name]]
    assert tab.value("document.documentElement.scrollWidth <= innerWidth")
    assert tab.value(WIDE) == []


def test_every_figure_shows(tab, pages):
    tab.open(pages["report"])
    boxes = tab.value(BOXES)
    assert len(boxes) == 2 + 3 + 2 * (2 + 4 + 4) + 1 + 8
    assert all(width > 150 and height > 80 for width, height in boxes)
    assert all(width > 0 for width in tab.value(f"Promise.all({SHOWN})"))


def test_images_are_blurred_until_clicked(tab, pages):
    tab.open(pages["dataset"])
    assert all(veil.startswith("blur(") for veil in tab.value(VEILED))
    tab.value("document.querySelector('.veil input').click()")
    veils = tab.value(VEILED)
    assert veils[0] == "none"
    assert all(veil.startswith("blur(") for veil in veils[1:])
    tab.value("document.querySelector('#unveil').click()")
    assert set(tab.value(VEILED)) == {"none"}
    tab.value("document.querySelector('#no-images').click()")
    assert tab.value("[...document.querySelectorAll('.veil')].every(each => !each.offsetParent)")


def test_figures_take_their_colours_from_the_page(tab, pages):
    ink = "getComputedStyle(document.querySelector('svg text')).fill"
    shades = []
    for dark in (False, True):
        tab.open(pages["report"], dark=dark)
        shades.append(tab.value(ink))
        assert tab.value(ink) == tab.value("getComputedStyle(document.body).color")
    assert shades == ["rgb(29, 33, 38)", "rgb(230, 232, 235)"]


def test_a_script_that_slipped_in_would_not_run(tab, pages):
    tab.open(pages["report"])
    # as a slip in the template would have it: a script within the page, under the page's own policy
    tab.value("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = true'}))")
    assert tab.value("window.ran === undefined")
    tab.wait(lambda: any("Content Security Policy" in said for said in tab.complaints))


def test_a_page_prints(tab, pages, tmp_path):
    tab.open(pages["report"])
    tab.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")
