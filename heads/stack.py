"""Runs of one shape in training, as one: steps of AdamW, dev scores, best epochs, and letting go of stopped runs.

What is scored and kept is a running mean of each run's weights (Polyak & Juditsky 1992), not the last step's: a step is
noise about the way that training takes, and dev would choose the epoch in which that noise happened to fall well.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from heads import gpu
from heads.head import Head
from heads.mlp import DropoutNoise
from heads.rows import Batch, Feed, Window, shuffled
from heads.settings import HeadSettings, seeded

BETAS = (0.9, 0.999)
EPS = 1e-8
AVERAGED_EVERY = 4  # steps: the mean of every fourth step's weights is as good as that of all, and costs a quarter


class ParamGroup(NamedTuple):
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

    def __init__(self, params: Sequence[Tensor], runs: Sequence[HeadSettings], at_once: bool = False) -> None:
        """`params` are updated in place; entry i of `runs` belongs to slice i of each.

        at_once: update runs of unequal rates in one call, too, which rounds otherwise: a GPU waits for each call.
        """
        self.at_once = at_once
        self.mean = [torch.zeros_like(param) for param in params]
        self.square = [torch.zeros_like(param) for param in params]
        self.taken = 0  # steps
        self._arrange(params, runs)

    def _arrange(self, params: Sequence[Tensor], runs: Sequence[HeadSettings]) -> None:
        rates = _alike([(run.learning_rate, run.weight_decay) for run in runs])
        self.moved: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        if self.at_once and len(rates) > 1:
            # AdamW is w (1 - rate decay) + rate u, and with rate 1 and without decay the kernel takes 0 to u
            updates = [torch.zeros_like(param) for param in params]
            self.groups = [self._group(updates, slice(None), 1.0, 0.0, matrices) for matrices in (True, False)]
            self.moved = [
                (param.detach(), update, *_per_run(runs, param.ndim, param.device))
                for param, update in zip(params, updates, strict=True)
            ]
            return
        self.groups = [
            self._group(params, cut, rate, decay * decays, decays) for cut, (rate, decay) in rates
            for decays in (True, False)
        ]  # fmt: skip

    def _group(self, params: Sequence[Tensor], cut: slice, rate: float, decay: float, matrices: bool) -> ParamGroup:
        places = [place for place, param in enumerate(params) if (param.ndim == 3) == matrices]
        target, mean, square = (
            [tensors[place].detach()[cut] for place in places] for tensors in (params, self.mean, self.square)
        )
        steps = [torch.tensor(float(self.taken), device=params[place].device) for place in places]
        return ParamGroup(rate, decay, places, cut, target, mean, square, steps)

    def keep(self, places: Sequence[int], params: Sequence[Tensor], runs: Sequence[HeadSettings]) -> None:
        """Go on with the runs at `places` only; `params` and `runs` are theirs."""
        self.mean = [mean[places] for mean in self.mean]
        self.square = [square[places] for square in self.square]
        self._arrange(params, runs)

    @torch.no_grad()
    def step(self, grads: Sequence[Tensor]) -> None:
        """Update every run; `grads` are of the stacked parameters."""
        self.taken += 1
        if self.moved:
            torch._foreach_zero_([update for _, update, _, _ in self.moved])
        for group in self.groups:
            torch._foreach_add_(group.steps, 1)
            torch._fused_adamw_(
                group.params,
                # the kernel walks memory: a transposed gradient would reach the wrong weights, without an error
                [grads[place][group.cut].contiguous() for place in group.places],
                group.mean, group.square, [], group.steps, lr=group.learning_rate, beta1=BETAS[0], beta2=BETAS[1],
                weight_decay=group.weight_decay, eps=EPS, amsgrad=False, maximize=False,
            )  # fmt: skip
        for param, update, shrink, rate in self.moved:
            param.mul_(shrink).addcmul_(update, rate)


def _per_run(runs: Sequence[HeadSettings], ndim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """By what a step multiplies weights, and by what their update; they broadcast against [run, ...]."""
    shape = (len(runs), *[1] * (ndim - 1))
    shrink = [1 - run.learning_rate * run.weight_decay * (ndim == 3) for run in runs]
    rate = [run.learning_rate for run in runs]
    return torch.tensor(shrink, device=device).view(shape), torch.tensor(rate, device=device).view(shape)


def _alike(rates: Sequence[tuple[float, float]]) -> list[tuple[slice, tuple[float, float]]]:
    """Stretches of neighbouring runs with equal rates."""
    starts = [run for run in range(len(rates)) if run == 0 or rates[run] != rates[run - 1]]
    return [(slice(start, stop), rates[start]) for start, stop in zip(starts, [*starts[1:], len(rates)], strict=True)]


def balance_weights(
    runs: Sequence[HeadSettings], label: Int[Tensor, " n"], generators: Sequence[torch.Generator]
) -> Float[Tensor, "run n"] | None:
    """How much each row counts in each run's loss this epoch; None if all count the same in all runs.

    label: on the CPU. What is returned is where the generators draw.
    """
    if all(run.balance == "none" for run in runs):
        return None
    device, positive = generators[0].device, label.bool()
    hateful = int(positive.sum())
    larger = positive if 2 * hateful > len(label) else ~positive
    of_hateful, of_larger = (
        mask.nonzero().squeeze(1).to(device, non_blocking=True) for mask in (positive, larger)
    )  # fmt: skip
    surplus = 2 * len(of_larger) - len(label)
    weights = torch.ones(len(runs), len(label), device=device)
    for row, run, generator in zip(weights, runs, generators, strict=True):
        if run.balance == "pos_weight":
            row.index_fill_(0, of_hateful, (len(label) - hateful) / hateful)
        elif run.balance == "undersample":
            row.index_fill_(0, of_larger[shuffled(len(of_larger), [generator])[0, :surplus]], 0)
    return weights


class Stack:
    """Runs of one shape while they train. `members` are the runs still in training, as positions in the full stack."""

    def __init__(
        self, head: Head, runs: Sequence[HeadSettings], label: Int[Tensor, " n"], device: torch.device
    ) -> None:
        """`head` holds one run per entry of `runs`; `label` are train's."""
        self.head = head.to(device)
        self.runs = list(runs)
        self.members = list(range(len(runs)))
        self.params: list[Tensor] = list(self.head.parameters())
        self.best = [param.detach().clone() for param in self.params]
        self.mean = [torch.zeros_like(param) for param in self.params]  # over steps, of the runs in training
        self.averaging, self.steps = runs[0].averaging, 0
        self.on_gpu = gpu.on(device)
        self.adamw = StackedAdamW(self.params, self.runs, at_once=self.on_gpu)
        drawn = device if self.on_gpu else torch.device("cpu")
        dropout = [seeded(run.seed, "dropout", drawn) for run in runs]
        self.noise = DropoutNoise(dropout, [run.dropout for run in runs], device)
        self.orders = [seeded(run.seed, "order", drawn) for run in runs]
        self.label = label  # on the CPU
        self.target = label.to(device).float()
        self.weights: Tensor | None = None  # as balance_weights gives them, always in one place
        self.replayed = gpu.ReplayedStep()
        self.dropout_bytes: int | None = None  # per run and meme, where a step's are drawn before it

    def epoch(self, feed: Feed, number: int) -> Float[Tensor, " run"]:
        """One pass over train; returns each run's mean loss."""
        weights = balance_weights(self.runs, self.label, self.orders)
        if weights is not None and self.weights is not None:
            self.weights.copy_(weights)
        elif weights is not None:
            self.weights = weights.to(self.target.device)
        with torch.no_grad(), self._products(feed.dtype):
            self.head.begin_epoch(feed.in_order(), self.label)
        total = torch.zeros(len(self.runs), device=self.target.device)
        steps = 0
        for batch in feed.epoch(number, self.runs[0], self.orders):
            step = partial(self._step, batch.window, feed.dtype)
            if not self.on_gpu:
                total += step(batch.places)
            elif feed.kept is None or any(True for _ in self.head.buffers()):  # what a step reads may move
                total += step(batch.places, self._dropout(batch, feed.dtype))
            else:
                total += self.replayed(step, batch.places, self._dropout(batch, feed.dtype))
            steps += 1
            if steps % AVERAGED_EVERY == 0:
                self._average(AVERAGED_EVERY)
        if unseen := steps % AVERAGED_EVERY:
            self._average(unseen)
        return total / steps

    def _dropout(self, batch: Batch, dtype: torch.dtype) -> Tensor | None:
        """The random bytes of a step, all at once: a run's are the same whether its step is captured or not."""
        if not self.noise.active:
            return None
        if self.dropout_bytes is None:
            own, rates = self.noise, [run.dropout for run in self.runs]
            self.noise = DropoutNoise([torch.Generator(own.device) for _ in rates], rates, own.device)
            self.noise.bytes_ahead = 0
            with torch.no_grad():
                self._losses(Batch(batch.window, batch.places[:, :1]), dtype)
            self.dropout_bytes, self.noise = self.noise.taken, own
        return self.noise.draw(self.dropout_bytes * batch.places.shape[1])

    def _products(self, dtype: torch.dtype) -> torch.autocast:
        """Within, products are of this precision.

        Rounded weights are not kept for a second product: whoever leaves autocast empties what all threads have kept,
        and whether a layer's gradient is rounded once or twice would be chance.
        """
        return torch.autocast(self.target.device.type, dtype, enabled=dtype != torch.float32, cache_enabled=False)

    def _losses(self, batch: Batch, dtype: torch.dtype) -> Float[Tensor, "run batch"]:
        with self._products(dtype):
            row = batch.row
            return self.head.losses(batch.text_vec, batch.image_vec, self.target[row], row, self.noise)

    def _step(
        self, window: Window, dtype: torch.dtype, places: Int[Tensor, "run batch"], dropout: Tensor | None = None
    ) -> Float[Tensor, " run"]:
        """dropout: its random bytes, where they are not drawn as they are needed."""
        batch, self.noise.given = Batch(window, places), dropout
        loss = self._losses(batch, dtype)
        if self.weights is None:
            loss = loss.mean(dim=1)
        else:
            weight = self.weights.gather(1, batch.row)
            loss = (loss * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
        # Runs share no parameter: the sum's gradient is each run's own.
        self.adamw.step(torch.autograd.grad(loss.sum(), self.params))
        return loss.detach()

    @torch.no_grad()
    def _average(self, steps: int) -> None:
        """Let the present weights stand for the last `steps` steps.

        Weights of the mean fall exponentially and sum to 1 from the first step on, so that the random start has none.
        """
        self.steps += steps
        newest = (1 - self.averaging**steps) / (1 - self.averaging**self.steps)
        torch._foreach_lerp_(self.mean, self.params, newest)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Within, the head's parameters are their running means."""
        steps = [param.data for param in self.params]
        for param, mean in zip(self.params, self.mean, strict=True):
            param.data = mean
        yield
        for param, step in zip(self.params, steps, strict=True):
            param.data = step

    @torch.no_grad()
    def logits(self, feed: Feed) -> Float[Tensor, "run n"]:
        """Logits of rows in their order by the averaged weights, in the precision of training."""
        with self._averaged(), self._products(feed.dtype):
            return torch.cat([self.head(text, image) for text, image in feed.in_order()], dim=1)

    @torch.no_grad()
    def snapshot(self, places: Sequence[int]) -> None:
        """Remember the averaged weights of the runs at `places` (of those in training) as their best."""
        kept = [self.members[place] for place in places]
        for best, mean in zip(self.best, self.mean, strict=True):
            best[kept] = mean[list(places)]

    def keep(self, places: Sequence[int]) -> None:
        """Go on with the runs at `places` only."""
        places = list(places)
        self.members = [self.members[place] for place in places]
        self.runs = [self.runs[place] for place in places]
        self.orders = [self.orders[place] for place in places]
        for param in self.params:
            param.data = param.data[places]
        self.mean = [mean[places] for mean in self.mean]
        self.weights = None
        self.adamw.taken = self.steps  # it counts no replays
        self.adamw.keep(places, self.params, self.runs)
        self.noise.keep(places)
        self.replayed.forget()

    def finish(self) -> Head:
        """The head with every run of the full stack at its best epoch, frozen."""
        for param, best in zip(self.params, self.best, strict=True):
            param.data = best
        return self.head.requires_grad_(False)
