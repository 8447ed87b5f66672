"""What the heads say of a meme, in words."""

from collections.abc import Mapping

from experiments.results.models import Kept
from experiments.scoring.scorer import Opinion, Score, Scorer
from experiments.tables import bare

LOOKS_AT = {("text",): "text alone", ("image",): "image alone", ("text", "image"): "both together"}


def looks_at(head: Kept) -> str:
    return LOOKS_AT[head.sides]


def origin(opinion: Opinion, scorer: Scorer) -> str:
    """Which head a probability is of, and from where on its label is 1."""
    runs = f"mean of {opinion.runs} runs" if opinion.runs > 1 else "1 run"
    tuned = "as asked for" if scorer.threshold is not None else "tuned on dev"
    return f"head {opinion.head}, {runs}; label 1 from {bare(opinion.threshold)}, {tuned}"


def modalities(score: Score, heads: Mapping[str, Kept]) -> str:
    """What text and image say on their own, and what the fusion makes of it; empty unless there are all three."""
    if len(heads[score.head].sides) < 2 or not {"text", "image"} <= score.opinions.keys():
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
