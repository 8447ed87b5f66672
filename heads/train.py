"""fit(): all runs of a head at once, each with its own settings, early stop and best epoch."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from heads.fitted import Fitted, History, blank, stacks
from heads.metrics import auc_roc, check_labels
from heads.models import HEADS, Head
from heads.rows import Feed, Rows, Scaling
from heads.settings import HeadSettings
from heads.stack import Stack

__all__ = ["Fitted", "HeadSettings", "History", "Progress", "Rows", "fit"]

STACK_BYTES = 2 << 30  # parameters, gradients, two moments and the best epoch's copy of the runs that train at once
CACHE_BYTES = 2 << 30  # standardised train vectors kept in memory; more are read from disk in windows


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
    cache_bytes: int = CACHE_BYTES,
) -> Fitted:
    """Train every run of `head` on train, stop each on dev's AUC-ROC, and keep its best epoch.

    Runs of equal `shape` train as one stack. A run gives the same numbers in any company, up to the rounding of
    products of another size. `precision` is "float32", "bfloat16" (products in bfloat16, parameters in float32) or
    "auto": bfloat16 where the processor multiplies it natively. Where the standardised train vectors are more than
    `cache_bytes`, they are read from `train` again each epoch, in windows.

    Raises ValueError on an unknown head, no runs, vectors of unequal width, labels other than 0 and 1, a single class.
    """
    _check(head, train, dev, runs)
    start = time.perf_counter()
    target = torch.device(device)
    precision = _resolved(precision, target)
    dtype = getattr(torch, precision)
    train_vecs = HEADS[head].seen(train.text_vec, train.image_vec)
    blocks = [
        its if side in HEADS[head].sides else ()
        for side, its in (("text", train.text_blocks), ("image", train.image_blocks))
    ]
    scaling = Scaling.fit(train_vecs[0], blocks[0]), Scaling.fit(train_vecs[1], blocks[1])
    feed = Feed(*train_vecs, scaling, target, dtype, cache_bytes)
    dev_feed = Feed(*HEADS[head].seen(dev.text_vec, dev.image_vec), scaling, target, dtype, cache_bytes)
    train_label, dev_label = train.labels(), dev.labels().to(target)
    text_dim, image_dim = (vec.shape[1] for vec in train_vecs)
    done: list[_Trained] = []
    for members in _stacks(head, text_dim, image_dim, runs):
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
    while going:
        epoch = len(epochs) + 1
        loss = stack.epoch(train, epoch)
        logit = stack.logits(dev)
        dev_loss = F.binary_cross_entropy_with_logits(logit, label.float().expand_as(logit), reduction="none").mean(
            dim=1
        )
        row = torch.full((3, count), torch.nan)
        row[:, stack.members] = torch.stack([loss, dev_loss, auc_roc(logit, label).float()]).cpu()
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
        if going and len(going) < len(stack.members):
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


def _stacks(head: str, text_dim: int, image_dim: int, runs: Sequence[HeadSettings]) -> list[list[int]]:
    """Positions of the runs that train together: those that can share a stack, no more of them than memory holds."""
    cut = []
    for members in stacks(runs):
        values = sum(param.numel() for param in blank(head, text_dim, image_dim, [runs[members[0]]]).parameters())
        at_once = max(STACK_BYTES // (values * 5 * 4), 1)
        cut += [members[start : start + at_once] for start in range(0, len(members), at_once)]
    return cut


def _resolved(precision: str, device: torch.device) -> str:
    if precision not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"precision must be auto, float32 or bfloat16, not {precision}")
    if precision == "auto":
        return "bfloat16" if _multiplies_bfloat16(device) else "float32"
    return precision


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # private, and the only way: torch's public CPU capability does not tell bfloat16 products from widened ones
    return getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()


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
