"""All systems that were run in one table beside memefuse's own heads, tested in pairs: plain text, Markdown, CSV."""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from experiments import tables
from experiments.evaluate import resampling, tests
from experiments.evaluate.scores import Scores, statistic
from experiments.results.frames import columns, csv, frame
from experiments.results.records import Pair, Row
from experiments.systems.encoders import UsedEncoder
from experiments.systems.published import MEMES, SYSTEMS, Published
from experiments.systems.results import Result, all_results, folder_of, read_scores
from experiments.tables import WIDTH, Table
from experiments.words import bare, interval, probability, with_spread
from experiments.words.comparison import tested
from experiments.words.comparison_tables import main_table, pairs_table
from heads.models import singles

SHORT = {"accuracy": "acc.", "macro_f1": "macro-F1", "auc_roc": "AUC-ROC"}
READING = f"""\
Published figures were measured on {MEMES} by the authors of each walk-through; they stand here for orientation and
are no result of this run. Figures are means ± standard deviation over seeds; intervals are 95% bootstrap intervals over
memes (equal texts move together). Accuracy is at probability 0.5. Seconds are wall time of training, all seeds
together; vectors of frozen encoders are made once, by stage 1, and not counted. Under "memefuse" stands
its own head with the best dev AUC-ROC on frozen, pooled vectors of the same two encoders and all of train, five seeds;
the seconds are those of all its four heads, trained side by side. Runs stand in one section if they saw the same memes.

Pairs are tested on the first test split, meme by meme: lab's fusions against its better single modality, and every
system against memefuse's head beside it (of several heads, those that are best on dev). AUC-ROC: the difference of
the means over seeds, by DeLong's test for groups of memes that share a text or an
image. Accuracy: of the seeds' mean probability, by
McNemar's exact test, in which groups change sides together. p-values are Holm-corrected over all pairs of the
section, of both measures together. "A gain" or "a loss" takes a corrected p below .05 and an interval without 0;
where only one of the two says so, there is "no firm evidence"."""

Beside = Mapping[str, Result | str]  # memefuse's heads by a result's key, or why there are none


