"""Images that an encoder trains on: every one is decoded once before any training, so that none stops it half-way."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tqdm import tqdm

from extract import images, places
from extract.dataset import Meme
from extract.errors import Refused, listing
from extract.machine import cores
from extract.places import Source


@dataclass(frozen=True)
class Usable:
    """Memes by split that a system can read."""

    memes: Mapping[str, Sequence[Meme]]
    digest: Mapping[Source, str] = field(default_factory=dict)  # sha256 of images that were looked at here
    notes: Sequence[str] = ()  # what was left out, in sentences


@dataclass(frozen=True)
class Look:
    """An image's content, and why it cannot be decoded; empty where it can."""

    digest: str
    fault: str


def usable(memes: Mapping[str, Sequence[Meme]], on_error: str) -> Usable:
    """Decode every image. Raises Refused naming all that cannot be decoded, or leaves their memes out and says so."""
    sources = list(dict.fromkeys(meme.image for rows in memes.values() for meme in rows))
    found = dict(zip(sources, looks(sources), strict=True))
    bad = {split: [meme for meme in rows if found[meme.image].fault] for split, rows in memes.items()}
    lost = [f"{split}: {meme.id}  {meme.image}: {found[meme.image].fault}" for split in bad for meme in bad[split]]
    if lost and on_error == "stop":
        raise Refused(
            f"the images of {len(lost):,} of {sum(map(len, memes.values())):,} memes cannot be decoded; nothing was "
            f"trained.\n{listing(lost)}\n"
            "Replace them and run again, or pass --on-error skip: these memes are left out and named."
        )
    kept = {split: [meme for meme in rows if not found[meme.image].fault] for split, rows in memes.items()}
    notes = [
        f"{split}: {len(rows):,} memes left out, whose images cannot be decoded: "
        f"{', '.join(meme.id for meme in rows[:5])}{', ...' if len(rows) > 5 else ''}."
        for split, rows in bad.items()
        if rows
    ]
    return Usable(kept, {source: look.digest for source, look in found.items()}, notes)


def looks(sources: Sequence[Source]) -> list[Look]:
    threads = places.readers(sources[0], cores()) if sources else 1
    with ThreadPoolExecutor(threads) as pool:
        seen = pool.map(look, sources)
        return list(tqdm(seen, "looking at images", len(sources), unit=" images", leave=False, disable=None, delay=2))


def look(source: Source) -> Look:
    try:
        images.decode(source.read_bytes())
    except (images.Undecodable, OSError) as error:
        return Look("", str(error))
    return Look(places.digest(source), "")
