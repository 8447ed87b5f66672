"""The command: features in, tables out; the same input gives the same bytes; what it cannot do it says."""

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from importlib import metadata

import numpy as np
import planted
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from experiments import compare, options, training
from experiments.pages import discussion
from experiments.results import folder as results
from experiments.results import records
from experiments.results.records import Comparison
from extract import errors, store
from heads.fitted import Fitted
from heads.models import HEADS
from heads.rows import Rows
from heads.settings import HeadSettings

HEADS_COMPARED = tuple(options.DEFAULT_HEADS.split(","))
LEFT_OUT = ("runs.jsonl", ".lock")
QUICK = {head: {"hidden": 32, "batch_size": 64, "learning_rate": 3e-3, "max_epochs": 12} for head in HEADS_COMPARED}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Small heads, through the door that a sweep's choice comes in by."""
    path = tmp_path_factory.mktemp("sweep") / "choice.json"
    path.write_text(json.dumps({"heads": QUICK}))
    return ["--from-sweep", str(path), "--device", "cpu"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory, quick):
    """The command once, with everything on."""
    folder = tmp_path_factory.mktemp("ran")
    planted.features(folder / "features")
    assert command(folder, quick, "--seeds", "3") == 0
    return folder


def command(folder, *options) -> int:
    arguments = ["--features", str(folder / "features"), "--out", str(folder / "out")]
    for option in options:
        arguments += [option] if isinstance(option, str) else option
    return errors.run(lambda: compare.main(arguments))


def read(folder) -> Comparison:
    return Comparison.from_json((folder / "out" / "comparison.json").read_text())


def files(folder) -> dict[str, bytes]:
    """Everything written that has no wall time in it, with the folder's own path taken out."""
    found = {str(path.relative_to(folder / "out")): path for path in (folder / "out").rglob("*") if path.is_file()}
    here = str(folder).encode()
    return {name: path.read_bytes().replace(here, b"") for name, path in found.items() if name not in LEFT_OUT}


def test_every_pair_says_which_difference_these_memes_would_show(ran):
    comparison = read(ran)
    for pairs in (comparison.pairs, comparison.other_pairs, comparison.linear):
        assert pairs
        assert all(pair.detectable > 0 for pair in pairs), pairs


def figures(folder, name, split="test"):
    return next(row for row in read(folder).rows if (row.name, row.split) == (name, split)).metrics


def probabilities(folder, split="test") -> dict[str, tuple[np.ndarray, list[str]]]:
    """By head: the runs' mean probabilities, and the labels."""
    with open(folder / "out" / f"predictions_{split}.csv") as file:
        rows = list(csv.DictReader(file))
    found = {}
    for head in dict.fromkeys(row["head"] for row in rows):
        ids = list(dict.fromkeys(row["id"] for row in rows))
        label = {row["id"]: row["label"] for row in rows}
        by_id = {name: [] for name in ids}
        for row in rows:
            if row["head"] == head:
                by_id[row["id"]].append(float(row["probability"]))
        found[head] = np.array([np.mean(by_id[name]) for name in ids]), [label[name] for name in ids]
    return found


def test_predictions_are_tidy(ran):
    with open(ran / "out" / "predictions_test.csv") as file:
        rows = list(csv.DictReader(file))
    seeds = {head: {row["seed"] for row in rows if row["head"] == head} for head in {row["head"] for row in rows}}
    assert all(seeds[head] == {"0", "1", "2"} for head in HEADS_COMPARED)
    assert all(seeds[head] == {"0"} for head in seeds if head not in HEADS_COMPARED)
    assert len(rows) == len({(row["id"], row["head"], row["seed"]) for row in rows})


def test_libraries_and_encoders_versions_are_kept(ran):
    assert read(ran).versions["torch"] == metadata.version("torch")
    assert read(ran).encoders["text"].versions == {}