@dataclass(frozen=True)
class SystemsTable:
    """All runs on one folder as it was, in the order in which systems and settings are listed: those of one table."""

    heading: str
    results: list[Result]
    beside: Beside
    out: Path

    @property
    def shown(self) -> list[str]:
        """Dev, and the first test split with labels, if there is one; systems are tested on the last of these."""
        dev, *others = self.results[0].memes
        return [dev, *[split for split in others if split.startswith("test")][:1]]

    def own_beside(self, result: Result) -> Result | None:
        own = self.beside.get(result.key)
        return own if isinstance(own, Result) else None

    @property
    def own(self) -> list[Result]:
        """memefuse's heads on every pair of encoders, each pair once."""
        return list({own.key: own for each in self.results if (own := self.own_beside(each))}.values())

    def label(self, result: Result, head: str) -> str:
        """A row's name: with the setting where a system has several, what trains beside it, and marks for the notes.

        The beginning of its key is added where two runs would have one name.
        """
        name = head if head.startswith(result.system) else f"{result.system} {head}"
        marks = " *" * result.stands_in + " +" * result.partial
        alike = Counter(each.system + variant(each) for each in self.results)
        key = f" {result.key[:8]}" if alike[result.system + variant(result)] > 1 else ""
        return name + variant(result) + marks + key

    def scores(self, result: Result) -> tuple[dict[str, Scores], np.ndarray]:
        """A run's scores where systems are tested, by head, under the names that tables give them; and groups."""
        scores, group = read_scores(folder_of(self.out, result), self.shown[-1])
        return {head: replace(each, name=self.label(result, head)) for head, each in scores.items()}, group

    @cached_property
    def tested(self) -> list[Pair]:
        """lab's fusions against its single modality that is better on dev; each system against memefuse's heads on its
        encoders, of each the head that is best on dev. Holm-corrected over all pairs, of both measures."""
        tested: list[Pair] = []
        for result in self.results:
            scores, group = self.scores(result)
            if by_head := {head: f"{result.system} {head}" for head in SYSTEMS[result.system].heads}:
                single = result.best_head([by_head[head] for head in by_head if head in singles()])
                for fusion in (name for head, name in by_head.items() if head not in singles()):
                    tested += both_measures(scores[fusion], scores[single], group)
            if own := self.own_beside(result):
                theirs, _ = self.scores(own)
                tested += both_measures(scores[result.best_head()], theirs[own.best_head()], group)
        return tests.corrected(tested)

    @property
    def pairs(self) -> Table | None:
        return pairs_table(self.tested, "", ("reached", "against it")) if self.tested else None

    @property
    def every_metric(self) -> list[Table]:
        """A table for each split."""
        rows: dict[str, list[Row]] = {split: [] for split in self.results[0].memes}
        for result in self.results + self.own:
            pair = f" on {result.setting}" * result.is_own
            for row in result.rows:
                rows[row.split].append(replace(row, name=self.label(result, row.name) + pair))
        return [main_table(of_split, f"Every metric on {split}") for split, of_split in rows.items()]

    @property
    def reached(self) -> Table:
        """What each came to on dev and the first test split, what memefuse reaches, and what was published."""
        shown, rows = self.shown, []
        for result in self.results:
            own, accuracies = self.own_beside(result), [each for each in result.published if each.metric == "accuracy"]
            once = [
                with_spread(own.of_head(own.best_head())[shown[-1]].metrics["auc_roc"]) if own else "",
                f"{accuracies[0].split} {bare(accuracies[0].value)}" if accuracies else "",
            ]
            for head in dict.fromkeys(row.name for row in result.rows):
                figures = [result.of_head(head)[split].metrics for split in shown]
                cells = [with_spread(each[name]) for each in figures for name in ("accuracy", "auc_roc")]
                cells += [interval(each["auc_roc"]) for each in figures[1:]]
                rows.append([self.label(result, head), *cells, *once])
                once = ["", ""]
        header = [name for split in shown for name in (f"{split} acc.", "AUC-ROC")] + ["95%"] * (len(shown) > 1)
        return Table("", ["", *header, "memefuse", "published"], rows)

    @property
    def how(self) -> Table:
        """With what each was run."""
        rows = []
        for each in self.results:
            own = self.own_beside(each)
            drawn = f" of {each.drawn:,}" * (each.drawn != each.train_memes) + " drawn" if each.drawn else ""
            memes = f"{each.train_memes:,}" + " balanced" * each.balanced + drawn
            steps = f"{each.steps:,}" if each.steps else "dev's best"
            seconds = [f"{each.seconds:,.1f}", f"{own.seconds:,.1f}" if own else ""]
            about = [self.label(each, each.system), " ".join(each.trained) or "none", memes, steps]
            rows.append([*about, str(each.seeds), each.precision, *seconds])
        header = ["", "trains", "train memes", "steps", "seeds", "precision", "seconds", "memefuse's"]
        return Table("", header, rows, words=(0, 1, 5))

    @property
    def notes(self) -> list[str]:
        """What marks mean, which encoders there were, what was left open, what is missing."""
        results, sentences = self.results, []
        if any(result.stands_in for result in results):
            sentences.append("* with stand-ins for the published encoders.")
        if any(result.partial for result in results):
            sentences.append("+ trained on fewer memes (--rows) or fewer steps (--steps) than published.")
        for result in results:
            name = self.label(result, result.system)
            both = (result.text, result.image)
            used = [f"{each.name} (for {each.published})" if each.stand_in else each.name for each in both]
            sentences.append(f"{name}: {' and '.join(used)}.")
            for each in result.published:
                if each.condition or each.metric != "accuracy":
                    told = ": ".join(filter(None, [published([each]), each.condition]))
                    sentences.append(f"{name}, published {told}.")
        sentences += [f"memefuse on {own.setting}: {own.best_head()} is best on dev." for own in self.own]
        sentences += [why for result in results if isinstance(why := self.beside.get(result.key), str)]
        for system in dict.fromkeys(result.system for result in results):
            if guess := SYSTEMS[system].guess:
                sentences.append(f"{system}, published beside its settings: {published([guess])} of random guessing.")
            sentences.append(f"{system}: {SYSTEMS[system].ours}.")
        sentences.append(f"Published figures are accuracies on {MEMES}, where no other measure is named.")
        return list(dict.fromkeys([*sentences, *(note for result in results for note in result.notes)]))


def variant(result: Result) -> str:
    """What a row's name says of its setting, and of what trained, where that is not what the setting has."""
    if result.system not in SYSTEMS:
        return ""
    settings, trains = SYSTEMS[result.system].settings, result.trained
    named = f" {result.setting}" if len(settings) > 1 else ""
    usual = result.setting in settings and settings[result.setting].train == trains
    return named + ("" if usual else f" --train {','.join(trains) or 'none'}")


def sentence(pair: Pair) -> str:
    p = f"Holm's p {probability(pair.p_holm)}"
    return f"{pair.head} vs {pair.against}, {pair.split} AUC-ROC: {tested(pair, p)}"


