"""Parts and earlier vectors -> published files. All of an encoder's splits are written aside first, then renamed."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from extract import places, store
from extract.dataset import HashedSplit, Meme, clear_faults, list_faults
from extract.errors import Failed, Refused
from extract.files import replacing
from extract.parts import Folder, Held, sweep_parts
from extract.places import Place, Source
from extract.progress import say

Skipped = dict[str, str]  # image content -> why it cannot be decoded


@dataclass(frozen=True)
class PublishedSplit:
    """One split of one encoder."""

    path: Place
    memes: int  # that have a vector
    dropped: list[dict[str, str]]  # memes left out: id and reason


@dataclass(frozen=True)
class PublishedEncoder:
    """What lies under `features/<encoder>` after a run."""

    identity: store.EncoderIdentity
    splits: dict[str, PublishedSplit]  # of this run


def publish(
    folders: Sequence[Folder],
    splits: Sequence[HashedSplit],
    bad: Skipped,
    skip: bool,
    shard_rows: int = store.SHARD_ROWS,
) -> list[PublishedEncoder]:
    """Publish each split under each encoder, those with more than `shard_rows` rows in shards. Returns what that was.

    bad: images that could not be decoded. skip: leave their memes out, image and text, and list them beside the file;
    otherwise the splits that hold one get no image file. Raises Failed then, naming every one of them.
    """
    undecodable = {split.name: _undecodable(split, bad) for split in splits}
    encoders, unwritten = [], []
    for folder in folders:
        held = Held.scan(folder)
        published: dict[str, PublishedSplit] = {}
        with folder.writing(), ExitStack() as renames:
            for split in splits:
                if undecodable[split.name] and folder.kind == "image" and not skip:
                    unwritten.append(str(folder.published(split.name)))
                    continue
                dropped = _left_out(split) + [(meme.id, reason) for meme, reason in undecodable[split.name] if skip]
                rows = _rows(folder, split, held, bad if skip else {}, dropped)
                path = folder.published(split.name)
                _write_aside(renames, path, rows, held, shard_rows)
                published[split.name] = PublishedSplit(path, len(rows), rows.dropped)
                identity = rows.identity  # the same in all splits
        for each in published.values():
            store.sweep_shards(each.path)
        sweep_parts(folder)
        if published:
            encoders.append(PublishedEncoder(identity, published))
    if unwritten:
        _fail(splits, undecodable, unwritten, folders[0].path.parent)
    for features in {folder.path.parent for folder in folders}:
        clear_faults(features)
    return encoders


def up_to_date(folder: Folder, splits: Sequence[HashedSplit], held: Held, shard_rows: int) -> bool:
    """Whether publishing these splits, every content of which is held, would copy no vector: not when it may yet leave
    out memes whose images cannot be decoded."""
    return all(
        store.holds(folder.published(split.name), _rows(folder, split, held, {}, _left_out(split)), shard_rows)
        for split in splits
    )


def refuse_other_dataset(folder: Folder, splits: Sequence[HashedSplit]) -> None:
    """Two datasets in one features folder would overwrite each other: raise Refused when nothing is in common."""
    files = [path for split in splits if (path := folder.published(split.name)).exists()]
    old = [store.read_rows(path) for path in files]
    known = {key for rows in old for key in (*rows.ids.tolist(), *rows.content.astype(str).tolist())}
    mine = {meme.id for split in splits for meme in split.memes}
    mine |= {content for split in splits for content in split.content[folder.kind]}
    if old and known.isdisjoint(mine):
        raise Refused(
            f"{', '.join(map(str, files))}: another dataset, none of its {sum(map(len, old)):,} memes is among these. "
            "Name another folder with --features, or delete these files."
        )


def _left_out(split: HashedSplit) -> list[tuple[str, str]]:
    return [(fault.id, str(fault)) for fault in split.faults]


def _undecodable(split: HashedSplit, bad: Skipped) -> list[tuple[Meme, str]]:
    return [
        (meme, f"{meme.image}{_size(meme.image)}: {bad[content]}")
        for meme, content in zip(split.memes, split.content.get("image", []), strict=False)
        if content in bad
    ]


def _size(image: Source) -> str:
    try:
        return f"  {places.size(image):,} bytes"
    except OSError:  # it has gone since
        return ""


def _rows(
    folder: Folder, split: HashedSplit, held: Held, skipped: Skipped, dropped: list[tuple[str, str]]
) -> store.Rows:
    images = split.content.get("image") or [""] * len(split.memes)
    keep = [row for row, image in enumerate(images) if image not in skipped]
    if not keep:
        raise Failed(f"no meme of {split.name} can be used, all {len(dropped):,} are left out; nothing was published")
    memes = [split.memes[row] for row in keep]
    content = [split.content[folder.kind][row] for row in keep]
    versions = {library: ", ".join(sorted(names)) for library, names in sorted(held.versions.items())}
    assert held.dim is not None
    return store.Rows(
        identity=folder.identity(held.dim, versions),
        split=split.name,
        ids=np.array([meme.id for meme in memes]),
        label=np.array([store.NO_LABEL if meme.label is None else meme.label for meme in memes], dtype=np.int8),
        content=np.array(content, dtype="S64"),
        dropped=[{"id": name, "reason": reason} for name, reason in dropped],
        tokens=np.array([held.tokens[each] for each in content]) if folder.kind == "text" else None,
    )


def _write_aside(renames: ExitStack, path: Place, rows: store.Rows, held: Held, shard_rows: int) -> None:
    note = f", {len(rows.dropped):,} left out" if rows.dropped else ""
    if store.holds(path, rows, shard_rows):
        say(f"{path}: {len(rows):,} memes{note}, up to date")
        return
    beside = path.with_suffix(".dropped.txt")
    if rows.dropped:
        listed = "".join(f"{row['id']}\t{row['reason']}\n" for row in rows.dropped)
        renames.enter_context(replacing(beside)).write_text(listed, encoding="utf-8")
    else:
        beside.unlink(missing_ok=True)
    content = rows.content.astype(str)
    store.publish_split(path, rows, lambda numbers: held.blocks(content[numbers].tolist()), shard_rows, renames)
    shards = f" in {-(-len(rows) // shard_rows):,} shards" if len(rows) > shard_rows else ""
    say(f"{path}: {len(rows):,} memes{shards}{note}, written")


def _fail(
    splits: Sequence[HashedSplit],
    undecodable: dict[str, list[tuple[Meme, str]]],
    unwritten: list[str],
    features: Place,
) -> None:
    faults = [f"{meme.id}  {reason}" for found in undecodable.values() for meme, reason in found]
    total = sum(len(split.memes) for split in splits)
    raise Failed(
        f"{len(faults):,} of {total:,} images cannot be decoded; {', '.join(unwritten)} "
        f"{'was' if len(unwritten) == 1 else 'were'} not written.\n{list_faults(faults, features)}\n"
        "Everything else is encoded and kept. Replace these images and run again, "
        "or pass --on-error skip: these memes are left out and listed."
    )
