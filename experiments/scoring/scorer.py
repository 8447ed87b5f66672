"""Score new memes with the heads of a comparison.

from experiments.scoring.scorer import Scorer

scorer = Scorer.load("reports")
score = scorer.score(image="meme.png", text="look how many people love you")
print(score.probability, score.label, score.opinions["text"].probability)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote

import numpy as np
import torch
from jaxtyping import Float

from experiments.evaluate import operating_points
from experiments.evaluate.operating_points import Band
from experiments.results import answers, models
from experiments.results import folder as reports
from experiments.results.models import SavedHead
from experiments.results.records import compare_again
from experiments.scoring import rows, vector_cache
from experiments.scoring.memory import Added, Memory, Neighbour, refuse_contradictions
from experiments.scoring.vectors import SumSource, VectorSource, encoding, image_item, text_item
from extract import images, machine, places
from extract.dataset import SIDES, Meme
from extract.encoders.batches import Report
from extract.encoders.reading import BadImage
from extract.errors import Refused, listing, not_installed
from extract.ocr.reader import LIBRARIES
from extract.ocr.words import Words, default_folder
from extract.places import Place, place
from extract.plan import Item
from extract.store import EncoderIdentity
from heads.models import HEADS
from heads.rows import Rows


@dataclass(frozen=True)
class Unscored:
    """A meme to score. A side that is None is not known; "" is a meme without words."""

    text: str | None
    image: places.Source | bytes | None  # where it lies, or what is in it

    @classmethod
    def of(cls, meme: Meme) -> "Unscored":
        return cls(meme.text if meme.typed else None, meme.image)


@dataclass(frozen=True)
class Opinion:
    """What one head says of one meme."""

    head: str
    probability: float  # of label 1: mean over the head's runs
    lowest: float  # of its runs
    highest: float
    threshold: float  # the probability from which on the label is 1
    runs: int
    band: Band | None = None  # where an operating point was asked for that the head reaches on dev

    @property
    def label(self) -> int:
        return int(self.probability >= self.threshold)

    @property
    def decision(self) -> str:
        """ "allow", "review" or "block"; empty without an operating point."""
        if self.band is None:
            return ""
        low, high = self.band
        return "block" if self.probability >= high else "allow" if self.probability < low else "review"


@dataclass(frozen=True)
class Score:
    """What the deciding head says of a meme, and what every head that could answer says."""

    head: str  # the deciding one
    opinions: dict[str, Opinion]  # by head, in the table's order
    read: str | None = None  # words read from the picture, "" where it has none; None where a text was given
    nearest: tuple[Neighbour, ...] = ()  # of the memes that the deciding head remembers, by their share of its vote

    @property
    def probability(self) -> float:
        return self.opinions[self.head].probability

    @property
    def label(self) -> int:
        return self.opinions[self.head].label

    @property
    def decision(self) -> str:
        return self.opinions[self.head].decision

    @property
    def threshold(self) -> float:
        return self.opinions[self.head].threshold


@dataclass(frozen=True)
class Scorer:
    """The heads of one comparison, and where vectors for them come from."""

    deciding: SavedHead
    heads: dict[str, SavedHead]  # all that take the same vectors, in the table's order
    sources: dict[str, VectorSource | SumSource]  # by side
    threshold: float | None = None  # of all heads, instead of the ones tuned on dev
    words: Words | None = None  # reads a meme's words where no text is given
    at: str = ""  # the operating point asked for, as "recall=.8"
    bands: Mapping[str, Band] = field(default_factory=dict)  # its thresholds, by head
    memory: Memory | None = None  # what the deciding head remembers, where it remembers memes
    added: Added | None = None  # what became of the examples

    @classmethod
    def load(
        cls,
        model: Path | str = "reports",
        *,
        head: str | None = None,
        threshold: float | None = None,
        at: str | None = None,
        features: Place | str | None = None,
        cache: Path | str | bool = True,
        text_encoder: str | None = None,
        image_encoder: str | None = None,
        device: str = "auto",
        examples: Path | str | None = None,
        on_error: str = "stop",
        quiet: bool = True,
    ) -> "Scorer":
        """Read the heads; encoders wait until a meme needs them.

        model: what compare's --out was.
        head: the one to score with; by default the best on dev, with examples the best of those that remember memes.
        threshold: probability from which on a label is 1; by default each head's own, tuned on dev.
        at: an operating point, chosen on dev, by which each meme is allowed, reviewed or blocked: "recall=.8",
        "precision=.9", "review=.1", "error=.05" or "cost". Labels stay as they are.
        features: a folder of extract's; memes that are in it are not encoded.
        cache: where scored memes' vectors and words are kept; True is memefuse's own cache folder, False is nowhere.
        text_encoder, image_encoder: other names or places of the encoders; they must be the same ones ("a+b" of two).
        device: "auto", "cpu" or "cuda", for the encoders.
        examples: labelled memes in the data contract, which join what the head remembers; its memory votes then.
        on_error, quiet: of the examples, "skip" those that cannot be used; show no progress.
        Raises Refused when there are no such heads, or examples that cannot be used, Failed for their images.
        """
        heads = models.load(Path(model))
        deciding = models.choose(heads if examples is None else remembering(heads, head, at, Path(model)), head)
        bands: Mapping[str, Band] = operating_bands(Path(model), at, threshold, deciding.name) if at else {}
        where = machine.resolve_device(device)
        folder = vector_cache.default_folder() if cache is True else cache
        published = place(str(features)) if features else None
        sources: dict[str, VectorSource | SumSource] = {}
        asked = {"text": text_encoder, "image": image_encoder}
        for side, encoder in deciding.encoders.items():
            parts = []
            for part, name in zip(encoder.parts, names_of(encoder, asked[side]), strict=True):
                kept = vector_cache.VectorCache(Path(folder), part.fingerprint, part.dim) if folder else None
                parts.append(VectorSource(part, where, name, published, kept))
            sources[side] = parts[0] if len(parts) == 1 else SumSource(encoder, parts)
        words = Words.installed(default_folder() if cache is True else Path(cache) / "ocr" if cache else None)
        memory = Memory(deciding.known) if deciding.known else None
        alike = models.alike(heads, deciding)
        scorer = cls(deciding, alike, sources, threshold, words, at or "", bands, memory)
        return scorer if examples is None else scorer._with(Path(examples), on_error == "skip", quiet)

    @property
    def sides(self) -> tuple[str, ...]:
        """What any of the heads looks at: "text", "image" or both."""
        return tuple(side for side in SIDES if any(side in head.sides for head in self.heads.values()))

    @property
    def reads(self) -> bool:
        """Whether a meme's words are read from its image where no text is given."""
        return self.words is not None and "text" in self.sides

    @property
    def needs(self) -> tuple[str, ...]:
        """The sides that a meme must come with."""
        return ("image",) if self.reads and "image" in self.sides else self.sides

    def ready(self) -> None:
        """Load the encoders that the heads need. Raises Refused when they are not those of the heads."""
        for side in self.sides:
            self.sources[side].ready()

    def score(self, image: Path | str | bytes | None = None, text: str | None = None) -> Score:
        """One meme. Its words are read from the image where no text is given and `words` can read; else, without one
        side, the heads that do not look at it answer.

        Raises Refused when the deciding head looks at a side that is not given, images.Undecodable when there is no
        image in what is given.
        """
        scores, bad = self.score_all([Unscored(text, Path(image) if isinstance(image, str) else image)], nearest=True)
        if bad:
            raise images.Undecodable(bad[0])
        assert scores[0] is not None
        return scores[0]

    def score_all(
        self, memes: Sequence[Unscored], done: Report = lambda count: None, nearest: bool = False
    ) -> tuple[list[Score | None], dict[int, str]]:
        """Many memes, all with the same sides. None where an image cannot be decoded, and why, by place.

        done: called with a number of contents that have just been read or encoded. nearest: say, too, which memes are
        near of those that the deciding head remembers.
        """
        bad: dict[int, str] = {}
        read = self._read(memes, bad, done)
        memes = [replace(meme, text=read[row]) if row in read else meme for row, meme in enumerate(memes)]
        there = {side for side in SIDES if all(getattr(meme, side) is not None for meme in memes)}
        self._refuse_blind(there)
        answering = [head for head in self.heads.values() if there.issuperset(head.sides)]
        vectors = {side: np.zeros((len(memes), 0), np.float32) for side in SIDES}
        for side in ("image", "text"):  # an image that fails spares its text
            if any(side in head.sides for head in answering):
                items = _items(side, memes, [row for row in range(len(memes)) if row not in bad], bad)
                vectors[side] = self._vectors(side, items, len(memes), bad, done)
        opinions = [self._opinions(head, head.probability(vectors["text"], vectors["image"])) for head in answering]
        by_meme = [{each[row].head: each[row] for each in opinions} for row in range(len(memes))]
        name = self.deciding.name
        near = self._nearest(vectors) if nearest and self.memory else [()] * len(memes)
        scores = [None if row in bad else Score(name, of, read.get(row), near[row]) for row, of in enumerate(by_meme)]
        return scores, bad

    def read(self, image: bytes) -> str:
        """The words on an image, where `reads`. Raises images.Undecodable when it is none."""
        bad: dict[int, str] = {}
        words = self._read([Unscored(None, image)], bad, lambda count: None)
        if bad:
            raise images.Undecodable(bad[0])
        return words[0]

    def _read(self, memes: Sequence[Unscored], bad: dict[int, str], done: Report) -> dict[int, str]:
        """The words of memes that have an image and no text, by place; those that turn out to be bad are added."""
        textless = [row for row, meme in enumerate(memes) if meme.text is None and meme.image is not None]
        if not (self.words and self.reads and textless):
            return {}
        items = _items("image", memes, textless, bad)
        read = dict.fromkeys(textless, "")
        for row, reading in zip(items, self.words.read_each(list(items.values())), strict=True):
            if isinstance(reading, BadImage):
                bad[row] = reading.reason
            else:
                read[row] = reading.text
            done(1)
        return read

    def _vectors(
        self, side: str, items: Mapping[int, Item], count: int, bad: dict[int, str], done: Report
    ) -> Float[np.ndarray, "meme dim"]:
        """Of `count` memes those of the items, zero for the others; those that turn out to be bad are added."""
        of_items, reasons = self.sources[side].vectors(list(items.values()), done)
        bad |= {row: reasons[item.content] for row, item in items.items() if item.content in reasons}
        vectors = np.zeros((count, of_items.shape[1]), np.float32)
        vectors[list(items)] = of_items
        return vectors

    def _nearest(self, vectors: Mapping[str, Float[np.ndarray, "meme dim"]]) -> list[tuple[Neighbour, ...]]:
        """Of each meme those that vote, or would, with their shares; the larger the earlier."""
        assert self.memory is not None
        known, neighbours = self.memory.known, []
        unlabelled = np.full(len(vectors["text"]), -1)
        shares, cosines = self.deciding.fitted.voters(Rows(vectors["text"], vectors["image"], unlabelled))
        for share, cosine in zip(shares.numpy(), cosines.numpy(), strict=True):
            order = np.argsort(-share, kind="stable")[: np.count_nonzero(share)].tolist()
            figures = zip(cosine[order].tolist(), share[order].tolist(), strict=True)
            neighbours.append(
                tuple(
                    Neighbour(at, known.ids[at], known.label[at], *both, self.memory.is_example(at))
                    for at, both in zip(order, figures, strict=True)
                )
            )
        return neighbours

    def _with(self, path: Path, skip: bool, quiet: bool) -> "Scorer":
        """This scorer, whose deciding head remembers the memes of a file, too. Raises as `load` has it."""
        assert self.memory is not None
        memes, left_out = rows.labelled(path, self.needs, skip)
        bad: dict[int, str] = {}
        with encoding(quiet) as done:
            read = self._read([Unscored.of(meme) for meme in memes], bad, done)
            memes = [replace(meme, text=read.get(row, meme.text), typed=True) for row, meme in enumerate(memes)]
            unscored, items = [Unscored.of(meme) for meme in memes], {}
            for side in ("image", "text"):
                items[side] = _items(side, unscored, [row for row in range(len(memes)) if row not in bad], bad)
            content = {row: (its.content, items["image"][row].content) for row, its in items["text"].items()}
            refuse_contradictions([memes[row] for row in content], list(content.values()))
            vectors = {side: self._vectors(side, items[side], len(memes), bad, done) for side in ("image", "text")}
        left_out += rows.undecodable(memes, bad, skip, "examples' images")
        good = [row for row in range(len(memes)) if row not in bad]
        if not good:
            raise Refused(f"--examples {path}: none of its {len(left_out):,} rows can be used:\n{listing(left_out)}")
        memory, new, replaced = self.memory.joined([memes[row] for row in good], [content[row] for row in good])
        joining = [good[at] for at in new]
        label = np.array([memes[row].label for row in joining], np.int64)
        more = Rows(vectors["text"][joining], vectors["image"][joining], label)
        fitted, known = self.deciding.fitted, self.memory.known
        added = Added(
            str(path), self.deciding.name, len(new), len(good) - len(new), len(replaced), len(known.ids),
            fitted.voting, len(fitted.runs), left_out,
        )  # fmt: skip
        deciding = replace(self.deciding, fitted=fitted.remembering(more, replaced), known=memory.known)
        if fitted.voting < len(fitted.runs):
            temperature = torch.tensor(known.temperature, dtype=torch.float64)
            deciding = replace(deciding, threshold=known.threshold, temperature=temperature)
        heads = {**self.heads, deciding.name: deciding}
        return replace(self, deciding=deciding, heads=heads, memory=memory, added=added)

    def _opinions(self, head: SavedHead, probability: Float[np.ndarray, "run meme"]) -> list[Opinion]:
        band = self.bands.get(head.name)
        threshold = head.threshold if self.threshold is None else self.threshold
        columns = (probability.mean(axis=0), probability.min(axis=0), probability.max(axis=0))
        return [
            Opinion(head.name, mean, lowest, highest, threshold, len(probability), band)
            for mean, lowest, highest in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def _refuse_blind(self, there: set[str]) -> None:
        missing = [side for side in self.deciding.sides if side not in there]
        if missing:
            able = [head.name for head in self.heads.values() if there.issuperset(head.sides)]
            instead = f", or choose the head {able[0]}" if able else ""
            sides = " and ".join(self.deciding.sides)
            absent = not_installed(LIBRARIES, "ocr") if missing == ["text"] else ""
            raise Refused(
                f"the head {self.deciding.name} looks at {sides}, and {missing[0]} is missing: "
                f'give it (text "" is a meme without words){instead}'
                + (f". To read it from the picture takes {absent}" if absent else "")
            )


def _items(side: str, memes: Sequence[Unscored], rows: Sequence[int], bad: dict[int, str]) -> dict[int, Item]:
    """Contents of these rows; those whose image cannot be read are added to the bad ones."""
    items: dict[int, Item] = {}
    for row in rows:
        try:
            items[row] = _item(side, memes[row])
        except OSError as error:
            bad[row] = f"cannot be read: {error.strerror}"
    return items


def remembering(heads: Mapping[str, SavedHead], asked: str | None, at: str | None, model: Path) -> dict[str, SavedHead]:
    """Return the heads that examples can join. Raises Refused where the one asked for is not of them, or none is."""
    able = {name: head for name, head in heads.items() if head.known}
    kinds = [name for name, head in HEADS.items() if len(head.remembered(1))]
    if at:
        raise Refused(f"--at {at} and --examples are both given: the point was chosen on dev, without the examples")
    if old := [name for name in heads if name in kinds and name not in able and asked in (name, None)]:
        raise Refused(f"{', '.join(old)} in {model} was saved before examples could join it. {compare_again(model)}")
    if asked in heads and asked not in able:
        raise Refused(f"--examples: the head {asked} remembers no memes; {', '.join(able or kinds)} does: name it")
    if not able:
        raise Refused(
            f"--examples: no head in {model} remembers memes ({', '.join(heads)}); {', '.join(kinds)} does. "
            f"{compare_again(model, [*heads, *kinds])}"
        )
    return able if asked is None else dict(heads)


def operating_bands(model: Path, at: str, threshold: float | None, deciding: str) -> Mapping[str, Band]:
    """Return an operating point's thresholds by head, chosen on dev. Costs and prevalence are those last asked about.

    Raises Refused for a point that cannot be meant, or that the deciding head does not reach on dev.
    """
    try:
        goal = operating_points.Goal.parse(at)
    except ValueError as error:
        raise Refused(f"--at {error}") from None
    if threshold is not None:
        raise Refused(f"--at {at} and --threshold {threshold:g} are both given: one of them decides")
    results = reports.read_results(model)
    kept = answers.read_answer(model, "operating_points", operating_points.OperatingPoints, results.comparison.run)
    stakes = kept.stakes if kept else operating_points.Stakes()
    if goal.kind == "cost" and not stakes.miss > 0:
        asking = f"python -m experiments.operating_points --reports {quote(str(model))} --costs MISS,ALARM"
        raise Refused(f"--at cost: what a miss and a false alarm cost is not known. Run: {asking}")
    bands = operating_points.bands(results, goal, stakes)
    if deciding not in bands:
        able = f"; these heads reach it: {', '.join(bands)}" if bands else ""
        size = results.size(results.dev)
        raise Refused(
            f"--at {at}: no threshold of {deciding} reaches that on {size.name} ({size.labelled:,} memes, "
            f"{size.positive:,} of label 1){able}"
        )
    return bands


def names_of(encoder: EncoderIdentity, asked: str | None) -> list[str | None]:
    """What was asked for in each part's place. Raises Refused unless a sum's parts are all named."""
    count = len(encoder.parts)
    names: list[str | None] = [None] * count if asked is None else [asked] if count == 1 else [*asked.split("+")]
    if len(names) != count:
        raise Refused(
            f"--{encoder.kind}-encoder {asked}: the heads take vectors of {count} encoders, {encoder.name}; name each, "
            "with + between them"
        )
    return names


def _item(side: str, meme: Unscored) -> Item:
    """Raises OSError when an image cannot be read."""
    if side == "text":
        assert meme.text is not None
        return text_item(meme.text)
    assert meme.image is not None
    return image_item(meme.image)
