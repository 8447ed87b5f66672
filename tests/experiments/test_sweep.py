"""The sweep: every configuration once, whatever happens on the way; ranked on dev, and never a look at test."""

import dataclasses
import errno
import fcntl
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import planted
import pytest
from drawn import DEV, TRAIN
from drawn import QUICK as QUICK_RUN

from experiments import compare, sweep
from experiments import data as loading
from experiments.options import DEFAULT_HEADS
from experiments.results.records import Comparison
from experiments.search import grid, plots, ranking
from experiments.search import trials as search
from experiments.search.trials import Trial, TrialLog
from experiments.words import sweep as words
from extract import errors, locks, store
from extract.errors import Failed, Refused
from heads.models import HEADS

FIXED = ["dropout=0.1", "weight_decay=0.1", "batch_size=64", "min_steps=8", "max_epochs=10"]
QUICK = ["--grid", "hidden=16,32", "learning_rate=1e-2,1e-3", *FIXED, "--seeds", "2", "--device", "cpu"]


def command(folder, *options, out="sweep") -> int:
    arguments = ["--features", str(folder / "features"), "--out", str(folder / out), *(options or QUICK)]
    return errors.run(lambda: sweep.main(arguments))


def lines(folder, out="sweep") -> list[dict]:
    """Records without wall times."""
    found = [json.loads(line) for line in (folder / out / "records.jsonl").read_text().splitlines()]
    return [{name: value for name, value in record.items() if name != "seconds"} for record in found]


