"""The command: tables, drawings and a section of the report; a stopped run goes on; what makes no curve is refused."""

import json
import shutil
from dataclasses import replace

import planted
import pytest

from experiments import learning_curve as command
from experiments import training, words
from experiments.compare import compare
from experiments.data import load
from experiments.evaluate import learning
from experiments.leaderboard import leaderboard
from experiments.learning_curve import learning_curve
from experiments.pages import learning as pages
from experiments.report import report
from experiments.results import answers, boards, folder, trainings
from experiments.results import learning as record
from experiments.words import learning as sentences
from experiments.words.comparison import conclusion
from extract import errors

QUICK = {"hidden": 8, "batch_size": 32, "max_epochs": 4, "min_steps": 8}
OTHER = "small-bert"
SMALL = {"train": 120, "dev": 60, "test": 60}
ASKED = {"sizes": "30,60,all", "draws": 2, "seeds": 2, "heads": "text,early", "device": "cpu"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("learning_curve")
    planted.features(home / "features", SMALL)
    (home / "choice.json").write_text(json.dumps({"heads": dict.fromkeys(("text", "image", "early"), QUICK)}))
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
    curve = record.read_learning_curve(out(home))
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
    assert "another encoder would bring is not said: python -m experiments.leaderboard was not run beside it." in page
    assert "| early |" in page
    assert "LR balanced" in (out(home) / "learning_curve.tex").read_text()
    assert len((out(home) / "learning_curve.csv").read_text().splitlines()) == 1 + len(curve.table) == 1 + len(shown)
    assert "auc_roc" not in curve.table  # its parts have a column each
    assert list(curve.laws_table["head"]) == heads
    assert "var(--look-1)" in (out(home) / "learning_curve-test.svg").read_text()


def test_a_stopped_run_goes_on_and_damage_is_trained_again(home, monkeypatch):
    before = {path.name: path.read_bytes() for path in out(home).glob("learning_curve*")}
    kept = {path: trainings.kept(out(home), path.stem) for path in (out(home) / trainings.FOLDER).iterdir()}
    assert len(kept) == (2 + 2 + 1) * (2 + 1)  # two heads, and the references
    of_text, of_early, references = (
        [path for path, its in kept.items() if its[0].name == name] for name in ("text", "early", "majority class")
    )
    of_text[0].write_bytes(of_text[0].read_bytes()[:100])
    of_early[1].unlink()
    references[2].unlink()
    trained, real, fitted = [], training.heads, training.references
    monkeypatch.setattr(
        training, "heads", lambda data, its, *rest, **how: trained.extend(its) or real(data, its, *rest, **how)
    )
    monkeypatch.setattr(
        training, "references", lambda *rest, **how: trained.append("references") or fitted(*rest, **how)
    )
    again(home)
    assert sorted(trained) == ["early", "references", "text"]
    assert {path.name: path.read_bytes() for path in out(home).glob("learning_curve*")} == before


def test_all_of_train_is_what_compare_trains_and_the_report_has_both(home, tmp_path):
    area = compare(home / "features", out=home / "reports", **few(home) | {"seeds": 2}).auc("text", "test")
    [point] = [each for each in record.read_learning_curve(out(home)).of("text", "test") if each.size == 120]
    assert point.auc_roc.mean == pytest.approx(area.mean, abs=1e-6)
    assert (point.auc_roc.low, point.auc_roc.high) == pytest.approx((area.low, area.high), abs=0.03)
    report(home / "reports")
    page = (home / "reports" / "report.md").read_text()
    assert "## More labels?" in page
    assert "](figures/learning_curve-test.svg)" in page
    results = folder.read_results(home / "reports")
    assert pages.section(results, tmp_path) is None
    other = replace(results.comparison, splits=[replace(each, digest="0") for each in results.comparison.splits])
    [block] = pages.section(replace(results, comparison=other), home / "reports").blocks
    assert block.text.endswith("is of other memes or encoders than this comparison, and is left out.")
    (tmp_path / "learning_curve").mkdir()
    (tmp_path / "learning_curve" / "learning_curve.json").write_text("{}")
    with pytest.raises(errors.Refused, match=r"is not what this version writes \(KeyError: 'encoders'\)"):
        pages.section(results, tmp_path)


@pytest.fixture(scope="module")
def beside(home, tmp_path_factory):
    """A curve beside a leaderboard: two text encoders, of which the curve has the one that tells less."""
    reports = tmp_path_factory.mktemp("beside")
    features = planted.features(reports / "features", SMALL, names=(OTHER, planted.IMAGE))
    planted.features(features, SMALL)
    tuned = training.runs
    with pytest.MonkeyPatch.context() as patch:
        quick = dict.fromkeys(("text", "image", "early"), QUICK)
        patch.setattr(training, "runs", lambda heads, seeds, _: tuned(heads, seeds, quick))
        leaderboard(features, heads="text,image,early", seeds=2, device="cpu", out=out(reports).parent / "leaderboard")
    asked = ASKED | {"heads": "text,image,early", "references": "none", "from_sweep": home / "choice.json"}
    learning_curve(features, **asked | {"text_encoder": OTHER, "out": out(reports)})
    return out(reports).parent


def test_what_another_encoder_brings_stands_beside_what_more_labels_do(beside):
    curve, board = (
        record.read_learning_curve(beside / "learning_curve"),
        boards.read_leaderboard(beside / "leaderboard"),
    )
    found, why = learning.beside(curve, board)
    assert why == ""
    assert [(each.head, each.pair.split) for each in found] == [
        (head, split) for head in dict.fromkeys(each.head for each in found) for split in ("dev", "test")
    ]
    assert {each.head for each in found} == {"text", "early"}  # there is one image encoder alone
    rows = {each.name: each for each in board.standings}
    for each in found:
        image = f" + {planted.IMAGE}" if each.head == "early" else ""
        assert (each.own, each.other) == (OTHER + image, planted.TEXT + image)
        own = rows[f"{each.head}: {each.own}"].splits[each.pair.split].metrics["auc_roc"]
        assert each.of_own == own
        assert each.pair.difference == pytest.approx(each.of_other.mean - own.mean)
    said, shown, _ = answers.more_labels(curve, beside)
    [test] = [each.pair for each in found if (each.head, each.pair.split) == ("text", "test")]
    [dev] = [each.pair for each in found if (each.head, each.pair.split) == ("text", "dev")]
    [sentence] = [each for each in said if each.startswith(f"Text on {planted.TEXT} in place of {OTHER}: ")]
    assert f": test AUC-ROC {words.difference(test)}, p {words.probability(test.p_holm)} (Holm; dev, which " in sentence
    assert f"which chose it, has {words.difference(dev)}): {conclusion(test)}." in sentence
    [row] = [row for row in shown[-1].rows if row[:2] == ["text", "test"]]
    [law] = [each for each in curve.laws if each.head == "text"]
    areas = [words.with_interval(each) for each in (found[1].of_own, found[1].of_other)]
    assert row[2:] == [law.refused, words.difference(test), conclusion(test), *areas, planted.TEXT]
    assert law.refused
    page = (beside / "learning_curve/learning_curve.md").read_text()
    assert sentence in page
    assert f"| {row[3]} | {row[4]} |" in page
    assert (beside / "learning_curve/learning_curve-beside.svg").read_text().startswith("<svg")
    panel = pages.beside(curve, found)
    assert f"text: other encoders, test {words.difference(test)}" in panel.alt
    gain = replace(law, refused="", gain=0.01, gain_low=0.0, gain_high=0.02)
    assert "text: twice the labels, test +.010 [+.000, +.020]" in pages.beside(replace(curve, laws=[gain]), found).alt


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (lambda board: None, "python -m experiments.leaderboard was not run beside it."),
        (
            lambda board: replace(board, sizes=[replace(each, sides={"text": "0"}) for each in board.sizes]),
            "the leaderboard beside it is of other memes.",
        ),
        (
            lambda board: replace(
                board, encoders={name: replace(each, fingerprint="0") for name, each in board.encoders.items()}
            ),
            "the leaderboard beside it has no row of these heads and encoders.",
        ),
        (
            lambda board: replace(board, others=[]),
            "the leaderboard beside it has no other encoder for these heads, or is of an older version.",
        ),
    ],
)
def test_why_it_is_not_said_what_another_encoder_brings(beside, changes, says):
    curve, board = (
        record.read_learning_curve(beside / "learning_curve"),
        boards.read_leaderboard(beside / "leaderboard"),
    )
    found, why = learning.beside(curve, changes(board))
    assert found == []
    said = sentences.other_encoders(found, why, curve.splits)
    assert said == [f"What another encoder would bring is not said: {says}"]


