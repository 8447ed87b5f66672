"""Read `<split>.jsonl` and img/ into memes; find splits; check everything and report all faults together."""

import hashlib
import json
import os
import shutil
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from extract.errors import Refused, listing

SPLITS = ("train", "dev", "dev_seen", "dev_unseen", "test", "test_seen", "test_unseen")
ARCHIVE = "img.tar.gz"


@dataclass(frozen=True)
class Meme:
    """One row of a split."""

    id: str
    text: str  # may be empty
    image: Path
    label: int | None  # 0 or 1; None where the split has none

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

    def __str__(self) -> str:
        return f"{self.split}.jsonl:{self.line}  {self.id or '?'}  {self.reason}"


@dataclass(frozen=True)
class Split:
    """A split's usable rows in file order, and its faults."""

    name: str
    memes: list[Meme]
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True)
class HashedSplit:
    """A split whose every meme has its contents' digests."""

    name: str
    memes: list[Meme]
    content: dict[str, list[str]]  # "text" and "image": one sha256 in hex for each meme
    faults: list[Fault]  # rows left out under --on-error skip


def find_splits(data: Path) -> list[str]:
    """The known splits that `data` holds, in canonical order. Raises Refused when there is no folder or no split."""
    if not data.is_dir():
        raise Refused(
            f"no data folder {data}.\nPut <split>.jsonl files and img/ there (see README, 'Your memes'), "
            f"name another with --data, or draw sample memes: python -m extract.sample --out {data}"
        )
    found = [name for name in SPLITS if (data / f"{name}.jsonl").is_file()]
    if not found:
        names = ", ".join(f"{name}.jsonl" for name in SPLITS)
        raise Refused(f"{data} holds no split; expected at least one of {names}")
    return found


def choose_splits(data: Path, wanted: str) -> list[str]:
    """The splits that `wanted` ("all" or "NAME[,NAME]") stands for in this folder.

    `dev` takes dev.jsonl, else dev_seen.jsonl; likewise `test`. Raises Refused for a split that is not there.
    """
    found = find_splits(data)
    if wanted == "all":
        return found
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    chosen = [name if name in found else f"{name}_seen" for name in names]
    absent = [name for name, choice in zip(names, chosen, strict=True) if choice not in found]
    if absent or not chosen:
        raise Refused(f"{data} has no split {', '.join(absent) or repr(wanted)}; it has {', '.join(found)}")
    return list(dict.fromkeys(chosen))


def read(data: Path, split: str, images: bool = True) -> Split:
    """Read and check one split. images: also check that every image is there.

    Raises Refused when the split has no row at all.
    """
    with open(data / f"{split}.jsonl", "rb") as file:
        found = read_lines(file, split, data, images)
    if not found.memes and not found.faults:
        raise Refused(f"{data / f'{split}.jsonl'} is empty; remove it or fill it")
    return found


def read_lines(rows: Iterable[bytes], split: str, data: Path, images: bool = True) -> Split:
    """Read and check a split's rows, wherever they come from. Their images lie in `data`."""
    roots = _roots(data)
    memes: dict[int, Meme] = {}
    faults: list[Fault] = []
    for line, raw in _numbered(rows):
        name = ""
        try:
            row = _parse(raw)
            name = _id(row)
            memes[line] = Meme(name, _text(row), _image(row, data, roots, images), _label(row))
        except ValueError as error:
            faults.append(Fault(split, line, name, str(error)))
    where = defaultdict(list)
    for line, meme in memes.items():
        where[meme.id].append(line)
    for name, lines in where.items():
        if len(lines) > 1:
            labels = {memes[line].label for line in lines}
            conflict = ", with different labels" if len(labels) > 1 else ""
            for line in lines:
                others = ", ".join(str(other) for other in lines if other != line)
                faults.append(Fault(split, line, name, f"id also on line {others}{conflict}"))
                del memes[line]
    return Split(split, list(memes.values()), sorted(faults, key=lambda fault: fault.line))


