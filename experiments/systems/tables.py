"""All systems that were run, in one table beside memefuse's own heads: plain text, Markdown and CSV."""

import csv
import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace

from experiments import layout
from experiments.layout import Table, bare, interval, with_spread
from experiments.records import Row
from experiments.systems.published import MEMES, SYSTEMS, Published
from experiments.systems.results import Encoder, Result
from experiments.tables import NAMES, WIDTH, main_table

SHORT = {"accuracy": "acc.", "macro_f1": "macro-F1", "auc_roc": "AUC-ROC"}
READING = f"""\
Published figures were measured on {MEMES} by the authors of each walk-through; they stand here for orientation and
are no result of this run. Figures are means ± standard deviation over seeds; intervals are 95% bootstrap intervals over
memes (equal texts move together). Accuracy is at probability 0.5. Seconds are wall time of training, all seeds
together; vectors of frozen encoders are made once, by stage 1, and not counted. Under "memefuse" stands
its own head with the best dev AUC-ROC on frozen, pooled vectors of the same two encoders and all of train, five seeds;
the seconds are those of all its four heads."""

Beside = Mapping[str, Result | str]  # by a result's key


def page(results: Sequence[Result], beside: Beside) -> str:
    """Markdown: a section for each dataset folder."""
    lines = ["# The systems that this design comes from, and memefuse's heads"]
    for data, members in by_data(results).items():
        lines += ["", f"## {heading(data, members)}", "", layout.markdown(reached(members, beside)), ""]
        lines += [layout.markdown(how(members)), ""] + [f"- {note}" for note in notes(members, beside)]
        for split in members[0].memes:
            rows = [row for each in members + own(members, beside) for row in named_rows(each, split)]
            lines += ["", layout.markdown(main_table(rows, f"Every metric on {split}"))]
    return "\n".join([*lines, "", "## How to read this", "", READING]) + "\n"


def terminal(results: Sequence[Result], beside: Beside) -> str:
    parts = []
    for data, members in by_data(results).items():
        parts += [heading(data, members), layout.plain(reached(members, beside)), layout.plain(how(members))]
        parts.append("\n".join(textwrap.fill(note, WIDTH) for note in notes(members, beside)))
    return "\n\n".join(parts) + "\n"


def by_data(results: Sequence[Result]) -> dict[str, list[Result]]:
    """In the order in which systems and settings are listed."""
    places = {(name, setting): (row, at) for row, (name, system) in enumerate(SYSTEMS.items())
              for at, setting in enumerate(system.settings)}  # fmt: skip
    found: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda each: (places.get((each.system, each.setting), (99, 0)), each.key)):
        found.setdefault(result.data, []).append(result)
    return found


def heading(data: str, results: Sequence[Result]) -> str:
    sizes = ", ".join(f"{split} {memes:,}" for split, memes in results[0].memes.items())
    return f"{data}: train {results[0].train_of:,}, {sizes} memes"


def reached(results: Sequence[Result], beside: Beside) -> Table:
    """What each came to on dev and the first test split, what was published, and what memefuse reaches."""
    rows: list[list[str]] = []
    for result in results:
        own = beside.get(result.key)
        for number, head in enumerate(dict.fromkeys(row.name for row in result.rows)):
            dev, *others = of_head(result, head)
            test = next((row for row in others if row.split.startswith("test")), None)
            line = [label(result, head), *(with_spread(dev.metrics[metric]) for metric in ("accuracy", "auc_roc"))]
            line += [with_spread(test.metrics["accuracy"]), interval(test.metrics["accuracy"])] if test else ["", ""]
            line += [with_spread(test.metrics["auc_roc"]), interval(test.metrics["auc_roc"])] if test else ["", ""]
            line += (
                [f"{result.seconds:,.1f}", best(own) if isinstance(own, Result) else ""] if number == 0 else ["", ""]
            )
            rows.append([*line, published(result.published) if number == 0 else ""])
    header = ["", "dev acc.", "AUC-ROC", "test acc.", "95%", "AUC-ROC", "95%", "seconds"]
    return Table("", [*header, "memefuse: test AUC-ROC", f"published ({MEMES})"], rows)


def of_head(result: Result, head: str) -> list[Row]:
    """Dev first."""
    return [row for row in result.rows if row.name == head]


