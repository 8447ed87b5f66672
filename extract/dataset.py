"""Read `<split>.jsonl` or `<split>.parquet` and the images it names into memes; find splits; check everything and
report all faults together. The folder may lie on this machine or elsewhere."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote

from extract import manifest, parquet, places
from extract.errors import Failed, Refused, listing, printable
from extract.manifest import Row
from extract.parquet import Cell
from extract.places import Place, Remote, Source

KINDS = ("jsonl", "parquet")  # of manifests
SIDES = ("text", "image")  # of a meme
SPLITS = ("train", "dev", "dev_seen", "dev_unseen", "test", "test_seen", "test_unseen")
FAULTS_FILE = "to_mend.txt"
SHOWN = 20  # faults in a message
NO_TEXT = ("no text", "text is null")


@dataclass(frozen=True)
class Meme:
    """One row of a split."""

    id: str
    text: str  # may be empty
    image: Source
    label: int | None  # 0 or 1; None where the split has none
    typed: bool = True  # whether its row has a text
    columns: Row = field(default_factory=dict, compare=False)  # what else its row holds, as it is

    @property
    def text_content(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Fault:
    """A row that cannot be used, and why."""

    split: str
    line: int  # counted from 1
    id: str  # "" when it cannot be read
    reason: str
    kind: str = "jsonl"  # of the manifest

    def __str__(self) -> str:
        return f"{self.split}.{self.kind}:{self.line}  {self.id or '?'}  {self.reason}"


@dataclass(frozen=True)
class ManifestSplit:
    """A split's usable rows in file order, and its faults."""

    name: str
    memes: list[Meme]
    faults: list[Fault] = field(default_factory=list)
    data: Place | None = None  # the folder of its dataset; None for rows of another file


@dataclass(frozen=True)
class HashedSplit:
    """A split whose every meme has its contents' digests."""

    name: str
    memes: list[Meme]
    content: dict[str, list[str]]  # "text" and "image": one sha256 in hex for each meme
    faults: list[Fault]  # rows left out under --on-error skip


def find_splits(data: Place) -> list[str]:
    """The known splits that `data` holds, in canonical order.

    Raises Refused when there is no folder or no split, when a split has two manifests, or when nobody answers there.
    """
    places.refuse_unreachable(data)
    if not data.is_dir():
        raise Refused(
            f"no data folder {data}.\nPut <split>.jsonl files and img/ there (see README, 'Your memes'), "
            f"name another with --data, or draw sample memes: python -m extract.sample --out {quote(str(data))}"
        )
    there = _names(data)
    if twice := [name for name in SPLITS if all(f"{name}.{kind}" in there for kind in KINDS)]:
        pairs = listing([f"{name}.jsonl and {name}.parquet" for name in twice])
        raise Refused(f"{data} holds two manifests for {len(twice)} of its splits:\n{pairs}\nRemove one of each.")
    present = [name for name in SPLITS if any(f"{name}.{kind}" in there for kind in KINDS)]
    if not present:
        names = ", ".join(f"{name}.jsonl" for name in SPLITS)
        raise Refused(
            f"{data} holds no split; expected at least one of {names} (or .parquet).\n"
            f"If it holds pictures alone: python -m extract.ocr --images {quote(str(data))}"
        )
    return present


def _names(data: Place) -> set[str]:
    return set(data.children() if isinstance(data, Remote) else os.listdir(data))


def choose_splits(data: Place, wanted: str) -> list[str]:
    """The splits that `wanted` ("all" or "NAME[,NAME]") stands for in this folder.

    `dev` takes dev.jsonl, else dev_seen.jsonl; likewise `test`. Raises Refused for a split that is not there.
    """
    present = find_splits(data)
    if wanted == "all":
        return present
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    wanted_names = [name if name in present else f"{name}_seen" for name in names]
    absent = [name for name, choice in zip(names, wanted_names, strict=True) if choice not in present]
    if absent or not wanted_names:
        raise Refused(f"{data} has no split {', '.join(absent) or repr(wanted)}; it has {', '.join(present)}")
    return list(dict.fromkeys(wanted_names))


def read_split(data: Place, split: str, sides: Collection[str] = SIDES) -> ManifestSplit:
    """Read and check one split. sides: what a row must have, a "text", an "image" that is there, or both.

    Raises Refused when the split has no row at all, or its manifest cannot be read.
    """
    where = manifest.images_of(data, "image" in sides)
    path = data / f"{split}.jsonl"
    try:
        if f"{split}.parquet" in _names(data):
            path = data / f"{split}.parquet"
            checked = _checked(parquet.rows(path), split, where, "parquet", "text" in sides)
        else:
            with open(places.local(path), "rb") as file:
                checked = _checked(manifest.read_rows(file), split, where, texts="text" in sides)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror or error}") from None
    if not checked.memes and not checked.faults:
        raise Refused(f"{path} is empty; remove it or fill it")
    return replace(checked, data=data if split in SPLITS else None)


