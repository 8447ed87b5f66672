"""A features folder as a comparison reads it: a pair of encoders whose files belong together, joined into splits."""

import dataclasses
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from jaxtyping import Int

from experiments.encoder_choice import NO_ENCODER, agreed, chosen, lacks, lone_tests, no_encoder, splits_of
from experiments.evaluate import resampling
from extract import store
from extract.dataset import SIDES
from extract.errors import Failed, Refused, named
from extract.places import Place
from extract.store import EncoderIdentity

NO_TEXT = hashlib.sha256(b"").hexdigest().encode()


@dataclass(frozen=True)
class Split:
    """Memes of one split in the order of their ids, so that the order in a file changes no number."""

    pairs: store.Pairs
    elsewhere: bool = False  # of another dataset, whose ids mean nothing here: scored, and nothing is judged on it

    @property
    def name(self) -> str:
        return self.pairs.split

    @property
    def labelled(self) -> "Split":
        return self.only(np.flatnonzero(self.pairs.label != store.NO_LABEL))

    @property
    def has_both_labels(self) -> bool:
        return {0, 1} <= set(np.unique(self.pairs.label).tolist())

    def only(self, rows: Int[np.ndarray, " some"]) -> "Split":
        """These rows, in this order."""
        names = ("ids", "label", "text_rows", "image_rows")
        taken = {name: getattr(self.pairs, name)[rows] for name in names}
        return dataclasses.replace(self, pairs=dataclasses.replace(self.pairs, **taken))

    @property
    def text_group(self) -> Int[np.ndarray, " meme"]:
        """Memes of equal text share a number. Memes without text have no text in common."""
        return resampling.groups(self.pairs.text_content, alone=self.pairs.text_content == NO_TEXT)

    @property
    def image_group(self) -> Int[np.ndarray, " meme"]:
        """Memes of byte-identical images share a number."""
        return resampling.groups(self.pairs.image_content, alone=np.zeros(len(self), dtype=bool))

    @property
    def group(self) -> Int[np.ndarray, " meme"]:
        """Memes that share a text or an image, directly or through other memes, share a number.

        What more than half of the memes share is no tie: a placeholder would make one group of all.
        """
        tied = [resampling.groups(each, alone=resampling.common(each)) for each in (self.text_group, self.image_group)]
        return resampling.connected(*tied)

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
    def own_tests(self) -> list[Split]:
        """Test splits of this dataset."""
        return [split for split in self.tests if not split.elsewhere]

    @property
    def judged(self) -> list[Split]:
        """Its test splits with both labels, on which what dev chose is judged; dev, which flatters, where none is."""
        return [split for split in self.own_tests if split.has_both_labels] or [self.dev]

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


def dataset_name(features: Place) -> str:
    """What the dataset is called whose vectors a folder holds; empty where nothing there tells."""
    with suppress(Failed):  # damaged, or out of reach
        return next(filter(None, (PurePath(its.data).name for its in store.recorded(features).values())), "")
    return ""


def load(
    features: Place, text_encoder: str | None = None, image_encoder: str | None = None, tests: bool = True
) -> Data:
    """Read train, dev and every test split of one text and one image encoder, joined by id.

    An encoder "a+b" has the vectors of a and of b side by side; "all" those of every encoder of the side. An encoder
    "none", or a folder with features of one side alone, leaves a side out: its vectors have no columns.
    Without `tests` no test file is opened. Raises Refused when the pair is not clear or a split is missing, StoreError
    when files are damaged or contradict each other.
    """
    folders = store.encoders(features, tests)
    sides = {
        kind: chosen(folders, kind, name, features)
        for kind, name in (("text", text_encoder), ("image", image_encoder))
        if not lacks(folders, kind, name)
    }
    if not sides:
        raise Refused("both encoders are none: nothing to learn from")
    every = [folder for side in sides.values() for folder in side]
    train, dev, test_splits = splits_of(every)
    wanted = [train, dev, *test_splits]
    files = {folder.name: {split: store.read(folder.splits[split]) for split in wanted} for folder in every}
    encoders = {kind: no_encoder(kind) for kind in SIDES} | {
        kind: EncoderIdentity.sum_of([agreed(folder, list(files[folder.name].values())) for folder in side])
        for kind, side in sides.items()
    }
    notes = lone_tests(every)
    splits = {}
    for split in wanted:
        of_split = {kind: [files[folder.name][split] for folder in side] for kind, side in sides.items()}
        splits[split], left_out = joined(of_split)
        notes += left_out
    for split in (train, dev):
        splits[split], left_out = both_classes(splits[split])
        notes += left_out
    notes += cut_texts(encoders["text"], list(splits.values()))
    tests_read = [splits[split] for split in test_splits]
    return Data(encoders["text"], encoders["image"], splits[train], splits[dev], tests_read, notes, features)


