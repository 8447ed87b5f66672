"""What training gives back: every run of a head at its best dev epoch."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from heads.models import HEADS, Head
from heads.rows import Rows, Scaling, blocks, read_rows
from heads.settings import HeadSettings, seeded


@dataclass(frozen=True)
class History:
    """Per epoch and run; nan once a run has stopped."""

    train_loss: Float[Tensor, "epoch run"]  # mean over the epoch's steps, dropout included
    dev_loss: Float[Tensor, "epoch run"]
    dev_auc: Float[Tensor, "epoch run"]


def stacks(runs: Sequence[HeadSettings]) -> list[list[int]]:
    """Positions of the runs that can share a stack."""
    grouped: dict[tuple[float, ...], list[int]] = {}
    for place, run in enumerate(runs):
        grouped.setdefault(run.shape, []).append(place)
    return list(grouped.values())


def blank(head: str, text_dim: int, image_dim: int, runs: Sequence[HeadSettings]) -> Head:
    """A freshly drawn stack of `head` for runs of one shape, each from its own seed."""
    generators = [seeded(run.seed, "weights") for run in runs]
    one = runs[0]
    return HEADS[head](text_dim, image_dim, one.hidden, one.depth, generators, one.projection)


@dataclass(frozen=True)
class Fitted:
    """All runs of one head."""

    head: str
    runs: list[HeadSettings]
    scaling: tuple[Scaling, Scaling]  # of text and of image vectors, from train
    stacks: list[tuple[list[int], Head]]  # positions in `runs`, and the head that holds them
    best_epoch: Int[Tensor, " run"]  # 1 is the first
    dev_auc: Float[Tensor, " run"]  # at the best epoch
    history: History
    seconds: float  # wall time of the training
    precision: str  # of the products in training, "bfloat16" or "float32"; empty when read back, as seconds are 0

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.stacks[0][1].parameters()).device

    @torch.no_grad()
    def logits(self, rows: Rows) -> Float[Tensor, "run n"]:
        """Logits, float32 on the CPU; positive means hateful. Labels are not looked at.

        Raises ValueError if a vector is not as wide as those trained on.
        """
        out = torch.empty(len(self.runs), len(rows))
        for part, text, image in self.standardised(rows):
            for members, stack in self.stacks:
                out[members, part] = stack(text, image).cpu()
        return out

    @torch.no_grad()
    def image_share(self, rows: Rows) -> Float[Tensor, " run"] | None:
        """Mean share of the image over these rows, where the head weighs the sides meme by meme."""
        out = torch.zeros(len(self.runs))
        for _, text, image in self.standardised(rows):
            for members, stack in self.stacks:
                share = stack.image_share(text, image)
                if share is None:
                    return None
                out[members] += share.sum(dim=1).cpu() / len(rows)
        return out

    @torch.no_grad()
    def remembering(self, rows: Rows, without: Sequence[int] = ()) -> "Fitted":
        """Return these runs with `rows` behind what they remember, less the memes at `without`; all of them vote.

        Raises ValueError for a head that remembers no memes, and as `logits` does.
        """
        held = copy.deepcopy(self.stacks)
        for _, stack in held:
            stack.remember((block[1:] for block in self.standardised(rows)), rows.labels(), without)
        return replace(self, stacks=held)

    @torch.no_grad()
    def voters(self, rows: Rows) -> tuple[Float[Tensor, "n known"], Float[Tensor, "n known"]]:
        """Return each remembered meme's share of the vote on these, and its cosine with them; means over runs.

        Raises as `remembering` does.
        """
        of_blocks = []
        for _, text, image in self.standardised(rows):
            of_stacks = [stack.voters(text, image) for _, stack in self.stacks]
            of_blocks.append([torch.cat(part).mean(dim=0).cpu() for part in zip(*of_stacks, strict=True)])
        share, cosine = (torch.cat(part) for part in zip(*of_blocks, strict=True))
        return share, cosine

    @property
    def voting(self) -> int:
        """Runs of which dev chose what the memes that they remember say."""
        return sum(stack.voting for _, stack in self.stacks)

    def standardised(self, rows: Rows) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """The vectors as the heads take them, float32 on their device, block by block. Raises as `logits` does."""
        seen = HEADS[self.head].seen(rows.text_vec, rows.image_vec)
        for name, vec, scale in zip(("text", "image"), seen, self.scaling, strict=True):
            if vec.shape[1] != len(scale.mean):
                raise ValueError(
                    f"{name} vectors have {vec.shape[1]} columns; the head was trained on {len(scale.mean)}"
                )
        for part in blocks(len(rows)):
            text, image = (
                scale(read_rows(vec, part).to(self.device)) for scale, vec in zip(self.scaling, seen, strict=True)
            )
            yield part, text, image

    def state(self) -> dict[str, Tensor]:
        """All that `logits` needs besides `head` and `runs`, for safetensors: `scaling.*`, and `run.<i>.*` per run."""
        named = dict(zip(("text", "image"), self.scaling, strict=True))
        state = {
            f"scaling.{name}.{part}": getattr(scale, part) for name, scale in named.items() for part in scale._fields
        }
        for members, stack in self.stacks:
            for name, param in stack.state_dict().items():
                for place, run in enumerate(members):
                    state[f"run.{run}.{name}"] = param[place].detach().cpu().clone()
        state["best_epoch"], state["dev_auc"] = self.best_epoch, self.dev_auc
        return state | {
            f"history.{name}": getattr(self.history, name).clone() for name in ("train_loss", "dev_loss", "dev_auc")
        }

    @classmethod
    def from_state(cls, head: str, runs: Sequence[HeadSettings], state: Mapping[str, Tensor]) -> "Fitted":
        """The inverse of `state`."""
        text, image = (
            Scaling(state[f"scaling.{name}.mean"], state[f"scaling.{name}.divisor"]) for name in ("text", "image")
        )
        held = []
        for members in stacks(runs):
            stack = blank(head, len(text.mean), len(image.mean), [runs[run] for run in members])
            values = {name: torch.stack([state[f"run.{run}.{name}"] for run in members]) for name in stack.state_dict()}
            for name, _ in stack.named_buffers():  # as large as what they remember
                setattr(stack, name, values[name])
            stack.load_state_dict(values)
            held.append((members, stack.requires_grad_(False)))
        history = History(state["history.train_loss"], state["history.dev_loss"], state["history.dev_auc"])
        return cls(head, list(runs), (text, image), held, state["best_epoch"], state["dev_auc"], history, 0.0, "")
