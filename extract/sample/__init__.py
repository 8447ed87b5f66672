"""Sample memes: a harmless stand-in for Hateful Memes, drawn in the data contract.

The caption talks of the country or of the city; the picture shows the country or the city; the label is 1 when they
disagree. Text alone and image alone are at chance by construction (see extract/sample/plan.py).
"""

import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import chain
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

from extract.errors import Failed, Refused, listing
from extract.files import replacing
from extract.sample.plan import DRAWING, DrawnMeme, SampleSettings, plan

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
    missing: dict[tuple[str, int], list[DrawnMeme]] = defaultdict(list)
    for meme in chain.from_iterable(memes.values()):
        if not (out / meme.img).is_file():
            missing[meme.split, meme.group].append(meme)
    left = sum(map(len, missing.values()))
    try:
        if left:
            (out / "img").mkdir(exist_ok=True)
            with tqdm(total=left, unit="meme", desc="drawing", disable=None if progress else True) as bar:
                for drawn in _draw_groups(out, settings, list(missing.values()), workers):
                    bar.update(drawn)
        # rows come last, so that an unfinished folder has no split to read
        for split in memes:
            if not (out / f"{split}.jsonl").is_file():
                rows = "".join(json.dumps(meme.row()) + "\n" for meme in memes[split])
                with replacing(out / f"{split}.jsonl") as aside:
                    aside.write_text(rows)
        for left_by_a_kill in (*out.glob(".*.tmp"), *out.glob("img/.*.tmp")):
            left_by_a_kill.unlink(missing_ok=True)
    except (OSError, BrokenExecutor) as error:
        raise Failed(f"{error}\n{out} is unfinished; the same command goes on from there") from error
    return left


def _draw_groups(
    out: Path, settings: SampleSettings, groups: Sequence[Sequence[DrawnMeme]], workers: int | None
) -> Iterator[int]:
    from extract.sample import pictures  # late: Pillow

    draw_one = partial(pictures.draw_group, out, settings)
    if workers is None:
        workers = min(os.cpu_count() or 1, 1 + len(groups) // GROUPS_WORTH_A_WORKER)
    if workers == 1:
        yield from map(draw_one, groups)
        return
    # spawned, not forked: a fork copies the locks of whatever threads the caller runs
    with ProcessPoolExecutor(workers, get_context("spawn"), _worker_begins) as pool:
        try:
            with _no_script():
                drawn = pool.map(draw_one, groups, chunksize=4)  # starts all workers
            yield from drawn
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _no_script() -> Iterator[None]:
    """Processes that are spawned within do not run the caller's script first, which would draw again if unguarded."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _worker_begins() -> None:
    """Leave Ctrl-C to the command, and end when it ends: killed, it cannot end its workers, and they would wait."""

    def end_with_the_command() -> None:
        command = parent_process()
        assert command is not None  # only workers come here
        command.join()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=end_with_the_command, daemon=True).start()


def _claim(out: Path, settings: SampleSettings) -> None:
    """Make `out` ours, or see that it is. Raises Refused when it holds anything but memes of these settings."""
    ours = {"drawn by": "python -m extract.sample", "drawing": DRAWING, **asdict(settings)}
    marker = out / MARKER
    try:
        if marker.is_file():
            read = json.loads(marker.read_bytes())
            there: dict[str, Any] = read if isinstance(read, dict) else {}
            differing = [
                f"{key}: {there.get(key)} there, {ours[key]} asked for" for key in ours if there.get(key) != ours[key]
            ]
            if differing:
                raise Refused(
                    f"{out} holds other sample memes; nothing was drawn.\n{listing(differing)}\n"
                    "Name another folder, or delete this one."
                )
            return
        strangers = (
            sorted(path.name for path in out.iterdir() if not path.name.startswith(f".{MARKER}."))
            if out.exists()
            else []
        )
        if strangers:
            raise Refused(
                f"{out} holds files that are not sample memes; nothing was drawn.\n{listing(strangers, 5)}\n"
                "Name a folder that is empty or not there yet."
            )
        out.mkdir(parents=True, exist_ok=True)
        with replacing(marker) as aside:
            aside.write_text(json.dumps(ours, indent=2) + "\n")
    except (OSError, ValueError) as error:
        raise Refused(f"{out} cannot hold sample memes: {error}\nName another folder.") from None
