"""Rows of memes: a split of a dataset, JSON lines, or labelled examples. What cannot be used is named, all together."""

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from extract import archive, dataset
from extract.dataset import Meme
from extract.errors import Failed, Refused, listing
from extract.places import Place


def of_split(data: Place, split: str, quiet: bool, sides: Collection[str] = dataset.SIDES) -> dataset.ManifestSplit:
    """Read one split of a dataset folder, faults and all. sides: what a row must have, "text", "image" or both.

    Raises Refused when the split is not there, or is not one.
    """
    names = dataset.choose_splits(data, split)
    if len(names) > 1:
        raise Refused(f"--split {split} is {', '.join(names)}: name one of them")
    if archive.unpack_images(data) and not quiet:
        print(f"unpacked {data / archive.ARCHIVE}", file=sys.stderr)
    return dataset.read_split(data, names[0], sides)


def of_lines(source: str, data: Place | None, sides: Collection[str] = dataset.SIDES) -> dataset.ManifestSplit:
    """Read JSON lines as in a split's file, from a file or, for "-", from stdin.

    data: the folder that `img` starts from; by default the file's own, for stdin the current one.
    sides: what a row must have, "text", "image" or both.
    Raises Refused where there are none.
    """
    path = Path(source)
    try:
        if source == "-":
            split = dataset.read_lines(sys.stdin.buffer, "stdin", data or Path(), sides)
        else:
            with path.open("rb") as file:
                split = dataset.read_lines(file, path.stem, data or path.parent, sides)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from None
    if not split.memes and not split.faults:
        raise Refused(f"{'stdin' if source == '-' else path} holds no rows")
    return split


def labelled(path: Path, sides: Collection[str], skip: bool) -> tuple[list[Meme], list[str]]:
    """Return the memes of a file in the data contract, JSON lines or Parquet, and what of its rows was left out.

    sides: what a row must have, besides a label. skip: leave out rows that cannot be used.
    Raises Refused for these, and where there are none at all.
    """
    if not path.is_file():
        raise Refused(f"--examples {path}: there is no such file")
    parquet = path.suffix == ".parquet"
    split = dataset.read_split(path.parent, path.stem, sides) if parquet else of_lines(str(path), None, sides)
    bare = {meme.id for meme in split.memes if meme.label is None}
    left_out = [*map(str, split.faults), *(f"{name}  no label" for name in sorted(bare))]
    if bare and not skip:
        raise Refused(
            f"{len(bare):,} of {len(split.memes):,} examples in {path} have no label, and so no vote:\n"
            f"{listing(sorted(bare))}\nLabel them and run again, or pass --on-error skip: they are left out and listed."
        )
    if not skip:
        dataset.refuse_faults([split])
    return [meme for meme in split.memes if meme.id not in bare], left_out


def undecodable(memes: Sequence[Meme], bad: Mapping[int, str], skip: bool, what: str = "images") -> list[str]:
    """Return why images cannot be decoded, a line for each. Raises Failed, naming them, where none is to be skipped."""
    lines = [f"{memes[row].id}  {memes[row].image}: {reason}" for row, reason in sorted(bad.items())]
    if bad and not skip:
        raise Failed(
            f"{len(bad):,} of {len(memes):,} {what} cannot be decoded; nothing was written.\n{listing(lines)}\n"
            "The others' vectors are kept. Replace these images and run again, or pass --on-error skip."
        )
    return lines
