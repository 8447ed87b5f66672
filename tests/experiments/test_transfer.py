"""Another dataset's vectors as tests: scored with what this one chose, overlaps counted, other encoders refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import planted
import pytest
from made_up_results import figure, results
from sklearn.metrics import roc_auc_score

from experiments.compare import compare
from experiments.data import load
from experiments.operating_points import operating_points
from experiments.pages import discussion, report_page
from experiments.report import refuse_other_data
from experiments.results import folder
from experiments.results.records import Row
from experiments.transfer import with_tests_on
from experiments.words import comparison as words
from extract import errors, store

SMALL = {"train": 80, "dev": 40, "test": 40}
QUICK = {"hidden": 8, "batch_size": 32, "max_epochs": 4, "min_steps": 8}
THERE = "test-on-their-memes"


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """Two datasets of the same encoders; the other one's ids are those of the first, its images are its own."""
    home = tmp_path_factory.mktemp("transfer")
    planted.features(home / "mine", SMALL)
    planted.features(home / "their memes", SMALL, seed=1)
    for name in (planted.TEXT, planted.IMAGE):
        path = home / "their memes" / name / "test.h5"
        old = store.read(path)
        content = np.array([planted.digest(f"their {each}") for each in old.content], "S64")
        content[:3] = store.read(home / "mine" / name / "train.h5").content[:3]
        ids = np.char.replace(old.ids.astype(str), "test", "train")
        store.publish(path, replace(old, ids=ids, content=content, vector=np.array(old.vector)))
    (home / "choice.json").write_text(json.dumps({"heads": dict.fromkeys(("text", "early"), QUICK)}))
    return home


def ran(homes, **changes):
    asked = {"heads": "text,early", "seeds": 2, "device": "cpu", "references": "none"}
    return compare(homes / "mine", from_sweep=homes / "choice.json", **asked | changes)


@pytest.fixture(scope="module")
def both(homes):
    plain = ran(homes)
    return plain, ran(homes, test_on=homes / "their memes", ablate=True, out=homes / "out")


def test_rows_are_those_of_heads_that_never_saw_it(homes, both):
    plain, carried = both
    assert [size.name for size in carried.comparison.splits] == ["train", "dev", "test", THERE]
    row = carried.rows(THERE)["early"]
    label = load(homes / "their memes").tests[0].pairs.label
    areas = [roc_auc_score(label, run) for run in carried.predicted[THERE].heads["early"].by_run]
    assert row.metrics["auc_roc"].mean == pytest.approx(np.mean(areas), abs=1e-6)
    assert row.metrics["auc_roc"].low < row.metrics["auc_roc"].mean < row.metrics["auc_roc"].high
    # nothing else moved: thresholds, rows, tests and their correction
    assert row.threshold == plain.rows("test")["early"].threshold
    for split in ("dev", "test"):
        assert plain.rows(split) == carried.rows(split)
    assert str(plain.comparison.pairs) == str(carried.comparison.pairs)  # NaN is not itself
    assert carried.comparison.judged == ["test"]
    assert carried.comparison.elsewhere == [THERE]
    assert {each.split for each in carried.comparison.ablations} == {"dev", "test"}


def test_what_train_holds_of_it_is_counted_by_content_not_by_id(both):
    _, carried = both
    assert carried.size(THERE).in_train == {"id": 0, "text": 3, "image": 3, "any": 3}
    assert [size.name for size in carried.comparison.unseen if size.name.startswith(THERE)] == [
        f"{THERE} without what train holds"
    ]
    said = words.summary(carried.comparison)
    assert any(
        sentence.startswith(f"3 of 40 memes of {THERE} stand in train, too (3 by text, 3 by") for sentence in said
    )
    assert carried.comparison.notes == [
        f"{THERE}: another dataset's memes. Nothing was trained or chosen on them; thresholds are dev's.",
        "Tuned by the sweep: text, early.",
    ]


@pytest.mark.usefixtures("both")
def test_what_is_asked_of_it_later_is_told_of_this_dataset_s_own_memes(homes, tmp_path):
    shutil.copytree(homes / "out", tmp_path / "out")
    frame = operating_points(tmp_path / "out")
    assert set(frame["split"]) == {"dev", "test"}


@pytest.mark.usefixtures("both")
def test_it_is_written_read_and_reported(homes):
    read = folder.read_results(homes / "out")
    assert read.comparison.elsewhere == [THERE]
    assert f"## {THERE}: 40 memes" in (homes / "out" / "comparison.md").read_text()
    assert (homes / "out" / f"predictions_{THERE}.csv").is_file()
    [sentence] = words.carried(read.comparison)
    assert sentence in words.summary(read.comparison)
    section = next(part for part in discussion.section(read).parts if part.title == "Does it carry over?")
    assert section.blocks[0].sentences == [sentence]
    assert report_page.split_section(read, THERE).title.startswith(f"Results on {THERE}: 40 memes")

    class Summary:
        folder = "data"

        def find(self, split):
            raise AssertionError(split)

    only = replace(read, predicted={THERE: read.predicted[THERE]})
    refuse_other_data(only, Summary())  # a dataset at hand is this one: it need not hold the other's memes


