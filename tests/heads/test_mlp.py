"""Stacked layers against torch's own, one run at a time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from heads.mlp import DropoutNoise, StackedMLP, stacked_linear

ROUNDING = {"rtol": 1e-5, "atol": 1e-6}  # float32 products in another order; a lost bias is 1e5 times larger


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def plain(mlp, run):
    """The same MLP as torch's own layers."""
    layers: list[nn.Module] = []
    for weight, bias in zip(mlp.weights, mlp.biases, strict=True):
        linear = nn.Linear(*weight[run].shape)
        linear.weight.data, linear.bias.data = weight[run].T, bias[run]
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@settings(deadline=None, max_examples=25)
@given(
    runs=st.integers(1, 4), batch=st.integers(1, 9), inputs=st.integers(1, 9), hidden=st.integers(1, 9),
    depth=st.integers(1, 3), shared=st.booleans(),
)  # fmt: skip
def test_logits_and_gradients_are_those_of_separate_mlps(runs, batch, inputs, hidden, depth, shared):
    mlp = StackedMLP(inputs, hidden, depth, generators(*range(runs)))
    vec = torch.randn(*(() if shared else (runs,)), batch, inputs)
    logit = mlp(vec)
    logit.square().sum().backward()
    for run in range(runs):
        alone = plain(mlp, run)
        expected = alone(vec if shared else vec[run]).squeeze(1)
        torch.testing.assert_close(logit[run], expected, **ROUNDING)
        expected.square().sum().backward()
        for weight, linear in zip(mlp.weights, alone[::2], strict=True):
            torch.testing.assert_close(weight.grad[run], linear.weight.grad.T, rtol=1e-4, atol=1e-5)


def test_shared_inputs_are_one_product(monkeypatch):
    products = []
    addmm = torch.addmm
    monkeypatch.setattr(torch, "addmm", lambda bias, *parts: products.append(parts) or addmm(bias, *parts))
    stacked_linear(torch.randn(7, 4), torch.randn(3, 4, 5), torch.randn(3, 5))
    [(inputs, weight)] = products
    assert inputs.shape == (7, 4)
    assert weight.shape == (4, 15)


def test_a_run_is_drawn_from_its_own_seed():
    both, alone = StackedMLP(5, 4, 2, generators(3, 8)), StackedMLP(5, 4, 2, generators(8))
    for stacked, single in zip(both.parameters(), alone.parameters(), strict=True):
        assert torch.equal(stacked[1], single[0])
        assert not torch.equal(stacked[0], single[0])


def test_weights_start_within_one_over_root_of_inputs():
    first = StackedMLP(100, 50, 1, generators(0)).weights[0]
    assert 0.099 < first.abs().max() <= 0.1


def test_dropout_meets_its_rates_and_keeps_the_mean():
    noise = DropoutNoise(generators(0, 1, 2), [0.0, 0.25, 0.5])
    dropped = noise(torch.ones(3, 100, 1000))
    # a share of 100,000 draws strays by .0016 (one standard error)
    assert (dropped == 0).double().mean(dim=(1, 2)).tolist() == pytest.approx([0, 0.25, 0.5], abs=0.008)
    assert dropped.double().mean(dim=(1, 2)).tolist() == pytest.approx([1, 1, 1], abs=0.02)


def test_a_runs_masks_do_not_depend_on_its_company(monkeypatch):
    monkeypatch.setattr(DropoutNoise, "bytes_ahead", 64)
    units = torch.ones(1, 5, 6)
    alone = DropoutNoise(generators(7), [0.5])
    stacked = DropoutNoise(generators(6, 7, 8), [0.2, 0.5, 0.9])
    for step in range(12):
        if step == 6:
            stacked.keep([1])
        company = stacked(units.expand(len(stacked.generators), -1, -1))
        assert torch.equal(company[1 if step < 6 else 0], alone(units)[0])


def test_masks_are_never_used_twice():
    noise = DropoutNoise(generators(0), [0.5])
    drawn = [noise(torch.ones(1, 8, 16)) for _ in range(50)]
    assert len({tuple(mask.flatten().tolist()) for mask in drawn}) == 50