@pytest.mark.slow
def test_classes_are_balanced_on_request_over_what_a_sweep_chose(tmp_path, quick):
    planted.features(tmp_path / "features", {"train": 480, "dev": 120, "test": 120})
    label = store.read(tmp_path / "features" / planted.TEXT / "train.h5").label
    rows = np.flatnonzero((label == 0) | (np.cumsum(label) % 8 == 0))  # an eighth of label 1
    for name in (planted.TEXT, planted.IMAGE):
        planted.rewrite(tmp_path / "features", name, "train", rows=rows)
    recall, auc = {}, {}
    for balance in options.BALANCES:
        asked = ["--seeds", "3", "--heads", "early", "--references", "none", "--balance", balance]
        assert command(tmp_path, quick, *asked) == 0
        settings = read(tmp_path).settings["early"]
        assert (settings["balance"], settings["hidden"]) == (balance, QUICK["early"]["hidden"])
        found = figures(tmp_path, "early")
        recall[balance], auc[balance] = found["recall"].mean, found["auc_roc"].mean
    assert min(recall["pos_weight"], recall["undersample"]) > recall["none"] + 0.2
    assert min(auc.values()) > max(auc.values()) - 0.05


def test_help_answers_without_heavy_imports():
    heavy = "{'torch', 'numpy', 'h5py', 'scipy', 'sklearn', 'tqdm'}"
    code = (
        "import sys, contextlib\nfrom experiments import compare\n"
        "with contextlib.suppress(SystemExit): compare.main(['--help'])\n"
        f"sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "  python -m experiments.compare\n" in done.stdout


def test_everything_is_written(ran):
    assert set(files(ran)) == {
        *(f"comparison.{ending}" for ending in ("md", "csv", "tex", "json")),
        *(f"predictions_{split}.csv" for split in ("dev", "test")),
        *(f"models/{head}.{ending}" for head in HEADS_COMPARED for ending in ("safetensors", "json")),
    }


def test_the_same_command_gives_the_same_bytes_whatever_the_order_of_memes(ran, tmp_path, quick):
    planted.features(tmp_path / "features", shuffle=7)
    assert command(tmp_path, quick, "--seeds", "3") == 0
    assert files(tmp_path) == files(ran)


def test_fusion_gains_where_each_side_tells_a_part(ran):
    found = read(ran)
    assert {row.name for row in found.rows if row.kind == "head"} == set(HEADS_COMPARED)
    pairs = [pair for pair in found.pairs if pair.measure == "auc_roc"]
    assert [(pair.head, pair.split) for pair in pairs] == [("early", "test"), ("late", "test")]
    for pair in pairs:
        assert pair.against in ("text", "image")
        assert pair.difference > 0.05
        assert pair.low > 0
        assert pair.p <= pair.p_holm < 0.05
    assert "a gain" in (ran / "out" / "comparison.md").read_text()


def test_figures_of_one_seed_are_scikit_learns(tmp_path, quick):
    planted.features(tmp_path / "features")
    assert command(tmp_path, quick, "--seeds", "1", "--heads", "early", "--references", "none") == 0
    probability, label = probabilities(tmp_path)["early"]
    label = np.array(label, dtype=int)
    found = figures(tmp_path, "early")
    assert found["auc_roc"].mean == pytest.approx(roc_auc_score(label, probability), abs=1e-4)
    assert found["average_precision"].mean == pytest.approx(average_precision_score(label, probability), abs=1e-4)
    assert found["macro_f1"].mean == pytest.approx(f1_score(label, probability >= 0.5, average="macro"))
    assert np.isnan(found["auc_roc"].sd)
    assert "±" not in (tmp_path / "out" / "comparison.md").read_text().split("## How to read")[0].split("##", 1)[1]
    assert "No fusion is judged" in (tmp_path / "out" / "comparison.md").read_text()


def test_table_is_mean_and_spread_of_the_records(ran):
    lines = records.from_lines((ran / "out" / "runs.jsonl").read_text())
    heads = [line for line in lines if line.kind == "head"]
    assert len(heads) == 4 * 3 * 2
    for head in HEADS_COMPARED:
        auc = [line.metrics["auc_roc"] for line in heads if (line.head, line.split) == (head, "test")]
        assert len(auc) == 3
        found = figures(ran, head)["auc_roc"]
        assert (found.mean, found.sd) == pytest.approx((np.mean(auc), np.std(auc, ddof=1)))
    one = heads[0]
    assert (one.head, one.seed, one.split, one.memes, one.settings["hidden"]) == ("text", 0, "dev", 120, 32)
    assert set(one.features) == {planted.TEXT, planted.IMAGE}
    assert one.seconds > 0
    assert {line.head for line in lines if line.kind == "reference"} == {
        "majority class", "LR text", "LR image", "LR both", "LR balanced", "kNN both"
    }  # fmt: skip


def test_every_head_is_tested_against_a_regression_on_what_it_sees(ran):
    found = read(ran)
    assert [pair.head for pair in found.linear] == list(HEADS_COMPARED)
    assert [pair.against for pair in found.linear[:2]] == ["LR text", "LR image"]
    regressions = {
        name: figures(ran, name)["auc_roc"].mean for name in ("LR text", "LR image", "LR both", "LR balanced")
    }
    for pair in found.linear:
        assert (pair.split, pair.measure) == ("test", "auc_roc")
        assert pair.of_head == pytest.approx(figures(ran, pair.head)["auc_roc"].mean)
        assert pair.of_against == pytest.approx(regressions[pair.against])
    # four tests correct each other, and the fusions' do not count among them
    assert max(pair.p_holm / pair.p for pair in found.linear) == pytest.approx(4)
    assert found.device == "cpu"
    assert found.precision in ("bfloat16", "float32")


def test_a_kept_model_predicts_as_the_comparison_did(ran):
    from safetensors.torch import load_file

    from experiments import data

    about = json.loads((ran / "out" / "models" / "late.json").read_text())
    state = load_file(ran / "out" / "models" / "late.safetensors")
    fitted = Fitted.from_state("late", [HeadSettings(**run) for run in about["runs"]], state)
    pairs = data.load(ran / "features").tests[0].pairs
    logit = fitted.logits(Rows(pairs.text_vec, pairs.image_vec, pairs.label.astype(np.int64)))
    np.testing.assert_allclose(torch.sigmoid(logit).mean(dim=0), probabilities(ran)["late"][0], atol=1e-5)
    assert (about["text"]["name"], about["image"]["name"]) == (planted.TEXT, planted.IMAGE)
    assert about["text"]["fingerprint"] == read(ran).encoders["text"].fingerprint
    assert len(about["threshold"]) == len(about["temperature"]) == 3


def test_heads_of_an_earlier_comparison_are_not_left_to_answer_beside_new_ones(tmp_path, quick):
    planted.features(tmp_path / "features")
    asked = [*quick, "--seeds", "1", "--references", "none", "--heads"]
    assert command(tmp_path, [*asked, "text,early"]) == 0
    (tmp_path / "out" / "models" / "notes.json").write_text("mine")
    assert command(tmp_path, [*asked, "text"]) == 0
    left = {path.name for path in (tmp_path / "out" / "models").iterdir()}
    assert left == {"text.json", "text.safetensors", "notes.json"}


def test_only_early_fusion_solves_what_the_pair_alone_tells(tmp_path, quick):
    planted.features(tmp_path / "features", {"train": 800, "dev": 300, "test": 300}, signal="xor")
    assert command(tmp_path, quick, "--seeds", "2", "--references", "none") == 0
    auc = {head: figures(tmp_path, head)["auc_roc"].mean for head in HEADS_COMPARED}
    assert abs(auc["text"] - 0.5) < 0.1
    assert abs(auc["image"] - 0.5) < 0.1
    assert auc["early"] > 0.9
    assert auc["late"] < auc["early"] - 0.2


def test_unlabelled_test_is_predicted_not_scored(tmp_path, quick, capsys):
    planted.features(tmp_path / "features", label={"test": -1})
    assert command(tmp_path, quick, "--seeds", "2", "--heads", "text,early", "--references", "none") == 0
    shown = capsys.readouterr().out
    assert "test: 120 memes without labels, predicted but not scored" in shown
    assert "No test split has both labels: fusions are judged on dev, which flatters" in shown
    assert re.search(r"early vs text .*: dev AUC-ROC", shown)
    assert "Probabilities are in predictions_test.csv." in (tmp_path / "out" / "comparison.md").read_text()
    probability, label = probabilities(tmp_path)["early"]
    assert (len(probability), set(label)) == (120, {""})
    tested = [r for r in records.from_lines((tmp_path / "out" / "runs.jsonl").read_text()) if r.split == "test"]
    assert [(r.memes, r.metrics) for r in tested] == [(0, {})] * 4


def test_a_test_of_one_class_says_what_is_undefined(tmp_path, quick, capsys):
    planted.features(tmp_path / "features", label={"test": 0})
    assert command(tmp_path, quick, "--seeds", "2", "--heads", "image,late") == 0
    shown = capsys.readouterr().out
    assert "test: 120 memes, 0% of label 1" in shown
    assert "AUC-ROC is undefined for image; late; image, mean of 2 runs; late, mean of 2 runs; " in shown
    assert "the split holds one class only." in shown
    assert "recall is undefined for image; late; " in shown
    assert "nan" not in (tmp_path / "out" / "comparison.md").read_text()
    assert np.isnan(figures(tmp_path, "late")["auc_roc"].mean)
    assert np.isfinite(figures(tmp_path, "late")["accuracy"].mean)


def test_temperature_changes_probabilities_and_no_ranking(ran, tmp_path, quick):
    planted.features(tmp_path / "features")
    assert command(tmp_path, quick, "--seeds", "3", "--calibrate", "temperature", "--references", "none") == 0
    for head in HEADS_COMPARED:
        before, after = figures(ran, head), figures(tmp_path, head)
        assert after["auc_roc"].mean == pytest.approx(before["auc_roc"].mean, abs=1e-9)
        assert after["accuracy"].mean == pytest.approx(before["accuracy"].mean)
        assert after["brier"].mean != before["brier"].mean
    lines = records.from_lines((tmp_path / "out" / "runs.jsonl").read_text())
    assert all(line.temperature != 1 for line in lines)


def test_a_sweep_s_encoders_are_used_unless_named(tmp_path):
    planted.features(tmp_path / "features")
    planted.features(tmp_path / "features", names=("other", planted.IMAGE))
    path = tmp_path / "choice.json"
    path.write_text(json.dumps({"text_encoder": "other", "heads": QUICK}))
    asked = ["--seeds", "1", "--heads", "text", "--references", "none", "--from-sweep", str(path)]
    assert command(tmp_path, asked) == 0
    assert read(tmp_path).encoders["text"].name == "other"
    assert command(tmp_path, asked, "--text-encoder", planted.TEXT) == 0
    assert read(tmp_path).encoders["text"].name == planted.TEXT


def test_what_a_sweep_s_choice_hides_stands_in_the_comparison(tmp_path, capsys):
    planted.features(tmp_path / "features")
    path = tmp_path / "choice.json"
    chosen = {"text_encoder": planted.TEXT, "image_encoder": planted.IMAGE, "heads": {"early": QUICK["early"]}}
    path.write_text(json.dumps(chosen | {"notes": ["Another text encoder did better alone."]}))
    asked = ["--seeds", "1", "--heads", "text,early", "--references", "none", "--from-sweep", str(path)]
    assert command(tmp_path, asked) == 0
    notes = read(tmp_path).notes
    assert [note.split(";")[0] for note in notes] == [
        "Another text encoder did better alone.", "Tuned by the sweep: early"
    ]  # fmt: skip
    assert notes[0] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--features", "/nowhere"], "no features folder /nowhere"),
        (["--from-sweep", "/nowhere.json"], "/nowhere.json cannot be read"),
        (["--device", "cuda"], "--device cuda: "),
        (["--heads", "text,middle"], "--heads: unknown head middle; there are text, image, early, late, mean"),
        (["--heads", "middle"], f"--heads: unknown head middle; there are {', '.join(HEADS)}, ensemble, or all"),
        (["--heads", ","], "--heads: no head is named; there are text"),
        (["--heads", "ensemble"], "--heads ensemble: it is made of heads; name those, too"),
    ],
)
def test_refusals_have_status_2_and_no_traceback(options, says, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert errors.run(lambda: compare.main([*options, "--seeds", "1"])) == 2
    said = capsys.readouterr().err
    assert f"error: {says}" in said
    assert "Traceback" not in said


def stopped(*_):
    raise KeyboardInterrupt


def test_a_refusal_and_ctrl_c_leave_nothing_behind(tmp_path, capsys):
    assert command(tmp_path) == 2
    assert list(tmp_path.iterdir()) == []
    planted.features(tmp_path / "features")
    before = sorted(tmp_path.rglob("*"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "heads", stopped)
        assert command(tmp_path, "--seeds", "1") == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "out").write_text("a file")
    assert command(tmp_path) == 2
    assert f"error: --out {tmp_path / 'out'}: cannot write there: Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--seeds", "0"], "0 is not a whole number of at least 1"),
    ],
)
def test_wrong_options_are_refused(options, says, capsys):
    with pytest.raises(SystemExit) as left:
        compare.main(options)
    assert left.value.code == 2
    assert says in capsys.readouterr().err


