"""A features folder as a comparison reads it: a pair of encoders whose files belong together, joined into splits."""

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from experiments.evaluate import statistics
from extract import store
from extract.dataset import SIDES
from extract.errors import Refused, listing, named
from extract.places import Place
from extract.store import EncoderIdentity

NO_ENCODER = "none"  # the name of a side that is left out
GRID = "grid"  # the pooling that keeps the whole feature map
NO_TEXT = hashlib.sha256(b"").hexdigest().encode()


@dataclass(frozen=True)
class Split:
    """Memes of one split in the order of their ids, so that the order in a file changes no number."""

    pairs: store.Pairs

    @property
    def name(self) -> str:
        return self.pairs.split

    @property
    def labelled(self) -> "Split":
        return self.only(np.flatnonzero(self.pairs.label != store.NO_LABEL))

    def only(self, rows: Int[np.ndarray, " some"]) -> "Split":
        """These rows, in this order."""
        return Split(_take(self.pairs, rows))

    @property
    def text_group(self) -> Int[np.ndarray, " meme"]:
        """Memes of equal text share a number. Memes without text have no text in common."""
        return statistics.groups(self.pairs.text_content, alone=self.pairs.text_content == NO_TEXT)

    @property
    def image_group(self) -> Int[np.ndarray, " meme"]:
        """Memes of byte-identical images share a number."""
        return statistics.groups(self.pairs.image_content, alone=np.zeros(len(self), dtype=bool))

    @property
    def group(self) -> Int[np.ndarray, " meme"]:
        """Memes that share a text or an image, directly or through other memes, share a number.

        What more than half of the memes share is no tie: a placeholder would make one group of all.
        """
        tied = [statistics.groups(each, alone=statistics.common(each)) for each in (self.text_group, self.image_group)]
        return statistics.connected(*tied)

    def __len__(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True)
class Data:
    """All that a comparison reads."""

    text: EncoderIdentity
    image: EncoderIdentity
    train: Split
    dev: Split
    tests: list[Split]
    notes: list[str]  # what was left out, in sentences
    features: Place  # the folder that all was read from

    @property
    def encoders(self) -> dict[str, EncoderIdentity]:
        """By side."""
        return {"text": self.text, "image": self.image}

    @property
    def splits(self) -> list[Split]:
        """Train, dev and the test splits."""
        return [self.train, self.dev, *self.tests]


def digest(splits: Sequence[Split], sides: Sequence[str] = ("text", "image")) -> str:
    """Return a sha256 (hex) over ids, labels and the contents of these sides, in the order of ids."""
    sha256 = hashlib.sha256()
    for split in splits:
        contents = [getattr(split.pairs, f"{side}_content") for side in sides]
        for column in (split.pairs.ids, split.pairs.label, *contents):
            sha256.update("\n".join(str(value) for value in column.tolist()).encode() + b"\0")
    return sha256.hexdigest()


def load(
    features: Place, text_encoder: str | None = None, image_encoder: str | None = None, tests: bool = True
) -> Data:
    """Read train, dev and every test split of one text and one image encoder, joined by id.

    An encoder "none", or a folder with features of one side alone, leaves a side out: its vectors have no columns.
    Without `tests` no test file is opened. Raises Refused when the pair is not clear or a split is missing, StoreError
    when files are damaged or contradict each other.
    """
    folders = store.encoders(features, tests)
    sides = {
        kind: choose(folders, kind, name, features)
        for kind, name in (("text", text_encoder), ("image", image_encoder))
        if not lacks(folders, kind, name)
    }
    if not sides:
        raise Refused("both encoders are none: nothing to learn from")
    train, dev, test_splits = splits_of(list(sides.values()))
    wanted = [train, dev, *test_splits]
    files = {kind: {split: store.read(side.splits[split]) for split in wanted} for kind, side in sides.items()}
    encoders = {kind: agreed(side, list(files[kind].values())) for kind, side in sides.items()}
    notes = lone_tests(list(sides.values()))
    splits = {}
    for split in wanted:
        one = {kind: rows[split] for kind, rows in files.items()}
        both = {kind: one[kind] if kind in one else absent(next(iter(one.values())), kind) for kind in SIDES}
        encoders |= {kind: both[kind].identity for kind in SIDES if kind not in one}
        pairs = store.join(both["text"], both["image"])
        splits[split] = Split(_take(pairs, np.argsort(pairs.ids, kind="stable")))
        notes += missing_sides(pairs)
    for split in (train, dev):
        splits[split], left_out = both_classes(splits[split])
        notes += left_out
    tests_read = [splits[split] for split in test_splits]
    return Data(encoders["text"], encoders["image"], splits[train], splits[dev], tests_read, notes, features)


