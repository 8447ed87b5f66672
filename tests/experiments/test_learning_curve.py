"""The command: tables, drawings and a section of the report; a stopped run goes on; what makes no curve is refused."""

import json
from dataclasses import replace

import planted
import pytest

from experiments import learning_curve as command
from experiments import training
from experiments.compare import compare
from experiments.data import load
from experiments.learning_curve import learning_curve
from experiments.pages import learning as pages
from experiments.report import report
from experiments.results import folder, trainings
from experiments.results import learning as record
from extract import errors

QUICK = {"hidden": 8, "batch_size": 32, "max_epochs": 4, "min_steps": 8}
SMALL = {"train": 120, "dev": 60, "test": 60}
ASKED = {"sizes": "30,60,all", "draws": 2, "seeds": 2, "heads": "text,early", "device": "cpu"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("learning_curve")
    planted.features(home / "features", SMALL)
    (home / "choice.json").write_text(json.dumps({"heads": dict.fromkeys(("text", "early"), QUICK)}))
    words = [part for key, value in ASKED.items() for part in (f"--{key}", value)]
    words += ["--features", home / "features", "--out", out(home), "--from-sweep", home / "choice.json"]
    assert errors.run(lambda: command.main([str(word) for word in words])) == 0
    return home


def out(home):
    return home / "reports" / "learning_curve"


def few(home):
    return {"seeds": 1, "heads": "text", "references": "none", "device": "cpu", "from_sweep": home / "choice.json"}


def again(home, **changes):
    asked = ASKED | {"from_sweep": home / "choice.json", "out": out(home)} | changes
    return learning_curve(home / "features", **asked)


def test_everything_is_written(home):
    curve = record.read(out(home))
    assert (curve.sizes, curve.judged, curve.draws, curve.seeds) == ([30, 60, 120], ["test"], 2, 2)
    shown = {(point.head, point.split, point.size): point for point in curve.points}
    heads = list(dict.fromkeys(point.head for point in curve.points))
    assert heads[:2] == ["text", "early"]
    assert {"majority class", "LR both", "kNN both"} < set(heads)
    assert len(shown) == len(heads) * 2 * 3
    assert shown["early", "test", 120].auc_roc.mean > shown["majority class", "test", 120].auc_roc.mean == 0.5
    assert [shown["early", "test", size].draws for size in curve.sizes] == [2, 2, 1]
    assert all(point.memes <= point.size < point.memes + 2 for point in curve.points)  # texts come in pairs
    names = {path.name for path in out(home).iterdir() if path.is_file() and path.name != ".lock"}
    assert names == {f"learning_curve{end}" for end in (".md", ".csv", ".tex", ".json", "-test.svg", "-dev.svg")}
    page = (out(home) / "learning_curve.md").read_text()
    assert "that takes four sizes or more" in page
    assert "| early |" in page
    assert "LR balanced" in (out(home) / "learning_curve.tex").read_text()
    assert len((out(home) / "learning_curve.csv").read_text().splitlines()) == 1 + len(curve.table) == 1 + len(shown)
    assert "auc_roc" not in curve.table  # its parts have a column each
    assert list(curve.laws_table["head"]) == heads
    assert "var(--look-1)" in (out(home) / "learning_curve-test.svg").read_text()


def test_a_stopped_run_goes_on_and_damage_is_trained_again(home, monkeypatch):
    before = {path.name: path.read_bytes() for path in out(home).glob("learning_curve*")}
    kept = sorted((out(home) / trainings.FOLDER).iterdir())
    assert len(kept) == 2 + 2 + 1
    kept[0].write_bytes(kept[0].read_bytes()[:100])
    kept[1].unlink()
    trained, real = [], training.heads
    monkeypatch.setattr(training, "heads", lambda data, *rest, **how: trained.append(data) or real(data, *rest, **how))
    again(home)
    assert len(trained) == 2
    assert {path.name: path.read_bytes() for path in out(home).glob("learning_curve*")} == before


def test_all_of_train_is_what_compare_trains_and_the_report_has_both(home, tmp_path):
    area = compare(home / "features", out=home / "reports", **few(home) | {"seeds": 2}).auc("text", "test")
    [point] = [each for each in record.read(out(home)).of("text", "test") if each.size == 120]
    assert point.auc_roc.mean == pytest.approx(area.mean, abs=1e-6)
    assert (point.auc_roc.low, point.auc_roc.high) == pytest.approx((area.low, area.high), abs=0.03)
    report(home / "reports")
    page = (home / "reports" / "report.md").read_text()
    assert "## More labels?" in page
    assert "](figures/learning_curve-test.svg)" in page
    results = folder.read(home / "reports")
    assert pages.section(results, tmp_path) is None
    other = replace(results.comparison, splits=[replace(each, digest="0") for each in results.comparison.splits])
    [block] = pages.section(replace(results, comparison=other), home / "reports").blocks
    assert block.text.endswith("is of other memes or encoders than this comparison, and is left out.")
    (tmp_path / "learning_curve").mkdir()
    (tmp_path / "learning_curve" / "learning_curve.json").write_text("{}")
    with pytest.raises(errors.Refused, match=r"is not what this version writes \(KeyError: 'encoders'\)"):
        pages.section(results, tmp_path)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"sizes": "ten,0,all"}, "--sizes ten,0,all: ten, 0 is neither a number of memes above 1 nor all"),
        (
            {"sizes": "1000,all"},
            "--sizes 1000,all: a curve takes two sizes or more, and train holds 120 memes. "
            "For example: --sizes 30,60,all",
        ),
    ],
)
def test_sizes_that_make_no_curve_are_refused(home, asked, says):
    with pytest.raises(errors.Refused) as refused:
        again(home, **asked)
    assert str(refused.value) == says


