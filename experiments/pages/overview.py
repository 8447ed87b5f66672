"""What was compared, and its outcome in short."""

import json

from experiments.evaluate.tests import verdicts
from experiments.pages.document import Block, Bullets, Figure, Grid, Section, Tile, Tiles, Verdict
from experiments.pages.whiskers import forest, gains
from experiments.results.reading import Findings
from experiments.tables import Table, bare, interval


def in_short(findings: Findings) -> list[Block]:
    """The judged split's AUC-ROC of every head, the verdicts, and both as drawings."""
    split = findings.judged
    rows = findings.rows(split)
    shown = [(head, rows[head].metrics["auc_roc"]) for head in findings.heads]
    tiles = [Tile(head, bare(figure.mean), interval(figure) or "no interval") for head, figure in shown]
    panels = [forest(f"auc-roc-{split}", list(rows.values()), split)]
    if by_rank := [pair for pair in findings.comparison.pairs if pair.measure == "auc_roc"]:
        panels.append(gains("gains", by_rank))
    return [
        Tiles(f"AUC-ROC on {split}, mean over seeds, 95% interval over memes", tiles),
        Verdict(verdicts(findings.comparison)),
        Figure(f"Every head and reference on {split}, and what fusing text and image gains.", panels),
    ]


def section(findings: Findings) -> Section:
    comparison = findings.comparison
    seeds = "seed 0" if comparison.seeds == 1 else f"seeds 0 to {comparison.seeds - 1}"
    facts = [
        f"Runs: {seeds} of each head. Dev's AUC-ROC decides when a run stops, dev's macro-F1 its second threshold; "
        "test decides nothing.",
        "Probabilities are as the heads give them."
        if comparison.calibration == "none"
        else f"Probabilities are recalibrated on dev ({comparison.calibration}).",
        *comparison.notes,
    ]
    blocks = [Grid(data_table(findings)), Grid(encoder_table(findings), frozenset({0, 1, 3, 4}))]
    tables = [Grid(settings_table(findings)), Grid(reference_table(findings), frozenset({0, 1}))]
    shown = [block for block in tables if block.table.rows]
    return Section("What was compared", "compared", [*blocks, *shown, Bullets([*facts, versions(findings)])])


def data_table(findings: Findings) -> Table:
    rows = [
        [
            size.name,
            *(f"{count:,}" for count in (size.memes, size.labelled, size.positive)),
            f"{size.positive / size.labelled:.0%}" if size.labelled else "",
            f"{size.texts:,}",
        ]
        for size in findings.comparison.splits
    ]
    return Table("Data", ["split", "memes", "with a label", "label 1", "share of 1", "distinct texts"], rows)


def encoder_table(findings: Findings) -> Table:
    rows = []
    for side, encoder in findings.comparison.encoders.items():
        settings = ", ".join(
            f"{key} {shortened(value)}" for key, value in encoder["settings"].items() if key not in ("name", "kind")
        )
        rows.append([side, encoder["name"], f"{encoder['dim']:,}", settings, encoder["fingerprint"][:16]])
    return Table("Frozen encoders", ["side", "encoder", "dims", "settings", "fingerprint"], rows)


def shortened(value: object) -> str:
    """A setting's value; the first digits of a digest."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:12] if len(text) == 64 and set(text) <= set("0123456789abcdef") else text


def settings_table(findings: Findings) -> Table:
    """Each head's settings, and what its runs came to."""
    by_head = findings.comparison.settings
    names = list(dict.fromkeys(name for settings in by_head.values() for name in settings))
    rows = [[name.replace("_", " "), *(str(by_head[head].get(name, "")) for head in by_head)] for name in names]
    trained = {head: [run for run in findings.runs if run.head == head] for head in by_head}
    kept = {head: [run.best_epoch for run in runs] for head, runs in trained.items()}
    rows.append(["epochs kept", *(span(kept[head]) for head in by_head)])
    rows.append(["seconds of training, all runs", *(f"{trained[head][0].seconds:.1f}" for head in by_head)])
    return Table("Heads", ["", *by_head], rows)


def span(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def reference_table(findings: Findings) -> Table:
    chosen = {run.head: run.settings for run in findings.runs if run.kind == "reference"}
    rows = [[name, ", ".join(f"{key} {value:g}" for key, value in found.items())] for name, found in chosen.items()]
    return Table("References, and what dev chose for them", ["reference", "chosen"], [row for row in rows if row[1]])


def versions(findings: Findings) -> str:
    comparison = findings.comparison
    parts = [f"memefuse {comparison.code}"]
    parts += [f"{library} {version}" for library, version in comparison.versions.items() if library != "memefuse"]
    said = f"Trained on {comparison.device}, products in {comparison.precision}, with {', '.join(parts)}."
    for side, encoder in comparison.encoders.items():
        made = ", ".join(f"{library} {version}" for library, version in encoder["versions"].items())
        said += f" The {side} vectors were made with {made}." if made else ""
    return said
