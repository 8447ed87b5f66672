"""More labels: the sentences, tables and page of a learning curve."""

import json
from collections.abc import Sequence

from experiments.results.learning import LearningCurve, PowerLaw, Replaced
from experiments.results.records import SplitSize
from experiments.tables import Table, page, table_of
from experiments.words import bare, change, counted, difference, probability, with_dims, with_interval
from experiments.words.comparison import conclusion, tested, untold


def learning(curve: LearningCurve) -> list[str]:
    """What more labels may bring each head, and the best reference, on the judged splits; then the curve's notes."""
    heads = [law for law in curve.laws if law.head in curve.settings]
    return [*map(doubling, heads), *curve.notes]


NO_OTHERS = {  # of evaluate.learning.beside
    "no leaderboard": "python -m experiments.leaderboard was not run beside it.",
    "other memes": "the leaderboard beside it is of other memes.",
    "other encoders": "the leaderboard beside it has no row of these heads and encoders.",
    "no other row": "the leaderboard beside it has no other encoder for these heads, or is of an older version.",
}


def other_encoders(others: Sequence[Replaced], why: str, sizes: Sequence[SplitSize]) -> list[str]:
    """What another encoder brings each head, or why that is not said. others: of each head on dev, then on test."""
    if why:
        return [f"What another encoder would bring is not said: {NO_OTHERS[why]}"]
    by_name, said = {size.name: size for size in sizes}, []
    for head in dict.fromkeys(each.head for each in others):
        *chose, judged = [each for each in others if each.head == head]
        pair = judged.pair
        dev = "".join(f"; {each.pair.split}, which chose it, has {difference(each.pair)}" for each in chose)
        said.append(
            f"{head.capitalize()} on {judged.other} in place of {judged.own}: {pair.split} AUC-ROC "
            f"{tested(pair, f'p {probability(pair.p_holm)} (Holm{dev})')} "
            f"{untold(pair, by_name[pair.split], 'the two')}".rstrip()
        )
    return said


def doubling(law: PowerLaw) -> str:
    """What a head gained from more labels so far, and what twice as many may bring, where the power law may say so."""
    span = f"from {law.smallest:,.0f} to {law.largest:,.0f} memes of train"
    seen = change(law.rise, law.rise_low, law.rise_high)
    if law.refused == "too few memes":
        return f"{law.head.capitalize()} on {law.split}: too few memes to tell whether AUC-ROC rises {span} ({seen})."
    if law.refused == "no rise":
        return f"{law.head.capitalize()} on {law.split}: no evidence that AUC-ROC rises {span} ({seen})."
    start = f"{law.head.capitalize()} on {law.split}: AUC-ROC rises by {seen} {span}; "
    gain = change(law.gain, law.gain_low, law.gain_high)
    if not law.refused:
        return f"{start}twice as many labels may bring {gain} more."
    why = {
        "too few sizes": "that takes four sizes or more",
        "no fit": "no power law can be fitted",
        "poor fit": f"the sizes do not lie on a power law (p {probability(law.p)})",
        "too wide": f"a power law's {gain} is too uncertain beside what was seen",
    }
    return f"{start}what twice as many labels bring is not said: {why[law.refused]}."


def learning_tables(curve: LearningCurve, others: Sequence[Replaced] = ()) -> list[Table]:
    """A table of AUC-ROC by size for each split, what doubling may bring, and others: what other encoders bring."""
    tables = []
    for split in dict.fromkeys(point.split for point in curve.points):
        points = [point for point in curve.points if point.split == split]
        figures = {(point.head, point.size): with_interval(point.auc_roc) for point in points}
        cells = [
            [head, *(figures.get((head, size), "") for size in curve.sizes)]
            for head in dict.fromkeys(point.head for point in points)
        ]
        of = f"{counted(curve.draws, 'draw')} and {counted(curve.seeds, 'seed')}"
        title = f"AUC-ROC on {split} by memes of train, mean over {of}"
        tables.append(Table(title, ["", *(f"{size:,}" for size in curve.sizes)], cells))
    laws = table_of(
        "Power laws, and what they expect of twice the labels",
        curve.laws,
        {
            "": lambda law: law.head,
            "split": lambda law: law.split,
            "rise seen": lambda law: change(law.rise, law.rise_low, law.rise_high),
            "exponent": lambda law: bare(law.exponent),
            "limit": lambda law: bare(law.limit),
            "p of the fit": lambda law: bare(law.p),
            "with twice the labels": lambda law: law.refused or change(law.gain, law.gain_low, law.gain_high),
        },
        words=(0, 1),
    )
    return [*tables, laws, *([others_table(curve, others)] if others else [])]


def others_table(curve: LearningCurve, others: Sequence[Replaced]) -> Table:
    """What twice the labels may bring each head, and what the best other encoders of a leaderboard bring it."""
    doubled = {
        (law.head, law.split): law.refused or change(law.gain, law.gain_low, law.gain_high) for law in curve.laws
    }
    return table_of(
        "What twice the labels may bring, and what another encoder brings",
        others,
        {
            "": lambda its: its.head,
            "split": lambda its: its.pair.split,
            "twice the labels": lambda its: doubled.get((its.head, its.pair.split), ""),
            "other encoders": lambda its: difference(its.pair),
            "shows": lambda its: conclusion(its.pair) if its.pair.split in curve.judged else "dev chose them",
            "now": lambda its: with_interval(its.of_own),
            "with those": lambda its: with_interval(its.of_other),
            "best others on dev": lambda its: its.other,
        },
        words=(0, 1, 4, 7),
    )


def learning_markdown(curve: LearningCurve, said: Sequence[str], shown: Sequence[Table]) -> str:
    """said, shown: its sentences and tables."""
    settings = dict.fromkeys(json.dumps(settings) for settings in curve.settings.values())
    return page(
        "# More labels?",
        f"{with_dims(curve.encoders.values())}, {counted(curve.draws, 'draw')} of each size, "
        f"{counted(curve.seeds, 'seed')}.",
        said,
        *shown,
        *(f"Heads: `{each}`" for each in settings),
        f"Code: {curve.code}",
    )
