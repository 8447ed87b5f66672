"""The table of `experiments.bench extract`."""

import statistics
from dataclasses import dataclass

HEAD = """\
| modality | encoder | memefuse /s | notebook /s | ratio (min, max) | encode limit /s | of it | decode limit /s \
| of it | least cosine |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"""
NOTES = """
The notebook's way: float32, NCHW, batches of 32 in file order padded to their longest text, Pillow in the
main process, nothing overlapped, in a process of its own with nothing set. Both end in HDF5; loading the encoder
counts for neither. Encode limit: the encoder alone on ready tensors (the roof), texts of 32 word pieces. Decode
limit: reading and decoding alone, with the threads that stage 1 decodes with. Cosine: of our vector and the
notebook's for the same meme.
"""
RANDOM_NOTE = """\
Random weights: the architectures at full size; every word is one word piece.
"""


@dataclass(frozen=True)
class Timed:
    """Seconds of each repeat for one modality."""

    ours: list[float]
    notebook: list[float]
    encode: list[float]  # the encoder alone on ready tensors, for as many rows
    decode: list[float]  # decoding alone; none for texts
    rows: int
    cosine: float  # the lowest between our vector and the notebook's of the same meme


def table(title: str, results: dict[str, tuple[str, Timed]], random_weights: bool, memory: dict[int, float]) -> str:
    """results: by kind, the encoder's name and what was timed. memory: MB by number of memes."""
    lines = [f"# {title}", "", HEAD]
    lines += [f"| {kind} | {name} | {' | '.join(_figures(timed))} |" for kind, (name, timed) in results.items()]
    lines += [NOTES, RANDOM_NOTE] if random_weights else [NOTES]
    lines += [f"Peak memory of `python -m extract` on {rows:,} memes: {peak:,.0f} MB." for rows, peak in memory.items()]
    return "\n".join(lines) + "\n"


def _figures(timed: Timed) -> list[str]:
    """A row's cells. Ratios and shares are of one repeat each."""
    ratios = [theirs / mine for mine, theirs in zip(timed.ours, timed.notebook, strict=True)]
    return [
        _rate(timed, timed.ours),
        _rate(timed, timed.notebook),
        f"{statistics.median(ratios):.1f} ({min(ratios):.1f}, {max(ratios):.1f})",
        *_limit(timed, timed.encode),
        *_limit(timed, timed.decode),
        f"{timed.cosine:.5f}",
    ]


def _rate(timed: Timed, seconds: list[float]) -> str:
    return f"{timed.rows / statistics.median(seconds):.1f}"


def _limit(timed: Timed, seconds: list[float]) -> tuple[str, str]:
    """A limit, and the share of it that stage 1 reaches."""
    if not seconds:
        return "", ""
    shares = [least / mine for mine, least in zip(timed.ours, seconds, strict=True)]
    return _rate(timed, seconds), f"{statistics.median(shares):.0%}"