def best(own: Result) -> str:
    """memefuse's head that is best on dev, its test figure, and how long all four took."""
    dev = next(iter(own.memes))
    head = max((row for row in own.rows if row.split == dev), key=lambda row: row.metrics["auc_roc"].mean).name
    test = next((row for row in of_head(own, head) if row.split.startswith("test")), None)
    return f"{head} {with_spread(test.metrics['auc_roc']) if test else ''} in {own.seconds:,.1f} s"


def label(result: Result, head: str) -> str:
    """A row's name: with the setting where a system has several, what trains beside it, and marks for the notes."""
    name = head if head.startswith(result.system) else f"{result.system} {head}"
    return name + variant(result) + marks(result)


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


def published(figures: Sequence[Published]) -> str:
    return "; ".join(f"{each.split} {SHORT[each.metric]} {bare(each.value)}" for each in figures)


def how(results: Sequence[Result]) -> Table:
    """With what each was run."""
    rows = [
        [
            each.system + variant(each),
            encoder(each.text),
            encoder(each.image),
            ", ".join(trained(each)) or "none",
            f"{each.train_memes:,}" + " balanced" * each.balanced + drawn(each),
            (f"{each.steps:,}" + (" (--steps)" if each.capped else "")) if each.steps else "until dev is best",
            str(each.seeds),
            each.precision,
        ]
        for each in results
    ]
    return Table("", ["", "text", "image", "encoders trained", "train memes", "steps", "seeds", "precision"], rows)


def drawn(result: Result) -> str:
    if not result.drawn:
        return ""
    return " drawn" if result.drawn == result.train_memes else f" of {result.drawn:,} drawn"


def encoder(used: Encoder) -> str:
    return f"{used.name} (for {used.published})" if used.stand_in else used.name


def own(results: Sequence[Result], beside: Beside) -> list[Result]:
    """memefuse's heads on every pair of encoders, each pair once."""
    found = [beside.get(result.key) for result in results]
    return list({each.key: each for each in found if isinstance(each, Result)}.values())


def named_rows(result: Result, split: str) -> list[Row]:
    """Rows of a split, called by system and head."""
    pair = "" if result.system in SYSTEMS else f" on {result.setting}"
    return [replace(row, name=label(result, row.name) + pair) for row in result.rows if row.split == split]


def notes(results: Sequence[Result], beside: Beside) -> list[str]:
    """What marks mean, what was left open, what is missing."""
    found = []
    if any(result.text.stand_in or result.image.stand_in for result in results):
        found.append("* with stand-ins for the published encoders, named below the figures.")
    if any(partial(result) for result in results):
        found.append("+ trained on fewer memes or fewer steps than published, as the second table says.")
    for result in results:
        conditions = [f"{published([each])}: {each.condition}" for each in result.published if each.condition]
        found += [f"{label(result, result.system)}, published {each}." for each in conditions]
    found += [why for result in results if isinstance(why := beside.get(result.key), str)]
    for system in dict.fromkeys(result.system for result in results):
        found.append(f"{system}: {SYSTEMS[system].ours}.")
    return list(dict.fromkeys([*found, *(note for result in results for note in result.notes)]))


def comma_separated(results: Sequence[Result], beside: Beside) -> str:
    """A line for each system or own head, setting and split, with every metric and its interval."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    parts = ("mean", "sd", "low", "high")
    about = ["data", "system", "setting", "head", "split", "text", "image", "stand_in", "encoders_trained"]
    about += ["train_memes", "train_of", "steps", "capped", "seeds", "seconds", "published"]
    writer.writerow([*about, *(f"{name}_{part}" for name in NAMES for part in parts)])
    for result in [*results, *own(results, beside)]:
        for row in result.rows:
            values = [getattr(row.metrics[name], part) for name in NAMES for part in parts]
            writer.writerow(
                [result.data, result.system, result.setting, row.name, row.split, result.text.name, result.image.name]
                + [
                    int(result.text.stand_in or result.image.stand_in),
                    " ".join(trained(result)),
                    result.train_memes,
                    result.train_of,
                ]
                + [result.steps, int(result.capped), result.seeds, f"{result.seconds:.3f}", published(result.published)]
                + ["" if value != value else f"{value:.6f}" for value in values]
            )
    return out.getvalue()
