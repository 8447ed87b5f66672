"""The sweep: every configuration once, whatever happens on the way; ranked on dev, and never a look at test."""

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import planted
import pytest

from experiments import compare, sweep
from experiments.results.records import Comparison
from experiments.search import plots
from extract import errors, locks

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


def test_a_refused_grid_costs_nothing(tmp_path, capsys):
    assert command(tmp_path, "--grid", "hidden=0") == 2
    assert capsys.readouterr().err == "error: --grid cannot be meant:\n  hidden must be at least 1, not 0\n"
    assert list(tmp_path.iterdir()) == []


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


def test_two_sweeps_do_not_write_one_record(tmp_path, capsys):
    planted.features(tmp_path / "features", {"train": 24, "dev": 12})
    with locks.locked(tmp_path / "sweep", "another sweep", "--out"):
        assert command(tmp_path) == 2
    assert f"another sweep (process {os.getpid()}) is writing to {tmp_path / 'sweep'};" in capsys.readouterr().err
    assert not (tmp_path / "sweep" / "records.jsonl").exists()


def test_a_folder_that_cannot_be_locked_is_not_called_busy(tmp_path, monkeypatch, capsys):
    def flock(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    planted.features(tmp_path / "features", {"train": 24, "dev": 12})
    monkeypatch.setattr(fcntl, "flock", flock)
    assert command(tmp_path) == 2
    says = "cannot be locked: No locks available; name a folder on another file system with --out"
    assert capsys.readouterr().err.endswith(f"error: {tmp_path / 'sweep'} {says}\n")


def test_from_python_it_prints_nothing_and_gives_a_frame(swept, capfd):
    result = sweep.sweep(
        swept / "features", grid=QUICK[1:-4], seeds=2, device="cpu", heads=["early", "text"], out=swept / "sweep"
    )
    assert capfd.readouterr() == ("", "")
    assert result.table["head"].iloc[0] == "early"
    assert len(result.table) == len(result.ranked) == 8
    assert result.table["dev_auc_mean"].is_monotonic_decreasing
    assert (result.choice.text_encoder, len(result.trials), result.others) == (planted.TEXT, 16, 8)