def test_an_out_that_cannot_be_written_is_refused(home):
    with pytest.raises(errors.Refused, match=r"--out .*choice\.json/x: cannot write there: Not a directory"):
        again(home, out=home / "choice.json" / "x")


def test_sizes_beyond_train_are_left_out_and_said(home):
    curve = again(home, sizes=[60, "all", 5000, 300], draws=1, seeds=1, heads="text", references="none")
    assert (curve.sizes, curve.notes) == ([60, 120], ["train holds 120 memes: of the sizes, 300, 5,000 left out."])


def test_a_subset_that_lacks_a_label_is_refused(tmp_path):
    planted.features(tmp_path, SMALL)
    label = (load(tmp_path).train.pairs.ids == "train-0007").astype("int8")
    for name in (planted.TEXT, planted.IMAGE):
        planted.rewrite(tmp_path, name, "train", label=label)
    with pytest.raises(errors.Refused) as refused:
        learning_curve(tmp_path, out=tmp_path / "out", **ASKED)
    assert str(refused.value) == (
        "--sizes 30: 2 of 2 subsets of so many memes lack a label: of 120 memes in train 1 have the rarer one. "
        "Take sizes from 120 up."
    )
    assert not (tmp_path / "out").exists()


def test_thirty_memes_and_a_test_of_one_label(home, tmp_path):
    planted.features(tmp_path, {"train": 30, "dev": 12, "test": 12}, label={"test": 1})
    with pytest.raises(errors.Refused, match=r"train holds 30 memes. For example: --sizes 7,15,all"):
        learning_curve(tmp_path, out=tmp_path / "out", device="cpu")
    curve = learning_curve(tmp_path, sizes="7,15,all", draws=2, out=tmp_path / "out", **few(home))
    assert (curve.judged, {point.split for point in curve.points}) == (["dev"], {"dev"})
    assert curve.notes[-1].startswith("No test split has both labels: power laws are of dev, which flatters")


def test_a_test_without_labels_is_passed_over(home, tmp_path):
    planted.features(tmp_path, {"train": 40, "dev": 20, "test": 20}, label={"test": -1})
    assert learning_curve(tmp_path, sizes="20,all", draws=1, out=tmp_path / "out", **few(home)).judged == ["dev"]


def test_a_head_that_diverged_is_said(home, monkeypatch, tmp_path):
    real = training.heads

    def diverging(data, *rest, **how):
        every = real(data, *rest, **how)
        if len(data.train) < 60:
            every[0].fitted.best_epoch[:] = 0
            every[0].best_epoch[:] = [0] * len(every[0].best_epoch)
        return every

    monkeypatch.setattr(training, "heads", diverging)
    curve = again(home, out=tmp_path, references="none")
    assert [point.size for point in curve.of("text", "test")] == [60, 120]
    assert curve.notes == ["text: training diverged on 2 of 5 subsets, which are left out of its figures."]
