"""A head that learns to lie near memes of its label, and may answer by what the nearest of them are."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from heads.head import REGRESSIONS_ON_BOTH, Head
from heads.interactions import dropped, product, unit
from heads.metrics import auc_roc
from heads.mlp import DropoutNoise, StackedLinear, StackedMLP
from heads.rows import IN_CACHE, blocks
from heads.settings import HeadSettings

MARGIN = 0.1  # by which a meme of the same label is to be nearer than one of the other
NEIGHBOURS = (5, 10, 20, 50)  # of which dev chooses, unless the linear output does better
MOST = 20_000  # memes of train that are remembered, evenly taken
AT_ONCE = 1024  # memes held against the memory at a time

Blocks = Iterable[tuple[Tensor, Tensor]]


class RetrievalHead(Head):
    """`product`'s network, whose last hidden layer is trained to lie near memes of the same label.

    RGCL (Mei et al. 2024). Beside the log loss, each meme is pulled towards the nearest of its label and pushed away
    from the nearest of the other label and from those in its batch. Then the nearest memes of train vote, or the linear
    output stands: dev says which, for each run. What votes is a memory, to which labelled memes can be added untrained.
    """

    name, sides, fuses, linear = "retrieval", ("text", "image"), True, REGRESSIONS_ON_BOTH
    ignores = ()
    text: StackedLinear
    image: StackedLinear
    joint: StackedMLP
    memory: Float[Tensor, "run known hidden"]  # length one
    memory_label: Int[Tensor, "run known"]
    neighbours: Int[Tensor, " run"]  # that vote; below zero: that would, were dev not for the linear output

    def __init__(
        self, text_dim: int, image_dim: int, hidden: int, depth: int, generators: Sequence[torch.Generator],
        projection: int = HeadSettings.projection,
    ) -> None:  # fmt: skip
        super().__init__(text_dim, image_dim, hidden, depth, generators, projection)
        self.register_buffer("memory", torch.empty(len(generators), 0, hidden))
        self.register_buffer("memory_label", torch.empty(len(generators), 0, dtype=torch.int8))
        self.register_buffer("neighbours", torch.zeros(len(generators), dtype=torch.int64))
        self.bank = self.memory  # of train, at the start of the epoch
        self.gold = self.hard = self.neighbours  # places in the bank, by run and meme of train

    def projections(self, text_dim: int, image_dim: int) -> Mapping[str, tuple[int, int]]:
        return {"text": (text_dim, self.projection), "image": (image_dim, self.projection)}

    def branches(self, text_dim: int, image_dim: int) -> Mapping[str, int]:
        return {"joint": self.projection}

    def hidden(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch hidden"]:
        text, image = (unit(dropped(vec, noise)) for vec in (self.text(text_vec), self.image(image_vec)))
        return self.joint.hidden(dropped(product(text, image), noise), noise)

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        return self.answer(self.neighbours.tolist(), text_vec, image_vec, noise)

    def traced(self) -> Callable[[Tensor, Tensor], Float[Tensor, "run batch"]]:
        neighbours = self.neighbours.tolist()
        return lambda text_vec, image_vec: self.answer(neighbours, text_vec, image_vec, at_once=None)

    def answer(
        self, neighbours: Sequence[int], text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None,
        at_once: int | None = AT_ONCE,
    ) -> Float[Tensor, "run batch"]:  # fmt: skip
        """`forward`, where so many neighbours vote in each run; at_once is as `vote` has it."""
        hidden = self.hidden(text_vec, image_vec, noise)
        logit = self.joint.outputs(hidden, noise).squeeze(-1)
        if max(neighbours) <= 0:
            return logit
        return torch.stack(
            [
                self.vote(run, unit(hidden[run]), [count], at_once)[0] if count > 0 else logit[run]
                for run, count in enumerate(neighbours)
            ]
        )

    def losses(
        self,
        text_vec: Float[Tensor, "run batch text_dim"],
        image_vec: Float[Tensor, "run batch image_dim"],
        target: Float[Tensor, "run batch"],
        row: Int[Tensor, "run batch"],
        noise: DropoutNoise | None = None,
    ) -> Float[Tensor, "run batch"]:
        hidden = self.hidden(text_vec, image_vec, noise)
        by_label = F.binary_cross_entropy_with_logits(
            self.joint.outputs(hidden, noise).squeeze(-1), target, reduction="none"
        )
        here = unit(hidden)
        other = (target[:, :, None] != target[:, None, :]).float()
        in_batch = (torch.bmm(here, here.transpose(1, 2)).float() * other).sum(-1) / other.sum(-1).clamp(min=1)
        run = torch.arange(len(row), device=row.device)[:, None]
        gold, hard = (self.bank[run, place.gather(1, row)] for place in (self.gold, self.hard))
        to_hard, to_gold = (here * hard).sum(-1), (here * gold).sum(-1)
        return (by_label + torch.relu(in_batch + to_hard - to_gold + MARGIN)) / 2

    def begin_epoch(self, blocks: Blocks, label: Int[Tensor, " n"]) -> None:
        """Fill the bank with train as it looks now, and find each meme's nearest of either label in it."""
        hidden = torch.cat([self.hidden(*block) for block in blocks], dim=1)
        every, held = unit(hidden), evenly(len(label), label.device)
        there = held.to(every.device, non_blocking=True)
        self.bank = every[:, there]
        every = every.to(hidden.dtype)  # rounded once, for all products
        self.gold, self.hard = nearest(every, every[:, there], label, held)

    def settle(self, train: Blocks, label: Int[Tensor, " train"], dev: Blocks, dev_label: Int[Tensor, " dev"]) -> None:
        """Remember train, and choose for each run how many neighbours vote, and whether they do."""
        held = evenly(len(label), self.neighbours.device)
        self.memory = torch.cat([unit(self.hidden(*block)) for block in train], dim=1)[:, held].contiguous()
        self.memory_label = label.to(held.device)[held].to(torch.int8).expand(len(self.memory), -1).contiguous()
        self.bank = self.memory[:, :0]
        self.gold = self.hard = self.neighbours
        hidden = torch.cat([self.hidden(*block) for block in dev], dim=1)
        dev_label = dev_label.cpu()  # Apple's GPUs have no float64, which scores need
        linear = auc_roc(self.joint.outputs(hidden).squeeze(-1).cpu(), dev_label)
        counts = [count for count in NEIGHBOURS if count <= len(held)] or [len(held)]
        for run in range(len(hidden)):
            area = auc_roc(self.vote(run, unit(hidden[run]), counts).cpu(), dev_label)
            best = counts[int(area.argmax())]
            self.neighbours[run] = best if area.max() > linear[run] else -best

    @classmethod
    def remembered(cls, count: int) -> Int[Tensor, " known"]:
        return evenly(count, torch.device("cpu"))

    def remember(self, more: Blocks, label: Int[Tensor, " more"], without: Sequence[int]) -> None:
        """Add these memes to the memory as the head sees them, and let as many vote in every run as dev chose."""
        kept = torch.ones(self.memory.shape[1], dtype=torch.bool, device=self.memory.device)
        kept[list(without)] = False
        self.memory = torch.cat([self.memory[:, kept], *(unit(self.hidden(*block)) for block in more)], dim=1)
        added = label.to(self.memory_label).expand(len(self.memory), -1)
        self.memory_label = torch.cat([self.memory_label[:, kept], added], dim=1)
        self.neighbours = self.neighbours.abs().clamp(max=self.memory.shape[1])

    @property
    def voting(self) -> int:
        return int((self.neighbours > 0).sum())

    def voters(
        self, text_vec: Tensor, image_vec: Tensor
    ) -> tuple[Float[Tensor, "run batch known"], Float[Tensor, "run batch known"]]:
        """Shares as `vote` weighs them, also where dev chose the linear output."""
        cosine = torch.bmm(unit(self.hidden(text_vec, image_vec)), self.memory.transpose(1, 2))
        share = torch.zeros_like(cosine)
        for run, count in enumerate(self.neighbours.abs().tolist()):
            most, place = cosine[run].topk(count, dim=1)
            weight = weights(most)
            share[run].scatter_(1, place, weight / weight.sum(1, keepdim=True))
        return share, cosine

    def vote(
        self, run: int, here: Float[Tensor, "meme hidden"], counts: Sequence[int], at_once: int | None = AT_ONCE
    ) -> Float[Tensor, "count meme"]:
        """Logits of the votes of each number of nearest memes, the nearer the heavier.

        The j-th of k weighs (k - j + 1) times its cosine (0 where that is negative). Shares are smoothed by one vote
        for each label, for a logit must be finite. at_once: memes held against the memory at a time; None: all.
        """
        memory, label = self.memory[run].float(), self.memory_label[run].float()
        out = []
        for some in here.float().split(at_once) if at_once else [here.float()]:
            cosine, place = (some @ memory.T).topk(max(counts), dim=1)
            says_one = label[place]
            shares = []
            for count in counts:
                weight = weights(cosine[:, :count])
                share = (weight * says_one[:, :count]).sum(1) / weight.sum(1)
                shares.append((share * count + 1) / (count + 2))
            out.append(torch.stack(shares))
        return torch.cat(out, dim=1).logit()


