"""What compare left is read back as it was; what does not belong together is refused."""

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import planted
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score

from experiments import compare
from experiments.options import DEFAULT_HEADS
from experiments.results import folder as reports
from extract.errors import Refused

HEADS = DEFAULT_HEADS.split(",")
QUICK = ["--seeds", "2", "--references", "none", "--device", "cpu"]


@pytest.fixture
def copy(comparison_out, tmp_path):
    return shutil.copytree(comparison_out, tmp_path / "copy")


def test_predictions_are_those_that_were_scored(comparison_out):
    found = reports.read_results(comparison_out)
    for split in ("dev", "test"):
        predicted = found.predicted[split]
        for name, row in found.rows(split).items():
            if name == "chance":
                continue
            head = predicted.heads[name.removesuffix(", mean of 3 runs")]
            by_run = head.by_run if row.kind != "mean" else head.probability[None]
            assert by_run.shape == (row.seeds, 40)
            scores = [roc_auc_score(predicted.label, run) for run in by_run]
            # six decimals tie a few memes that logits tell apart
            assert np.mean(scores) == pytest.approx(row.metrics["auc_roc"].mean, abs=5e-3)
            answers = np.mean([(run >= 0.5) == predicted.positive for run in by_run])
            assert answers == pytest.approx(row.metrics["accuracy"].mean)


def test_learning_curves_are_those_of_the_model_file(comparison_out):
    found = reports.read_results(comparison_out)
    assert list(found.history) == found.heads == HEADS
    stored = load_file(comparison_out / "models" / "early.safetensors")
    np.testing.assert_array_equal(found.history["early"].dev_auc, stored["history.dev_auc"])
    best = found.history["early"].dev_auc[found.history["early"].best_epoch - 1, np.arange(3)]
    # a pair of memes in 40 x 39 / 4: training's own logits are rounded otherwise
    np.testing.assert_allclose(best, stored["dev_auc"], atol=0.003)


