"""What a head loses without a side: planted signals are lost where they are, and nothing else is."""

import json
from dataclasses import replace

import numpy as np
import planted
import pytest
from sklearn.metrics import roc_auc_score

from experiments import compare as command
from experiments.compare import compare
from experiments.data import load
from experiments.evaluate import ablation
from experiments.results import folder
from experiments.training import heads, rows, runs
from extract import errors

QUICK = {"hidden": 16, "batch_size": 64, "max_epochs": 8}
SMALL = {"train": 160, "dev": 80, "test": 80}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A comparison of memes whose text alone tells the label, written."""
    home = tmp_path_factory.mktemp("ablation")
    planted.features(home / "features", SMALL, signal="text")
    (home / "choice.json").write_text(json.dumps({"heads": dict.fromkeys(("text", "image", "early"), QUICK)}))
    asked = ["--features", home / "features", "--out", home / "out", "--from-sweep", home / "choice.json", "--ablate"]
    asked += ["--heads", "text,image,early", "--seeds", "2", "--references", "none", "--device", "cpu"]
    assert errors.run(lambda: command.main([str(word) for word in asked])) == 0
    return home


@pytest.fixture(scope="module")
def read(ran):
    return folder.read_results(ran / "out")


def test_a_side_without_a_signal_is_not_missed(read):
    found = {(each.head, each.side, each.how): each for each in read.comparison.ablations if each.split == "test"}
    assert {each.split for each in read.comparison.ablations} == {"dev", "test"}
    sides = [("text", "text"), ("image", "image"), ("early", "text"), ("early", "image")]
    assert list(found) == [(*side, how) for side in sides for how in ("shuffled", "mean")]
    for head in ("text", "early"):
        assert min(found[head, "text", how].lost for how in ("shuffled", "mean")) > 0.3
        assert found[head, "text", "shuffled"].shown
    assert found["text", "text", "mean"].without == 0.5
    assert abs(found["early", "image", "mean"].lost) < 0.1
    for each in found.values():
        assert each.low <= each.lost <= each.high
        assert each.auc_roc == pytest.approx(read.auc(each.head, "test").mean, abs=1e-12)


def test_a_signal_in_the_pair_alone_is_lost_with_either_side(tmp_path):
    data = load(planted.features(tmp_path, {"train": 320, "dev": 120, "test": 120}, signal="xor"))
    settings = {"early": QUICK | {"max_epochs": 20}}
    trained = heads(data, runs(["early"], 1, settings), "cpu", "none", quiet=True)
    found = ablation.ablations(data, trained)
    assert [each.without < 0.65 < 0.9 < each.auc_roc for each in found] == [True] * 8
    # of a plain loop over the same shuffles
    split, fitted = data.tests[0], trained[0].fitted
    whole, areas = rows(split), []
    for seed in range(ablation.SHUFFLES):
        order = np.random.default_rng(seed).permutation(len(split))
        logit = fitted.logits(replace(whole, image_vec=np.asarray(whole.image_vec)[order]))
        areas.append(roc_auc_score(whole.label, logit[0]))
    shuffled = next(each for each in found if (each.split, each.side, each.how) == ("test", "image", "shuffled"))
    assert shuffled.without == pytest.approx(np.mean(areas), abs=1e-12)


def test_a_comparison_without_it_takes_its_table_away(ran, read):
    page = (ran / "out" / "comparison.md").read_text()
    assert "### What heads lose without a side on test" in page
    assert "early without image" in (ran / "out" / "comparison.tex").read_text()
    frame = read.ablations
    assert len((ran / "out" / "ablation.csv").read_text().splitlines()) == 1 + len(frame) == 17
    assert (frame["lost"] == frame["auc_roc"] - frame["without"]).all()
    again = {"heads": "text", "seeds": 1, "references": "none", "device": "cpu", "out": ran / "out"}
    assert not len(compare(ran / "features", **again).ablations)
    assert not (ran / "out" / "ablation.csv").exists()
    assert "without a side" not in (ran / "out" / "comparison.md").read_text()
