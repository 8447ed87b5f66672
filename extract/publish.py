"""Parts and earlier vectors -> published files. All of an encoder's splits are written aside first, then renamed."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from extract import store
from extract.dataset import HashedSplit, Meme
from extract.errors import Failed, Refused, listing
from extract.parts import Folder, Held, sweep_parts
from extract.progress import say

Skipped = dict[str, str]  # image content -> why it cannot be decoded


def publish(folders: Sequence[Folder], splits: Sequence[HashedSplit], bad: Skipped, skip: bool) -> None:
    """Publish each split under each encoder.

    bad: images that could not be decoded. skip: leave their memes out, image and text, and list them beside the file;
    otherwise the splits that hold one get no image file. Raises Failed then, naming every one of them.
    """
    undecodable = {split.name: _undecodable(split, bad) for split in splits}
    unwritten = []
    for folder in folders:
        held = Held.scan(folder)
        with folder.writing(), ExitStack() as renames:
            for split in splits:
                if undecodable[split.name] and folder.kind == "image" and not skip:
                    unwritten.append(str(folder.published(split.name)))
                    continue
                dropped = [(fault.id, str(fault)) for fault in split.faults]
                dropped += [(meme.id, reason) for meme, reason in undecodable[split.name] if skip]
                rows = _rows(folder, split, held, bad if skip else {}, dropped)
                _write_aside(renames, folder.published(split.name), rows, held)
        sweep_parts(folder)
    if unwritten:
        _fail(splits, undecodable, unwritten)


def refuse_other_dataset(folder: Folder, splits: Sequence[HashedSplit]) -> None:
    """Two datasets in one features folder would overwrite each other: raise Refused when nothing is in common."""
    files = [path for split in splits if (path := folder.published(split.name)).exists()]
    old = [store.read(path) for path in files]
    known = {key for features in old for key in (*features.ids.tolist(), *features.content.astype(str).tolist())}
    mine = {meme.id for split in splits for meme in split.memes}
    mine |= {content for split in splits for content in split.content[folder.kind]}
    if old and known.isdisjoint(mine):
        raise Refused(
            f"{', '.join(map(str, files))}: another dataset, none of its {sum(map(len, old)):,} memes is among these. "
            "Name another folder with --features, or delete these files."
        )


def _undecodable(split: HashedSplit, bad: Skipped) -> list[tuple[Meme, str]]:
    return [
        (meme, f"{meme.image}  {meme.image.stat().st_size:,} bytes: {bad[content]}")
        for meme, content in zip(split.memes, split.content.get("image", []), strict=False)
        if content in bad
    ]


def _rows(
    folder: Folder, split: HashedSplit, held: Held, skipped: Skipped, dropped: list[tuple[str, str]]
) -> store.Rows:
    images = split.content.get("image") or [""] * len(split.memes)
    keep = [row for row, image in enumerate(images) if image not in skipped]
    if not keep:
        raise Failed(f"no meme of {split.name} can be used, all {len(dropped):,} are left out; nothing was published")
    memes = [split.memes[row] for row in keep]
    contents = [split.content[folder.kind][row] for row in keep]
    return store.Rows(
        encoder=folder.encoder,
        kind=folder.kind,
        split=split.name,
        ids=np.array([meme.id for meme in memes]),
        label=np.array([store.NO_LABEL if meme.label is None else meme.label for meme in memes], dtype=np.int8),
        content=np.array(contents, dtype="S64"),
        fingerprint=folder.fingerprint,
        settings=folder.settings,
        versions={library: ", ".join(sorted(found)) for library, found in sorted(held.versions.items())},
        dropped=[{"id": name, "reason": reason} for name, reason in dropped],
        tokens=np.array([held.tokens[content] for content in contents]) if folder.kind == "text" else None,
    )


def _write_aside(renames: ExitStack, path: Path, rows: store.Rows, held: Held) -> None:
    note = f", {len(rows.dropped):,} left out" if rows.dropped else ""
    if store.holds(path, rows):
        say(f"{path}: {len(rows):,} memes{note}, up to date")
        return
    beside = path.with_suffix(".dropped.txt")
    if rows.dropped:
        listed = "".join(f"{row['id']}\t{row['reason']}\n" for row in rows.dropped)
        renames.enter_context(store.replacing(beside)).write_text(listed, encoding="utf-8")
    else:
        beside.unlink(missing_ok=True)
    assert held.dim is not None
    contents = rows.content.astype(str).tolist()
    store.write(renames.enter_context(store.replacing(path)), rows, held.blocks(contents), held.dim)
    say(f"{path}: {len(rows):,} memes{note}, written")


def _fail(splits: Sequence[HashedSplit], undecodable: dict[str, list[tuple[Meme, str]]], unwritten: list[str]) -> None:
    faults = [f"{meme.id}  {reason}" for found in undecodable.values() for meme, reason in found]
    total = sum(len(split.memes) for split in splits)
    raise Failed(
        f"{len(faults):,} of {total:,} images cannot be decoded; {', '.join(unwritten)} "
        f"{'was' if len(unwritten) == 1 else 'were'} not written.\n{listing(faults)}\n"
        "Everything else is encoded and kept. Replace these images and run again, "
        "or pass --on-error skip: these memes are left out and listed."
    )
