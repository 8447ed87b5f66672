"""Training is the same every time, and the same whether it was killed on the way or not."""

from pathlib import Path

import killed_training
import pytest
import torch
from planted_memes import concat, memes

from experiments.systems import trainer
from experiments.systems.published import SYSTEMS, Shape, TrainingRecipe
from heads.metrics import auc_roc


class Killed(BaseException):
    """Not an Exception: nothing on the way may handle it, as nothing handles SIGKILL."""


def killed_after(step: int, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Train until `step` is done, and no further."""
    tell = trainer.TrainingBar.on_step_begin

    def fall(self, args, state, control, **_):
        if state.global_step == step:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(trainer.TrainingBar, "on_step_begin", fall)
        with pytest.raises(Killed):
            killed_training.run(folder)
    assert trainer.TrainingBar.on_step_begin is tell


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return killed_training.run(tmp_path_factory.mktemp("undisturbed")).state_dict()


def same(found: dict, wanted: dict) -> bool:
    return all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("step", [1, 4, 6])
def test_a_run_that_goes_on_ends_with_the_weights_of_one_that_was_not_stopped(step, undisturbed, monkeypatch, tmp_path):
    killed_after(step, monkeypatch, tmp_path)
    assert trainer.last_checkpoint(tmp_path).path.name == f"checkpoint-{step}"
    assert same(killed_training.run(tmp_path).state_dict(), undisturbed)


def test_a_checkpoint_that_was_being_written_is_passed_over(undisturbed, monkeypatch, tmp_path):
    killed_after(6, monkeypatch, tmp_path)
    half = tmp_path / "checkpoint-6"
    (half / "trainer_state.json").write_text('{"global_st')
    assert trainer.last_checkpoint(tmp_path).path.name == "checkpoint-4"  # the best so far, which is never thrown away
    assert same(killed_training.run(tmp_path).state_dict(), undisturbed)


def test_a_run_that_had_stopped_early_is_not_trained_on(undisturbed, tmp_path):
    killed_training.run(tmp_path)
    end = trainer.last_checkpoint(tmp_path)
    assert end.path.name == "checkpoint-16"
    assert end.stopped_early(killed_training.HOW)
    again = killed_training.run(tmp_path)
    assert trainer.last_checkpoint(tmp_path) == end
    assert same(again.state_dict(), undisturbed)


@pytest.mark.parametrize("patience", [0, 2])
def test_a_run_that_had_its_steps_makes_no_further_one(patience, tmp_path, monkeypatch):
    """Three steps of four an epoch: the last checkpoint lies within an epoch."""
    monkeypatch.setattr(trainer, "SAVE_EVERY", 0.0)
    first, learned = quick(tmp_path, steps=3, patience=patience)
    assert trainer.last_checkpoint(tmp_path).path.name == "checkpoint-3"
    again, told = quick(tmp_path, steps=3, patience=patience)
    assert (told.steps, told.resumed_at, told.history) == (3, 3, learned.history)
    assert len(told.history) == 1
    assert torch.equal(again, first)


def test_one_gpu_trains_however_many_there_are(tmp_path, monkeypatch):
    class Four(trainer.TrainingArguments):
        def __post_init__(self):
            super().__post_init__()
            self._n_gpu = 4

    monkeypatch.setattr(trainer, "TrainingArguments", Four)
    args = trainer.arguments(TrainingRecipe(batch=8), tmp_path, 0, "cpu", None, "float32", 0)
    assert (args.n_gpu, args.train_batch_size) == (1, 8)


@pytest.mark.gpu
def test_a_gpu_learns_what_only_both_sides_tell(tmp_path):
    model, dev = concat(Shape(hidden=32, depth=1)), memes(200, seed=1, split="dev")
    how = TrainingRecipe(learning_rate=1e-2, batch=32, epochs=12)
    trainer.train(model, memes(400), dev, how, tmp_path, seed=0, device="cuda", precision="bfloat16")
    logit = trainer.logits(model, dev, "cuda", "bfloat16")
    assert auc_roc(logit[None], torch.from_numpy(dev.label)).item() > 0.95


def test_no_folder_beside_the_one_named_and_no_word(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    killed_training.run(tmp_path / "here")
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    assert capfd.readouterr() == ("", "")


def quick(folder: Path, seed: int = 0, **how) -> tuple[torch.Tensor, trainer.Learned]:
    model = concat(Shape(hidden=8, depth=1, dropout=0.2), seed)
    how = {"learning_rate": 1e-2, "batch": 16, "epochs": 2} | how
    dev = memes(40, seed=1, split="dev")
    steps = how.pop("steps", None)
    learned = trainer.train(model, memes(64), dev, TrainingRecipe(**how), folder, seed=seed, device="cpu", steps=steps)
    return trainer.logits(model, dev, "cpu"), learned


@pytest.mark.parametrize(
    "how",
    [
        {"optimiser": "sgd", "momentum": 0.9},
        {"optimiser": "adam", "weight_decay": 1e-2},
        {"schedule": "cosine", "warmup": 3},
        {"schedule": "linear", "clip": 0.1, "accumulate": 2},
    ],
    ids=str,
)
def test_every_way_to_train_gives_the_same_numbers_twice_and_others_than_the_plain_way(how, tmp_path):
    once, _ = quick(tmp_path / "once", **how)
    twice, _ = quick(tmp_path / "twice", **how)
    plain, _ = quick(tmp_path / "plain")
    assert torch.equal(once, twice)
    assert not torch.equal(once, plain)


def test_the_published_trainings_have_their_schedules_and_stops(tmp_path):
    published = {
        name: trainer.arguments(setting.training, tmp_path, 0, "cpu", None, "float32", 0)
        for name in ("bert-resnet18-linear", "fasttext-resnet152-concat", "multimodal-transformer")
        for setting in [next(iter(SYSTEMS[name].settings.values()))]
    }
    found = [(each.lr_scheduler_type.value, each.warmup_steps, each.max_grad_norm) for each in published.values()]
    assert found == [("constant", 0, 0.0), ("reduce_lr_on_plateau", 0, 1.0), ("cosine", 200, 0.0)]
    how = SYSTEMS["multimodal-transformer"].settings["published"].training
    assert (how.optimiser, how.learning_rate, how.epochs) == ("adamw", 5e-6, 30)
    assert trainer.fewer(2009, how, 8500) == 2009
    assert trainer.fewer(2010, how, 8500) is None  # as many as 30 epochs make
    how = SYSTEMS["fasttext-resnet152-concat"].settings["published"].training
    assert (how.batch, how.accumulate, how.epochs, how.learning_rate, how.seed) == (4, 16, 10, 5e-5, 42)


def test_the_optimiser_sees_what_trains_alone_and_sgd_ignores_weight_decay():
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2))
    model[0].requires_grad_(False)
    for name, decay in (("balanced-sgd", 0.0), ("image-frozen", 1e-4), ("both-frozen", 0.0)):
        how = SYSTEMS["bert-resnet18-linear"].settings[name].training
        optimiser = trainer.optimiser(model, how)
        [group] = optimiser.param_groups
        assert [id(param) for param in group["params"]] == [id(param) for param in model[1].parameters()]
        assert group["weight_decay"] == decay
        assert type(optimiser).__name__.lower() == how.optimiser


def test_an_improvement_that_is_too_small_does_not_start_patience_anew(tmp_path):
    _, patient = quick(tmp_path / "any", learning_rate=1e-4, epochs=6, patience=2)
    _, strict = quick(tmp_path / "least", learning_rate=1e-4, epochs=6, patience=2, least_improvement=10.0)
    assert (len(patient.history), len(strict.history)) == (6, 3)


def test_seconds_of_killed_processes_count(monkeypatch, tmp_path):
    killed_after(4, monkeypatch, tmp_path)
    (trainer.last_checkpoint(tmp_path).path / trainer.SPENT).write_text("1000.0")
    model = concat(killed_training.SHAPE)
    dev = memes(40, seed=1, split="dev")
    how = killed_training.HOW
    learned = trainer.train(model, memes(killed_training.MEMES), dev, how, tmp_path, seed=0, device="cpu")
    assert learned.seconds > 1000
    assert learned.resumed_at == 4


def test_steps_are_at_most_those_of_the_epochs(tmp_path):
    _, learned = quick(tmp_path, steps=1000)
    assert learned.steps == 8  # two epochs of 64 memes in batches of 16


def test_seeds_differ_and_steps_end_it(tmp_path):
    first, learned = quick(tmp_path / "0", steps=3)
    other, _ = quick(tmp_path / "1", seed=1, steps=3)
    assert learned.steps == 3
    assert not torch.equal(first, other)


def test_accumulated_batches_step_as_one_batch_does(tmp_path):
    """Without dropout, four batches of 16 to a step are one of 64, but for the order in which rounding falls."""
    found = []
    for name, size, accumulate in (("small", 16, 4), ("large", 64, 1)):
        model = concat(Shape(hidden=8, depth=1))
        how = TrainingRecipe(optimiser="sgd", learning_rate=0.1, batch=size, accumulate=accumulate, epochs=3)
        trainer.train(model, memes(64), memes(40, seed=1), how, tmp_path / name, seed=0, device="cpu")
        found.append(trainer.logits(model, memes(40, seed=1), "cpu"))
    torch.testing.assert_close(*found, rtol=0, atol=1e-5)  # a mean that is not divided by 4 is 100 times further off


def test_the_best_epoch_is_kept_where_there_is_patience(tmp_path):
    _, learned = quick(tmp_path, learning_rate=0.3, epochs=8, patience=2)
    losses = [epoch["dev_loss"] for epoch in learned.history]
    assert learned.best_epoch == 1 + losses.index(min(losses))
    assert len(losses) < 8 or learned.best_epoch > 6
