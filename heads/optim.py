"""AdamW over stacked parameters, with a learning rate and a weight decay per run."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from heads.settings import HeadSettings

BETAS = (0.9, 0.999)
EPS = 1e-8


class Group(NamedTuple):
    """Slices of parameters that are updated alike, their moments, and where their gradients lie."""

    learning_rate: float
    weight_decay: float
    places: list[int]  # of the parameters among all
    cut: slice  # the runs
    params: list[Tensor]
    mean: list[Tensor]
    square: list[Tensor]
    steps: list[Tensor]


class StackedAdamW:
    """torch's fused AdamW kernel (Loshchilov & Hutter 2019) on [run, ...] parameters.

    Weight matrices decay; biases and the weights that combine branches do not. Neighbouring runs of equal learning rate
    and decay are updated as one tensor. The kernel is called without torch.optim, which imports torch's compiler: 1.7 s
    at the start of a comparison that takes a few.
    """

    def __init__(self, params: Sequence[Tensor], runs: Sequence[HeadSettings]) -> None:
        """`params` are updated in place; entry i of `runs` belongs to slice i of each."""
        self.mean = [torch.zeros_like(param) for param in params]
        self.square = [torch.zeros_like(param) for param in params]
        self.taken = 0  # steps
        self._arrange(params, runs)

    def _arrange(self, params: Sequence[Tensor], runs: Sequence[HeadSettings]) -> None:
        self.groups = [
            self._group(params, cut, rate, decay * decays, decays)
            for cut, (rate, decay) in _alike([(run.learning_rate, run.weight_decay) for run in runs])
            for decays in (True, False)
        ]

    def _group(self, params: Sequence[Tensor], cut: slice, rate: float, decay: float, matrices: bool) -> Group:
        places = [place for place, param in enumerate(params) if (param.ndim == 3) == matrices]
        target, mean, square = (
            [tensors[place].detach()[cut] for place in places] for tensors in (params, self.mean, self.square)
        )
        steps = [torch.tensor(float(self.taken), device=params[place].device) for place in places]
        return Group(rate, decay, places, cut, target, mean, square, steps)

    def keep(self, places: Sequence[int], params: Sequence[Tensor], runs: Sequence[HeadSettings]) -> None:
        """Go on with the runs at `places` only; `params` and `runs` are theirs."""
        self.mean = [mean[places] for mean in self.mean]
        self.square = [square[places] for square in self.square]
        self._arrange(params, runs)

    @torch.no_grad()
    def step(self, grads: Sequence[Tensor]) -> None:
        """Update every run; `grads` are of the stacked parameters."""
        self.taken += 1
        for group in self.groups:
            torch._foreach_add_(group.steps, 1)
            torch._fused_adamw_(
                group.params,
                # the kernel walks memory: a transposed gradient would reach the wrong weights, without an error
                [grads[place][group.cut].contiguous() for place in group.places],
                group.mean, group.square, [], group.steps, lr=group.learning_rate, beta1=BETAS[0], beta2=BETAS[1],
                weight_decay=group.weight_decay, eps=EPS, amsgrad=False, maximize=False,
            )  # fmt: skip


def _alike(rates: Sequence[tuple[float, float]]) -> list[tuple[slice, tuple[float, float]]]:
    """Stretches of neighbouring runs with equal rates."""
    starts = [run for run in range(len(rates)) if run == 0 or rates[run] != rates[run - 1]]
    return [(slice(start, stop), rates[start]) for start, stop in zip(starts, [*starts[1:], len(rates)], strict=True)]
