"""The command: a sound page from whatever compare left, the same bytes every time, nothing of a dataset as markup."""

import csv
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from html import escape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import made_up_memes
import planted
import pytest
from matplotlib.text import Text

from experiments import compare, operating_points, report
from experiments.pages import drawing
from extract import errors, store

SMALL = {"train": 60, "dev": 40, "test": 40}
HEADS = ("text", "image", "early", "late")


def compared(folder, *options, **kinds):
    """Features, a comparison of them by tiny heads, and the memes that they might be of."""
    planted.features(folder / "features", kinds.pop("sizes", SMALL), **kinds)
    heads = {head: {"hidden": 8, "max_epochs": 4, "batch_size": 32} for head in HEADS}
    (folder / "choice.json").write_text(json.dumps({"heads": heads}))
    command = ["--features", folder / "features", "--out", folder / "out", "--from-sweep", folder / "choice.json"]
    compare.main([str(word) for word in [*command, "--device", "cpu", *options]])
    made_up_memes.beside(folder / "features", folder / "data", planted.TEXT)
    return folder


def reported(folder, *options, data=True) -> tuple[str, str]:
    """HTML and Markdown of the report."""
    known = ["--data", str(folder / "data")] if data else []
    assert errors.run(lambda: report.main(["--reports", str(folder / "out"), *known, *options])) == 0
    out = Path(options[options.index("--out") + 1]) if "--out" in options else folder / "out"
    return (out / "report.html").read_text(), (out / "report.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = compared(tmp_path_factory.mktemp("report"), "--seeds", "2", signal="both")
    operating_points.operating_points(folder / "out")
    return folder


@pytest.fixture(scope="module")
def written(folder):
    return reported(folder)


@pytest.fixture(scope="module")
def page(written):
    return Elements(written[0])


@pytest.fixture(scope="module")
def markdown(written):
    return written[1]


class Elements(HTMLParser):
    """Every element of a page: (tag, attributes); every text; every heading."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self.source = html
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, text):
        self.texts.append(text)
        if self.open and re.fullmatch("h[1-6]", self.open[-1]):
            self.headings.append((int(self.open[-1][1]), text))

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def test_every_part_of_a_report_is_there(page):
    assert [title for level, title in page.headings if level == 2] == [
        "In short",
        "What was compared",
        "The dataset at a glance",
        "Results on test: 40 memes, 38% of label 1",
        "Results on dev: 40 memes, 48% of label 1",
        "What fusion changed",
        "Slices",
        "Where to set the threshold",
        "Learning curves",
        "Discussion",
        "How to read this",
    ]
    drawn = {attributes["aria-label"].split()[0] for attributes in page.all("svg")}
    kinds = "AUC-ROC Differences Error Class Words Image ROC Precision-recall Confusion Calibration Losses"
    assert drawn == set(kinds.split())
    assert len(page.all("svg")) == 2 + 3 + 2 * (2 + 4 + 4) + 1 + 1 + 8


def test_tables_say_what_the_comparison_says(folder, page):
    with open(folder / "out" / "comparison.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test" and row["chosen_by"] == "fixed"]
    for row in rows:
        figure = f"{float(row['auc_roc_mean']):.3f}".removeprefix("0")
        assert any(text.startswith(figure) for text in page.texts), row["name"]


def test_nothing_of_a_dataset_becomes_markup(page):
    assert not page.all("script")
    assert not page.all("textarea")
    assert not [name for _, attributes in page.found for name in attributes if name.startswith("on")]
    shown = "".join(page.texts)
    for text in made_up_memes.HOSTILE[:5]:
        assert text in shown


def test_no_address_leads_out_of_the_page(page):
    leading = [
        attributes[name]
        for _, attributes in page.found
        for name in ("src", "href", "xlink:href", "action", "srcset", "poster", "data")
        if attributes.get(name)
    ]
    assert leading
    assert not [address for address in leading if not address.startswith(("#", "data:"))]
    styles = " ".join(re.findall(r"url\(([^)]*)\)|@import", page.source))
    assert all(address.startswith("#") for address in styles.split())
    policy = next(attributes for attributes in page.all("meta") if attributes.get("http-equiv"))
    assert policy["content"].startswith("default-src 'none'")
    assert "script-src" not in policy["content"]


def test_what_a_blind_reader_needs_is_there(page):
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert all(deeper - level <= 1 for level, deeper in pairwise(levels))
    assert all(attributes.get("alt") for attributes in page.all("img"))
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
    assert all(attributes.get("role") == "img" for attributes in page.all("svg"))
    names = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(names) == len(set(names))
    targets = {address["href"][1:] for address in page.all("a")}
    assert targets <= set(names)


def test_images_are_blurred_and_can_be_left_out(folder, page, tmp_path, unrendered):
    assert page.all("img")
    assert re.search(r"\.veil img\{[^}]*filter:blur", page.source)
    without = Elements(reported(folder, "--no-images", "--out", str(tmp_path))[0])
    assert not without.all("img")
    assert any(text.startswith("test-00") for text in without.texts)


def test_the_same_input_gives_the_same_bytes(folder, tmp_path, written):
    assert reported(folder, "--out", str(tmp_path)) == written
    drawings = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert drawings == {path.name: path.read_bytes() for path in (folder / "out" / "figures").iterdir()}


def test_markdown_says_the_same(folder, page, markdown):
    assert [line[3:] for line in markdown.splitlines() if line.startswith("## ")] == [
        title for level, title in page.headings if level == 2 and title != "In short"
    ]
    drawn = re.findall(r"\]\((figures/[^)]+\.svg)\)", markdown)
    assert len(drawn) == len(page.all("svg"))
    assert all((folder / "out" / path).is_file() for path in drawn)


def test_what_train_does_not_hold_and_all_other_pairs_are_shown(markdown):
    assert "test without what train holds: 36 memes" in markdown
    assert "| early vs late | test | AUC-ROC |" in markdown.split("All other pairs of heads")[1]


def test_nothing_of_a_dataset_becomes_markdown(markdown):
    assert "<script" not in markdown
    assert "<img" not in markdown
    assert not re.search(r"(?<!\\)\]\(http", markdown)
    assert r"a \| b \*\* c \`d\` \[e\](http://evil.example/f)" in markdown


@pytest.fixture
def unrendered(monkeypatch):
    """Plots are drawn, and their words written; laying them out takes most of a report's time."""

    def savefig(canvas, out, **_):
        words = "".join(f"<text>{escape(each.get_text())}</text>" for each in canvas.findobj(Text))
        out.write(f'<svg viewBox="0 0 1 1">{words}</svg>')

    monkeypatch.setattr(drawing.Canvas, "savefig", savefig)


@pytest.mark.parametrize(
    ("options", "kinds", "says"),
    [
        (["--seeds", "1"], {}, "With one seed, nothing is known of how much luck is in training"),
        (["--heads", "text"], {}, "No fusion is judged"),
        pytest.param(["--heads", "early"], {}, "No fusion is judged", marks=pytest.mark.slow),
        (["--heads", "text,early", "--references", "none"], {}, "early is right where text is wrong"),
        ([], {"label": {"test": 1}}, "test holds one label only: it has no ROC or precision-recall curve."),
        pytest.param([], {"label": {"test": 0}}, "test holds one label only: it has no ROC", marks=pytest.mark.slow),
        ([], {"label": {"test": -1}}, "Results on test: 40 memes without labels, predicted but not scored"),
        ([], {"sizes": {"train": 60, "dev": 40}}, "dev chose the epochs: no split here gives an untouched figure."),
        ([], {"signal": "xor"}, "No evidence that text or image alone does better than chance."),
        (["--calibrate", "temperature"], {}, "Probabilities are recalibrated on dev (temperature)."),
        ([], {"sizes": {"train": 60, "dev": 40, "test": 2}}, "Results on test: 2 memes"),
    ],
)
def test_what_is_missing_is_left_out_or_said(tmp_path, unrendered, options, kinds, says):
    compared(tmp_path, "--seeds", "2", *options, **kinds)
    html, _ = reported(tmp_path)
    assert says in "".join(Elements(html).texts)
    assert "nan" not in re.findall(r"\w+", "".join(Elements(html).texts))


def test_without_the_memes_themselves_ids_are_shown(folder, tmp_path, unrendered, capsys):
    html, markdown = reported(folder, "--out", str(tmp_path), data=False)
    page = Elements(html)
    assert not page.all("img")
    assert "The dataset at a glance" not in markdown
    assert any(text.startswith("test-00") for text in page.texts)
    assert "name their folder: --data DIR" in capsys.readouterr().err


def test_a_model_file_that_is_gone_costs_only_its_curves(folder, tmp_path, unrendered):
    for path in (folder / "out").iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    report.main(["--reports", str(tmp_path)])
    assert "Learning curves" not in (tmp_path / "report.md").read_text()


def test_another_dataset_is_refused(folder, tmp_path, capsys):
    other = made_up_memes.beside(folder / "features", tmp_path / "data", planted.TEXT)
    lines = (other / "test.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    changed = [json.dumps(first | {"label": 1 - first["label"]}), *lines[2:]]
    (other / "test.jsonl").write_text("\n".join(changed))
    assert errors.run(lambda: report.main(["--reports", str(folder / "out"), "--data", str(other)])) == 2
    said = capsys.readouterr().err
    assert "is not the dataset that was compared" in said
    assert "test: 1 of 40 memes are not in it; first: test-0001" in said
    assert "test: 1 of 40 memes have another label in it; first: test-0000" in said


@pytest.mark.parametrize("missing", ["matplotlib", "jinja2"])
def test_a_missing_library_is_named_with_the_way_out(folder, monkeypatch, capsys, missing):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else object())
    assert errors.run(lambda: report.main(["--reports", str(folder / "out")])) == 2
    assert capsys.readouterr().err == (
        f"error: pages need {missing}, not installed here. Run: pip install 'memefuse[report]'\n"
    )


def test_no_comparison_is_refused_in_words(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "experiments.report", "--reports", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {tmp_path} holds no comparison.json. Run: python -m experiments.compare --features DIR "
        f"--out {tmp_path}\n"
    )


@pytest.mark.slow
def test_a_font_that_is_missing_here_is_the_readers_matter(folder, page, tmp_path, monkeypatch, caplog):
    from experiments.pages import drawing

    monkeypatch.setitem(drawing.STYLE, "font.family", ["No Such Font"])
    html, _ = reported(folder, "--out", str(tmp_path), data=False)
    assert len(Elements(html).all("svg")) == len(page.all("svg")) - 3
    assert not caplog.records


@pytest.mark.slow
def test_unlabelled_memes_in_a_labelled_split_are_not_scored(tmp_path, unrendered):
    planted.features(tmp_path / "features", SMALL)
    label = store.read(tmp_path / "features" / planted.TEXT / "test.h5").label.copy()
    label[:10] = -1
    for encoder in (planted.TEXT, planted.IMAGE):
        planted.rewrite(tmp_path / "features", encoder, "test", label=label)
    compare.main(
        [*map(str, ["--features", tmp_path / "features", "--out", tmp_path / "out", "--seeds", 1, "--device", "cpu"])]
    )
    made_up_memes.beside(tmp_path / "features", tmp_path / "data", planted.TEXT)
    _, markdown = reported(tmp_path)
    assert "## Results on test: 30 memes" in markdown


def test_slices_of_one_label_each_do_not_end_in_a_traceback(folder, tmp_path):
    shutil.copytree(folder / "out", tmp_path / "out")
    path = tmp_path / "out" / "comparison.json"
    comparison = json.loads(path.read_text())
    undefined = {"mean": None, "sd": None, "low": None, "high": None, "undefined": 2}
    for piece in comparison["slices"]:
        piece["auc_roc"] = dict.fromkeys(piece["auc_roc"], undefined)
    path.write_text(json.dumps(comparison))
    report.report(tmp_path / "out")
    markdown = (tmp_path / "out" / "report.md").read_text()
    assert "slices-test.svg" not in markdown
    assert "| image also in train | 4 | 50% | undefined |" in markdown


def test_from_python_it_prints_nothing(folder, tmp_path, unrendered, capsys):
    path = report.report(folder / "out", folder / "data", tmp_path, images=False)
    assert path == tmp_path / "report.html"
    assert not Elements(path.read_text()).all("img")
    assert capsys.readouterr() == ("", "")
