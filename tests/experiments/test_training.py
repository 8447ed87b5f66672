"""Heads train side by side: the same numbers as one after the other, and all of them stop when one fails."""

import planted
import pytest
import torch

from experiments import data as loading
from experiments import training
from heads.settings import HeadSettings

RUNS = {
    head: [HeadSettings(hidden=8, batch_size=64, min_steps=4, max_epochs=4, seed=seed) for seed in range(2)]
    for head in ("text", "early", "late")
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    planted.features(folder)
    return loading.load(folder)


@pytest.fixture
def two_cores():
    cores = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(cores)


@pytest.mark.usefixtures("two_cores")
def test_side_by_side_gives_what_one_after_the_other_gives(data, capsys):
    together = training.heads(data, RUNS, "cpu", "none")
    alone = [training.heads(data, {head: runs}, "cpu", "none")[0] for head, runs in RUNS.items()]
    assert [each.name for each in together] == list(RUNS)
    for one, other in zip(together, alone, strict=True):
        assert one.best_epoch == other.best_epoch
        for split in one.logit:
            torch.testing.assert_close(one.logit[split], other.logit[split])
    assert torch.get_num_threads() == 2
    assert {line.split()[0] for line in capsys.readouterr().err.splitlines()} == {"head", *RUNS}


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize(("jobs", "at_once", "threads"), [(1, 1, 2), (2, 2, 1), (4, 2, 1)])
def test_cores_are_shared_out(jobs, at_once, threads):
    with training.side_by_side(jobs, "cpu") as workers:
        assert (workers, torch.get_num_threads()) == (at_once, threads)
    with training.side_by_side(jobs, "cuda") as workers:  # on streams of their own; a thread launches for each
        assert workers == at_once
    with training.side_by_side(jobs, "mps") as workers:
        assert (workers, torch.get_num_threads()) == (1, 2)


@pytest.mark.usefixtures("two_cores")
def test_when_one_head_fails_the_others_stop(data, monkeypatch):
    epochs = []
    fit = training.fit

    def failing(head, *rest, progress, **named):
        def counted(now):
            epochs.append(now.epoch)
            progress(now)

        if head == "early":
            raise RuntimeError("out of memory")
        return fit(head, *rest, progress=counted, **named)

    monkeypatch.setattr(training, "fit", failing)
    long = {head: [HeadSettings(hidden=8, batch_size=64, max_epochs=3000, patience=3000)] for head in ("early", "late")}
    with pytest.raises(RuntimeError, match="out of memory"):
        training.heads(data, long, "cpu", "none")
    assert len(epochs) < 3000
