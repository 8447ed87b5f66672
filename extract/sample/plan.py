"""Which sample memes there are: what each says, shows and is labelled, and why one modality alone stays at chance.

Memes come in groups of four, one for each pair of topics: two captions with the same wording, two pictures with the
same light, size and lettering, each caption once on each picture (what Hateful Memes calls benign confounders). The
label is 1 when caption and picture disagree. So every caption occurs once with each label, and whatever else varies is
the same in all four: text alone and image alone stay at chance by construction, and only the pair decides.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

from extract.errors import Refused, listing

DRAWING: Final = 2  # count up when the same settings would draw other memes
GROUP: Final = 4  # memes, one per pair of topics
JPEG_EVERY: Final = 5  # groups; the others are PNG


@dataclass(frozen=True)
class SampleSettings:
    """All that decides what is drawn."""

    train: int = 600  # memes
    dev: int = 150  # memes
    test: int = 150  # memes
    seed: int = 0
    shortest: int = 400  # pixels: no side of a picture is shorter
    longest: int = 800  # pixels: no side of a picture is longer

    def splits(self) -> dict[str, int]:
        return {"train": self.train, "dev": self.dev, "test": self.test}

    def check(self) -> None:
        """Raise Refused naming every fault."""
        faults = [
            f"--{split} is {count}; {GROUP} is the least, one meme for each pair of topics"
            for split, count in self.splits().items()
            if count < GROUP
        ]
        if self.shortest < 300:
            faults.append(f"--sides starts at {self.shortest} pixels; 300 is the least, for captions that can be read")
        if self.longest < self.shortest:
            faults.append(f"--sides ends at {self.longest} pixels, below its start of {self.shortest}")
        if faults:
            raise Refused(f"nothing was drawn:\n{listing(faults)}")


@dataclass(frozen=True)
class DrawnMeme:
    """One meme to draw."""

    id: str
    split: str
    group: int  # counted from 0 in its split; memes of a group share all but caption and scene
    says: str  # topic of the caption: "country" | "city"
    shows: str  # topic of the picture
    text: str
    img: str  # path below the folder

    @property
    def label(self) -> int:
        """1 when caption and picture disagree."""
        return int(self.says != self.shows)

    def row(self) -> dict[str, Any]:
        return {"id": self.id, "img": self.img, "label": self.label, "text": self.text}


def plan(settings: SampleSettings) -> dict[str, list[DrawnMeme]]:
    """Return every meme of every split, in file order, without drawing any."""
    counts = settings.splits()
    digits = max(5, len(str(2 * sum(counts.values()))))  # five, as in Hateful Memes
    numbers = iter(Random(f"{settings.seed} ids").sample(range(10**digits), sum(counts.values())))
    memes: dict[str, list[DrawnMeme]] = {}
    for split, count in counts.items():
        cells = []
        for group in range(-(-count // GROUP)):
            rng = rng_of(settings, split, group, "words")
            texts = captions(rng)
            one, other = rng.sample(list(texts), 2)
            # the order matters where the last group is cut short: two share a caption, and labels stay even
            for says, shows in ((one, one), (one, other), (other, other), (other, one)):
                cells.append((group, says, shows, texts[says]))
        cells = cells[:count]
        Random(f"{settings.seed} {split} order").shuffle(cells)
        memes[split] = []
        for group, says, shows, text in cells:
            name = f"{next(numbers):0{digits}}"
            ending = "jpg" if group % JPEG_EVERY == 0 else "png"
            memes[split].append(DrawnMeme(name, split, group, says, shows, text, f"img/{name}.{ending}"))
    return memes


def rng_of(settings: SampleSettings, split: str, group: int, what: str) -> Random:
    """Return the random numbers of one thing about one group; nobody else's drawing moves them."""
    return Random(f"{settings.seed} {split} {group} {what}")


def captions(rng: Random) -> dict[str, str]:
    """Return one caption per topic: the same wording and neutral words, each with its own topic's words."""
    words = vocabulary()
    wording = rng.choice(words["wordings"])
    neutral = {slot: rng.choice(phrases) for slot, phrases in words["neutral"].items()}
    texts = {}
    for topic, own in words["topics"].items():
        acts, things = rng.sample(own["acts"], 2), rng.sample(own["things"], 2)
        slots = {"thing": things[0], "thing2": things[1], "place": rng.choice(own["places"])}
        for number, act in zip(("", "2"), acts, strict=True):
            verb, doing, rest = act.split(maxsplit=2)
            slots |= {f"do{number}": f"{verb} {rest}", f"doing{number}": f"{doing} {rest}"}
        texts[topic] = wording.format(**neutral, **slots)
    return texts


@cache
def vocabulary() -> dict[str, Any]:
    """Return what captions.toml holds: `wordings`, `neutral` words by slot, and each of the `topics`' own words."""
    return tomllib.loads(Path(__file__).with_name("captions.toml").read_text(encoding="utf-8"))