def test_settings_on_the_command_line_stand_over_what_a_sweep_chose_and_over_recipes(tmp_path, quick):
    planted.features(tmp_path / "features")
    asked = ["--heads", "text,gated,linear,ensemble", "--seeds", "2", "--references", "none", "--hidden", "6"]
    asked += ["--projection", "5", "--dropout", "0", "--learning-rate", "0.02", "--weight-decay", "0.5"]
    assert command(tmp_path, quick, *asked, "--epochs", "3", "--patience", "2", "--averaging", "0.9") == 0
    found = read(tmp_path)
    given = {"learning_rate": 0.02, "weight_decay": 0.5, "max_epochs": 3, "patience": 2, "averaging": 0.9}
    layers = {"hidden": 6, "dropout": 0.0}
    for head, settings in {"text": layers, "gated": layers | {"projection": 5}, "linear": {}}.items():
        assert given | settings == {name: found.settings[head][name] for name in given | settings}
    assert "projection" not in found.settings["text"]
    assert found.settings["linear"].keys().isdisjoint(layers)
    assert found.settings["text"]["batch_size"] == QUICK["text"]["batch_size"]

    assert 0 < found.image_share["gated"] < 1
    assert set(found.image_share) == {"gated"}
    rows = {row.name: row for row in found.rows if row.split == "dev"}
    assert rows["ensemble"].kind == "ensemble"
    assert set(found.ensemble) <= {"text", "gated", "linear"}
    best = max((rows[head].metrics["auc_roc"].mean, head) for head in ("text", "gated", "linear"))
    assert rows["ensemble"].metrics["auc_roc"].mean >= best[0]
    assert found.pair("ensemble", best[1], "test") is not None
    written = (tmp_path / "out" / "comparison.md").read_text()
    assert "How much text and image are listened to (mean weights on dev): gated ." in written
    assert "ensemble is the mean of" in written
    assert not (tmp_path / "out" / "models" / "ensemble.json").exists()


