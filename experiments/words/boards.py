"""Which encoders: the sentences, tables and pages of a leaderboard, and of several datasets' leaderboards together."""

import math

from experiments.results.records import Across, Leaderboard
from experiments.tables import Table, page
from experiments.words import bare, difference, each_meme, interval, p_is, probability, with_interval, with_spread
from experiments.words.comparison import memes_needed, untold
from experiments.words.comparison_tables import settings_lines
from heads.metrics import METRICS

LEADERBOARD_READING = """\
Each row is a head on the encoders that it looks at: a head of one modality stands for the other's "none". Rows are
trained, scored and given intervals as in `compare`, on the memes for which every encoder has a vector, and stand by
their AUC-ROC on dev: test has no say in the order. The first is tested against every other row on the same test memes
(DeLong's test for groups of memes, with the seeds' luck; Holm among all of them). "Level" are those that it does not
beat, for want of test memes as a rule: "memes for it" is how many the difference seen would take (one test at .05,
power 80%; "no number": more memes alone would not do it). Among them nothing here speaks for the dearer ones. The best
of many dev scores is optimistic: trust its test figure."""


def leaderboard(board: Leaderboard) -> list[str]:
    """What a leaderboard comes to: the best on dev, what is level with it, what that costs, how to read it."""
    best, group = board.standings[0], board.level
    figures = ", ".join(f"{split} AUC-ROC {with_interval(best.area(split))}" for split in board.shown)
    said = [f"Best on {board.dev} of {len(board.standings):,} rows: {best.name} ({figures})."]
    if board.pairs:
        beaten = f"{len(board.standings) - len(group):,} of {len(board.pairs):,} on {board.judged}"
        said.append(f"Of the other rows it beats {beaten} (AUC-ROC on the same memes, Holm-corrected).")
    if len(group) > 1:
        first, judged = group[0], next(size for size in board.sizes if size.name == board.judged)
        near = {pair.against: sentence for pair in board.pairs if (sentence := untold(pair, judged))}
        told = next((near[each.name] for each in group if each.name in near), "more memes may tell them apart.")
        cost = "no cost is known" if math.isnan(first.seconds) else f"{each_meme(first.seconds)} a meme"
        said.append(
            f"Level with it: {len(group) - 1:,}. One may choose from these {len(group):,}; the {order(board)} "
            f"is {first.name} ({cost}, {first.dims:,} dims). Level is not equal: {told}"
        )
    if unknown := [name for name in board.encoders if not measured(board, name)]:
        said.append(
            f"The cost of encoding is unknown for {', '.join(unknown)}: extract writes it when it encodes (speed.json)."
        )
    if len(devices := sorted({each.device for each in board.standings if each.device})) > 1:
        said.append(f"Costs were measured on different machines or devices, and do not compare: {'; '.join(devices)}.")
    elif devices:
        said.append(
            f"Costs are seconds of reading, decoding and encoding a meme on {devices[0]}, one side after the other."
        )
    return said


def order(board: Leaderboard) -> str:
    """What the first is of the group that one may choose from, by which it is ordered."""
    costs = [each.seconds for each in board.level]
    if math.isnan(costs[0]):
        return "narrowest"
    return "cheapest of known cost" if math.isnan(costs[-1]) else "cheapest"


def measured(board: Leaderboard, encoder: str) -> bool:
    """Whether it is known what an encoder costs, by a row that has it."""
    rows = [each for each in board.standings if encoder in (each.text_encoder, each.image_encoder)]
    return not rows or any(not math.isnan(each.seconds) for each in rows)


