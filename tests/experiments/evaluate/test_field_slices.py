"""Slices by a manifest's column: cut by value, the largest gap tested; bad columns are refused before any work."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import planted
import pytest

from experiments import compare
from experiments import data as loading
from experiments.evaluate import field_slices
from experiments.evaluate.field_slices import NO_VALUE, cut, deals, masks, widest
from experiments.evaluate.operating_points import Judged
from experiments.operating_points import operating_points
from experiments.pages import moderation
from experiments.results import answers, folder
from extract import errors, store
from heads.models import HEADS

SPLITS = {"train": 60, "dev": 40, "test": 80}


def keep(features, split, rows) -> None:
    """Write a column file as stage 1 does."""
    lines = [json.dumps({"id": f"{split}-{row:04d}", "columns": columns}) for row, columns in rows.items()]
    (features / planted.TEXT / f"{split}.columns.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Half of test has a source, some have several targets, and each a number of its own."""
    path = planted.features(tmp_path_factory.mktemp("sliced") / "features", SPLITS)
    rows = {row: {"number": row, "target": [["a"], ["a", "b"], [], None][row % 4]} for row in range(80)}
    for row in range(0, 80, 2):
        rows[row]["source"] = "web" if row % 4 else "phone"
    keep(path, "test", rows)
    return path


@pytest.fixture(scope="module")
def compared(features):
    """By the command, which is asked for slices at once."""
    choice = features.parent / "choice.json"
    choice.write_text(json.dumps({"heads": {head: {"hidden": 8, "max_epochs": 4, "batch_size": 32} for head in HEADS}}))
    out = features.parent / "out"
    options = ["--heads", "text,early", "--seeds", "2", "--references", "none", "--slice-by", "source,target"]
    where = ["--features", features, "--out", out, "--from-sweep", choice, "--device", "cpu"]
    compare.main([str(word) for word in [*where, *options]])
    return out


def test_values_are_masks_and_a_list_is_in_several(features):
    by_value = masks(loading.load(features), "target")["test"]
    assert list(by_value) == ["a", "b", NO_VALUE]
    assert [int(mask.sum()) for mask in by_value.values()] == [40, 20, 40]
    assert (by_value["a"] & by_value["b"]).sum() == 20


def test_half_of_the_rows_may_lack_the_column(compared, features):
    [source, _] = answers.sliced(compared, folder.read_results(compared).comparison.run)
    assert (source.memes, source.without) == ({"test": 80}, {"test": 40})
    best = folder.read_results(compared).best_on_dev
    its = {each.value: each for each in source.slices if each.head == best}
    assert {name: each.memes for name, each in its.items()} == {"phone": 20, "web": 20, NO_VALUE: 40}
    assert all({gap.highest, gap.lowest} == {"phone", "web"} for gap in source.gaps)
    text = (compared / "slices_by_source.md").read_text()
    assert "40 of 80 memes of test have no source" in text
    assert r"\begin{tabular}" in (compared / "slices_by_source.tex").read_text()
    assert set(pd.read_csv(compared / "slices_by_target.csv")["value"]) == {"a", "b", NO_VALUE}
    section = moderation.by_field(folder.read_results(compared), source)
    assert section.title == "Who is hurt, by source"
    assert section.blocks[-1].panels[0].alt.startswith(f"Rates of {best} on test by source. phone: missed")
    # from the folder again, as report does
    again = field_slices.field_slices(folder.read_results(compared), loading.load(features), "source")
    assert [gap.p for gap in again.gaps] == [gap.p for gap in source.gaps]


def test_all_that_was_asked_for_is_a_frame_of_the_result_and_nothing_is_written(
    features, compared, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    planted.features(tmp_path / "theirs", {"test": 20}, seed=1)
    asked = {"heads": "text,early", "seeds": 2, "references": "none", "device": "cpu"}
    asked |= {"from_sweep": features.parent / "choice.json", "slice_by": "source,target"}
    found = compare.compare(features, ablate=True, test_on=tmp_path / "theirs", **asked)
    written = [pd.read_csv(compared / f"slices_by_{name}.csv") for name in ("source", "target")]
    pd.testing.assert_frame_equal(found.field_slices, pd.concat(written, ignore_index=True), atol=1e-6)
    gaps = found.gaps[found.gaps["field"] == "source"]
    assert set(gaps["head"]) == {"text", "early"}
    assert set(gaps["highest"]) | set(gaps["lowest"]) == {"phone", "web"}
    assert (gaps["p"] <= gaps["p_holm"]).all()
    assert set(found.ablations["side"]) == {"text", "image"}
    carried = found.table[found.table["split"] == "test-on-theirs"]
    assert np.isfinite(carried["auc_roc_mean"]).all()
    assert (found.tests["detectable"] > 0).all()
    assert "memes_needed" in found.tests
    of_images = found.slices[(found.slices["slice"] == "image not in train") & (found.slices["head"] == "early")]
    assert of_images[["split", "memes"]].to_numpy().tolist() == [["test", 74]]  # six of its images are of train, too
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]
    plain = compare.compare(features, **asked | {"slice_by": None, "seeds": 1})
    assert [len(each) for each in (plain.field_slices, plain.gaps, plain.ablations)] == [0, 0, 0]