def test_settings_that_no_head_takes_are_refused_before_any_work(tmp_path, capsys):
    assert command(tmp_path, ["--dropout", "1", "--learning-rate", "0"]) == 2
    says = "dropout must be at least 0 and below 1, not 1.0; learning_rate must be above 0, not 0.0"
    assert capsys.readouterr().err == f"error: settings that heads do not take: {says}\n"


def test_nothing_is_shown_in_a_log_but_whole_lines(ran, tmp_path, quick, capsys):
    planted.features(tmp_path / "features")
    assert command(tmp_path, quick, "--seeds", "2", "--heads", "text", "--references", "none") == 0
    told = capsys.readouterr()
    assert "\r" not in told.out + told.err
    assert re.search(r"^text +2 +\d+-\d+ +\.\d{3}±\.\d{3} +\d+\.\d$", told.err, flags=re.M)
    assert "tiny-bert (6) + tiny-resnet (9): 240 train, 120 dev, 120 test" in told.err
    assert "Written to" in told.err


def test_a_head_whose_training_diverged_is_named_and_has_no_figures(tmp_path, capsys):
    planted.features(tmp_path / "features")
    path = tmp_path / "choice.json"
    path.write_text(json.dumps({"heads": QUICK | {"early": QUICK["early"] | {"learning_rate": 1e30}}}))
    asked = ["--from-sweep", str(path), "--seeds", "2", "--references", "none", "--device", "cpu"]
    assert command(tmp_path, asked) == 0
    says = "early: training diverged (seeds 0, 1), so it has no figures; a lower learning rate may help."
    assert says in " ".join(capsys.readouterr().out.split())
    found = read(tmp_path)
    assert {row.name for row in found.rows if row.kind == "head"} == {"text", "image", "late"} == set(found.settings)
    assert {pair.head for pair in found.pairs} == {"late"}
    assert not (tmp_path / "out" / "models" / "early.json").exists()


