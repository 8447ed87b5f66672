"""What heads say of one meme, in sentences and as a table, for predict and serve."""

from typing import TYPE_CHECKING

from experiments.tables import Table, table_of
from experiments.words import bare, counted
from extract.errors import printable
from heads.models import HEADS

if TYPE_CHECKING:
    from experiments.results.models import SavedHead
    from experiments.scoring.memory import Added
    from experiments.scoring.scorer import Opinion, Score, Scorer

LOOKS_AT = {("text",): "text alone", ("image",): "image alone", ("text", "image"): "both together"}


def looks_at(head: "SavedHead") -> str:
    return LOOKS_AT[head.sides]


def words_read(score: "Score") -> str:
    """The words that were read from a picture; empty where a text was given."""
    if score.read is None:
        return ""
    return f"Read from the picture: {printable(score.read)}" if score.read else "No words were read from the picture."


def meme(score: "Score", scorer: "Scorer") -> str:
    """One meme's probability and label, and whose they are."""
    origin = probability_origin(score.opinions[score.head], scorer)
    decision = f", {score.decision}" if score.decision else ""
    return f"probability {bare(score.probability)}, label {score.label}{decision} ({origin})"


def probability_origin(opinion: "Opinion", scorer: "Scorer") -> str:
    """Which head a probability is of, from where on its label is 1, and what an operating point makes of it."""
    runs = f"mean of {opinion.runs} runs" if opinion.runs > 1 else "1 run"
    tuned = "as asked for" if scorer.threshold is not None else "tuned on dev"
    said = f"head {opinion.head}, {runs}; label 1 from {bare(opinion.threshold)}, {tuned}"
    if opinion.band:
        low, high = opinion.band
        reviewed = f"reviewed from {bare(low)}, " if low < high else ""
        said += f"; {reviewed}blocked from {bare(high)}, for {scorer.at} on dev"
    return said


def examples(added: "Added") -> str:
    """What became of a file of examples."""
    memes = counted(added.memes, "meme")
    parts = [f"{memes} of {added.source} added to the {added.before:,} that {added.head} remembers"]
    parts += [f"{added.relabelled:,} of its own forgotten, which had the other label"] if added.relabelled else []
    parts += [f"{added.twice:,} known already, and counted once"] if added.twice else []
    sentence = f"{printable('; '.join(parts))}."
    if added.voting < added.runs:
        linear = added.runs - added.voting
        sentence += (
            f" Dev had chosen the linear output of {linear} of {added.runs} runs, which no example reaches: now the "
            "nearest memes vote, as many as did best on dev, and the threshold is that of their votes on dev."
        )
    return sentence


def nearest(score: "Score", scorer: "Scorer") -> str:
    """How far the memes that a head finds near are the reason for its score."""
    voting, runs = scorer.deciding.fitted.voting, len(scorer.deciding.fitted.runs)
    if voting == runs:
        return "The memes nearest to this one, of all that it remembers, have voted."
    of_runs = f"of {voting} of {runs} runs they have voted, of the others" if voting else "they have not voted:"
    return f"The memes nearest to this one, of all that it remembers; {of_runs} dev chose the linear output."


def modalities(score: "Score") -> str:
    """What text and image say on their own, and what the fusion makes of it; empty unless there are all three."""
    if len(HEADS[score.head].sides) < 2 or not {"text", "image"} <= score.opinions.keys():
        return ""
    text, image = score.opinions["text"], score.opinions["image"]
    if text.label != image.label:
        sides_with = "text" if text.label == score.label else "image"
        return (
            f"The text alone says label {text.label}, the image alone label {image.label}; "
            f"{score.head} sides with the {sides_with}."
        )
    if text.label == score.label:
        return f"The text alone and the image alone say label {text.label}, too."
    return f"The text alone and the image alone say label {text.label}; only together do they come to {score.label}."


def meme_table(score: "Score", scorer: "Scorer") -> Table:
    """What every head says of one meme."""
    return table_of(
        "",
        score.opinions.values(),
        {
            "head": lambda its: its.head,
            "looks at": lambda its: looks_at(scorer.heads[its.head]),
            "probability": lambda its: bare(its.probability),
            "of its runs": lambda its: f"{bare(its.lowest)} to {bare(its.highest)}",
            "label 1 from": lambda its: bare(its.threshold),
            "label": lambda its: str(its.label),
        },
        words=(0, 1),
    )
