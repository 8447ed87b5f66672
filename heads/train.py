"""fit(): all runs of a head at once, each with its own settings, early stop and best epoch."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from heads import gpu
from heads.fitted import Fitted, History, blank, stacks
from heads.metrics import auc_roc, check_labels
from heads.mlp import DropoutNoise
from heads.models import HEADS, Head
from heads.rows import Feed, Once, Rows, Scaling
from heads.settings import HeadSettings
from heads.stack import Stack

__all__ = ["Fitted", "HeadSettings", "History", "Progress", "Rows", "fit"]

STACK_BYTES = 2 << 30  # what the runs that train at once take besides train's vectors; on a GPU a share of what is free
CACHE_BYTES = 2 << 30  # standardised train vectors kept in memory, likewise; more are read from disk in windows
# a parameter, its gradient and that laid out anew for the kernel, two moments, the running mean, the best epoch's: four
# bytes each; rounded for products, once more with its gradient; on a GPU the update of unequal rates
VALUE_BYTES, ROUNDED_BYTES, UPDATE_BYTES = 7 * 4, 2 * 2, 4


@dataclass(frozen=True)
class Progress:
    """Where training stands after an epoch."""

    head: str
    epoch: int  # 1 is the first
    running: int  # runs of this stack still in training
    done: int  # runs finished
    runs: int  # in all
    dev_auc: float  # the best so far in this stack


def fit(
    head: str,
    train: Rows,
    dev: Rows,
    runs: Sequence[HeadSettings],
    *,
    device: str = "cpu",
    progress: Callable[[Progress], None] | None = None,
    precision: str = "auto",
    cache_bytes: int | None = None,
    once: Once | None = None,
) -> Fitted:
    """Train every run of `head` on train, stop each on dev's AUC-ROC, and keep its best epoch.

    Runs of equal `shape` train as one stack. A run gives the same numbers in any company, up to the rounding of
    products of another size. `precision` is "float32", "bfloat16" (products in bfloat16, parameters in float32) or
    "auto": bfloat16 where the processor multiplies it natively. Where the standardised train vectors are more than
    `cache_bytes` (None: CACHE_BYTES, on a GPU a share of what is free), they are read from `train` again each epoch, in
    windows. Heads that train on the same rows share one copy of them through `once`. On a GPU all is launched on the
    thread's own stream, and done when this returns.

    Raises ValueError on an unknown head, no runs, vectors of unequal width, labels other than 0 and 1, a single class.
    """
    _check(head, train, dev, runs)
    start = time.perf_counter()
    target = torch.device(device)
    precision = _resolved(precision, target)
    dtype = getattr(torch, precision)
    with gpu.own_stream(target):
        train_vecs = HEADS[head].seen(train.text_vec, train.image_vec)
        blocks = [
            its if side in HEADS[head].sides else ()
            for side, its in (("text", train.text_blocks), ("image", train.image_blocks))
        ]
        once, cache = once or Once(), gpu.budget(target, CACHE_BYTES) if cache_bytes is None else cache_bytes
        text_scaling, image_scaling = (
            once("scaling", vec, partial(Scaling.fit, vec, its)) if vec.shape[1] else Scaling.fit(vec, its)
            for vec, its in zip(train_vecs, blocks, strict=True)
        )
        scaling = text_scaling, image_scaling
        feed = Feed(*train_vecs, scaling, target, dtype, cache, once)
        dev_feed = Feed(*HEADS[head].seen(dev.text_vec, dev.image_vec), scaling, target, dtype, cache, once)
        # Apple's GPUs have no float64, which scores need
        train_label, dev_label = train.labels(), dev.labels().to(target if gpu.on(target) else "cpu")
        text_dim, image_dim = (vec.shape[1] for vec in train_vecs)
        done: list[_Trained] = []
        for members in _stacks(head, text_dim, image_dim, runs, target, dtype):
            asked = [runs[run] for run in members]
            stack = Stack(blank(head, text_dim, image_dim, asked), asked, train_label, target)
            finished = sum(len(part.members) for part in done)

            def tell(epoch: int, running: int, best: float, finished: int = finished, size: int = len(members)) -> None:
                if progress:
                    progress(Progress(head, epoch, running, finished + size - running, len(runs), best))

            done.append(_train(stack, members, feed, dev_feed, dev_label, tell))
        fitted = _gather(head, list(runs), scaling, done, time.perf_counter() - start, precision)
        for _, trained in fitted.stacks:
            of_train, of_dev = ((block[1:] for block in fitted.standardised(split)) for split in (train, dev))
            trained.settle(of_train, train_label, of_dev, dev_label)
        # Selection may have seen bfloat16 logits; what is reported is what `logits` gives.
        return replace(fitted, dev_auc=auc_roc(fitted.logits(dev), dev.labels()))


@dataclass(frozen=True)
class _Trained:
    """A stack at its end; tensors are per run of the full stack."""

    members: list[int]  # positions in the runs that were asked for
    head: Head
    best_epoch: Int[Tensor, " run"]
    history: Float[Tensor, "epoch 3 run"]  # train loss, dev loss, dev AUC-ROC


def _train(
    stack: Stack,
    members: list[int],
    train: Feed,
    dev: Feed,
    label: Int[Tensor, " n"],
    tell: Callable[[int, int, float], None],
) -> _Trained:
    """Train until every run has had its epochs or its patience."""
    count = len(members)
    best = torch.full((count,), -torch.inf)
    best_epoch = torch.zeros(count, dtype=torch.long)
    epochs: list[Tensor] = []
    going = list(range(count))
    stopped = torch.zeros(count, dtype=torch.bool)
    while going:
        epoch = len(epochs) + 1
        loss = stack.epoch(train, epoch)
        logit = stack.logits(dev).to(label.device)
        dev_loss = F.binary_cross_entropy_with_logits(logit, label.float().expand_as(logit), reduction="none").mean(
            dim=1
        )
        row = torch.full((3, count), torch.nan)
        row[:, stack.members] = torch.stack([loss.to(label.device), dev_loss, auc_roc(logit, label).float()]).cpu()
        row[:, stopped] = torch.nan
        epochs.append(row)
        better = (row[2] > best) & row[1].isfinite()  # a run that diverged ranks nothing
        best[better], best_epoch[better] = row[2][better], epoch
        stack.snapshot([place for place, member in enumerate(stack.members) if better[member]])
        going = [
            place
            for place, (member, run) in enumerate(zip(stack.members, stack.runs, strict=True))
            if epoch < run.max_epochs and epoch - best_epoch[member] < run.patience
        ]
        tell(epoch, len(going), best.max().item())
        # on a GPU runs that have stopped cost less than a step captured anew, until they are half of all
        stopped[:] = True
        stopped[[stack.members[place] for place in going]] = False
        if going and len(going) <= (len(stack.members) // 2 if stack.on_gpu else len(stack.members) - 1):
            stack.keep(going)
    return _Trained(members, stack.finish(), best_epoch, torch.stack(epochs))


def _gather(
    head: str, runs: list[HeadSettings], scaling: tuple[Scaling, Scaling], done: list[_Trained], seconds: float,
    precision: str,
) -> Fitted:  # fmt: skip
    """Put the stacks' runs back into the order asked for."""
    epochs = max(len(part.history) for part in done)
    history = torch.full((epochs, 3, len(runs)), torch.nan)
    best_epoch = torch.zeros(len(runs), dtype=torch.long)
    for part in done:
        history[: len(part.history), :, part.members] = part.history
        best_epoch[part.members] = part.best_epoch
    held = [(part.members, part.head) for part in done]
    return Fitted(
        head, runs, scaling, held, best_epoch, torch.full((len(runs),), torch.nan).double(),
        History(history[:, 0], history[:, 1], history[:, 2]), seconds, precision,
    )  # fmt: skip


