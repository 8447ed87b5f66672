"""Draws sample memes, `python -m extract.sample`: a harmless stand-in for Hateful Memes, in the data contract.

The caption talks of the country or of the city; the picture shows the country or the city; the label is 1 when they
disagree. Text alone and image alone are at chance by construction (see extract/drawing/plan.py).
"""

import argparse
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import chain
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

from extract.drawing.plan import DRAWING, Meme, SampleSettings, plan, rng_of
from extract.errors import Failed, Refused, listing, run

MARKER = "sample.json"
GROUPS_WORTH_A_WORKER = 40  # drawing fewer is quicker than starting another process


def draw(out: Path, settings: SampleSettings, workers: int | None = None, progress: bool = True) -> int:
    """Draw what is not in `out` yet. Returns how many memes that was; 0 means that all were there.

    workers: processes; None takes as many as are worth starting. They do not change a byte.
    Raises Refused for faulty settings, or when `out` holds anything else; Failed when a file cannot be written.
    """
    from tqdm import tqdm

    settings.check()
    if workers is not None and workers < 1:
        raise Refused(f"--workers is {workers}; nothing was drawn. 1 is the least")
    memes = plan(settings)
    _claim(out, settings)
    groups = _undrawn(out, chain.from_iterable(memes.values()))
    left = sum(map(len, groups))
    rows_left = [split for split in memes if not (out / f"{split}.jsonl").is_file()]
    if not left and not rows_left:
        return 0
    try:
        (out / "img").mkdir(exist_ok=True)
        with tqdm(total=left, unit="meme", desc="drawing", disable=None if progress else True) as bar:
            for drawn in _draw_groups(out, settings, groups, workers):
                bar.update(drawn)
        # rows come last, so that an unfinished folder has no split to read
        for split in rows_left:
            rows = "".join(json.dumps(meme.row()) + "\n" for meme in memes[split])
            _put(out / f"{split}.jsonl", rows.encode())
    except (OSError, BrokenExecutor) as error:
        raise Failed(f"{error}\n{out} is unfinished; the same command goes on from there") from error
    return left


def draw_group(out: Path, settings: SampleSettings, memes: Sequence[Meme]) -> int:
    """Draw memes of one group. Returns how many."""
    from extract.drawing.look import encoded, look, picture

    split, group = memes[0].split, memes[0].group
    style = look(rng_of(settings, split, group, "look"), settings.shortest, settings.longest)
    pictures = {
        topic: picture(topic, style, rng_of(settings, split, group, topic)) for topic in {m.shows for m in memes}
    }
    for meme in memes:
        file = out / meme.img
        _put(file, encoded(pictures[meme.shows], meme.text, style, file.suffix))
    return len(memes)


def _undrawn(out: Path, memes: Iterable[Meme]) -> list[list[Meme]]:
    groups = defaultdict(list)
    for meme in memes:
        if not (out / meme.img).is_file():
            groups[meme.split, meme.group].append(meme)
    return list(groups.values())


def _draw_groups(
    out: Path, settings: SampleSettings, groups: Sequence[Sequence[Meme]], workers: int | None
) -> Iterator[int]:
    one = partial(draw_group, out, settings)
    if workers is None:
        workers = min(os.cpu_count() or 1, 1 + len(groups) // GROUPS_WORTH_A_WORKER)
    if workers == 1:
        yield from map(one, groups)
        return
    # spawned, not forked: a fork copies the locks of whatever threads the caller runs
    with ProcessPoolExecutor(workers, get_context("spawn"), _worker_begins) as pool:
        try:
            yield from pool.map(one, groups, chunksize=4)
        finally:
            pool.shutdown(cancel_futures=True)


def _worker_begins() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which then ends its workers
    Thread(target=_end_with_the_command, daemon=True).start()


def _end_with_the_command() -> None:
    """A killed command cannot end its workers, and they would wait for work for ever."""
    command = parent_process()
    assert command is not None  # only workers come here
    command.join()
    os._exit(1)


def _claim(out: Path, settings: SampleSettings) -> None:
    """Make `out` ours, or see that it is. Raises Refused when it holds anything but memes of these settings."""
    ours = {"drawn by": "python -m extract.sample", "drawing": DRAWING, **asdict(settings)}
    marker = out / MARKER
    try:
        if marker.is_file():
            _refuse_difference(out, json.loads(marker.read_bytes()), ours)
            return
        held = sorted(path.name for path in out.iterdir()) if out.exists() else []
        strangers = [name for name in held if name != _aside(marker).name]
        if strangers:
            raise Refused(
                f"{out} holds files that are not sample memes; nothing was drawn.\n{listing(strangers, 5)}\n"
                "Name a folder that is empty or not there yet."
            )
        out.mkdir(parents=True, exist_ok=True)
        _put(marker, (json.dumps(ours, indent=2) + "\n").encode())
    except (OSError, ValueError) as error:
        raise Refused(f"{out} cannot hold sample memes: {error}\nName another folder.") from None


def _refuse_difference(out: Path, there: Any, ours: dict[str, Any]) -> None:
    there = there if isinstance(there, dict) else {}
    differing = [f"{key}: {there.get(key)} there, {ours[key]} asked for" for key in ours if there.get(key) != ours[key]]
    if differing:
        raise Refused(
            f"{out} holds other sample memes; nothing was drawn.\n{listing(differing)}\n"
            "Name another folder, or delete this one."
        )


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _put(path: Path, content: bytes) -> None:
    """Write by rename: the file is whole or not there."""
    _aside(path).write_bytes(content)
    _aside(path).replace(path)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    defaults = SampleSettings()
    parser = argparse.ArgumentParser(
        prog="python -m extract.sample",
        description="Draw sample memes: captions and pictures of the country or the city; the label is 1 when they "
        "disagree. Text alone and image alone are at chance, only both together decide.",
        epilog="example:  python -m extract.sample --out data/sample --train 600 --dev 150 --test 150 --seed 0",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to draw into")
    for split, count in defaults.splits().items():
        parser.add_argument(f"--{split}", type=int, default=count, metavar="N", help=f"{split} memes (default {count})")
    parser.add_argument("--seed", type=int, default=defaults.seed, metavar="N", help="another seed, other memes")
    parser.add_argument(
        "--sides",
        type=int,
        nargs=2,
        default=(defaults.shortest, defaults.longest),
        metavar=("FROM", "TO"),
        help=f"pixels of the pictures' sides (default {defaults.shortest} {defaults.longest})",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: as many as pay)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    asked = _arguments(argv)
    settings = SampleSettings(asked.train, asked.dev, asked.test, asked.seed, *asked.sides)
    drawn = draw(asked.out, settings, asked.workers)
    counts = ", ".join(f"{split} {count:,}" for split, count in settings.splits().items())
    print(f"{asked.out}: {counts} memes; " + (f"{drawn:,} drawn" if drawn else "all there already, nothing drawn"))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