def alike(records) -> list[str]:
    return sorted(json.dumps(record, sort_keys=True) for record in records)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The command once, on features without any test split."""
    folder = tmp_path_factory.mktemp("swept")
    planted.features(folder / "features", {"train": 240, "dev": 120}, signal="xor")
    assert command(folder) == 0
    return folder


@pytest.fixture
def undrawn(monkeypatch):
    """No picture: it takes longer than the training."""
    monkeypatch.setattr(plots, "write", lambda *_: None)


def test_every_run_is_a_record(swept):
    records = lines(swept)
    assert len(records) == len(alike(records)) == 4 * 4 * 2
    assert {(record["head"], record["text_encoder"], record["image_encoder"]) for record in records} == {
        ("text", planted.TEXT, ""),
        ("image", "", planted.IMAGE),
        ("early", planted.TEXT, planted.IMAGE),
        ("late", planted.TEXT, planted.IMAGE),
    }
    assert {record["seed"] for record in records} == {0, 1}
    assert {record["dev_memes"] for record in records} == {120}


def test_the_page_ranks_counts_and_warns(swept):
    page = (swept / "sweep" / "sweep.md").read_text()
    assert "16 configurations x 2 seeds" in page
    assert "120 memes in dev" in page
    assert "\n16 configurations were tried.\nThe best of many dev scores is optimistic" in page
    first = page.split("| rank |")[1].splitlines()[2]
    assert first.startswith("| 1 | early | tiny-bert + tiny-resnet |")  # only early fusion can solve XOR
    for name in ("sweep.png", "sweep.svg"):
        assert (swept / "sweep" / name).stat().st_size > 1000


def test_ranking_is_by_the_mean_over_seeds_and_the_best_is_chosen(swept):
    records = lines(swept)
    means = {}
    for record in records:
        name = record["head"], record["settings"]["hidden"], record["settings"]["learning_rate"]
        means.setdefault(name, []).append(record["dev_auc"])
    means = {name: sum(values) / 2 for name, values in means.items()}
    choice = json.loads((swept / "sweep" / "sweep.json").read_text())
    assert (choice["text_encoder"], choice["image_encoder"]) == (planted.TEXT, planted.IMAGE)
    for head, settings in choice["heads"].items():
        found = means[head, settings["hidden"], settings["learning_rate"]]
        assert found == max(value for name, value in means.items() if name[0] == head)


def test_compare_scores_the_choice_on_test(swept, tmp_path):
    planted.features(tmp_path / "features", signal="xor")
    arguments = ["--features", str(tmp_path / "features"), "--out", str(tmp_path / "out"), "--seeds", "1"]
    arguments += ["--from-sweep", str(swept / "sweep" / "sweep.json"), "--references", "none", "--device", "cpu"]
    assert errors.run(lambda: compare.main(arguments)) == 0
    comparison = Comparison.from_json((tmp_path / "out" / "comparison.json").read_text())
    choice = json.loads((swept / "sweep" / "sweep.json").read_text())
    assert comparison.settings == choice["heads"]
    assert comparison.notes == ["Tuned by the sweep: text, image, early, late."]


def test_a_choice_of_other_memes_is_said_beside_the_figures(swept, tmp_path):
    planted.features(tmp_path / "features", {"train": 240, "dev": 119, "test": 40}, signal="xor")
    choice = swept / "sweep" / "sweep.json"
    compared = compare.compare(tmp_path / "features", from_sweep=choice, heads="text", seeds=1, references="none")
    assert compared.comparison.notes[0].startswith("The sweep was made on other memes, in dev: ")


@pytest.mark.usefixtures("undrawn")
def test_the_command_that_scores_the_choice_works_as_it_is_printed(tmp_path, monkeypatch, capsys):
    for names in (("unused", "another-image"), (planted.TEXT, planted.IMAGE)):
        planted.features(tmp_path / "features", {"train": 240, "dev": 120, "test": 40}, names=names)
    shutil.rmtree(tmp_path / "features" / "unused")
    monkeypatch.chdir(tmp_path)
    sweep.main(["--out", "mine", *QUICK, "--heads", "text", "--seeds", "1"])
    printed = capsys.readouterr().out.split("only once: `python -m experiments.compare ")[1].split("`")[0]
    assert printed == "--features features --from-sweep mine/sweep.json --image-encoder none --heads text --out mine"
    compare.main([*printed.split(), "--seeds", "1", "--references", "none"])
    assert (tmp_path / "mine" / "comparison.md").is_file()


@pytest.mark.usefixtures("undrawn")
def test_test_files_are_not_opened(swept, tmp_path):
    planted.features(tmp_path / "features", signal="xor")
    for name in (planted.TEXT, planted.IMAGE):
        (tmp_path / "features" / name / "test.h5").write_bytes(b"not HDF5")
    assert command(tmp_path) == 0
    assert alike(lines(tmp_path)) == alike(lines(swept))


def test_a_second_run_trains_nothing_and_writes_the_same(swept, capsys):
    before = {path.name: path.read_bytes() for path in (swept / "sweep").iterdir()}
    assert command(swept) == 0
    told = capsys.readouterr().err
    assert "32 runs: 4 choices of head and encoders x 8 of settings and seed; 32 in the record, 0 to train" in told
    assert {path.name: path.read_bytes() for path in (swept / "sweep").iterdir()} == before


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("cut", [1, 700, -3])
def test_a_cut_record_is_taken_up_where_it_ends(swept, tmp_path, cut):
    planted.features(tmp_path / "features", {"train": 240, "dev": 120}, signal="xor")
    whole = (swept / "sweep" / "records.jsonl").read_bytes()
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "records.jsonl").write_bytes(whole[:cut])
    assert command(tmp_path) == 0
    assert alike(lines(tmp_path)) == alike(lines(swept))
    assert (tmp_path / "sweep" / "sweep.json").read_bytes() == (swept / "sweep" / "sweep.json").read_bytes()


@pytest.mark.usefixtures("undrawn")
def test_a_killed_sweep_goes_on(swept, tmp_path):
    planted.features(tmp_path / "features", {"train": 240, "dev": 120}, signal="xor")
    arguments = ["--features", str(tmp_path / "features"), "--out", str(tmp_path / "sweep"), *QUICK]
    process = subprocess.Popen([sys.executable, "-m", "experiments.sweep", *arguments], stderr=subprocess.DEVNULL)
    records = tmp_path / "sweep" / "records.jsonl"
    while not (records.exists() and records.stat().st_size) and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert records.stat().st_size
    assert command(tmp_path) == 0
    assert alike(lines(tmp_path)) == alike(lines(swept))


@pytest.mark.usefixtures("undrawn")
def test_other_labels_are_other_trials(swept, tmp_path, capsys):
    planted.features(tmp_path / "features", {"train": 240, "dev": 120}, signal="xor")
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "records.jsonl").write_bytes((swept / "sweep" / "records.jsonl").read_bytes())
    for name in (planted.TEXT, planted.IMAGE):
        planted.rewrite(tmp_path / "features", name, "dev", rows=slice(0, 119))
    assert command(tmp_path) == 0
    assert "0 in the record, 32 to train" in capsys.readouterr().err
    page = (tmp_path / "sweep" / "sweep.md").read_text()
    assert "119 memes in dev" in page
    assert "16 configurations were tried, and 16 more in the same record by other sweeps." in page


@pytest.mark.usefixtures("undrawn")
def test_all_pairs_of_encoders_are_tried_and_one_is_chosen(tmp_path, capsys):
    planted.features(tmp_path / "features", {"train": 240, "dev": 120}, signal="xor")
    noise = planted.features(tmp_path / "noise", {"train": 240, "dev": 120}, signal="xor", names=("other", "unused"))
    for split in ("train", "dev"):
        planted.rewrite(noise, "other", split, vector=0.0 * planted.store.read(noise / "other" / f"{split}.h5").vector)
    (noise / "other").rename(tmp_path / "features" / "other")
    one = ["--grid", "hidden=16", "learning_rate=1e-2", *FIXED, "--seeds", "1", "--heads", "text,early"]
    assert command(tmp_path, *one, "--device", "cpu", "--random", "5") == 0
    assert "--random 5: the grid holds no more than 1; all are tried." in capsys.readouterr().err
    tried = {(record["head"], record["text_encoder"]) for record in lines(tmp_path)}
    assert tried == {(head, text) for head in ("text", "early") for text in (planted.TEXT, "other")}
    assert json.loads((tmp_path / "sweep" / "sweep.json").read_text())["text_encoder"] == planted.TEXT


def test_a_head_of_one_modality_is_trained_once_per_encoder(tmp_path):
    planted.features(tmp_path, {"train": 24, "dev": 12})
    planted.features(tmp_path, {"train": 24, "dev": 12}, names=("other-bert", "other-resnet"))
    loaded, notes = search.pairs(tmp_path, "all", "all")
    tasks = search.tasks(loaded, DEFAULT_HEADS.split(","))
    assert (len(loaded), notes) == (4, [])
    assert [task.head for task in tasks] == ["text"] * 2 + ["image"] * 2 + ["early"] * 4 + ["late"] * 4


def test_an_encoder_without_dev_is_left_out_by_name(tmp_path):
    planted.features(tmp_path, {"train": 24, "dev": 12})
    planted.features(tmp_path, {"train": 24, "test": 12}, names=("half", planted.IMAGE))
    loaded, notes = search.pairs(tmp_path, "all", "all")
    assert [data.text.name for data in loaded] == [planted.TEXT]
    assert notes == ["half is left out: it has no train and dev."]


def test_every_fault_of_a_grid_is_named():
    with pytest.raises(Refused) as refused:
        grid.parse(["hidden=0,many,8,8", "width=3", "seed=1", "dropout=1", "balance=some", "lr", "depth=1", "depth=2"])
    assert str(refused.value).splitlines() == [
        "--grid cannot be meant:",
        "  hidden must be at least 1, not 0",
        "  hidden must be a whole number, not many",
        "  hidden: 8 is given twice",
        f"  width: no setting of a head; there are {', '.join(grid.KINDS)}",
        "  seed: no setting of a head; give --seeds instead",
        "  dropout must be at least 0 and below 1, not 1.0",
        "  balance must be one of none, pos_weight, undersample, not some",
        "  lr: not of the form setting=value,value",
        "  depth: given twice",
    ]


def test_a_refused_grid_costs_nothing(tmp_path, capsys):
    assert command(tmp_path, "--grid", "hidden=0") == 2
    assert capsys.readouterr().err == "error: --grid cannot be meant:\n  hidden must be at least 1, not 0\n"
    assert list(tmp_path.iterdir()) == []


def test_the_default_grid_holds_the_shipped_recipe():
    assert grid.parse([]) == {}
    for head in HEADS.values():
        found = grid.combinations(grid.default(head.name))
        assert head.settings() in [head.settings(**settings) for settings in found]


@pytest.mark.usefixtures("undrawn")
def test_settings_that_a_head_ignores_are_tried_once(tmp_path, capsys):
    planted.features(tmp_path / "features", {"train": 60, "dev": 60})
    asked = ["--heads", "text,linear,product", "--grid", "hidden=4,8", "projection=4,8", "max_epochs=1", "--seeds", "1"]
    assert command(tmp_path, *asked, "--device", "cpu") == 0
    assert "7 runs: 3 choices of head and encoders x 1 to 4 of settings and seed" in capsys.readouterr().err
    tried = {}
    for record in lines(tmp_path):
        tried.setdefault(record["head"], []).append(record["settings"])
    assert [each["hidden"] for each in tried["text"]] == [4, 8]
    assert [(each["hidden"], each["projection"]) for each in tried["product"]] == [(4, 4), (4, 8), (8, 4), (8, 8)]
    assert len(tried["linear"]) == 1
    for each in (*tried["text"], *tried["linear"]):
        assert "projection" not in each  # records from before there was one stay good
    assert "| linear |" in (tmp_path / "sweep" / "sweep.md").read_text()


def test_random_draws_are_different_repeatable_and_a_longer_search_goes_on_from_a_shorter():
    values = {"hidden": [1, 2, 3], "depth": [1, 2], "dropout": [0.0, 0.1, 0.2]}
    drawn = grid.combinations(values, 9, seed=4)
    assert len({tuple(each.items()) for each in drawn}) == 9
    assert grid.combinations(values, 5, seed=4) == drawn[:5]
    assert grid.combinations(values, 9, seed=5) != drawn
    every = grid.combinations(values)
    assert len(every) == 18
    assert all(each in every for each in drawn)
    assert grid.combinations(values, 18) == grid.combinations(values, 1000) == every


def test_a_line_that_is_no_trial_is_named(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text('{"head": "text"}\n')
    with pytest.raises(Refused, match=r"records.jsonl: line 1 is no record of a sweep"):
        TrialLog(path)


def test_two_sweeps_do_not_write_one_record(tmp_path, capsys):
    planted.features(tmp_path / "features", {"train": 24, "dev": 12})
    with locks.locked(tmp_path / "sweep", "another sweep", "--out"):
        assert command(tmp_path) == 2
    assert f"another sweep (process {os.getpid()}) is writing to {tmp_path / 'sweep'};" in capsys.readouterr().err
    assert not (tmp_path / "sweep" / "records.jsonl").exists()


def test_a_record_that_cannot_be_written_is_refused_before_any_training(tmp_path):
    (tmp_path / "records.jsonl").mkdir()
    with pytest.raises(Refused, match=r"records.jsonl: cannot write there: Is a directory"):
        TrialLog(tmp_path / "records.jsonl")


def trial(head, auc, seed=0, text="t", image="i", code="v1", **settings) -> Trial:
    return Trial(head, text, image, settings, seed, auc, 1, 100, 40, {"text": text, "image": image}, "", code, 0.0)


def test_a_folder_that_cannot_be_locked_is_not_called_busy(tmp_path, monkeypatch, capsys):
    def flock(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    planted.features(tmp_path / "features", {"train": 24, "dev": 12})
    monkeypatch.setattr(fcntl, "flock", flock)
    assert command(tmp_path) == 2
    says = "cannot be locked: No locks available; name a folder on another file system with --out"
    assert capsys.readouterr().err.endswith(f"error: {tmp_path / 'sweep'} {says}\n")


def test_a_full_disk_is_told_of_as_what_it_is(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill():
        log = TrialLog(tmp_path / "records.jsonl")
        log.append([trial("text", 0.5)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))
        log.append([trial("image", 0.5, seed=seed) for seed in range(9)])

    try:
        with pytest.raises(Failed, match=r"cannot write: File too large; finished runs are kept"):
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert TrialLog(tmp_path / "records.jsonl").trials[0] == trial("text", 0.5)


def test_scores_of_several_versions_of_the_code_are_said_to_be():
    trials = [trial("text", 0.5), trial("text", 0.6, seed=1, code="v2"), trial("image", 0.7)]
    read = "\n".join(words.sweep_reading(ranking.rank(trials), trials, 0, [], ""))
    assert "Runs of 2 versions of memefuse (v1, v2) are ranked together" in read
    same = "\n".join(words.sweep_reading(ranking.rank(trials[:1]), trials[:1], 0, [], ""))
    assert "versions" not in same


def test_an_encoder_in_two_folders_is_tried_once(tmp_path):
    planted.features(tmp_path, {"train": 24, "dev": 12})
    for split in ("train", "dev"):
        again = store.read(tmp_path / planted.TEXT / f"{split}.h5")
        (tmp_path / "a-path").mkdir(exist_ok=True)
        store.publish(
            tmp_path / "a-path" / f"{split}.h5",
            dataclasses.replace(again, identity=dataclasses.replace(again.identity, name="a-path")),
        )
    loaded, notes = search.pairs(tmp_path, "all", "all")
    assert [data.text.name for data in loaded] == ["a-path"]
    assert notes == ["tiny-bert is left out: it is a-path again."]


def test_the_pair_is_that_of_the_best_fusion_and_single_heads_follow_it():
    trials = [
        trial("text", 0.9, text="a", image="", hidden=1),
        trial("text", 0.7, text="b", image="", hidden=1),
        trial("text", 0.8, text="b", image="", hidden=2),
        trial("early", 0.75, text="a", hidden=1),
        trial("early", 0.85, text="b", hidden=2),
    ]
    choice, on_pair = ranking.choose(ranking.rank(trials))
    assert choice == ranking.Choice("b", "i", {"early": {"hidden": 2}, "text": {"hidden": 2}})
    assert {candidate.encoders for candidate in on_pair} == {("b",), ("b", "i")}
    alone, _ = ranking.choose(ranking.rank(trials[:3]))
    assert alone == ranking.Choice("a", None, {"text": {"hidden": 1}})


@pytest.mark.parametrize(
    ("elsewhere", "says"),
    [
        (0.9, ["text on a (.900) beats text on b (.800)", ", and is not beaten by any fusion (.850): a fusion's gain"]),
        (0.82, ["text on a (.820) beats text on b (.800)", "on the chosen encoders: a fusion's gain"]),
        (0.8, []),
        (math.nan, []),
    ],
)
def test_a_single_modality_that_the_choice_leaves_behind_is_named(elsewhere, says):
    trials = [
        trial("text", elsewhere, text="a", image=""),
        trial("text", 0.8, text="b", image=""),
        trial("image", 0.6, text="", image="i"),
        trial("early", 0.85, text="b"),
    ]
    ranked = ranking.rank(trials)
    notes = words.left_behind(ranked, ranking.choose(ranked)[1])
    assert len(notes) == bool(says)
    assert all(part in notes[0] for part in says)
    reading = words.sweep_reading(ranked, trials, 0, notes, "")
    page = words.sweep_markdown(ranked, trials, reading)
    assert [line for line in page.splitlines() if line in notes] == notes


def test_undefined_scores_rank_last():
    ranked = ranking.rank([trial("text", float("nan"), hidden=1), trial("text", 0.4, hidden=2)])
    assert [each.settings["hidden"] for each in ranked] == [2, 1]


def test_the_standard_error_is_that_of_exponential_scores():
    # at chance the variance is that of Mann and Whitney's U, whatever the scores
    assert ranking.auc_error(0.5, 30, 70) == pytest.approx(math.sqrt(101 / (12 * 30 * 70)))
    draw = np.random.default_rng(0)
    positive, negative = draw.exponential(4.0, (4000, 30)), draw.exponential(1.0, (4000, 20))
    auc = (positive[:, :, None] > negative[:, None]).mean(axis=(1, 2))  # 4 / (4 + 1) on average
    assert ranking.auc_error(0.8, 30, 20) == pytest.approx(auc.std(), rel=0.05)


def test_from_python_it_prints_nothing_and_gives_a_frame(swept, capfd):
    result = sweep.sweep(
        swept / "features", grid=QUICK[1:-4], seeds=2, device="cpu", heads=["early", "text"], out=swept / "sweep"
    )
    assert capfd.readouterr() == ("", "")
    assert result.table["head"].iloc[0] == "early"
    assert len(result.table) == len(result.ranked) == 8
    assert result.table["dev_auc_mean"].is_monotonic_decreasing
    assert (result.choice.text_encoder, len(result.trials), result.others) == (planted.TEXT, 16, 8)


def test_loading_without_tests_leaves_them_out(tmp_path):
    data = loading.load(planted.features(tmp_path), tests=False)
    assert (data.tests, data.notes) == ([], [])


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_on_a_gpu_stacks_train_side_by_side_and_come_in_order(monkeypatch, device):
    together, threads, given, own = threading.Barrier(2, timeout=10), [], set(), search.fit

    def fit(*what, once, **how):
        threads.append(threading.current_thread())
        given.add(once)
        if device == "cuda":
            together.wait()  # for ever, were they to come one after the other
        return own(*what, once=once, **how | {"device": "cpu"})

    monkeypatch.setattr(search, "fit", fit)
    asked = [replace(QUICK_RUN, hidden=hidden, max_epochs=1) for hidden in (4, 8, 4)]
    fitted = search.train("early", asked, TRAIN, DEV, device)
    assert [[run.hidden for run in one.runs] for one in fitted] == [[4, 4], [8]]
    assert len(given) == 1  # one copy of the vectors
    assert (threading.main_thread() in threads) == (device == "cpu")