def test_a_curve_of_texts_alone_stands_beside_a_leaderboard_of_texts_and_images(beside, home, tmp_path):
    """They hold the same memes, as far as both look at them; the records of older versions do not tell."""
    asked = ASKED | {"heads": "text", "references": "none", "from_sweep": home / "choice.json", "out": out(tmp_path)}
    curve = learning_curve(beside.parent / "features", text_encoder=OTHER, image_encoder="none", **asked)
    board = boards.read_leaderboard(beside / "leaderboard")
    found, why = learning.beside(curve, board)
    assert (why, [(each.head, each.pair.split) for each in found]) == ("", [("text", "dev"), ("text", "test")])
    relabelled = [replace(each, sides=each.sides | {"text": "0"}) for each in board.sizes]
    older = [replace(each, sides={}) for each in board.sizes]
    for sizes in (relabelled, older):
        assert learning.beside(curve, replace(board, sizes=sizes)) == ([], "other memes")
    whole = record.read_learning_curve(beside / "learning_curve")
    assert learning.beside(whole, replace(board, sizes=older))[1] == ""


def test_a_damaged_leaderboard_beside_it_is_refused_before_any_work(home, tmp_path):
    (tmp_path / "leaderboard").mkdir()
    (tmp_path / "leaderboard/leaderboard.json").write_text("{}")
    with pytest.raises(errors.Refused, match=r"leaderboard\.json is not what this version writes"):
        again(home, out=tmp_path / "learning_curve")
    assert not (tmp_path / "learning_curve").exists()


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
    beyond = "train holds 120 memes: of the sizes, 300, 5,000 left out."
    assert (curve.sizes, curve.notes) == ([60, 120], [beyond, "Tuned by the sweep: text."])