def test_where_every_head_s_training_diverged_nothing_is_written(tmp_path, capsys):
    planted.features(tmp_path / "features")
    path = tmp_path / "choice.json"
    path.write_text(json.dumps({"heads": {"text": QUICK["text"] | {"learning_rate": 1e30}}}))
    assert command(tmp_path, ["--from-sweep", str(path), "--seeds", "1", "--heads", "text", "--device", "cpu"]) == 1
    assert "error: text: training diverged (seed 0)" in capsys.readouterr().err
    assert not (tmp_path / "out" / "comparison.json").exists()


def test_what_train_holds_of_dev_and_test_is_said_beside_the_figures(ran):
    size = next(size for size in read(ran).splits if size.name == "test")
    assert size.in_train == {"id": 0, "text": 0, "image": 12, "any": 12}
    says = "12 of 120 memes of test stand in train, too (12 by image), which may flatter its figures"
    written = (ran / "out" / "comparison.md").read_text()
    assert f'{says}: see "test without what train holds".' in written
    assert (
        written.index("## test: ")
        < written.index("## test without what train holds: 108 memes")
        < written.index("## dev")
    )


def test_every_head_has_a_row_on_what_train_does_not_hold(ran):
    found = results.read_results(ran / "out")
    _, size = found.comparison.unseen  # of dev, too
    rows = found.rows("test without what train holds")
    assert list(rows) == list(found.rows("test"))
    predicted = found.predicted["test"]
    rest = np.array([int(name.removeprefix("test-")) % 10 != 0 for name in predicted.ids])
    assert (size.name, size.memes, size.labelled) == ("test without what train holds", 108, rest.sum())
    area = np.mean([roc_auc_score(predicted.label[rest], run[rest]) for run in predicted.heads["early"].by_run])
    assert rows["early"].metrics["auc_roc"].mean == pytest.approx(area, abs=1e-3)
    assert rows["early"].metrics["auc_roc"].low < area < rows["early"].metrics["auc_roc"].high
    assert (found.table["split"] == size.name).sum() == 2 * len(rows) - 1  # chance has no threshold of dev's


