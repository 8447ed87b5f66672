"""A head's model card in Markdown, as model hubs show it: use, limits, data, encoders, figures, slices, thresholds."""

import json
from dataclasses import replace
from pathlib import Path

from experiments import tables
from experiments.data import dataset_name
from experiments.evaluate.operating_points import OperatingPoints
from experiments.results import answers
from experiments.results.folder import Results
from experiments.results.models import SavedHead
from experiments.results.records import Row
from experiments.tables import Table
from experiments.words import bare, moderation, with_dims, with_interval
from experiments.words.comparison import FIGURES_READING, SLICES_READING, heading, leakage, precision
from experiments.words.comparison_tables import main_table, tuned_table
from extract import places
from heads.metrics import METRICS

USE = (
    "To say how likely an image and the words on it are of label 1, for research, and to put memes in the order in "
    "which people look at them. What label 1 means is what it means in the data below.",
    "Not to remove, punish or profile without a person who looks: an answer is a guess with the error rates below.",
)
LIMITS = (
    "Figures hold for memes like those of the data below. Other sources, languages, years and camera pictures need "
    "figures of their own.",
    "The encoders are frozen: what their training did not teach them, this head cannot see; biases of theirs stay.",
    "It takes these encoders' vectors, of these fingerprints; those of others give numbers without meaning.",
)


def card(results: Results, saved: SavedHead, reports: Path, files: dict[str, str]) -> str:
    """Return the card of a head. files: what lies beside it, and what each is for."""
    comparison, run = results.comparison, results.comparison.run
    rows = [row for row in comparison.rows if row.name == saved.name or row.name.startswith(f"{saved.name}, ")]
    title = f"{saved.name} on {' and '.join(encoder.name for encoder in comparison.encoders.values() if encoder.dim)}"
    lines = ["---", *front_matter(results, rows, title), "---", "", f"# {title}", ""]
    lines += [
        f"A light head of memefuse on frozen encoders: vectors of {' and '.join(saved.sides)} in, the probability of "
        f"label 1 out, the mean of {len(saved.fitted.runs)} runs. Label 1 is from **{bare(saved.threshold)}** "
        "on, the threshold with the best macro-F1 on dev.",
        *memory(saved, files),
    ]
    lines += ["", "## Use", "", *(f"- {sentence}" for sentence in USE)]
    lines += ["", *(f"- `{name}`: {what}" for name, what in files.items())]
    lines += ["", "## Limits", "", *(f"- {sentence}" for sentence in [*LIMITS, *cautions(results)])]
    dataset = dataset_name(places.place(comparison.features)) or "of unknown name"
    vectors = f"Dataset: {dataset}; vectors by {with_dims(comparison.encoders.values())}."
    lines += ["", "## Data", "", vectors, "", tables.markdown(data_table(results))]
    lines += ["", "## Encoders", "", tables.markdown(encoder_table(results))]
    for split in [split for split in results.predicted if results.rows(split)]:
        its = [row for row in rows if row.split == split]
        lines += ["", f"## Figures on {heading(results.size(split))}", ""]
        lines += [tables.markdown(main_table(its, ""))]
        lines += ["", "At the threshold tuned on dev:", "", tables.markdown(tuned_table(its, ""))]
    lines += (cut := slices(results, saved.name, reports))
    if points := answers.read_answer(reports, "operating_points", OperatingPoints, run):
        for split in comparison.judged:
            lines += ["", f"## Thresholds for a moderator, on {split}", ""]
            lines += [tables.markdown(replace(moderation.operating_table(points, saved.name, split), title="")), ""]
        lines += [f"- {sentence}" for sentence in moderation.operating_points(points, saved.name)]
    settings = json.dumps(comparison.settings[saved.name])
    lines += ["", "## Training", "", f"- settings: `{settings}`", f"- seeds: 0 to {comparison.seeds - 1}"]
    lines += [f"- code: memefuse {comparison.code}; run: {run}", "", "## How to read this", "", FIGURES_READING]
    lines += ["", SLICES_READING] if cut else []
    return "\n".join(lines) + "\n"


