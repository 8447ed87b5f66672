"""What a features folder holds, and text and image features of one split joined by id."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import combinations
from shlex import quote
from typing import Any

import numpy as np

from extract import places
from extract.errors import Refused, listing, named
from extract.places import Place
from extract.store.schema import EncoderIdentity, Features, Lazy, StoreError, Vectors
from extract.store.splits import read_rows

DATASET = "dataset.json"  # beside an encoder's files: whose memes they are
IN_MEMORY = 1 << 28  # bytes of vectors that are copied when they are put into another order; more stay on disk


@dataclass(frozen=True)
class DatasetIdentity:
    """Which dataset an encoder's files were made from."""

    data: str  # its folder, in full; in the file as seen from there
    splits: dict[str, str]  # name -> sha256 of its ids and texts

    def same(self, other: "DatasetIdentity") -> bool:
        """Whether the two are one dataset: in one folder, if edited, or moved or copied, with a split as it was."""
        return self.data == other.data or any(other.splits.get(name) == each for name, each in self.splits.items())

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, indent=1) + "\n"


def recorded(features: Place) -> dict[Place, DatasetIdentity]:
    """What the encoders' folders say of their datasets, by the file that says so; older folders say nothing."""
    said = {}
    for path in places.glob(features, f"[!.]*/{DATASET}"):
        try:
            told = json.loads(places.local(path).read_text(encoding="utf-8"))
            said[path] = DatasetIdentity(places.in_full(path.parent, str(told["data"])), dict(told["splits"]))
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path}: cannot be read ({error}); delete it and run extract again") from None
    return said


def extract_command(features: Place) -> str:
    """Return the command that encodes into a features folder; of a dataset that is not told there, DIR."""
    data = next((its.data for its in recorded(features).values() if its.data), "DIR")
    return f"python -m extract --data {quote(data)} --features {quote(str(features))}"


def refuse_no_folder(features: Place) -> None:
    """Raise Refused, naming the command that makes it, where there is no features folder, or nobody answers there."""
    places.refuse_unreachable(features)
    if not features.is_dir():
        raise Refused(f"no features folder {features}; run: {extract_command(features)}")


def columns_path(path: Place) -> Place:
    """Of the file beside a published split that holds what else its manifest's rows held."""
    return path.with_suffix(".columns.jsonl")