def across(ranks: Across) -> list[str]:
    """What several datasets say together of the rows that they share."""
    if not ranks.names:
        return [f"No row stands in all {len(ranks.datasets)} leaderboards: nothing can be ranked."]
    said = [f"Over {len(ranks.datasets)} datasets, {ranks.names[0]} has the best mean rank, {ranks.mean_rank[0]:.2f}."]
    if math.isnan(ranks.p):
        counts = f"{len(ranks.datasets)} datasets and {len(ranks.names)} rows"
        return [*said, f"{counts} are too few to test ranks: that takes 6 and 3."]
    said.append(f"Friedman's test that all rows are alike: {p_is(ranks.p)}.")
    near = sum(rank - ranks.mean_rank[0] <= ranks.critical for rank in ranks.mean_rank) - 1
    if ranks.p >= 0.05:
        return [*said, "No row is shown to differ from another."]
    return [
        *said,
        f"Mean ranks differ where they are {ranks.critical:.2f} apart (Nemenyi, .05): {near} of the "
        f"{len(ranks.names) - 1} others are not told apart from the first.",
    ]


def leaderboard_table(board: Leaderboard, title: str = "") -> Table:
    """Rows by AUC-ROC on dev; what the best is ahead of each by stands beside the judged split's figures."""
    pairs = {pair.against: pair for pair in board.pairs}
    splits, decisions = list(board.standings[0].splits), ("accuracy", "macro_f1")
    header = ["", "level", "dims", "a meme"]
    header += [each for split in splits for each in (f"{split} AUC-ROC", "95% interval")]
    header += [f"{board.judged} {METRICS[name].title}" for name in decisions] + ["the best is ahead by", "p (Holm)"]
    rows = []
    for place, each in enumerate(board.standings, 1):
        ahead = pairs.get(each.name)
        rows.append(
            [f"{place}. {each.name}", "level" if each.level else "", f"{each.dims:,}", each_meme(each.seconds)]
            + [cell for split in splits for cell in (with_spread(each.area(split)), interval(each.area(split)))]
            + [with_spread(each.splits[board.judged].metrics[name]) for name in decisions]
            + ([difference(ahead), probability(ahead.p_holm)] if ahead else ["", ""])
        )
    return Table(title, header, rows, words=(0, 1))


def level_table(board: Leaderboard, title: str = "") -> Table:
    """The group that one may choose from, in its order, with how many memes would tell each from the best."""
    ahead = {pair.against: [difference(pair), memes_needed(pair)] for pair in board.pairs}
    place = {each.name: number for number, each in enumerate(board.standings, 1)}
    rows = [
        [f"{place[each.name]}. {each.name}", each_meme(each.seconds), f"{each.dims:,}"]
        + [with_spread(each.area(split)) for split in board.shown]
        + ahead.get(each.name, ["", ""])
        for each in board.level
    ]
    shown = [f"{split} AUC-ROC" for split in board.shown]
    return Table(title, ["", "a meme", "dims", *shown, "the best is ahead by", "memes for it"], rows)


def leaderboard_markdown(board: Leaderboard) -> str:
    compared = [
        f"{encoder.kind}: {encoder.name}, {encoder.dim:,} dims, `{encoder.fingerprint[:16]}`"
        for encoder in board.encoders.values()
        if len(encoder.parts) == 1
    ]
    compared += settings_lines(board.settings)
    compared.append(f"memes: {', '.join(f'{size.name} {size.memes:,}' for size in board.sizes)}; {board.features}")
    compared.append(f"seeds: 0 to {board.seeds - 1}; code: {board.code}; run: {board.run}")
    return page(
        f"# Which encoders? {board.dataset}",
        [*leaderboard(board), *board.notes],
        f"## {len(board.standings):,} rows, by {board.dev}",
        leaderboard_table(board),
        f"## Level with the best, {order(board)} first",
        level_table(board),
        "## How to read this",
        LEADERBOARD_READING,
        "## What was compared",
        compared,
    )


def across_table(ranks: Across, title: str = "") -> Table:
    rows = [
        [name, f"{rank:.2f}", *map(bare, areas)]
        for name, rank, areas in zip(ranks.names, ranks.mean_rank, ranks.auc_roc, strict=True)
    ]
    return Table(title, ["", "mean rank", *ranks.datasets], rows)


def across_markdown(ranks: Across) -> str:
    title = f"# Which encoders, over {len(ranks.datasets)} datasets?"
    said = [*across(ranks), *ranks.notes]
    return page(title, said, "Test AUC-ROC, and ranks by it.", across_table(ranks))