def joined(files: dict[str, list[store.Features]]) -> tuple[Split, list[str]]:
    """Return one split's files, by side, as memes in the order of ids, and in words which of them lack a vector."""
    one, notes = {}, []
    for kind, parts in files.items():
        one[kind], lacking = store.side_by_side(parts)
        notes += missing_parts(one[kind], lacking)
    both = {kind: one[kind] if kind in one else absent(next(iter(one.values())), kind) for kind in SIDES}
    pairs = store.join(both["text"], both["image"])
    return Split(pairs).only(np.argsort(pairs.ids, kind="stable")), notes + missing_sides(pairs)


def absent(present: store.Features, kind: str) -> store.Features:
    """Return the lacking side's features: no columns, and contents that no two memes share."""
    alone = (hashlib.sha256(f"{present.split}/{name}".encode()).hexdigest().encode() for name in present.ids)
    content = [NO_TEXT] * len(present.ids) if kind == "text" else list(alone)
    return dataclasses.replace(
        present,
        identity=no_encoder(kind),
        content=np.array(content, dtype="S64"),
        vector=np.empty((len(present.ids), 0), np.float32),
        tokens=None,
        dropped=[],
    )


def column(data: Data, field: str) -> dict[str, list[Any]]:
    """Return a column of the manifest, by split, for its memes in their order; None where a meme has no value.

    Raises Refused where no meme has one.
    """
    folders = [data.features / encoder.name for encoder in data.encoders.values() if encoder.dim]
    values, others = dict[str, list[Any]](), set[str]()
    for split in (data.dev, *data.tests):
        kept = next(filter(None, (store.columns(folder / f"{split.name}.h5") for folder in folders)), {})
        others |= {name for row in kept.values() for name in row}
        values[split.name] = [kept.get(name, {}).get(field) for name in split.pairs.ids.tolist()]
    if not any(value is not None for each in values.values() for value in each):
        there = f"it has {', '.join(sorted(others))}" if others else "it has none"
        raise Refused(
            f"no meme in {data.features} has a value in the column {field}; {there}. Extract keeps what a manifest "
            "holds beside id, img, text and label; extract again, where features are older: nothing is encoded twice"
        )
    return values


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


def missing_parts(joined: store.Features, lacking: dict[str, list[str]]) -> list[str]:
    """Which memes encoders of one side lack, in words. Raises Refused when no meme has vectors by all of them."""
    name = joined.identity.name
    if not len(joined):
        raise Refused(f"no meme of {joined.split} has a vector by each of {name}: they have no id in common")
    return [
        f"{joined.split}: {len(ids):,} memes without a vector by {part} left out of {name}: {named(ids)}."
        for part, ids in lacking.items()
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


def cut_texts(encoder: EncoderIdentity, splits: Sequence[Split]) -> list[str]:
    """How many texts were longer than what their encoder was given, in words; nothing if none was."""
    longest = encoder.settings.get("max_tokens", 0)
    lengths = {split.name: split.pairs.tokens for split in splits if longest and split.pairs.tokens is not None}
    cut = {name: f"{(tokens > longest).sum():,} of {len(tokens):,} of {name}" for name, tokens in lengths.items()}
    told = [cut[name] for name, tokens in lengths.items() if (tokens > longest).any()]
    return [f"Texts longer than {encoder.name}'s {longest} word pieces are cut: {', '.join(told)}."] if told else []


def both_classes(split: Split) -> tuple[Split, list[str]]:
    """The labelled memes, and in words how many were not. Raises Refused unless both labels occur."""
    labelled = split.labelled
    if len(classes := np.unique(labelled.pairs.label)) < 2:
        holds = f"only label {classes[0]}" if len(classes) else "no labels"
        raise Refused(f"{split.name} holds {holds} ({len(split):,} memes); heads need both labels to learn and to stop")
    unlabelled = len(split) - len(labelled)
    return labelled, [f"{split.name}: {unlabelled:,} memes without a label left out."] if unlabelled else []