def _stacks(
    head: str, text_dim: int, image_dim: int, runs: Sequence[HeadSettings], device: torch.device, dtype: torch.dtype
) -> list[list[int]]:
    """Positions of the runs that train together: those that can share a stack, no more of them than memory holds."""
    cut = []
    for members in stacks(runs):
        one = runs[members[0]]
        values = sum(param.numel() for param in blank(head, text_dim, image_dim, [one]).parameters())
        rounded = ROUNDED_BYTES if dtype != torch.float32 else 0
        run_bytes = values * (VALUE_BYTES + rounded + UPDATE_BYTES * gpu.on(device))
        units = (text_dim + image_dim) * dtype.itemsize + one.depth * one.hidden * 3 * 4  # with masks and gradients
        run_bytes += one.batch_size * units
        if any(runs[member].dropout for member in members):
            run_bytes += DropoutNoise.bytes_ahead
        at_once = max(gpu.budget(device, STACK_BYTES) // run_bytes, 1)
        cut += [members[start : start + at_once] for start in range(0, len(members), at_once)]
    return cut


def _resolved(precision: str, device: torch.device) -> str:
    if precision not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"precision must be auto, float32 or bfloat16, not {precision}")
    if precision == "auto":
        return "bfloat16" if gpu.multiplies_bfloat16(device) else "float32"
    return precision


def _check(head: str, train: Rows, dev: Rows, runs: Sequence[HeadSettings]) -> None:
    if head not in HEADS:
        raise ValueError(f"unknown head {head}; there are {', '.join(HEADS)}")
    if not runs:
        raise ValueError("no runs to train")
    for name, rows in (("train", train), ("dev", dev)):
        label = rows.labels()
        try:
            check_labels(label)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if label.min() == label.max():
            raise ValueError(f"{name}: all {len(label):,} labels are {int(label[0])}; training needs both classes")
    for name in ("text_vec", "image_vec"):
        widths = [getattr(rows, name).shape[1] for rows in (train, dev)]
        if widths[0] != widths[1]:
            raise ValueError(f"{name} has {widths[0]} columns in train and {widths[1]} in dev")
