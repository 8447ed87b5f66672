"""All systems that were run, in one table beside memefuse's own heads: plain text, Markdown and CSV."""

import csv
import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from experiments import tables
from experiments.comparison_tables import NAMES, WIDTH, main_table
from experiments.results.records import Figure, Row
from experiments.systems import paired
from experiments.systems.published import MEMES, SYSTEMS, Published
from experiments.systems.results import Encoder, Result
from experiments.systems.sections import Beside, Section, best_head, headings, of_head, partial, sections, trained
from experiments.tables import Table, bare, interval, with_spread

SHORT = {"accuracy": "acc.", "macro_f1": "macro-F1", "auc_roc": "AUC-ROC"}
READING = f"""\
Published figures were measured on {MEMES} by the authors of each walk-through; they stand here for orientation and
are no result of this run. Figures are means ± standard deviation over seeds; intervals are 95% bootstrap intervals over
memes (equal texts move together). Accuracy is at probability 0.5. Seconds are wall time of training, all seeds
together; vectors of frozen encoders are made once, by stage 1, and not counted. Under "memefuse" stands
its own head with the best dev AUC-ROC on frozen, pooled vectors of the same two encoders and all of train, five seeds;
the seconds are those of all its four heads, trained side by side. Runs stand in one section if they saw the same memes.

Pairs are tested on the first test split, meme by meme: lab's fusions against its better single modality, and every
system against memefuse's head beside it (of several heads, those that are best on dev). AUC-ROC: the difference of the
means over seeds, by DeLong's test for groups of equal text. Accuracy: of the seeds' mean probability, by McNemar's
exact test. p-values are Holm-corrected over all pairs of a measure in the section. "A gain" or "a loss" takes a
corrected p below .05 and an interval without 0; where only one of the two says so, there is "no firm evidence"."""


def page(results: Sequence[Result], beside: Beside, out: Path) -> str:
    """Markdown: a section for each dataset."""
    lines = ["# The systems that this design comes from, and memefuse's heads"]
    found = sections(results, beside)
    for heading, section in zip(headings(found), found, strict=True):
        lines += ["", f"## {heading}", "", tables.markdown(reached(section)), ""]
        lines += [tables.markdown(how(section)), ""] + [f"- {note}" for note in notes(section)]
        if pairs := paired.pairs(section, out):
            lines += ["", tables.markdown(paired.table(pairs))]
        for split in section.results[0].memes:
            rows = [row for each in section.results + section.own for row in named_rows(section, each, split)]
            lines += ["", tables.markdown(main_table(rows, f"Every metric on {split}"))]
    return "\n".join([*lines, "", "## How to read this", "", READING]) + "\n"


def terminal(results: Sequence[Result], beside: Beside, out: Path) -> str:
    parts = []
    found = sections(results, beside)
    for heading, section in zip(headings(found), found, strict=True):
        parts += [heading, tables.plain(reached(section)), tables.plain(how(section))]
        said = [*paired.sentences(paired.pairs(section, out)), *notes(section)]
        parts.append("\n".join(textwrap.fill(each, WIDTH, break_on_hyphens=False) for each in said))
    return "\n\n".join(parts) + "\n"


def reached(section: Section) -> Table:
    """What each came to on dev and the first test split, what memefuse reaches, and what was published."""
    test = section.test
    rows: list[list[str]] = []
    for result in section.results:
        own = section.own_beside(result)
        for number, head in enumerate(dict.fromkeys(row.name for row in result.rows)):
            figures = {row.split: row.metrics for row in of_head(result, head)}
            line = [section.label(result, head), *accuracy_and_area(figures[section.dev])]
            line += [*accuracy_and_area(figures[test]), interval(figures[test]["auc_roc"])] if test else []
            once = [with_spread(judged(own, section)) if own else "", accuracy(result.published)]
            rows.append([*line, *(once if number == 0 else [""] * len(once))])
    on_test = [f"{test} acc.", "AUC-ROC", "95%"] if test else []
    return Table("", ["", f"{section.dev} acc.", "AUC-ROC", *on_test, "memefuse", "published"], rows)


def accuracy_and_area(figures: Mapping[str, Figure]) -> list[str]:
    return [with_spread(figures[metric]) for metric in ("accuracy", "auc_roc")]