def test_a_row_is_what_predict_uses(ran):
    """The mean of a head's runs at the threshold that is saved with it, by scikit-learn."""
    threshold = json.loads((ran / "out" / "models" / "early.json").read_text())["mean_threshold"]
    found = results.read_results(ran / "out")
    row, predicted = found.rows("test")["early, mean of 3 runs"], found.predicted["test"]
    mean, label = predicted.heads["early"].probability, predicted.label
    assert (row.kind, row.threshold) == ("mean", threshold)
    area = row.metrics["auc_roc"]
    assert area.mean == pytest.approx(roc_auc_score(label, mean), abs=1e-3)
    assert area.low < area.mean < area.high
    for at, limit in ((row.metrics, 0.5), (row.tuned, threshold)):
        assert at["accuracy"].mean == pytest.approx(np.mean((mean >= limit) == label))
        assert at["macro_f1"].mean == pytest.approx(f1_score(label, mean >= limit, average="macro"))
    assert row.metrics["brier"].mean == pytest.approx(np.mean((mean - label) ** 2), abs=1e-5)
    assert 0 < row.metrics["ece"].mean < 0.5
    for name in ("comparison.md", "comparison.csv", "comparison.tex"):
        assert "early, mean of 3 runs" in (ran / "out" / name).read_text()