def read_lines(rows: Iterable[bytes], split: str, data: Place, sides: Collection[str] = SIDES) -> ManifestSplit:
    """Read and check JSON lines, wherever they come from, as `read_split` does. Their images lie in `data`."""
    where = manifest.images_of(data, "image" in sides)
    return _checked(manifest.read_rows(rows), split, where, texts="text" in sides)


def _checked(
    rows: Iterable[tuple[int, Row | ValueError]],
    split: str,
    images: manifest.Images,
    kind: str = "jsonl",
    texts: bool = True,
) -> ManifestSplit:
    """Memes, and everything that is wrong with the other rows."""
    memes: dict[int, Meme] = {}
    faults: list[Fault] = []
    for line, row in rows:
        name = ""
        try:
            if isinstance(row, ValueError):
                raise row
            name = manifest.meme_id(row)
            typed = row.get("text") is not None
            text = manifest.text(row) if texts or typed else ""
            columns = {key: value for key, value in row.items() if key not in manifest.FIELDS}
            memes[line] = Meme(name, text, _image(row, images), manifest.label(row), typed, columns)
        except ValueError as error:
            faults.append(Fault(split, line, name, str(error), kind))
    where = defaultdict(list)
    for line, meme in memes.items():
        where[meme.id].append(line)
    for name, lines in where.items():
        if len(lines) > 1:
            labels = {memes[line].label for line in lines}
            conflict = ", with different labels" if len(labels) > 1 else ""
            for line in lines:
                others = ", ".join(str(other) for other in lines if other != line)
                faults.append(Fault(split, line, name, f"id also on line {others}{conflict}", kind))
                del memes[line]
    return ManifestSplit(split, list(memes.values()), sorted(faults, key=lambda fault: fault.line))


def _image(row: Row, images: manifest.Images) -> Source:
    image = row.get("img")
    if "img" not in row and not images.check:
        return Path()
    return image if isinstance(image, Cell) else images.find(manifest.image_name(row))


def refuse_faults(splits: Sequence[ManifestSplit], features: Place | None = None, done: str = "encoded") -> None:
    """Raise Refused naming every fault of every split, if there is any.

    features: folder for the list of all of them, where they are more than a message holds. done: what nothing was.
    """
    faults = [str(fault) for split in splits for fault in split.faults]
    if faults:
        shown = list_faults(faults, features) if features else listing(faults)
        rows = sum(len(split.memes) for split in splits) + len(faults)
        raise Refused(
            f"{len(faults):,} of {rows:,} rows cannot be used; nothing was {done}.\n"
            f"{shown}\n{_textless(splits)}"
            "Mend them and run again, or pass --on-error skip: these memes are left out and listed."
        )


def _textless(splits: Sequence[ManifestSplit]) -> str:
    """What to do about rows without a text; empty where there are none."""
    lacking = [split for split in splits for fault in split.faults if fault.reason.startswith(NO_TEXT)]
    if not lacking:
        return ""
    what = "1 row has" if len(lacking) == 1 else f"{len(lacking):,} rows have"
    data = lacking[0].data
    reader = f"python -m extract.ocr --data {quote(str(data))}" if data else "memefuse[ocr], once installed,"
    return f"{what} no text: {reader} reads it from the pictures.\n"


def overlaps(keys: dict[str, list[str]]) -> dict[tuple[str, str], int]:
    """How many distinct keys (ids, texts, image contents) each two splits share; pairs that share none are left out."""
    sets = {name: set(values) for name, values in keys.items()}
    names = list(sets)
    pairs = [(one, other) for i, one in enumerate(names) for other in names[i + 1 :]]
    return {pair: shared for pair in pairs if (shared := len(sets[pair[0]] & sets[pair[1]]))}


def list_faults(items: Sequence[str], features: Place) -> str:
    """What a person must mend before a run can end: the first lines for a message, and where all of them are listed.

    Five hundred bad images take one round of mending so. A folder that takes no file gets none.
    """
    lines = listing(items, SHOWN)
    clear_faults(features)
    if len(items) > SHOWN:
        with suppress(OSError, Failed):
            features.mkdir(parents=True, exist_ok=True)
            (features / FAULTS_FILE).write_bytes("".join(f"{printable(item)}\n" for item in items).encode())
            lines += f"\n  all {len(items):,} are listed in {features / FAULTS_FILE}"
    return lines


def clear_faults(features: Place) -> None:
    """Remove the list once nothing is left to mend."""
    with suppress(OSError, Failed):
        (features / FAULTS_FILE).unlink(missing_ok=True)