def memory(saved: SavedHead, files: dict[str, str]) -> list[str]:
    """What of the memes that a head remembers goes along with it."""
    voting, runs = saved.fitted.voting, len(saved.fitted.runs)
    if not saved.known:
        return []
    if not voting:
        said = "Dev preferred each run's linear output to a vote of the memes of train: none of these is in the files."
        return ["", said]
    said = (
        f"In {voting} of {runs} runs the nearest of {len(saved.known.ids):,} memes of train vote. Hidden vectors and "
        "labels of these memes are in the files; examples that `predict` was given are not."
    )
    if "head.onnx" in files:
        said += (
            " `head.onnx` holds all that it is given against them at once: give it a thousand memes at a time. Where "
            "memes of both labels are equally near, it may rank them otherwise than predict."
        )
    return ["", said]


def front_matter(results: Results, rows: list[Row], title: str) -> list[str]:
    """Return the card's YAML (JSON, which is YAML) of the judged splits' figures."""
    kind = "mean" if any(row.kind == "mean" for row in rows) else "head"  # of a single run there is no mean
    metrics = [
        {"type": name, "value": round(row.metrics[name].mean, 4), "name": f"{METRICS[name].title}, {row.split}"}
        for row in rows
        for name in ("auc_roc", "average_precision", "accuracy")
        if row.split in results.comparison.judged and row.kind == kind
    ]
    result = {"task": {"type": "image-text-classification"}, "dataset": {"type": "memes", "name": "see Data"}}
    index = [{"name": title, "results": [result | {"metrics": metrics}]}]
    about = {"library_name": "pytorch", "tags": ["memes", "multimodal", "frozen-encoders"], "model-index": index}
    return [f"{key}: {json.dumps(value)}" for key, value in about.items()]


def cautions(results: Results) -> list[str]:
    """What of the data weakens the figures."""
    comparison = results.comparison
    said = [sentence for size in comparison.splits if (sentence := leakage(size))]
    for split in comparison.judged:
        heads = [row for row in results.rows(split).values() if row.kind == "head"]
        said.append(precision(results.size(split), heads))
    return said + comparison.notes


def data_table(results: Results) -> Table:
    rows = [
        [size.name, f"{size.memes:,}", f"{size.positive:,}", f"{size.texts:,}", f"`{size.digest}`"]
        for size in results.comparison.splits
    ]
    header = ["split", "memes", "label 1", "distinct texts", "sha256 of ids, labels and contents"]
    return Table("", header, rows, words=(0, 4))


def encoder_table(results: Results) -> Table:
    rows = [
        [side, encoder.name, f"{encoder.dim:,}", encoder.pooling, f"`{encoder.fingerprint}`"]
        for side, encoder in results.comparison.encoders.items()
        if encoder.dim
    ]
    return Table("", ["side", "encoder", "dims", "pooling", "fingerprint"], rows, words=(0, 1, 3, 4))


def slices(results: Results, head: str, reports: Path) -> list[str]:
    lines: list[str] = []
    for split in results.comparison.judged:
        pieces = [piece for piece in results.comparison.slices if piece.split == split and head in piece.auc_roc]
        if pieces:
            rows = [[piece.name, f"{piece.memes:,}", with_interval(piece.auc_roc[head])] for piece in pieces]
            table = Table("", ["slice", "memes", "AUC-ROC"], rows)
            lines += ["", f"## Slices of {split}", "", tables.markdown(table)]
        for answer in answers.sliced(reports, results.comparison.run):
            lines += ["", tables.markdown(moderation.field_table(answer, head, split))]
            lines += ["", *(f"- {sentence}" for sentence in moderation.field_slices(answer, head))]
    return lines