def test_a_constant_is_exactly_one_half(ran):
    area = figures(ran, "majority class")["auc_roc"]
    assert (area.mean, area.low, area.high) == (0.5, 0.5, 0.5)
    assert figures(ran, "majority class")["accuracy"].low < figures(ran, "majority class")["accuracy"].high


def test_an_image_that_most_memes_share_ties_none_together(tmp_path, quick, capsys):
    planted.features(tmp_path / "features")
    path = tmp_path / "features" / planted.IMAGE / "test.h5"
    test = store.read(path)
    content = np.where(np.arange(120) < 110, test.content[0], test.content)
    store.publish(path, replace(test, content=content))
    assert command(tmp_path, quick, "--seeds", "2", "--heads", "text,early", "--references", "none") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "test: 92% of the memes share one image; it ties no memes together" in told
    assert [each.conclusion for each in read(tmp_path).pairs if each.measure == "auc_roc"] == ["gain"]
    assert next(size for size in read(tmp_path).splits if size.name == "test").groups == 90  # those of equal texts


def test_a_text_that_all_memes_share_is_no_sign_that_train_holds_them(tmp_path, quick, capsys):
    planted.features(tmp_path / "features")
    for split in planted.SIZES:
        path = tmp_path / "features" / planted.TEXT / f"{split}.h5"
        features = store.read(path)
        store.publish(path, replace(features, content=np.full_like(features.content, b"the same words")))
    assert command(tmp_path, quick, "--seeds", "1", "--heads", "text,early", "--references", "none") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "test: 100% of the memes share one text; it ties no memes together" in told
    assert "12 of 120 memes of test stand in train, too (12 by image)" in told
    assert "tell nothing new" not in told


def test_three_memes_of_a_label_tell_no_two_heads_apart(tmp_path, quick, capsys):
    planted.features(tmp_path / "features")
    label = store.read(tmp_path / "features" / planted.TEXT / "test.h5").label
    rows = np.flatnonzero((label == 0) | (np.cumsum(label) <= 3))
    for name in (planted.TEXT, planted.IMAGE):
        planted.rewrite(tmp_path / "features", name, "test", rows=rows)
    assert command(tmp_path, quick, "--seeds", "2", "--ablate") == 0
    told, found = " ".join(capsys.readouterr().out.split()), results.read_results(tmp_path / "out")
    both = [*found.comparison.pairs, *found.comparison.other_pairs, *found.comparison.linear]
    assert {(pair.measure, pair.conclusion) for pair in both} == {("auc_roc", "too few"), ("accuracy", "too few")}
    assert np.isnan([[pair.p, pair.low, pair.high, pair.detectable] for pair in both]).all()
    assert f"With 3 memes of label 1 and {len(rows) - 3} of label 0, test tells no two heads apart" in told
    assert re.search(r"early vs \w+ \(the better single modality on dev\): test AUC-ROC \S+ vs \S+, \S+: too few", told)
    assert np.isnan(found.auc("early", "test").low)
    assert np.isfinite(found.auc("early", "dev").low)
    page = (tmp_path / "out" / "comparison.md").read_text()
    assert "[undefined" not in page
    assert discussion.modality(found) == []
    assert discussion.trust(found)[1].startswith("With 3 memes of label 1 and ")
    assert not any(said in " ".join(discussion.fusion(found)) for said in ("a gain.", "a loss.", "undefined"))


def test_noise_that_is_tested_on_its_own_train_memes_is_not_taken_for_a_finding(tmp_path, quick, capsys):
    planted.features(tmp_path / "features")
    for name in (planted.TEXT, planted.IMAGE):
        features = tmp_path / "features" / name
        train = store.read(features / "train.h5")
        store.publish(features / "test.h5", replace(train, split="test"))
    assert command(tmp_path, quick, "--seeds", "1", "--heads", "text,early", "--references", "none") == 0
    told = " ".join(capsys.readouterr().out.split())
    says = "All 240 memes of test stand in train, too (240 by id, 240 by text, 240 by image): its figures tell nothing"
    assert says in told
