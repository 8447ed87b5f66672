"""AdamW over stacked parameters, with a learning rate and a weight decay per run."""

from collections.abc import Sequence

import torch
from torch import Tensor

from heads.settings import HeadSettings


class StackedAdamW:
    """torch's fused AdamW (Loshchilov & Hutter 2019) on [run, ...] parameters.

    Weight matrices decay; biases and the weights that combine branches do not. Runs of equal learning rate and decay
    are updated as one tensor, others slice by slice.
    """

    def __init__(self, params: Sequence[Tensor], runs: Sequence[HeadSettings]) -> None:
        """`params` are updated in place; entry i of `runs` belongs to slice i of each."""
        self.mean = [torch.zeros_like(param) for param in params]
        self.square = [torch.zeros_like(param) for param in params]
        self.steps = 0
        self._arrange(params, runs)

    def _arrange(self, params: Sequence[Tensor], runs: Sequence[HeadSettings]) -> None:
        rates = [(run.learning_rate, run.weight_decay) for run in runs]
        cuts: list[slice | int] = [slice(None)] if len(set(rates)) == 1 else [*range(len(runs))]
        self.targets: list[tuple[Tensor, int, slice | int]] = []  # what is updated, and where its gradient lies
        groups, state = [], {}
        for cut, (learning_rate, weight_decay) in zip(cuts, rates, strict=False):
            for decays in (True, False):
                members = []
                for place, param in enumerate(params):
                    if (param.ndim == 3) == decays:
                        target = param.detach()[cut]
                        members.append(target)
                        self.targets.append((target, place, cut))
                        state[target] = {
                            "step": torch.tensor(float(self.steps), device=param.device),
                            "exp_avg": self.mean[place][cut],
                            "exp_avg_sq": self.square[place][cut],
                        }
                groups.append({"params": members, "lr": learning_rate, "weight_decay": weight_decay * decays})
        self.adamw = torch.optim.AdamW([group for group in groups if group["params"]], fused=True)
        self.adamw.state.update(state)

    def keep(self, places: Sequence[int], params: Sequence[Tensor], runs: Sequence[HeadSettings]) -> None:
        """Go on with the runs at `places` only; `params` and `runs` are theirs."""
        self.mean = [mean[places] for mean in self.mean]
        self.square = [square[places] for square in self.square]
        self._arrange(params, runs)

    def step(self, grads: Sequence[Tensor]) -> None:
        """Update every run; `grads` are of the stacked parameters."""
        for target, place, cut in self.targets:
            # the fused kernel walks memory: a transposed gradient would reach the wrong weights, without an error
            target.grad = grads[place][cut].contiguous()
        self.adamw.step()
        self.steps += 1