def test_a_figure_far_from_home_is_called_so():
    plain = results({"text": figure(0.8, 0.75, 0.85), "early": figure(0.82, 0.77, 0.87)})
    rows = plain.comparison.rows
    for name, area in (("text", figure(0.6, 0.5, 0.7)), ("early", figure(0.95, 0.9, 0.99))):
        rows = [*rows, Row(name, "head", THERE, 5, 0.4, {"auc_roc": area}, {})]
    assert words.carried(plain.comparison) == []
    assert words.carried(replace(plain.comparison, rows=rows, elsewhere=[THERE])) == [
        f"Carried over to {THERE}, AUC-ROC is text .600 [.500, .700] (lower: .800 [.750, .850]), early .950 "
        "[.900, .990] (higher: .820 [.770, .870]); in brackets: on test."
    ]


def test_dev_and_train_are_tests_where_there_is_no_other(homes, tmp_path):
    theirs = planted.features(tmp_path / "theirs", SMALL | {"test_unseen": 20}, seed=2, label={"test_unseen": -1})
    data = load(homes / "mine")
    names = [test.name for test in with_tests_on(data, theirs).tests]
    assert names == ["test", "test-on-theirs"]  # what has no labels is not scored
    for name in (planted.TEXT, planted.IMAGE):
        (theirs / name / "test.h5").unlink()
    names = [test.name for test in with_tests_on(data, theirs).tests]
    assert names == ["test", "test-on-theirs-dev", "test-on-theirs-train"]


def test_without_labels_it_is_refused(homes, tmp_path):
    theirs = planted.features(tmp_path, {"test": 20}, label={"test": -1})
    with pytest.raises(errors.Refused) as refused:
        ran(homes, test_on=theirs)
    assert str(refused.value) == (
        f"--test-on {theirs}: nothing there has both vectors and labels (test): there is nothing to score"
    )


def test_of_one_label_auc_is_undefined_and_said(homes, tmp_path):
    theirs = planted.features(tmp_path / "theirs", {"test": 20}, label={"test": 1})
    found = ran(homes, test_on=theirs, heads="text", seeds=1)
    assert np.isnan(found.auc("text", "test-on-theirs").mean)
    assert found.rows("test-on-theirs")["text"].metrics["recall"].mean >= 0
    assert words.carried(found.comparison) == []


def test_other_fingerprints_are_refused_with_what_differs(homes, tmp_path):
    theirs = planted.features(tmp_path / "theirs", {"test": 20})
    planted.rewrite(theirs, planted.TEXT, "test", settings={"max_tokens": 64})
    with pytest.raises(errors.Refused) as refused:
        with_tests_on(load(homes / "mine"), theirs)
    mine = load(homes / "mine").text.fingerprint
    there = store.read(theirs / planted.TEXT / "test.h5").identity.fingerprint
    assert str(refused.value) == (
        f"--test-on {theirs}: no text vectors of tiny-bert with fingerprint {mine[:12]}; heads take no others. "
        "It holds:\n"
        f"  tiny-bert, fingerprint {there[:12]}: max_tokens 64, not None\n"
        f"Run extract with the same encoder and settings: python -m extract --data ... --features {theirs} "
        "--text-encoder tiny-bert"
    )
    planted.features(theirs, {"train": 20})
    with pytest.raises(errors.Refused, match="max_tokens"):  # one split of a folder is of another encoder
        with_tests_on(load(homes / "mine"), theirs)
    with pytest.raises(errors.Refused, match=r"no features folder .*nowhere; run: python -m extract"):
        ran(homes, test_on=tmp_path / "nowhere")


def test_one_side_alone_carries_over(homes, tmp_path):
    data = load(homes / "mine", image_encoder="none")
    theirs = planted.features(tmp_path / "theirs", {"test": 20}, seed=3)
    [_, test] = with_tests_on(data, theirs).tests
    assert (test.pairs.text_vec.shape, test.pairs.image_vec.shape) == ((20, 6), (20, 0))
    with pytest.raises(errors.Refused, match=r"It holds none of that kind\."):
        with_tests_on(load(homes / "mine"), planted_text(tmp_path / "half"))


def planted_text(home):
    planted.features(home, {"test": 20})
    (home / planted.IMAGE / "test.h5").unlink()
    (home / planted.IMAGE).rmdir()
    return home
