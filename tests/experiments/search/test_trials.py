"""What a sweep trains, and its record: whole lines, a full disk, encoders that lie there twice."""

import dataclasses
import resource
import threading
from dataclasses import replace

import planted
import pytest
from drawn import DEV, TRAIN
from drawn import QUICK as QUICK_RUN
from made_trials import trial

from experiments.options import DEFAULT_HEADS
from experiments.search import trials as search
from experiments.search.trials import TrialLog
from extract import store
from extract.errors import Failed, Refused


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


def test_a_line_that_is_no_trial_is_named(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text('{"head": "text"}\n')
    with pytest.raises(Refused, match=r"records.jsonl: line 1 is no record of a sweep"):
        TrialLog(path)


def test_a_record_that_cannot_be_written_is_refused_before_any_training(tmp_path):
    (tmp_path / "records.jsonl").mkdir()
    with pytest.raises(Refused, match=r"records.jsonl: cannot write there: Is a directory"):
        TrialLog(tmp_path / "records.jsonl")


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
