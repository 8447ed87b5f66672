"""Killed in mid-training and started again, a system ends with the very weights of one that was left alone."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from train_tiny_system import STEPS, train

from experiments.systems import trainer

SCRIPT = Path(__file__).parent.parent / "helpers" / "train_tiny_system.py"


def killed(name: str, encoders: Path, checkpoints: Path, step: int, wait: float) -> None:
    """Train in a process of its own, and kill it `wait` seconds after step `step`, or the first after it, has begun."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(SCRIPT.parents[2]), str(SCRIPT.parent)])}
    command = [sys.executable, str(SCRIPT), name, str(encoders), str(checkpoints)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if int(line.removeprefix("step ")) >= step:
                break
        else:
            pytest.fail(process.stderr.read())
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoders")


class Keeping(trainer.TrainingBar):
    """Copies every checkpoint: the Trainer itself keeps the last two."""

    def on_save(self, args, state, control, **more):
        super().on_save(args, state, control, **more)
        name = f"checkpoint-{state.global_step}"
        shutil.copytree(Path(args.output_dir) / name, Path(args.output_dir).parent / "kept" / name / name)


@pytest.mark.slow
def test_every_checkpoint_leads_to_the_same_weights(
    encoders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, learned = train("transformer", encoders, tmp_path / "undisturbed")
    with monkeypatch.context() as patched:
        patched.setattr(trainer, "SAVE_EVERY", 0.0)
        patched.setattr(trainer, "TrainingBar", Keeping)
        train("transformer", encoders, tmp_path / "kept-from")
    kept = sorted((tmp_path / "kept").glob("*/checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    assert [int(path.name.rpartition("-")[2]) for path in kept] == list(range(1, STEPS + 1))
    for number, checkpoint in enumerate(kept, start=1):
        weights, resumed = train("transformer", encoders, checkpoint.parent)
        assert (resumed.resumed_at, resumed.steps, resumed.best_epoch) == (number, STEPS, learned.best_epoch)
        assert [each["dev_loss"] for each in resumed.history] == [each["dev_loss"] for each in learned.history]
        assert different(weights, undisturbed) == []


def different(weights: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> list[str]:
    assert weights.keys() == others.keys()
    return [key for key in weights if not torch.equal(weights[key], others[key])]


def assert_same(name: str, encoders: Path, checkpoints: Path, undisturbed: dict[str, torch.Tensor], least: int) -> None:
    """least: steps that the killed process had finished for sure."""
    weights, learned = train(name, encoders, checkpoints)
    assert least <= learned.resumed_at <= STEPS
    assert learned.steps == STEPS
    assert different(weights, undisturbed) == []


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights(encoders: Path, tmp_path: Path) -> None:
    undisturbed, learned = train("transformer", encoders, tmp_path / "undisturbed")
    assert (learned.steps, learned.resumed_at, len(learned.history)) == (STEPS, 0, 3)
    killed("transformer", encoders, tmp_path / "killed", step=5, wait=0.0)
    assert_same("transformer", encoders, tmp_path / "killed", undisturbed, least=4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transformer", "concat"])
def test_a_training_killed_again_and_again_goes_on_to_the_same_weights(
    encoders: Path, tmp_path: Path, name: str
) -> None:
    undisturbed, _ = train(name, encoders, tmp_path / "undisturbed")
    rng = random.Random(name)
    for number in range(3):
        folder = tmp_path / str(number)
        first = rng.randrange(1, STEPS - 2)
        killed(name, encoders, folder, first, wait=rng.uniform(0, 0.02))
        second = rng.randrange(first + 2, STEPS)
        killed(name, encoders, folder, second, wait=rng.uniform(0, 0.02))
        assert_same(name, encoders, folder, undisturbed, least=second - 1)
