"""Runs that may stand in one table: those on the same memes. What each is called there."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.results.records import Row
from experiments.systems.published import SYSTEMS
from experiments.systems.results import Result

Beside = Mapping[str, Result | str]  # memefuse's heads by a result's key, or why there are none


@dataclass(frozen=True)
class Section:
    """All runs on one folder as it was, in the order in which systems and settings are listed."""

    results: list[Result]
    beside: Beside

    @property
    def dev(self) -> str:
        return next(iter(self.results[0].memes))

    @property
    def test(self) -> str | None:
        """The first test split that has labels."""
        return next((split for split in self.results[0].memes if split.startswith("test")), None)

    @property
    def judged(self) -> str:
        """The split that systems are tested on."""
        return self.test or self.dev

    @property
    def own(self) -> list[Result]:
        """memefuse's heads on every pair of encoders, each pair once."""
        found = [self.beside.get(result.key) for result in self.results]
        return list({each.key: each for each in found if isinstance(each, Result)}.values())

    def own_beside(self, result: Result) -> Result | None:
        found = self.beside.get(result.key)
        return found if isinstance(found, Result) else None

    def label(self, result: Result, head: str) -> str:
        """A row's name: with the setting where a system has several, what trains beside it, and marks for the notes.

        The beginning of its key is added where two runs would have one name.
        """
        name = head if head.startswith(result.system) else f"{result.system} {head}"
        alike = Counter(each.system + variant(each) for each in self.results)
        tag = f" {result.key[:8]}" if alike[result.system + variant(result)] > 1 else ""
        return name + variant(result) + marks(result) + tag


def sections(results: Sequence[Result], beside: Beside) -> list[Section]:
    """By folder and by what it held: a folder that has changed since has a section for each of its states."""
    places = {(name, setting): (row, at) for row, (name, system) in enumerate(SYSTEMS.items())
              for at, setting in enumerate(system.settings)}  # fmt: skip
    found: dict[tuple[str, str], list[Result]] = {}
    for result in sorted(results, key=lambda each: (places.get((each.system, each.setting), (99, 0)), each.key)):
        found.setdefault((result.data, result.content), []).append(result)
    return [Section(members, beside) for members in found.values()]


def headings(found: Sequence[Section]) -> list[str]:
    """Folder and sizes; with a digest of the memes where a folder has several sections."""
    states = Counter(section.results[0].data for section in found)
    said = []
    for first in (section.results[0] for section in found):
        sizes = ", ".join(f"{split} {memes:,}" for split, memes in first.memes.items())
        state = f" (memes {first.content[:8]})" if states[first.data] > 1 else ""
        said.append(f"{first.data}{state}: train {first.train_of:,}, {sizes} memes")
    return said


def variant(result: Result) -> str:
    if result.system not in SYSTEMS:
        return ""
    settings = SYSTEMS[result.system].settings
    named = f" {result.setting}" if len(settings) > 1 else ""
    trains = trained(result)
    usual = result.setting in settings and settings[result.setting].train == trains
    return named + ("" if usual else f" --train {','.join(trains) or 'none'}")


def trained(result: Result) -> tuple[str, ...]:
    return tuple(side for side, used in (("text", result.text), ("image", result.image)) if used.trains)


def marks(result: Result) -> str:
    stands_in = result.text.stand_in or result.image.stand_in
    return " *" * stands_in + " +" * partial(result)


def partial(result: Result) -> bool:
    return result.capped or result.drawn > 0


def of_head(result: Result, head: str) -> list[Row]:
    """Dev first."""
    return [row for row in result.rows if row.name == head]


def best_head(result: Result, among: Sequence[str] | None = None) -> str:
    """The head with the highest AUC-ROC on dev, of all or of those named."""
    dev = next(iter(result.memes))
    rows = [row for row in result.rows if row.split == dev and (among is None or row.name in among)]
    return max(rows, key=lambda row: row.metrics["auc_roc"].mean).name