def test_a_dataset_of_thirty_memes_has_answers_that_say_how_little_is_known(features, tmp_path):
    few = planted.features(tmp_path / "few", {"train": 30, "dev": 10, "test": 10})
    keep(few, "test", {row: {"source": "web" if row % 2 else "phone"} for row in range(10)})
    asked = {"heads": "text,early", "seeds": 1, "references": "none", "device": "cpu"}
    asked |= {"from_sweep": features.parent / "choice.json", "slice_by": "source", "ablate": True}
    found = compare.compare(few, out=tmp_path / "out", **asked)
    assert found.field_slices["auc_roc_low"].isna().all()
    assert len(found.gaps) == 0
    says = "No gap is tested: that takes two values of source with 10 memes of a label each."
    assert says in (tmp_path / "out/slices_by_source.md").read_text()
    assert len(found.ablations) == 2 * (2 + 4)  # splits; sides of the two heads, each taken away in two ways
    points = operating_points(tmp_path / "out")
    assert points.loc[points["high"].notna(), "too_small"].all()
    assert "Dev is too small to place" in (tmp_path / "out/operating_points.md").read_text()


def test_a_value_is_a_word_whatever_it_holds(compared):
    [source, _] = answers.sliced(compared, folder.read_results(compared).comparison.run)
    odd = field_slices.said("<script>$\\x\x1b\n a$")
    assert odd == "<script>$\\x\\x1b a$"
    assert [field_slices.said(value) for value in (None, "", " ", 0, True)] == [NO_VALUE] * 3 + ["0", "True"]
    pieces = [replace(each, value=odd) for each in source.slices]
    drawn = moderation.rates(replace(source, slices=pieces), folder.read_results(compared).best_on_dev, "test")
    assert "<script" not in drawn.svg
    assert "&lt;script&gt;$\\x\\x1b a$ (20)" in drawn.svg


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("place", r"no meme in .* has a value in the column place; it has number, source, target\. Extract keeps"),
        ("number", r"the column number has 80 values in test; slices need one with at most 24"),
    ],
)
def test_a_column_that_cannot_be_used_is_refused_before_any_work(features, tmp_path, field, reason):
    with pytest.raises(errors.Refused, match=reason):
        compare.compare(features, slice_by=field, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_features_without_columns_say_what_to_do(tmp_path):
    planted.features(tmp_path, SPLITS)
    with pytest.raises(errors.Refused, match="the column source; it has none"):
        masks(loading.load(tmp_path), "source")
    (tmp_path / planted.TEXT / "test.columns.jsonl").write_text("[]\n")
    with pytest.raises(store.StoreError, match=r"test.columns.jsonl: cannot be read"):
        masks(loading.load(tmp_path), "source")


def planted_gap(seed, gap, memes=120, group=2):
    """Memes of two values, in groups of two; of label 1, those of "b" are missed more often."""
    draw = np.random.default_rng(seed)
    groups = np.arange(memes) // group
    b = (draw.random(memes // group) < 0.5)[groups]
    positive = draw.random(memes) < 0.5
    wrong = (draw.random(memes // group) < 0.3)[groups] | (positive & b & (draw.random(memes) < gap))
    scores = Judged(draw.random(memes), positive, groups)
    by_value = {"a": ~b, "b": b}
    slices = cut("text", "test", scores, wrong, by_value)
    return slices, {gap.rate: gap for gap in widest(slices, scores, wrong, by_value)}


def test_a_planted_gap_is_found_and_no_other():
    slices, gaps = planted_gap(0, 0.8)
    miss = gaps["miss_rate"]
    assert (miss.highest, miss.lowest) == ("b", "a")
    assert miss.p < 0.01
    assert miss.low > 0
    rates = {each.value: each.figures["miss_rate"] for each in slices}
    assert miss.difference == pytest.approx(rates["b"].mean - rates["a"].mean)
    assert gaps["false_alarm_rate"].p > 0.05


@pytest.mark.slow
def test_without_a_gap_one_is_found_one_time_in_twenty():
    """Groups are dealt out as wholes: 200 draws, in which .05 is expected, and .10 would be three deviations off."""
    found = [planted_gap(seed, 0.0)[1]["miss_rate"].p < 0.05 for seed in range(200)]
    assert np.mean(found) < 0.10


def test_values_are_dealt_out_among_groups_of_the_same_labels():
    scores = Judged(np.zeros(40), np.arange(40) % 3 == 0, np.repeat(np.arange(25), [1] * 10 + [2] * 15))
    [dealt] = deals(scores, 50)
    assert (np.sort(dealt, axis=1) == np.arange(40)).all()
    assert (scores.positive[dealt] == scores.positive).all()
    for row in dealt:
        for group in range(25):  # a group's values come from one group
            assert len(set(scores.group[row[scores.group == group]])) == 1


def test_few_memes_have_no_interval_and_no_test():
    draw = np.random.default_rng(0)
    scores = Judged(draw.random(30), np.arange(30) < 12, np.arange(30))
    by_value = {"a": np.arange(30) < 5, "b": np.arange(30) >= 5}  # no meme of label 0 in a
    slices = cut("text", "test", scores, draw.random(30) < 0.5, by_value)
    assert np.isnan([slices[0].figures[name].low for name in ("auc_roc", "miss_rate")]).all()
    assert slices[0].figures["false_alarm_rate"].undefined
    assert field_slices.widest(slices, scores, np.zeros(30, bool), by_value) == []
