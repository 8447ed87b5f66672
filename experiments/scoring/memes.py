"""Many memes to score: a split of a dataset, or JSON lines; what cannot be used is named, all together."""

import sys
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from experiments.scoring.scorer import Given, Score, Scorer
from extract import archive, dataset
from extract.dataset import Meme
from extract.errors import Failed, Refused, listing
from extract.places import Place


@dataclass(frozen=True)
class Scored:
    """Memes and what the heads say of them, in their source's order."""

    memes: list[Meme]
    scores: list[Score]


def of_split(data: Place, split: str) -> dataset.Split:
    """One split of a dataset folder, faults and all. Raises Refused when it is not there, or is not one."""
    names = dataset.choose_splits(data, split)
    if len(names) > 1:
        raise Refused(f"--split {split} is {', '.join(names)}: name one of them")
    if archive.unpack_images(data):
        print(f"unpacked {data / archive.ARCHIVE}", file=sys.stderr)
    return dataset.read(data, names[0])


def of_lines(source: str, data: Place | None) -> dataset.Split:
    """JSON lines as in a split's file, from a file or, for "-", from stdin.

    data: the folder that `img` starts from; by default the file's own, for stdin the current one.
    """
    path = Path(source)
    try:
        if source == "-":
            found = dataset.read_lines(sys.stdin.buffer, "stdin", data or Path())
        else:
            with path.open("rb") as file:
                found = dataset.read_lines(file, path.stem, data or path.parent)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from None
    if not found.memes and not found.faults:
        raise Refused(f"{'stdin' if source == '-' else path} holds no rows")
    return found


def score(split: dataset.Split, scorer: Scorer, skip: bool) -> Scored:
    """Score a split's memes. skip: leave out what cannot be used, and list it on stderr.

    Raises Refused for rows that cannot be used, Failed for images that cannot be decoded, naming every one.
    """
    if not skip:
        dataset.refuse_faults([split])
    memes = split.memes
    with tqdm(desc="encoding", unit=" contents", disable=None, leave=False, delay=0.5) as bar:
        scores, bad = scorer.score_all([Given(meme.text, meme.image) for meme in memes], bar.update)
    undecodable = [f"{memes[row].id}  {memes[row].image}: {reason}" for row, reason in sorted(bad.items())]
    if bad and not skip:
        raise Failed(
            f"{len(bad):,} of {len(memes):,} images cannot be decoded; nothing was written.\n{listing(undecodable)}\n"
            "The others' vectors are kept. Replace these images and run again, or pass --on-error skip."
        )
    left_out = [str(fault) for fault in split.faults] + undecodable
    if left_out:
        print(f"{len(left_out):,} memes left out:\n{listing(left_out, len(left_out))}", file=sys.stderr)
    kept = [(meme, its) for meme, its in zip(memes, scores, strict=True) if its is not None]
    return Scored([meme for meme, _ in kept], [its for _, its in kept])