def lacks(folders: dict[str, store.EncoderFolder], kind: str, name: str | None) -> bool:
    """Whether a side is left out: asked for as none, or not named where all features are of the other side."""
    return name == NO_ENCODER or (name is None and {folder.kind for folder in folders.values()} == {*SIDES} - {kind})


def absent(present: store.Features, kind: str) -> store.Features:
    """Return the lacking side's features: no columns, and contents that no two memes share."""
    alone = (hashlib.sha256(f"{present.split}/{name}".encode()).hexdigest().encode() for name in present.ids)
    content = [NO_TEXT] * len(present.ids) if kind == "text" else list(alone)
    return dataclasses.replace(
        present,
        identity=EncoderIdentity(kind, NO_ENCODER, 0, "", {}, {}),
        content=np.array(content, dtype="S64"),
        vector=np.empty((len(present.ids), 0), np.float32),
        tokens=None,
        dropped=[],
    )


def trainable(data: Data, heads: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Return the heads whose sides the features have, and in words which are left out. Raises Refused without any."""
    from heads.models import HEADS

    lacking = [kind for kind, encoder in data.encoders.items() if encoder.name == NO_ENCODER]
    able = tuple(head for head in heads if not set(HEADS[head].sides) & set(lacking))
    if able == tuple(heads):
        return able, []
    lost = ", ".join(head for head in heads if head not in able)
    why = f"{lost} left out: there are no {' and '.join(lacking)} vectors in {data.features}."
    if not able:
        fit = ", ".join(head for head, each in HEADS.items() if not set(each.sides) & set(lacking))
        raise Refused(
            f"no head can be trained: {why}\nHeads that can: --heads {fit}; or run extract for the other side."
        )
    return able, [why]


def choose(
    folders: dict[str, store.EncoderFolder], kind: str, name: str | None, features: Place
) -> store.EncoderFolder:
    """The encoder of that kind that was named, or the only one there is with a vector a meme."""
    there = listing([f"{folder.name} ({_held(folder)}: {', '.join(folder.splits)})" for folder in folders.values()])
    if name is None:
        of_kind = candidates(folders, kind)
    else:
        of_kind = [folder for folder in folders.values() if folder.kind == kind and _plain(folder.name) == _plain(name)]
    if [folder for folder in of_kind if folder.pooling == GRID]:
        raise Refused(
            f"{name} holds grids of vectors, and a head takes one vector a meme.\n"
            "Name the same encoder without :grid, here and before that in python -m extract --image-encoder"
        )
    if len(of_kind) == 1:
        return of_kind[0]
    if name is not None:
        raise Refused(f"{features} holds no {kind} features of {name}. It holds:\n{there}")
    if not of_kind:
        inside = f"It holds:\n{there}" if folders else "It is empty."
        raise Refused(f"{features} holds no {kind} features. {inside}\nRun: python -m extract --features {features}")
    raise Refused(f"{features} holds {len(of_kind)} {kind} encoders; name one with --{kind}-encoder:\n{there}")


def candidates(folders: dict[str, store.EncoderFolder], kind: str) -> list[store.EncoderFolder]:
    """The encoders of that kind that heads can be trained on: those with one vector a meme, not a grid of them."""
    return [folder for folder in folders.values() if folder.kind == kind and folder.pooling != GRID]


def splits_of(sides: list[store.EncoderFolder]) -> tuple[str, str, list[str]]:
    """Names of train, dev and the test splits that every encoder has."""
    both = [split for split in sides[0].splits if all(split in side.splits for side in sides)]
    dev = next((split for split in ("dev", "dev_seen") if split in both), None)
    if "train" in both and dev:
        return "train", dev, sorted(split for split in both if split.startswith("test"))
    missing = [name for name, there in (("train", "train" in both), ("dev", dev)) if not there]
    why = "; dev decides when training stops, and test must not" if "dev" in missing else ""
    held = listing([f"{side.name}: {', '.join(side.splits)}" for side in sides])
    encoders = "both encoders" if len(sides) == 2 else sides[0].name
    raise Refused(
        f"no features of {' and '.join(missing)} for {encoders}{why}. There are:\n{held}\n"
        f"Run: python -m extract --split {','.join(missing)}"
    )


def agreed(side: store.EncoderFolder, files: list[store.Features]) -> EncoderIdentity:
    """What all of an encoder's files agree on. Raises StoreError when they come from different encoders or settings."""
    first, encoders = files[0].identity, [file.identity for file in files]
    if len({(each.kind, each.fingerprint, each.dim) for each in encoders}) == 1:
        return dataclasses.replace(first, name=side.name)
    keys = sorted({key for each in encoders for key in each.settings})
    differ = [key for key in keys if len({repr(each.settings.get(key)) for each in encoders}) > 1]
    lines = [
        f"{file.split}: fingerprint {each.fingerprint[:12]}, {each.kind}, {each.dim:,} dims"
        + "".join(f", {key} {each.settings.get(key)}" for key in differ)
        for file, each in zip(files, encoders, strict=True)
    ]
    raise store.StoreError(
        f"features of two encoders or settings are mixed up in {side.splits[files[0].split].parent}:\n"
        f"{listing(lines)}\n"
        "Their vectors cannot be compared. Delete the odd ones and run extract again."
    )


def lone_tests(sides: list[store.EncoderFolder]) -> list[str]:
    """Test splits that only one of the encoders has."""
    if len(sides) < 2:
        return []
    text, image = sides
    return [
        f"{split} is left out: {have.name} has it, {lack.name} does not."
        for have, lack in ((text, image), (image, text))
        for split in have.splits
        if split.startswith("test") and split not in lack.splits
    ]


def missing_sides(pairs: store.Pairs) -> list[str]:
    """Which memes of a split lack a side, in words. Raises Refused when none has both."""
    if not len(pairs):
        raise Refused(
            f"no meme of {pairs.split} has both a text and an image vector: {pairs.text.identity.name} has "
            f"{len(pairs.text):,} ids, {pairs.image.identity.name} {len(pairs.image):,}, none in common"
        )
    return [
        f"{pairs.split}: {len(ids):,} memes without {side} left out: {named(ids)}."
        for side, ids in (("an image vector", pairs.without_image), ("a text vector", pairs.without_text))
        if ids
    ]


def both_classes(split: Split) -> tuple[Split, list[str]]:
    """The labelled memes, and in words how many were not. Raises Refused unless both labels occur."""
    labelled = split.labelled
    if len(classes := np.unique(labelled.pairs.label)) < 2:
        holds = f"only label {classes[0]}" if len(classes) else "no labels"
        raise Refused(f"{split.name} holds {holds} ({len(split):,} memes); heads need both labels to learn and to stop")
    unlabelled = len(split) - len(labelled)
    return labelled, [f"{split.name}: {unlabelled:,} memes without a label left out."] if unlabelled else []


def _take(pairs: store.Pairs, rows: np.ndarray) -> store.Pairs:
    return dataclasses.replace(
        pairs,
        ids=pairs.ids[rows],
        label=pairs.label[rows],
        text_rows=pairs.text_rows[rows],
        image_rows=pairs.image_rows[rows],
    )


def _held(folder: store.EncoderFolder) -> str:
    return f"{folder.kind} grids" if folder.pooling == GRID else folder.kind


def _plain(name: str) -> str:
    """An encoder's name as asked for and as its folder is called, made alike: org/name, org--name."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")