def both_measures(one: Scores, other: Scores, group: np.ndarray) -> list[Pair]:
    """By AUC-ROC and by accuracy; p-values not yet corrected. None where a training diverged."""
    if any(each.logit.isnan().any() for each in (one, other)):
        return []
    draws = resampling.bootstrap(group, {each.name: statistic(each) for each in (one, other)})
    return [tests.by_auc_roc(one, other, group), tests.by_accuracy(one, other, group, draws)]


def published(figures: Sequence[Published]) -> str:
    return "; ".join(f"{each.split} {SHORT[each.metric]} {bare(each.value)}" for each in figures)


def sections(results: Sequence[Result], beside: Beside, out: Path) -> list[SystemsTable]:
    """Headed by folder and sizes: a folder that has changed since has a section for each of its states."""
    order = [(name, setting) for name, system in SYSTEMS.items() for setting in system.settings]
    places = {name: place for place, name in enumerate(order)}
    by_memes: dict[tuple[str, str], list[Result]] = {}
    for result in sorted(results, key=lambda each: (places.get((each.system, each.setting), len(places)), each.key)):
        by_memes.setdefault((result.data, result.content), []).append(result)
    states = Counter(data for data, _ in by_memes)
    made = []
    for (data, content), members in by_memes.items():
        sizes = ", ".join(f"{split} {memes:,}" for split, memes in members[0].memes.items())
        state = f" (memes {content[:8]})" if states[data] > 1 else ""  # tells a folder's states apart
        heading = f"{data}{state}: train {members[0].train_of:,}, {sizes} memes"
        made.append(SystemsTable(heading, members, beside, out))
    return made


def recorded(out: Path) -> list[SystemsTable]:
    """Every section, from what lies under reports/systems alone: nothing is trained and nothing written."""
    every = all_results(out)
    results, own = [[each for each in every if each.is_own == is_own] for is_own in (False, True)]
    return sections(results, {each.key: recorded_beside(each, own, out) for each in results}, out)


def recorded_beside(result: Result, own: Sequence[Result], out: Path) -> Result | str:
    """memefuse's heads that were trained on these memes and these encoders' vectors before, or what to run."""

    def same(used: UsedEncoder, held: UsedEncoder) -> bool:
        frozen = used.identity.dim and not used.is_grid
        slug = used.identity.name.removesuffix("-grid")
        return held.identity.name == slug and (not frozen or held.identity.fingerprint == used.identity.fingerprint)

    for each in own:
        if each.content == result.content and same(result.text, each.text) and same(result.image, each.image):
            return each
    return (
        f"memefuse's heads on {result.text.name} + {result.image.name} are not shown: they were not trained yet. "
        f"Run: python -m experiments.systems table --out {out}"
    )


def page(sections: Sequence[SystemsTable]) -> str:
    """Markdown."""
    blocks: list[str | Table | Sequence[str]] = ["# The systems that this design comes from, and memefuse's heads"]
    for each in sections:
        shown = filter(None, [each.pairs, *each.every_metric])
        blocks += [f"## {each.heading}", each.reached, each.how, each.notes, *shown]
    return tables.page(*blocks, "## How to read this", READING)


def terminal(sections: Sequence[SystemsTable]) -> str:
    parts = []
    for each in sections:
        pairs = [sentence(pair) for pair in each.tested if pair.measure == "auc_roc"]
        said = [textwrap.fill(one, WIDTH, break_on_hyphens=False) for one in [*pairs, *each.notes]]
        parts += [each.heading, tables.plain(each.reached), tables.plain(each.how), "\n".join(said)]
    return "\n\n".join(parts) + "\n"


def comma_separated(sections: Sequence[SystemsTable]) -> str:
    """A line for each system or own head, setting and split, with every metric and its interval."""
    lines = (
        {
            "data": result.data, "memes": result.content[:8], "system": result.system,
            "setting": result.setting, "key": result.key[:8], "head": row.name, "split": row.split,
            "text": result.text.name, "image": result.image.name, "stand_in": int(result.stands_in),
            "encoders_trained": " ".join(result.trained), "train_memes": result.train_memes,
            "train_of": result.train_of, "steps": result.steps, "capped": int(result.capped),
            "seeds": result.seeds, "precision": result.precision, "seconds": f"{result.seconds:.3f}",
            "published": published(result.published), **columns(row.metrics),
        }
        for section in sections
        for result in section.results + section.own
        for row in result.rows
    )  # fmt: skip
    return csv(frame(lines))
