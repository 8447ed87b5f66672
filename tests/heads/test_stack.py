"""StackedAdamW is torch's AdamW, a run at a time; how much each row counts, and the running mean that is scored."""

from dataclasses import replace

import pytest
import torch
from drawn import DEV, QUICK, TRAIN, seeds
from torch import Tensor

from heads.fitted import blank
from heads.rows import Feed, Scaling
from heads.settings import HeadSettings
from heads.stack import AVERAGED_EVERY, Stack, StackedAdamW, balance_weights

SAME = [HeadSettings(learning_rate=0.01, weight_decay=0.5)] * 3
OWN = [HeadSettings(learning_rate=rate, weight_decay=decay) for rate, decay in ((0.01, 0.5), (0.1, 0.0), (0.003, 4.0))]


def one_by_one(start: list[Tensor], grads: list[list[Tensor]], run: int, asked: HeadSettings) -> list[Tensor]:
    """Where torch.optim.AdamW takes the slices of one run."""
    params = [each[run].clone().requires_grad_() for each in start]
    decays = [param for param, whole in zip(params, start, strict=True) if whole.ndim == 3]
    rest = [param for param, whole in zip(params, start, strict=True) if whole.ndim != 3]
    adamw = torch.optim.AdamW(
        [{"params": decays, "weight_decay": asked.weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=asked.learning_rate,
    )
    for step in grads:
        for param, grad in zip(params, step, strict=True):
            param.grad = grad[run].clone()
        adamw.step()
    return [param.detach() for param in params]


def test_balance_weights():
    label = torch.tensor([1] * 3 + [0] * 12)
    runs = [replace(QUICK, balance=balance) for balance in ("none", "pos_weight", "undersample")]
    generators = [torch.Generator().manual_seed(0) for _ in runs]
    first, second = (balance_weights(runs, label, generators) for _ in range(2))
    assert first[0].tolist() == [1] * 15
    assert first[1].tolist() == [4] * 3 + [1] * 12
    assert first[2, :3].tolist() == [1] * 3
    assert sorted(first[2, 3:].tolist()) == [0] * 9 + [1] * 3
    assert not torch.equal(first[2], second[2])  # drawn anew each epoch
    assert balance_weights(runs[:1], label, generators[:1]) is None
    mirrored = balance_weights(runs[2:], 1 - label, generators[:1])
    assert (mirrored[0, :3].tolist(), mirrored[0, 3:].sum()) == ([1] * 3, 3)


@pytest.mark.parametrize("averaging", [0.0, 0.5, 0.9])
def test_what_is_scored_is_the_running_mean_of_weights(averaging, monkeypatch):
    runs = seeds(replace(QUICK, averaging=averaging, min_steps=6, batch_size=40), 2)
    cpu = torch.device("cpu")
    scaling = Scaling.fit(TRAIN.text_vec), Scaling.fit(TRAIN.image_vec)
    train, dev = (Feed(each.text_vec, each.image_vec, scaling, cpu, torch.float32, 1 << 20) for each in (TRAIN, DEV))
    stack = Stack(blank("late", 6, 9, runs), runs, TRAIN.labels(), cpu)
    steps = []
    step = stack._step

    def seen(*args):
        loss = step(*args)
        steps.append([param.detach().clone() for param in stack.params])
        return loss

    monkeypatch.setattr(stack, "_step", seen)
    for epoch in (1, 2):
        stack.epoch(train, epoch)

    count = len(steps) // 2
    assert count % AVERAGED_EVERY  # an epoch's last steps are averaged, too
    stands_for = [min(-(-(t + 1) // AVERAGED_EVERY) * AVERAGED_EVERY, count) - 1 for t in range(count)]
    stands_for += [count + t for t in stands_for]
    weight = torch.tensor([averaging ** (2 * count - 1 - t) for t in range(2 * count)])
    weight /= weight.sum()
    for mean, *taken in zip(stack.mean, *(steps[t] for t in stands_for), strict=True):
        torch.testing.assert_close(mean, torch.einsum("s,s...->...", weight, torch.stack(taken)))
    scored = stack.logits(dev)
    for param, last in zip(stack.params, steps[-1], strict=True):
        assert torch.equal(param, last)  # training goes on from where it was
    stack.snapshot([1])
    kept = stack.finish()
    torch.testing.assert_close(kept(*map(torch.cat, zip(*dev.in_order(), strict=True)))[1], scored[1])


@pytest.mark.parametrize("runs", [SAME, OWN], ids=["one rate", "a rate per run"])
def test_every_run_goes_where_torchs_adamw_takes_it(runs):
    draw = torch.Generator().manual_seed(0)
    shapes = [(3, 4, 5), (3, 4), (3, 1, 4), (3, 2)]
    start = [torch.randn(shape, generator=draw) for shape in shapes]
    grads = [[torch.randn(shape, generator=draw) for shape in shapes] for _ in range(12)]
    params = [each.clone() for each in start]
    adamw = StackedAdamW(params, runs)
    for step in grads[:6]:
        adamw.step(step)
    for run in range(3):
        for ours, theirs in zip(params, one_by_one(start, grads[:6], run, runs[run]), strict=True):
            torch.testing.assert_close(ours[run], theirs, atol=1e-6, rtol=1e-5)

    left = [2, 0]  # run 1 stops; moments and step counts of the others go on
    params = [param[left] for param in params]
    adamw.keep(left, params, [runs[run] for run in left])
    for step in grads[6:]:
        adamw.step([grad[left] for grad in step])
    for place, run in enumerate(left):
        for ours, theirs in zip(params, one_by_one(start, grads, run, runs[run]), strict=True):
            torch.testing.assert_close(ours[place], theirs, atol=1e-6, rtol=1e-5)


def test_biases_do_not_decay():
    weight, bias = torch.ones(1, 2, 3), torch.ones(1, 2)
    StackedAdamW([weight, bias], [HeadSettings(learning_rate=0.1, weight_decay=2.0)]).step(
        [torch.zeros(1, 2, 3), torch.zeros(1, 2)]
    )
    assert torch.allclose(weight, torch.tensor(0.8))
    assert torch.equal(bias, torch.ones(1, 2))