def test_a_subset_that_lacks_a_label_is_refused(tmp_path):
    planted.features(tmp_path, SMALL)
    label = (load(tmp_path).train.pairs.ids == "train-0007").astype("int8")
    for name in (planted.TEXT, planted.IMAGE):
        planted.rewrite(tmp_path, name, "train", label=label)
    with pytest.raises(errors.Refused) as refused:
        learning_curve(tmp_path, out=tmp_path / "out", **ASKED)
    assert str(refused.value) == (
        "--sizes 30: 2 of 2 subsets of so many memes lack a label: the rarer one is that of 1 of 120 memes in train. "
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


def test_one_encoder_alone_has_the_curve_of_its_own_heads(home, tmp_path):
    planted.features(tmp_path, {"train": 40, "dev": 20, "test": 20})
    shutil.rmtree(tmp_path / planted.IMAGE)
    asked = few(home) | {"heads": "text,image,early"}
    curve = learning_curve(tmp_path, sizes="20,all", draws=1, out=tmp_path / "out", **asked)
    left_out = f"image, early left out: there are no image vectors in {tmp_path}."
    assert curve.notes == [left_out, "Tuned by the sweep: text."]
    assert {point.head for point in curve.points} == {"text"}


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
    assert curve.notes[1:] == ["text: training diverged on 2 of 5 subsets, which are left out of its figures."]
