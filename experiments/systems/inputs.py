"""A dataset as a system reads it: compare's joined splits, and beside each what the model takes of every meme."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor
from tqdm import tqdm

from experiments.data import Data, Split, both_classes
from experiments.systems.encoders import CELLS, Side, publish_fasttext, rows_of, word_pieces
from experiments.systems.published import FASTTEXT
from extract import archive, dataset, images, places, store
from extract.dataset import SIDES, Meme
from extract.encoders.text import LENGTH_STEP
from extract.errors import Failed, Refused, listing, named
from extract.machine import cores
from extract.places import Place, Source

Memes = Mapping[str, Sequence[Meme]]  # by split: train, dev and every test split, in the order of ids


@dataclass(frozen=True)
class Inputs:
    """Memes of one split as a model reads them. Row i of everything is the same meme.

    columns: "text_vec" [n, text_dim], "image_vec" [n, image_dim] (float32, read row by row), "input_ids" (lists of word
    pieces, specials included) and "pixels" ([3, 224, 224] uint8 each); those that are used.
    """

    split: str
    label: Int[np.ndarray, " n"]  # -1 where there is none
    columns: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {name: column[row] for name, column in self.columns.items()} | {"labels": int(self.label[row])}


@dataclass(frozen=True)
class Pictures:
    """Images, decoded as stage 1 does when they are asked for."""

    sources: Sequence[Source]

    def __getitem__(self, row: int) -> UInt8[np.ndarray, "3 224 224"]:
        try:
            return images.decode(self.sources[row].read_bytes()).transpose(2, 0, 1)
        except (images.Undecodable, OSError) as error:
            raise Failed(f"{self.sources[row]}: {error}") from None


def collate(memes: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Rows as a batch of tensors; word pieces are padded, with "attention_mask" 1 where there are some."""
    batch = {
        name: torch.from_numpy(np.stack([np.asarray(meme[name]) for meme in memes]))
        for name in memes[0]
        if name != "input_ids"
    }
    if "input_ids" in memes[0]:
        batch["input_ids"], batch["attention_mask"] = padded([meme["input_ids"] for meme in memes])
    return batch