def judged(own: Result, section: Section) -> Figure:
    """AUC-ROC of memefuse's best head where systems are judged."""
    return next(row for row in of_head(own, best_head(own)) if row.split == section.judged).metrics["auc_roc"]


def accuracy(figures: Sequence[Published]) -> str:
    return next((f"{each.split} {bare(each.value)}" for each in figures if each.metric == "accuracy"), "")


def published(figures: Sequence[Published]) -> str:
    return "; ".join(f"{each.split} {SHORT[each.metric]} {bare(each.value)}" for each in figures)


def how(section: Section) -> Table:
    """With what each was run."""
    rows = []
    for each in section.results:
        own = section.own_beside(each)
        rows.append(
            [
                section.label(each, each.system),
                " ".join(trained(each)) or "none",
                f"{each.train_memes:,}" + " balanced" * each.balanced + drawn(each),
                f"{each.steps:,}" if each.steps else "dev's best",
                str(each.seeds),
                each.precision,
                f"{each.seconds:,.1f}",
                f"{own.seconds:,.1f}" if own else "",
            ]
        )
    header = ["", "trains", "train memes", "steps", "seeds", "precision", "seconds", "memefuse's"]
    return Table("", header, rows)


def drawn(result: Result) -> str:
    if not result.drawn:
        return ""
    return " drawn" if result.drawn == result.train_memes else f" of {result.drawn:,} drawn"


def encoder(used: Encoder) -> str:
    return f"{used.name} (for {used.published})" if used.stand_in else used.name


def named_rows(section: Section, result: Result, split: str) -> list[Row]:
    """Rows of a split, called by system and head."""
    pair = "" if result.system in SYSTEMS else f" on {result.setting}"
    rows = [row for row in result.rows if row.split == split]
    return [replace(row, name=section.label(result, row.name) + pair) for row in rows]


def notes(section: Section) -> list[str]:
    """What marks mean, which encoders there were, what was left open, what is missing."""
    results, found = section.results, []
    if any(result.text.stand_in or result.image.stand_in for result in results):
        found.append("* with stand-ins for the published encoders.")
    if any(partial(result) for result in results):
        found.append("+ trained on fewer memes (--rows) or fewer steps (--steps) than published.")
    for result in results:
        name = section.label(result, result.system)
        found.append(f"{name}: {encoder(result.text)} and {encoder(result.image)}.")
        told = [each for each in result.published if each.condition or each.metric != "accuracy"]
        found += [f"{name}, published {': '.join(filter(None, [published([each]), each.condition]))}." for each in told]
    for own in section.own:
        found.append(f"memefuse on {own.setting}: {best_head(own)} is best on dev.")
    found += [why for result in results if isinstance(why := section.beside.get(result.key), str)]
    for system in dict.fromkeys(result.system for result in results):
        if guess := SYSTEMS[system].guess:
            found.append(f"{system}, published beside its settings: {published([guess])} of random guessing.")
        found.append(f"{system}: {SYSTEMS[system].ours}.")
    found.append(f"Published figures are accuracies on {MEMES}, where no other measure is named.")
    return list(dict.fromkeys([*found, *(note for result in results for note in result.notes)]))


def comma_separated(results: Sequence[Result], beside: Beside) -> str:
    """A line for each system or own head, setting and split, with every metric and its interval."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    parts = ("mean", "sd", "low", "high")
    about = ["data", "memes", "system", "setting", "key", "head", "split", "text", "image", "stand_in"]
    about += ["encoders_trained", "train_memes", "train_of", "steps", "capped", "seeds", "precision", "seconds"]
    writer.writerow([*about, "published", *(f"{name}_{part}" for name in NAMES for part in parts)])
    found = sections(results, beside)
    for result in [each for section in found for each in section.results + section.own]:
        stands_in = int(result.text.stand_in or result.image.stand_in)
        for row in result.rows:
            values = [getattr(row.metrics[name], part) for name in NAMES for part in parts]
            writer.writerow(
                [result.data, result.content[:8], result.system, result.setting, result.key[:8], row.name, row.split]
                + [result.text.name, result.image.name, stands_in, " ".join(trained(result)), result.train_memes]
                + [result.train_of, result.steps, int(result.capped), result.seeds, result.precision]
                + [f"{result.seconds:.3f}", published(result.published)]
                + ["" if value != value else f"{value:.6f}" for value in values]
            )
    return out.getvalue()
