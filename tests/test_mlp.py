"""A stack of MLPs is so many nn.Linear networks; dropout is each run's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from heads.mlp import DropoutNoise, StackedMLP

ROUNDING = {"atol": 1e-5, "rtol": 1e-5}  # fp32 sums of tens of terms; a swapped run differs by 0.1


def seeded(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def plain(stack: StackedMLP, run: int) -> nn.Sequential:
    """Run `run` of the stack, in torch's own layers."""
    layers: list[nn.Module] = []
    for weight, bias in zip(stack.weights, stack.biases, strict=True):
        linear = nn.Linear(weight.shape[2], weight.shape[1])
        linear.load_state_dict({"weight": weight[run].detach(), "bias": bias[run].detach()})
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@given(
    inputs=st.integers(1, 9), hidden=st.integers(1, 8), depth=st.integers(1, 3), runs=st.integers(1, 4),
    batch=st.integers(1, 6), shared=st.booleans(),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_each_run_is_a_stack_of_linear_layers(inputs, hidden, depth, runs, batch, shared):
    stack = StackedMLP(inputs, hidden, depth, seeded(*range(runs)))
    vec = torch.randn((batch, inputs) if shared else (runs, batch, inputs), generator=seeded(99)[0])
    logit = stack(vec)
    assert logit.shape == (runs, batch)
    for run in range(runs):
        alone = plain(stack, run)(vec if shared else vec[run]).squeeze(1)
        torch.testing.assert_close(logit[run], alone, **ROUNDING)


def test_gradients_are_those_of_the_linear_layers():
    stack = StackedMLP(5, 4, 2, seeded(0, 1))
    vec = torch.randn(7, 5, generator=seeded(2)[0])
    stack(vec).square().mean(dim=1).sum().backward()
    for run in range(2):
        alone = plain(stack, run)
        alone(vec).square().mean().backward()
        theirs = [layer.weight.grad for layer in alone if isinstance(layer, nn.Linear)]
        for weight, grad in zip(stack.weights, theirs, strict=True):
            torch.testing.assert_close(weight.grad[run], grad, **ROUNDING)


def test_weights_are_drawn_from_each_runs_own_seed_as_linear_draws_them():
    stack, alone = StackedMLP(400, 50, 1, seeded(3, 4, 3)), StackedMLP(400, 50, 1, seeded(4))
    for together, single in zip(stack.parameters(), alone.parameters(), strict=True):
        assert torch.equal(together[1], single[0])
        assert torch.equal(together[0], together[2])
    first = stack.weights[0][1]
    assert not torch.equal(stack.weights[0][0], first)
    assert first.abs().max() <= 1 / 20  # 1/sqrt(400), as nn.Linear's
    linear = nn.Linear(400, 50).weight
    assert first.std().item() == pytest.approx(linear.std().item(), rel=0.03)  # 20,000 draws: 5 standard errors


def test_logits_stay_float32_under_bfloat16():
    stack = StackedMLP(6, 4, 1, seeded(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert stack(torch.randn(3, 6)).dtype == torch.float32


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_dropout_meets_its_rate_and_keeps_the_mean(rate):
    dropped = DropoutNoise(seeded(0), [rate])(torch.ones(1, 400, 500))
    kept = 1 - min(round(rate * 256), 255) / 256
    assert (dropped > 0).float().mean().item() == pytest.approx(kept, abs=0.006)  # 5 standard errors of 200,000 coins
    assert dropped.max().item() == pytest.approx(1 / kept)
    assert dropped.isfinite().all()


def test_a_run_without_dropout_is_left_alone_beside_one_with_it():
    units = torch.randn(2, 30, 40)
    dropped = DropoutNoise(seeded(0, 1), [0.0, 0.5])(units)
    assert torch.equal(dropped[0], units[0])
    assert 0.3 < (dropped[1] == 0).float().mean() < 0.7


@given(st.lists(st.sampled_from([0.0, 0.2, 0.6]), min_size=1, max_size=4), st.integers(0, 3), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_a_runs_masks_do_not_depend_on_its_company(rates, place, leave_after):
    place %= len(rates)
    together = DropoutNoise(seeded(*range(len(rates))), rates)
    alone = DropoutNoise(seeded(place), [rates[place]])
    for noise in (together, alone):
        noise.bytes_ahead = 256  # so that bytes run out in between
    at = place
    for step in range(6):
        if step == leave_after:
            together.keep([place])
            at = 0
        units = torch.ones(len(together.generators), 5, 7)
        assert torch.equal(together(units)[at], alone(units[:1])[0])
