"""A dataset's splits as a system reads them: rows of the folder, joined by id with cached vectors of frozen sides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from experiments.data import NO_TEXT, shortened
from experiments.evaluate import statistics
from experiments.systems import fasttext
from experiments.systems.build import GRID, Side, is_grid, reads_vectors
from experiments.systems.memes import NO_LABEL, Column, Grids, Memes, Pictures, Rows
from experiments.systems.pictures import Usable
from experiments.systems.published import FASTTEXT
from extract import archive, dataset, store
from extract.dataset import Meme
from extract.encoders.family import Located
from extract.encoders.text import position_limit
from extract.errors import Refused
from extract.places import Place, Source


@dataclass(frozen=True)
class Splits:
    """All that a system trains and is scored on, in the order of ids."""

    train: Memes
    dev: Memes
    tests: list[Memes]
    sides: tuple[Side, Side]  # text and image, with the widths and fingerprints of what was read
    notes: list[str]  # what was left out, in sentences

    @property
    def scored(self) -> list[Memes]:
        """All but train, dev first."""
        return [self.dev, *self.tests]

    @property
    def all(self) -> list[Memes]:
        return [self.train, *self.scored]


def read(data: Place, on_error: str) -> dict[str, list[Meme]]:
    """Rows of train, dev and every test split, in the order of their ids. Raises Refused when they cannot be used."""
    names = dataset.find_splits(data)
    missing = [name for name in ("train", "dev") if name not in names and f"{name}_seen" not in names]
    if missing:
        raise Refused(f"{data} has no {' and no '.join(missing)}; a system trains on train and dev watches it")
    wanted = dataset.choose_splits(data, "train,dev") + [name for name in names if name.startswith("test")]
    archive.unpack_images(data)
    splits = [dataset.read(data, name) for name in wanted]
    if on_error == "stop":
        dataset.refuse_faults(splits)
    return {split.name: sorted(split.memes, key=lambda meme: meme.id) for split in splits}


def gather(usable: Usable, sides: tuple[Side, Side], features: Place, max_tokens: int) -> Splits:
    """Join memes with what each side reads."""
    if sides[0].name == FASTTEXT:
        fasttext.publish(features / FASTTEXT, usable.memes)
    notes = list(usable.notes)
    found = {
        split: joined(split, memes, sides, features, max_tokens, usable.digest, notes)
        for split, memes in usable.memes.items()
    }
    train, dev, *tests = found.values()
    return Splits(labelled(train, notes), labelled(dev, notes), tests, with_widths(sides, train, features), notes)


def joined(
    split: str, memes: Sequence[Meme], sides: tuple[Side, Side], features: Place, max_tokens: int,
    digest: Mapping[Source, str], notes: list[str],
) -> Memes:  # fmt: skip
    """One split. Memes of which a frozen side has no vector are left out, and `notes` says so.

    digest: of images that no cache holds.
    """
    cached = {side.kind: store.read(path(side, features, split)) for side in sides if reads_vectors(side, sides)}
    places = {kind: {name: row for row, name in enumerate(held.ids.tolist())} for kind, held in cached.items()}
    lost = [meme.id for meme in memes if any(meme.id not in place for place in places.values())]
    if lost:
        notes.append(f"{split}: {len(lost):,} memes without vectors left out: {shortened(lost)}.")
    kept = [meme for meme in memes if meme.id not in set(lost)]
    columns: dict[str, Column] = {}
    for kind, held in cached.items():
        column = Rows(held.vector, np.array([places[kind][meme.id] for meme in kept], dtype=np.int64))
        grid = is_grid(sides[1]) and kind == "image"
        columns["grid" if grid else f"{kind}_vec"] = Grids(column, GRID) if grid else column
    columns |= contents(kept, sides, max_tokens)
    texts = np.array([meme.text_content for meme in kept], dtype="S64")
    if "image" in cached:
        pictures = cached["image"].content[[places["image"][meme.id] for meme in kept]]
    else:
        pictures = np.array([digest[meme.image] for meme in kept], dtype="S64")
    return Memes(
        split,
        np.array([meme.id for meme in kept]),
        np.array([NO_LABEL if meme.label is None else meme.label for meme in kept], dtype=np.int64),
        statistics.groups(texts, alone=texts == NO_TEXT),
        np.stack([texts, pictures], axis=1),
        columns,
    )


def contents(memes: Sequence[Meme], sides: tuple[Side, Side], max_tokens: int) -> dict[str, Column]:
    """Word pieces and pictures, for encoders that do not stand in the cache."""
    text, image = sides
    found: dict[str, Column] = {}
    if text.located is not None and not reads_vectors(text, sides):
        found["input_ids"] = word_pieces(text.located, [meme.text for meme in memes], max_tokens)
    if image.trains:
        found["pixels"] = Pictures([meme.image for meme in memes])
    return found


def path(side: Side, features: Place, split: str) -> Place:
    return features / side.slug / f"{split}.h5"


def word_pieces(located: Located, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Ids with specials, cut to `max_tokens` or to as many as the encoder has positions for."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(located.path, local_files_only=True, trust_remote_code=False)
    longest = min(max_tokens, position_limit(located) or max_tokens)
    return tokenizer(list(texts), truncation=True, max_length=longest, padding=False)["input_ids"]


def labelled(memes: Memes, notes: list[str]) -> Memes:
    """Those with a label. Raises Refused unless both labels occur."""
    rows = np.flatnonzero(memes.label != NO_LABEL)
    if len(set(memes.label[rows].tolist())) < 2:
        raise Refused(f"{memes.split} holds not both labels ({len(rows):,} of {len(memes):,} memes have one)")
    if len(rows) < len(memes):
        notes.append(f"{memes.split}: {len(memes) - len(rows):,} memes without a label left out.")
    return memes.take(rows)


def with_widths(sides: tuple[Side, Side], train: Memes, features: Place) -> tuple[Side, Side]:
    """Sides with what is known of their vectors, or of the weights that they start from."""
    found = []
    for side in sides:
        if reads_vectors(side, sides):
            used = store.read_rows(path(side, features, train.split)).identity
            found.append(replace(side, dim=used.dim, fingerprint=used.fingerprint, settings=used.settings))
        else:
            assert side.located is not None
            found.append(replace(side, fingerprint=side.located.weights))
    return found[0], found[1]