def weights(cosine: Float[Tensor, "meme count"]) -> Float[Tensor, "meme count"]:
    """Of the nearest memes, the nearest first, in a vote."""
    return cosine.clamp(min=1e-6) * torch.arange(cosine.shape[1], 0, -1, device=cosine.device)


def evenly(count: int, device: torch.device) -> Int[Tensor, " held"]:
    """Places of all of `count` memes, or of MOST of them, the same distance from each other."""
    return torch.arange(count, device=device) if count <= MOST else torch.arange(MOST, device=device) * count // MOST


def nearest(
    every: Float[Tensor, "run n hidden"],
    bank: Float[Tensor, "run held hidden"],
    label: Int[Tensor, " n"],
    held: Int[Tensor, " held"],
) -> tuple[Int[Tensor, "run n"], Int[Tensor, "run n"]]:
    """Return the place in the bank of each meme's nearest of its own label, itself excluded, and of the other's.

    By cosine, of vectors of length one. RGCL's paper excludes the meme itself, its code does not. The bank's only meme
    of a label is its own nearest; where the bank has none of a label, its first meme stands in.
    label, held: on the CPU.
    """
    place = torch.empty(2, *every.shape[:2], dtype=torch.long, device=every.device)  # by label, the nearest with it
    row = torch.arange(IN_CACHE, device=every.device)
    for its_place, (with_label, column) in zip(place, by_label(label, held), strict=True):
        with_label, column = (places.to(every.device, non_blocking=True) for places in (with_label, column))
        known = bank[:, with_label].transpose(1, 2)
        for part in blocks(every.shape[1], IN_CACHE):
            for run, vec in enumerate(every[:, part]):
                cosine = vec @ known[run]
                cosine[row[: len(vec)], column[part]] = -2
                cosine[:, -1] = -2
                its_place[run, part] = with_label[cosine.max(dim=1).indices]
    positive = label.to(every.device, non_blocking=True).bool()
    return torch.where(positive, place[1], place[0]), torch.where(positive, place[0], place[1])


def by_label(
    label: Int[Tensor, " n"], held: Int[Tensor, " held"]
) -> Iterator[tuple[Int[Tensor, " with_label"], Int[Tensor, " n"]]]:
    """For label 0 and 1, places in the bank of memes with it, and each meme's place among these.

    Behind these places stands one more, for whoever is not among them; it is nobody's nearest.
    """
    for of_label in (0, 1):
        places = (label[held] == of_label).nonzero().squeeze(1)
        column = torch.full_like(label, len(places))
        column[held[places]] = torch.arange(len(places))
        yield F.pad(places, (0, 1)), column