def refuse_faults(splits: Sequence[Split]) -> None:
    """Raise Refused naming every fault of every split, if there is any."""
    faults = [fault for split in splits for fault in split.faults]
    if faults:
        rows = sum(len(split.memes) for split in splits) + len(faults)
        raise Refused(
            f"{len(faults):,} of {rows:,} rows cannot be used; nothing was encoded.\n"
            f"{listing([str(fault) for fault in faults])}\n"
            "Mend them and run again, or pass --on-error skip: these memes are left out and listed."
        )


def overlaps(keys: dict[str, list[str]]) -> dict[tuple[str, str], int]:
    """How many distinct keys (ids, texts, image contents) each two splits share; pairs that share none are left out."""
    sets = {name: set(values) for name, values in keys.items()}
    names = list(sets)
    pairs = [(one, other) for i, one in enumerate(names) for other in names[i + 1 :]]
    return {pair: shared for pair in pairs if (shared := len(sets[pair[0]] & sets[pair[1]]))}


def file_digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack_images(data: Path) -> bool:
    """Unpack img.tar.gz once, when there is no img/. Returns whether it did.

    Members that would land outside the folder, links out of it and devices are refused (tarfile's "data" filter).
    A kill in mid-way leaves no img/.
    """
    archive, target = data / ARCHIVE, data / "img"
    if target.exists() or not archive.is_file():
        return False
    aside = data / f".img.{os.getpid()}.partial"
    try:
        with tarfile.open(archive) as members:
            members.extractall(aside, filter="data")
        # Hateful Memes' archive has img/ inside, others hold the images themselves
        os.replace(aside / "img" if (aside / "img").is_dir() else aside, target)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise Refused(
            f"{archive} cannot be unpacked: {error}. Nothing was written; replace it or unpack it to {target}"
        ) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return True


def _numbered(rows: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, counted from 1 with those that are."""
    for number, line in enumerate(rows, start=1):
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if line.strip():
            yield number, line


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        row = json.loads(raw.decode("utf-8").strip())
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"broken JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("broken JSON: nested too deeply") from None
    if not isinstance(row, dict):
        raise ValueError(f"not a JSON object but {type(row).__name__}")
    return row


def _id(row: dict[str, Any]) -> str:
    name = row.get("id")
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise ValueError(f"id is {json.dumps(name)}, expected text or a whole number" if "id" in row else "no id")
    name = _mended(str(name))
    if not name or "\0" in name:
        raise ValueError("id is empty" if not name else "id holds a NUL character")
    return name


def _text(row: dict[str, Any]) -> str:
    text = row.get("text")
    if not isinstance(text, str):
        raise ValueError(
            f"text is {json.dumps(text)[:40]}, expected text (may be empty)" if "text" in row else "no text"
        )
    return _mended(text)


def _label(row: dict[str, Any]) -> int | None:
    if "label" not in row:
        return None
    label = row["label"]
    if type(label) is not int or label not in (0, 1):
        raise ValueError(f"label is {json.dumps(label)[:40]}, expected 0 or 1 (no label at all if it is unknown)")
    return label


def _image(row: dict[str, Any], data: Path, roots: tuple[Path, ...], check: bool) -> Path:
    name = row.get("img")
    if not isinstance(name, str) or not name.strip("/") or "\0" in name:
        raise ValueError(f"img is {json.dumps(name)[:40]}, expected a path" if "img" in row else "no img")
    path = data / name.lstrip("/")  # "/img/1.png" means the folder's img/1.png
    if not check:
        return path
    real = path.resolve()
    if not any(real.is_relative_to(root) for root in roots):
        raise ValueError(f"{name} leaves the data folder")
    if not real.is_file():
        raise ValueError(f"{name} is missing")
    return path


def _roots(data: Path) -> tuple[Path, ...]:
    """Where images may lie: the folder, and wherever its owner has linked img/ to."""
    return data.resolve(), (data / "img").resolve()


def _mended(text: str) -> str:
    """Half surrogate pairs, which JSON can hold and UTF-8 cannot, become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
