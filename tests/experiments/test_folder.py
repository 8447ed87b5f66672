"""What compare left is read back as it was; what does not belong together is refused."""

import json
import shutil

import numpy as np
import planted
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score

from experiments import compare
from experiments.results import reading
from extract.errors import Refused


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("findings")
    planted.features(folder / "features", {"train": 60, "dev": 40, "test": 40})
    heads = {"heads": {head: {"hidden": 8, "max_epochs": 3} for head in compare.HEADS}}
    (folder / "choice.json").write_text(json.dumps(heads))
    out = folder / "out"
    command = ["--features", folder / "features", "--out", out, "--from-sweep", folder / "choice.json", "--seeds", 3]
    compare.main([*map(str, command), "--device", "cpu"])
    return out


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_predictions_are_those_that_were_scored(folder):
    found = reading.read(folder)
    for split in ("dev", "test"):
        predicted = found.predicted[split]
        for name, row in found.rows(split).items():
            if name == "chance":
                continue
            by_run = predicted.opinions[name].by_run
            assert by_run.shape == (row.seeds, 40)
            scores = [roc_auc_score(predicted.label, run) for run in by_run]
            # six decimals tie a few memes that logits tell apart
            assert np.mean(scores) == pytest.approx(row.metrics["auc_roc"].mean, abs=5e-3)
            answers = np.mean([(run >= 0.5) == predicted.positive for run in by_run])
            assert answers == pytest.approx(row.metrics["accuracy"].mean)


def test_learning_curves_are_those_of_the_model_file(folder):
    found = reading.read(folder)
    assert list(found.history) == found.heads == list(compare.HEADS)
    stored = load_file(folder / "models" / "early.safetensors")
    np.testing.assert_array_equal(found.history["early"].dev_auc, stored["history.dev_auc"])
    best = found.history["early"].dev_auc[found.history["early"].best_epoch - 1, np.arange(3)]
    # a pair of memes in 40 x 39 / 4: training's own logits are rounded otherwise
    np.testing.assert_allclose(best, stored["dev_auc"], atol=0.003)


def test_dev_chooses(folder):
    found = reading.read(folder)
    figures = {head: found.rows("dev")[head].metrics["auc_roc"].mean for head in found.heads}
    assert found.dev == "dev"
    assert found.judged == "test"
    assert found.chosen == max(figures, key=figures.__getitem__)


def test_right_is_what_the_mean_probability_says():
    opinion = reading.Opinion("text", np.array([[0.4, 0.9, 0.2, 0.5]]), np.array([0.4, 0.9, 0.2, 0.5]))
    predicted = reading.Predicted("test", list("abcd"), np.array([0, 0, -1, 1]), {"text": opinion})
    assert predicted.right("text").tolist() == [True, False, False, True]


@pytest.mark.parametrize("name", ["comparison.json", "runs.jsonl", "predictions_test.csv"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(Refused, match=rf"{name}.*Run: python -m experiments\.compare --out {copy}"):
        reading.read(copy)


def test_what_another_version_wrote_is_refused(copy):
    found = json.loads((copy / "comparison.json").read_text())
    del found["versions"]
    (copy / "comparison.json").write_text(json.dumps(found))
    with pytest.raises(Refused, match=r"holds what another version of compare wrote \(KeyError: 'versions'\)"):
        reading.read(copy)


def test_files_of_two_comparisons_are_refused(copy):
    lines = (copy / "predictions_test.csv").read_text().splitlines()
    kept = [line for line in lines if ",late," not in line and not line.startswith("test-0000,")]
    (copy / "predictions_test.csv").write_text("\n".join(kept))
    with pytest.raises(Refused, match="files of two comparisons") as refused:
        reading.read(copy)
    assert "predictions_test.csv has 39 memes, comparison.json 40" in str(refused.value)
    assert "predictions_test.csv has nothing of late" in str(refused.value)