def columns(path: Place) -> dict[str, dict[str, Any]]:
    """Return a published split's other columns by id; empty where its manifest had none, or it is older than that.

    Raises StoreError for a damaged file.
    """
    beside = columns_path(path)
    if not beside.exists():
        return {}
    try:
        rows = map(json.loads, places.local(beside).read_text(encoding="utf-8").splitlines())
        return {str(row["id"]): dict(row["columns"]) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{beside}: cannot be read ({error}); delete it and run extract again") from None


@dataclass(frozen=True)
class EncoderFolder:
    """`features/<encoder>`: which kind of vectors it holds, for which splits."""

    name: str
    kind: str  # "text" or "image"
    pooling: str  # "cls", "pooled", "grid", ...; empty where its files do not say
    splits: dict[str, Place]


def encoders(features: Place, tests: bool = True) -> dict[str, EncoderFolder]:
    """What a features folder holds, by encoder; without `tests` as if it held no test split, and none is opened.

    Raises Refused when there is no such folder, or when it holds vectors of two datasets.
    """
    refuse_no_folder(features)
    splits: dict[str, dict[str, Place]] = {}
    for path in places.glob(features, "[!.]*/[!.]*.h5"):
        if tests or not path.stem.startswith("test"):
            splits.setdefault(path.parent.name, {})[path.stem] = path
    for (one, its), (other, others) in combinations(recorded(features).items(), 2):
        if not its.same(others):
            raise Refused(
                f"{features} holds vectors of two datasets, {its.data} ({one.parent.name}) and {others.data} "
                f"({other.parent.name}): give one of them another folder, extract --features, and delete its own here"
            )
    for path, dataset in recorded(features).items():
        files = splits.get(path.parent.name, {})
        if files.keys() >= {"dev", "dev_seen"} and "dev" not in dataset.splits and "dev_seen" in dataset.splits:
            del files["dev"]  # of a manifest that has gone since, or has another name now
    return {name: _folder(name, files) for name, files in splits.items()}


def _folder(name: str, files: dict[str, Place]) -> EncoderFolder:
    """Whatever file tells it: a damaged one is no matter while another split is asked for."""
    damage: StoreError | None = None
    for path in files.values():
        try:
            encoder = read_rows(path).identity
        except StoreError as error:
            damage = error
        else:
            return EncoderFolder(name, encoder.kind, encoder.pooling, files)
    assert damage is not None
    raise damage


@dataclass(frozen=True)
class Pairs:
    """Text and image features joined by id, in the text file's order: row i of every array is one meme."""

    text: Features
    image: Features
    ids: np.ndarray  # [N] text
    label: np.ndarray  # [N] int8, -1 where there is none
    text_rows: np.ndarray  # [N] int64, rows of `text`
    image_rows: np.ndarray  # [N] int64, rows of `image`
    without_image: list[str]  # ids that only the text file has
    without_text: list[str]  # ids that only the image file has

    @property
    def split(self) -> str:
        return self.text.split

    @property
    def text_vec(self) -> Vectors:  # [N, D_text] float32
        return _take(self.text.vector, self.text_rows)

    @property
    def image_vec(self) -> Vectors:  # [N, D_image] float32
        return _take(self.image.vector, self.image_rows)

    @property
    def text_content(self) -> np.ndarray:  # [N] S64
        return self.text.content[self.text_rows]

    @property
    def image_content(self) -> np.ndarray:  # [N] S64
        return self.image.content[self.image_rows]

    @property
    def tokens(self) -> np.ndarray | None:  # [N] int32
        return None if self.text.tokens is None else self.text.tokens[self.text_rows]

    def __len__(self) -> int:
        return len(self.ids)


def side_by_side(files: Sequence[Features]) -> tuple[Features, dict[str, list[str]]]:
    """One split's vectors by several encoders of a kind, joined by id: what all have, in the order of the first.

    Also returned: the ids that an encoder lacks of those that another has, by its name. A single file stays as it is.
    Raises StoreError as `join` does, and where they are of different contents.
    """
    if len(files) == 1:
        return files[0], {}
    for file in files:
        _refuse_twice(file)
    every = reduce(np.union1d, [file.ids for file in files])
    lacking = {file.identity.name: np.setdiff1d(every, file.ids, assume_unique=True).tolist() for file in files}
    common = reduce(np.intersect1d, [file.ids for file in files])
    ids = files[0].ids[np.isin(files[0].ids, common)]
    rows = [(order := np.argsort(file.ids))[np.searchsorted(file.ids, ids, sorter=order)] for file in files]
    for file, its_rows in zip(files[1:], rows[1:], strict=True):
        _refuse_contradictions(files[0], file, rows[0], its_rows)
        differ = np.flatnonzero(files[0].content[rows[0]] != file.content[its_rows])
        if len(differ):
            raise StoreError(
                f"{len(differ):,} of {len(ids):,} memes of {file.split} have another {file.identity.kind} in "
                f"{file.identity.name} than in {files[0].identity.name}; first: {named(ids[differ].tolist())}.\n"
                "Run extract again for both encoders on the same data."
            )
    tokens = files[0].tokens
    joined = Features(
        identity=EncoderIdentity.sum_of([file.identity for file in files]),
        split=files[0].split,
        ids=ids,
        label=files[0].label[rows[0]],
        content=files[0].content[rows[0]],
        dropped=files[0].dropped,
        tokens=None if tokens is None else tokens[rows[0]],
        vector=SideBySide([file.vector for file in files], rows),
    )
    return joined, {name: absent for name, absent in lacking.items() if absent}


def join(text: Features, image: Features) -> Pairs:
    """Join by id, never by position.

    Raises StoreError when an id occurs twice on one side or the two sides give a meme different labels.
    """
    for side in (text, image):
        _refuse_twice(side)
    ids, text_rows, image_rows = np.intersect1d(text.ids, image.ids, assume_unique=True, return_indices=True)
    order = np.argsort(text_rows)
    text_rows, image_rows = text_rows[order], image_rows[order]
    _refuse_contradictions(text, image, text_rows, image_rows)
    return Pairs(
        text=text,
        image=image,
        ids=text.ids[text_rows],
        label=text.label[text_rows],
        text_rows=text_rows,
        image_rows=image_rows,
        without_image=sorted(np.setdiff1d(text.ids, ids, assume_unique=True).tolist()),
        without_text=sorted(np.setdiff1d(image.ids, ids, assume_unique=True).tolist()),
    )


def _refuse_twice(file: Features) -> None:
    names, counts = np.unique(file.ids, return_counts=True)
    if (counts > 1).any():
        twice = [str(name) for name in names[counts > 1]]
        raise StoreError(f"{file.identity.name}/{file.split}: {len(twice):,} ids occur twice; first: {named(twice)}")


def _refuse_contradictions(text: Features, image: Features, text_rows: np.ndarray, image_rows: np.ndarray) -> None:
    said, shown = text.label[text_rows], image.label[image_rows]
    lines = [
        f"{text.ids[text_rows[row]]}  {text.identity.name}: {said[row]}, {image.identity.name}: {shown[row]}"
        for row in np.flatnonzero(said != shown)
    ]
    if lines:
        raise StoreError(
            f"{len(lines):,} of {len(said):,} memes of {text.split} have different labels in the two files.\n"
            f"{listing(lines)}\nRun extract again for both encoders on the same data."
        )


def _take(vector: Vectors, rows: np.ndarray) -> Vectors:
    """Rows of a map; the map itself when they are all its rows in order, so that nothing is copied."""
    if np.array_equal(rows, np.arange(len(vector))):
        return vector
    few = len(rows) * vector.shape[1] * 4 <= IN_MEMORY
    return vector[rows] if few else Taken(vector, rows)


class Taken(Lazy):
    """Some rows of `vector`, in an order of their own."""

    def __init__(self, vector: Vectors, rows: np.ndarray) -> None:
        self.vector, self.rows = vector, rows
        self.shape = len(rows), vector.shape[1]

    def _rows(self, numbers: np.ndarray) -> np.ndarray:
        return np.asarray(self.vector[self.rows[numbers]], np.float32)


class SideBySide(Lazy):
    """Columns of several `vectors`, one behind the other; `rows` of each make a row of this."""

    def __init__(self, vectors: Sequence[Vectors], rows: Sequence[np.ndarray]) -> None:
        self.vectors, self.rows = vectors, rows
        self.shape = len(rows[0]), sum(vector.shape[1] for vector in vectors)

    def _rows(self, numbers: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [vector[rows[numbers]] for vector, rows in zip(self.vectors, self.rows, strict=True)], axis=1
        )
