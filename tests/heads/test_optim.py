"""StackedAdamW is torch's AdamW, a run at a time."""

import pytest
import torch
from torch import Tensor

from heads.settings import HeadSettings
from heads.stack import StackedAdamW

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