@pytest.mark.parametrize("name", ["comparison.json", "runs.jsonl", "predictions_test.csv"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(Refused, match=rf"{name}.*Run: python -m experiments\.compare --features .* --out {copy}$"):
        reports.read_results(copy)


def test_what_another_version_wrote_is_refused(copy):
    found = json.loads((copy / "comparison.json").read_text())
    del found["versions"]
    (copy / "comparison.json").write_text(json.dumps(found))
    with pytest.raises(Refused, match=r"holds what another version of compare wrote \(KeyError: 'versions'\)"):
        reports.read_results(copy)


@pytest.mark.parametrize("name", ["predictions_test.csv", "comparison.csv", "comparison.md"])
def test_files_of_two_comparisons_are_refused(copy, name):
    """Each file is told by its bytes, whatever it holds."""
    with (copy / name).open("a") as file:
        file.write("\n")
    with pytest.raises(Refused, match="files of two comparisons") as refused:
        reports.read_results(copy)
    assert f"  {name} is not the file that comparison.json names" in str(refused.value)
    hint = str(refused.value).split("Run: python -m experiments.compare ")[1]
    compare.main([*hint.split(), *QUICK])  # works as printed
    assert reports.read_results(copy).heads == HEADS


def test_swapping_a_comparison_in_is_seen(copy, comparison_out, tmp_path):
    """The comparison of other heads beside these predictions."""
    other = tmp_path / "other"
    compare.main(
        ["--features", str(comparison_out.parent / "features"), "--out", str(other), *QUICK, "--heads", "text"]
    )
    (copy / "comparison.json").write_bytes((other / "comparison.json").read_bytes())
    with pytest.raises(Refused, match="files of two comparisons"):
        reports.read_results(copy)


def test_one_run_s_name_stands_in_every_file(comparison_out):
    run = json.loads((comparison_out / "comparison.json").read_text())["run"]
    assert len(run) == 16
    names = ["comparison.md", "comparison.tex", "runs.jsonl", *(f"models/{head}.json" for head in HEADS)]
    for name in names:
        assert run in (comparison_out / name).read_text(), name


def test_a_second_comparison_leaves_nothing_of_the_first(copy, comparison_out):
    report, figure = copy / "report.md", copy / "figures" / "roc-test.svg"
    figure.parent.mkdir()
    for drawing in (figure, figure.with_name("words.svg")):
        drawing.write_text("<svg/>")
    report.write_text("![](figures/roc-test.svg)\n![](figures/words.svg)")
    (copy / "dataset.md").write_text("![](figures/words.svg)")  # explore's page stays whole
    (copy / "notes.txt").write_text("mine")
    asked = ["--features", str(comparison_out.parent / "features"), "--out", str(copy), *QUICK, "--heads", "text"]
    compare.main(asked)
    left = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    assert left == {
        *(f"comparison.{ending}" for ending in ("md", "csv", "tex", "json")),
        *("runs.jsonl", "predictions_dev.csv", "predictions_test.csv", "models/text.json", "models/text.safetensors"),
        *("dataset.md", "figures/words.svg", "notes.txt", ".lock"),
    }
    assert reports.read_results(copy).heads == ["text"]


@pytest.mark.parametrize("moves", [0, 9, *(pytest.param(move, marks=pytest.mark.slow) for move in (3, 6, 12))])
def test_a_kill_leaves_the_old_comparison_or_the_new_one(copy, comparison_out, monkeypatch, moves):
    """The process ends before anything was renamed, or after so many files were moved."""

    class Killed(BaseException):
        pass

    left = [moves]
    replace, rename = os.replace, Path.rename

    def killed(*paths):
        if not left[0]:
            raise Killed
        left[0] -= 1
        return replace(*paths)

    def never(*paths):
        raise Killed

    before = reports.read_results(copy).comparison.run
    asked = ["--features", str(comparison_out.parent / "features"), "--out", str(copy), *QUICK, "--heads", "text,early"]
    monkeypatch.setattr(os, "replace", killed)
    if not moves:
        monkeypatch.setattr(Path, "rename", never)
    with suppress(Killed):
        compare.main(asked)
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(Path, "rename", rename)
    after = reports.read_results(copy)
    assert after.heads == (HEADS if not moves else ["text", "early"])
    assert (after.comparison.run == before) == (not moves)
    compare.main(asked)
    assert reports.read_results(copy).heads == ["text", "early"]


def test_another_dataset_s_results_are_not_overwritten_unasked(copy, tmp_path):
    planted.features(tmp_path / "others", {"train": 50, "dev": 30, "test": 30})
    asked = ["--features", str(tmp_path / "others"), "--out", str(copy), *QUICK, "--heads", "text"]
    before = (copy / "comparison.json").read_bytes()
    with pytest.raises(Refused, match=r"holds a comparison on other memes .*60 in train.*--overwrite"):
        compare.main(asked)
    assert (copy / "comparison.json").read_bytes() == before
    compare.main([*asked, "--overwrite"])
    assert reports.read_results(copy).size("train").memes == 50


def test_the_same_memes_without_their_images_are_no_other_dataset(copy, comparison_out):
    asked = ["--features", str(comparison_out.parent / "features"), "--out", str(copy), *QUICK, "--heads", "text"]
    compare.main([*asked, "--image-encoder", "none"])
    assert reports.read_results(copy).heads == ["text"]


@pytest.mark.parametrize(
    ("text", "why"),
    [('{"heads": ["text"', "JSONDecodeError: "), ("{}", "KeyError: 'encoders'"), ("[]", "TypeError: ")],
    ids=["cut short", "of another version", "no comparison"],
)
def test_a_comparison_that_cannot_be_read_is_not_overwritten_unasked(copy, comparison_out, text, why):
    (copy / "comparison.json").write_text(text)
    before = {path: path.read_bytes() for path in reports.walk(copy)}
    asked = ["--features", str(comparison_out.parent / "features"), "--out", str(copy), *QUICK, "--heads", "text"]
    said = rf"^{copy}/comparison.json is not what this version can read \({why}.*--out, or .* --overwrite$"
    with pytest.raises(Refused, match=said):
        compare.main(asked)
    assert {path: path.read_bytes() for path in reports.walk(copy)} == before
    with pytest.raises(Refused, match=rf"Run: python -m experiments.compare --features DIR --out {copy} --overwrite$"):
        reports.read_results(copy)
    compare.main([*asked, "--overwrite"])
    assert reports.read_results(copy).heads == ["text"]


def test_counts_are_stored_and_are_those_of_the_answers(comparison_out):
    results = reports.read_results(comparison_out)
    for record in results.records:
        predicted = results.predicted[record.split]
        head = predicted.heads[record.head]
        said = head.by_run[head.seeds.index(record.seed)] >= 0.5
        counts = record.counts
        assert counts["hits"] == (said & predicted.positive).sum()
        assert counts["false_alarms"] == (said & ~predicted.positive).sum()
        assert sum(counts.values()) == sum(record.tuned_counts.values()) == record.memes
        assert (counts["hits"] + counts["rest"]) / record.memes == pytest.approx(record.metrics["accuracy"])