def padded(token_ids: Sequence[Sequence[int]]) -> tuple[Int[Tensor, "batch tokens"], Int[Tensor, "batch tokens"]]:
    """Word pieces and their mask. Padding is masked out, so any id does: 0."""
    longest = max(len(ids) for ids in token_ids)
    length = -(-max(longest, 1) // LENGTH_STEP) * LENGTH_STEP
    ids = torch.tensor([[*pieces, *[0] * (length - len(pieces))] for pieces in token_ids])
    return ids, (torch.arange(length) < torch.tensor([len(pieces) for pieces in token_ids])[:, None]).long()


def read_memes(data: Place, on_error: str) -> dict[str, list[Meme]]:
    """Read train, dev and every test split, in the order of ids. Raises Refused when they cannot be used."""
    names = dataset.find_splits(data)
    missing = [name for name in ("train", "dev") if name not in names and f"{name}_seen" not in names]
    if missing:
        raise Refused(f"{data} has no {' and no '.join(missing)}; a system trains on train and dev watches it")
    wanted = dataset.choose_splits(data, "train,dev") + [name for name in names if name.startswith("test")]
    archive.unpack_images(data)
    splits = [dataset.read_split(data, name) for name in wanted]
    if on_error == "stop":
        dataset.refuse_faults(splits)
    return {split.name: sorted(split.memes, key=lambda meme: meme.id) for split in splits}


def usable(memes: Memes, on_error: str) -> tuple[dict[str, list[Meme]], dict[Source, str], list[str]]:
    """The memes whose images can be decoded, the images' sha256, and what was left out, in sentences.

    Every image that an encoder trains on is decoded once before any training, so that none stops it half-way. Raises
    Refused naming all that cannot be, unless they are to be skipped.
    """
    tried = decode_once(list(dict.fromkeys(meme.image for rows in memes.values() for meme in rows)))
    digests = {source: digest for source, (digest, fault) in tried.items() if not fault}
    bad = {split: [meme for meme in rows if meme.image not in digests] for split, rows in memes.items()}
    lost = [f"{split}: {meme.id}  {meme.image}: {tried[meme.image][1]}" for split in bad for meme in bad[split]]
    if lost and on_error == "stop":
        raise Refused(
            f"the images of {len(lost):,} of {sum(map(len, memes.values())):,} memes cannot be decoded; nothing was "
            f"trained.\n{listing(lost)}\n"
            "Replace them and run again, or pass --on-error skip: these memes are left out and named."
        )
    notes = [
        f"{split}: {len(rows):,} memes left out, whose images cannot be decoded: {named([meme.id for meme in rows])}."
        for split, rows in bad.items()
        if rows
    ]
    good = {split: [meme for meme in rows if meme.image in digests] for split, rows in memes.items()}
    return good, digests, notes


def decode_once(sources: Sequence[Source]) -> dict[Source, tuple[str, str]]:
    """Every image's sha256, and why it cannot be decoded; one of the two is empty."""

    def one(source: Source) -> tuple[str, str]:
        try:
            images.decode(source.read_bytes())
        except (images.Undecodable, OSError) as error:
            return "", str(error)
        return places.digest(source), ""

    threads = places.readers(sources[0], cores()) if sources else 1
    with ThreadPoolExecutor(threads) as pool:
        tried = pool.map(one, sources)
        bar = tqdm(tried, "looking at images", len(sources), unit=" images", leave=False, disable=None, delay=2)
        return dict(zip(sources, bar, strict=True))


def load(
    memes: Memes, digests: Mapping[Source, str], sides: tuple[Side, Side], features: Place, notes: Sequence[str]
) -> Data:
    """Join memes by id with what each side reads; train and dev without memes that have no label.

    digests: sha256 of images that no cache holds. notes: of what is left out already. Raises Refused unless train and
    dev hold both labels.
    """
    if sides[0].name == FASTTEXT:
        publish_fasttext(features / FASTTEXT, memes)
    splits, said = [], list(notes)
    for name, rows in memes.items():
        pairs = store.join(*(side_features(side, name, rows, digests, features) for side in sides))
        order = np.argsort(pairs.ids, kind="stable")
        wanted = {meme.id for meme in rows}
        splits.append(Split(pairs).only(order[np.isin(pairs.ids[order], sorted(wanted))]))
        if lost := sorted(wanted - {*pairs.ids.tolist()}):
            said.append(f"{name}: {len(lost):,} memes without vectors left out: {named(lost)}.")
    (train, of_train), (dev, of_dev) = map(both_classes, splits[:2])
    read = train.pairs
    return Data(read.text.identity, read.image.identity, train, dev, splits[2:], [*said, *of_train, *of_dev], features)


def side_features(
    side: Side, split: str, memes: Sequence[Meme], digests: Mapping[Source, str], features: Place
) -> store.Features:
    """A side's published vectors; of an encoder that stands in the model, rows of vectors without columns."""
    if side.cached:
        return store.read(features / side.identity.name / f"{split}.h5")
    is_text = side.identity.kind == "text"
    content = [meme.text_content if is_text else digests[meme.image] for meme in memes]
    rows = rows_of(memes, split, side.identity, content)
    return store.Features(**vars(rows), vector=np.zeros((len(memes), 0), np.float32))


def inputs_of(split: Split, memes: Sequence[Meme], sides: tuple[Side, Side], max_tokens: int) -> Inputs:
    """What the model reads of a split's memes. memes: at least those of the split, in any order."""
    pairs, by_id = split.pairs, {meme.id: meme for meme in memes}
    vectors = {"text": pairs.text_vec, "image": pairs.image_vec}
    columns = columns_of([by_id[name] for name in pairs.ids.tolist()], vectors, sides, max_tokens)
    return Inputs(split.name, pairs.label.astype(np.int64), columns)


def columns_of(
    memes: Sequence[Meme], vectors: Mapping[str, Any], sides: tuple[Side, Side], max_tokens: int
) -> dict[str, Any]:
    """vectors: by kind, of cached sides; encoders that stand in the model take word pieces, cut, and pictures."""
    text, image = sides
    columns = {f"{kind}_vec": vectors[kind] for kind, side in zip(SIDES, sides, strict=True) if side.cached}
    if text.located is not None and not text.cached:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(text.located.path, local_files_only=True, trust_remote_code=False)
        longest = word_pieces(text.located, max_tokens, CELLS if image.is_grid else 0)
        texts = [meme.text for meme in memes]
        columns["input_ids"] = tokenizer(texts, truncation=True, max_length=longest, padding=False)["input_ids"]
    return columns if image.cached else columns | {"pixels": Pictures([meme.image for meme in memes])}


def trained_rows(split: Split, rows: int | None, balance: str) -> Int[np.ndarray, " m"]:
    """Rows of train that are trained on: a draw of `rows` memes with seed 0, then balanced.

    Raises Refused if the draw has one label.
    """
    label = split.pairs.label
    drawn = np.arange(len(label))
    if rows is not None and rows < len(label):
        drawn = np.sort(np.random.default_rng(0).choice(len(label), rows, replace=False))
        if len(set(label[drawn].tolist())) < 2:
            raise Refused(f"--rows {rows:,} draws memes of label {label[drawn[0]]} alone of {split.name}; draw more")
    return drawn[undersampled(label[drawn])] if balance == "undersample" else drawn


def undersampled(label: Int[np.ndarray, " n"], seed: int = 0) -> Int[np.ndarray, " m"]:
    """Rows with as many memes of the larger class as of the smaller, in their order."""
    smaller, larger = sorted((np.flatnonzero(label == value) for value in (0, 1)), key=len)
    drawn = np.random.default_rng(seed).choice(larger, len(smaller), replace=False)
    return np.sort(np.concatenate([smaller, drawn]))


def digest_of_split(split: Split) -> str:
    """sha256 of what a split's figures are of: ids, labels, texts and images."""
    pairs = split.pairs
    named = "\0".join([*pairs.ids.tolist(), *map(str, pairs.label.tolist())])
    content = np.stack([pairs.text_content, pairs.image_content], axis=1).astype("S64")
    return hashlib.sha256(named.encode() + b"\0" + content.tobytes()).hexdigest()


def digest_of(splits: Sequence[Split]) -> str:
    """sha256 of all memes that figures can be of: splits without any label are passed over."""
    digests = {split.name: digest_of_split(split) for split in splits if len(split.labelled)}
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
