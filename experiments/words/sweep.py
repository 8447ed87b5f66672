"""Which settings: a sweep's sentences, tables and page, and what must be said where its choice is used."""

from collections.abc import Mapping, Sequence

from experiments.results.records import Figure, SplitSize
from experiments.search.ranking import Candidate, Choice, auc_error, best_of_each, swept
from experiments.search.trials import Trial, described
from experiments.tables import Table, page
from experiments.words import bare, counted, signed, with_spread
from extract.store import EncoderIdentity
from heads.models import HEADS


def choice_cautions(
    choice: Choice, encoders: Mapping[str, EncoderIdentity], heads: Sequence[str], splits: Sequence[SplitSize]
) -> list[str]:
    """What must be said of these heads compared under a sweep's choice, on these encoders. splits: train and dev."""
    names = tuple(encoder.name for encoder in encoders.values())
    notes = list(choice.notes) if names == (choice.text_encoder, choice.image_encoder) else []
    if other := [here.name for there, here in zip(choice.splits, splits, strict=False) if not here.same_memes(there)]:
        notes.append(f"The sweep was made on other memes, in {' and '.join(other)}: its choice may not be best here.")
    tuned = [head for head in heads if head in choice.heads]
    rest = [head for head in heads if head not in choice.heads]
    if tuned and rest:
        notes.append(
            f"Tuned by the sweep: {', '.join(tuned)}; with the shipped settings: {', '.join(rest)}. "
            "A difference between one of the former and one of the latter may be the tuning's."
        )
    elif choice.heads:
        notes.append(f"Tuned by the sweep: {', '.join(tuned) or 'none of these heads'}.")
    return notes


def candidate_score(candidate: Candidate) -> str:
    """A candidate's dev AUC-ROC, as ".812±.004"."""
    return with_spread(Figure(candidate.mean, candidate.sd))


def left_behind(ranked: Sequence[Candidate], on_pair: Sequence[Candidate]) -> list[str]:
    """Which single modality on other encoders beats those on the chosen pair: compare holds a fusion to the latter."""
    best, here = (next((each for each in some if len(each.encoders) == 1), None) for some in (ranked, on_pair))
    if best is None or here is None or not best.mean > here.mean:
        return []
    fusion = next((each for each in ranked if len(each.encoders) == 2), None)
    behind = fusion is not None and fusion.mean <= best.mean
    level = f", and is not beaten by any fusion ({candidate_score(fusion)})" if fusion and behind else ""
    return [
        f"On dev, {best.head} on {best.encoders[0]} ({candidate_score(best)}) beats {here.head} on {here.encoders[0]} "
        f"({candidate_score(here)}), the better single modality on the chosen encoders{level}: a fusion's gain over "
        "the latter need not be one over the former."
    ]


def sweep_reading(
    ranked: Sequence[Candidate], trials: Sequence[Trial], others: int, notes: Sequence[str], scoring: str
) -> list[str]:
    """How far a sweep's ranking can be trusted.

    others: configurations in the record that this sweep did not ask for. notes: of its choice. scoring: the command
    that scores the choice on test.
    """
    best, of = ranked[0].mean, trials[0]
    error = auc_error(best, of.dev_positive, of.dev_memes - of.dev_positive)
    within = sum(candidate.mean >= best - error for candidate in ranked)
    tried = f"{len(ranked):,} configurations were tried"
    tried += f", and {others:,} more in the same record by other sweeps." if others else "."
    return [
        "Figures are means ± standard deviation over seeds.",
        tried,
        "The best of many dev scores is optimistic: part of its lead is luck with these memes.",
        f"The best one's standard error over memes is {bare(error)} (Hanley & McNeil 1982); {within:,} configurations",
        "lie within that of it, and this dev split cannot tell them apart.",
        *several_versions(trials),
        *notes,
        f"What the choice is worth only test can say, and only once: `{scoring}`.",
    ]


def several_versions(trials: Sequence[Trial]) -> list[str]:
    """A sweep that goes on after the code has changed keeps what the older code scored."""
    codes = list(dict.fromkeys(trial.code for trial in trials))
    if len(codes) < 2:
        return []
    return [
        f"Runs of {len(codes)} versions of memefuse ({', '.join(codes)}) are ranked together: if training differs "
        "between them, so do these scores. Another --out trains all of them anew."
    ]


def sweep_markdown(ranked: Sequence[Candidate], trials: Sequence[Trial], reading: Sequence[str]) -> str:
    """A sweep's page: its best of each head, its ranking, and how to read them."""
    seeds = len(ranked[0].auc)
    first = trials[0]
    return page(
        f"# Sweep: {len(ranked):,} configurations x {counted(seeds, 'seed')}, ranked by dev AUC-ROC",
        f"{first.dev_memes:,} memes in dev, {first.dev_positive:,} of them with label 1. No test row was read.",
        best_table(ranked),
        ranking_table(ranked),
        "\n".join(reading),
    )


def ranking_table(ranked: Sequence[Candidate], shown: int = 20) -> Table:
    """The best candidates of a sweep, with the settings that differ anywhere in it."""
    names = swept(ranked)
    rows = [
        [str(place), each.head, " + ".join(each.encoders), candidate_score(each), *setting_cells(each, names)]
        for place, each in enumerate(ranked[:shown], start=1)
    ]
    title = f"The best {len(rows):,} of {len(ranked):,}"
    return Table(title, ["rank", "head", "encoders", "dev AUC-ROC", *names], rows, words=(0, 1, 2))


def best_table(ranked: Sequence[Candidate]) -> Table:
    """Each head's best, beside the shipped recipe on the same encoders where it was tried too."""
    names = swept(ranked)
    rows = []
    for head, best in best_of_each(ranked).items():
        same = [each for each in ranked if (each.head, each.encoders) == (head, best.encoders)]
        recipe = described(head, HEADS[head].settings())
        shipped = next((each for each in same if each.settings == recipe), None)
        against = ["not tried", ""] if shipped is None else [candidate_score(shipped), signed(best.mean - shipped.mean)]
        tried = f"{sum(each.head == head for each in ranked):,}"
        encoders = " + ".join(best.encoders)
        rows.append([head, tried, encoders, candidate_score(best), *against, *setting_cells(best, names)])
    header = ["head", "tried", "encoders", "best dev AUC-ROC", "shipped recipe", "gain", *names]
    return Table("The best of each head", header, rows, words=(0, 2))


def setting_cells(candidate: Candidate, names: Sequence[str]) -> list[str]:
    values = [candidate.settings.get(name, "") for name in names]
    return [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
