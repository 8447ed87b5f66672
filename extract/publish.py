"""Parts and earlier vectors -> published files. All of an encoder's splits are written aside first, then renamed."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace

import numpy as np

from extract import places, store
from extract.dataset import HashedSplit, Meme, clear_faults, list_faults
from extract.errors import Failed, Refused, printable
from extract.files import replacing
from extract.parts import Folder, Held, sweep_parts
from extract.places import Place, Source
from extract.progress import say

Undecodable = dict[str, list[tuple[Meme, str]]]  # split -> memes whose image cannot be decoded, and why


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
    bad: dict[str, str],
    skip: bool,
    shard_rows: int = store.SHARD_ROWS,
) -> list[PublishedEncoder]:
    """Publish each split under each encoder, those with more than `shard_rows` rows in shards. Returns what that was.

    bad: contents of images that could not be decoded, and why. skip: leave their memes out, image and text, and list
    them beside the file; otherwise the splits that hold one get no image file. Raises Failed then, naming every one.
    """
    undecodable = {split.name: bad_memes(split, bad) for split in splits}
    skipped = undecodable if skip else {}
    encoders, unwritten = [], []
    for folder in folders:
        usable = [split for split in splits if skip or folder.kind != "image" or not undecodable[split.name]]
        unwritten += [str(folder.published(split.name)) for split in splits if split not in usable]
        contents = {content for split in usable for content in split.content[folder.kind]}
        held = Held.scan(folder)
        # a part may stand in for what a damaged file of these holds, which then looks up to date
        encoded = bad or places.glob(folder.parts, "[!.]*.h5")
        if skip or encoded or not up_to_date(folder, usable, held, shard_rows, skipped):
            held = held.sound(folder, contents, [split.name for split in usable])
        published: dict[str, PublishedSplit] = {}
        with folder.writing(), ExitStack() as renames:
            for split in usable:
                rows, path = _rows(folder, split, held, skipped), folder.published(split.name)
                _write_columns(renames, path, split.memes)
                _write_aside(renames, path, rows, held, shard_rows)
                published[split.name] = PublishedSplit(path, len(rows), rows.dropped)
                identity = rows.identity  # the same in all splits
        for each in published.values():
            store.sweep_shards(each.path)
        sweep_parts(folder, contents)
        if published:
            encoders.append(PublishedEncoder(identity, published))
    if unwritten:
        _fail(splits, undecodable, unwritten, folders[0].path.parent)
    for features in {folder.path.parent for folder in folders}:
        clear_faults(features)
    return encoders


def up_to_date(
    folder: Folder, splits: Sequence[HashedSplit], held: Held, shard_rows: int, skipped: Undecodable | None = None
) -> bool:
    """Whether publishing these splits, every content of which is held, would copy no vector: not when it may yet leave
    out memes whose images cannot be decoded."""
    return all(
        _unchanged(folder.published(split.name), _rows(folder, split, held, skipped or {}), held, shard_rows)
        for split in splits
    )


def _unchanged(path: Place, rows: store.SplitRows, held: Held, shard_rows: int) -> bool:
    return not held.damage(path) and store.holds(path, rows, shard_rows)


def refuse_other_dataset(folder: Folder, splits: Sequence[HashedSplit]) -> None:
    """Two datasets in one features folder would overwrite each other: raise Refused when nothing is in common."""
    files = [path for split in splits if (path := folder.published(split.name)).exists()]
    old = []
    for path in files:
        with suppress(store.StoreError):  # damaged: it will be replaced
            old.append(store.read_rows(path))
    known = {key for rows in old for key in (*rows.ids.tolist(), *rows.content.astype(str).tolist())}
    mine = {meme.id for split in splits for meme in split.memes}
    mine |= {content for split in splits for content in split.content[folder.kind]}
    if old and known.isdisjoint(mine):
        raise Refused(
            f"{', '.join(map(str, files))}: another dataset, none of its {sum(map(len, old)):,} memes is among these. "
            "Name another folder with --features, or delete these files."
        )


def refuse_other_record(features: Place, dataset: store.DatasetIdentity) -> None:
    """Raise Refused where a features folder says that it holds another dataset's vectors, whatever their ids."""
    for path, other in store.recorded(features).items():
        if not dataset.same(other):
            raise Refused(
                f"{features} holds vectors of another dataset, {other.data}, not of {dataset.data}: name another "
                f"folder with --features, or, if that is the same dataset, moved and changed, delete {path}"
            )


def identify(data: Place, splits: Sequence[HashedSplit]) -> store.DatasetIdentity:
    """Of the dataset that these splits are of."""
    digests = {}
    for split in splits:
        rows = json.dumps([[meme.id, meme.text] for meme in split.memes])
        digests[split.name] = hashlib.sha256(rows.encode()).hexdigest()
    return store.DatasetIdentity(str(data.resolve()), digests)


def record_dataset(folder: Folder, dataset: store.DatasetIdentity, present: Sequence[str]) -> None:
    """Write whose memes a folder's files are. Of splits that are not in this run, what was said of them stays, as long
    as the dataset has them. present: its splits."""
    path = folder.path / store.DATASET
    before = store.recorded(folder.path.parent).get(path)
    earlier = {name: digest for name, digest in before.splits.items() if name in present} if before else {}
    splits = earlier | dataset.splits
    with folder.writing(), replacing(path) as aside:
        data = places.seen_from(folder.path, dataset.data)
        aside.write_text(replace(dataset, data=data, splits=splits).to_json(), encoding="utf-8")


def bad_memes(split: HashedSplit, bad: dict[str, str]) -> list[tuple[Meme, str]]:
    """The memes of a split whose image is bad, and why. bad: content -> reason."""
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


def _rows(folder: Folder, split: HashedSplit, held: Held, skipped: Undecodable) -> store.SplitRows:
    left_out = skipped.get(split.name, [])
    dropped = [(fault.id, str(fault)) for fault in split.faults] + [(meme.id, reason) for meme, reason in left_out]
    gone = {meme.id for meme, _ in left_out}
    keep = [row for row, meme in enumerate(split.memes) if meme.id not in gone]
    if not keep:
        raise Failed(f"no meme of {split.name} can be used, all {len(dropped):,} are left out; nothing was published")
    memes = [split.memes[row] for row in keep]
    content = [split.content[folder.kind][row] for row in keep]
    versions = {library: ", ".join(sorted(names)) for library, names in sorted(held.versions.items())}
    assert held.dim is not None
    return store.SplitRows(
        identity=folder.identity(held.dim, versions),
        split=split.name,
        ids=np.array([meme.id for meme in memes]),
        label=np.array([store.NO_LABEL if meme.label is None else meme.label for meme in memes], dtype=np.int8),
        content=np.array(content, dtype="S64"),
        dropped=[{"id": name, "reason": reason} for name, reason in dropped],
        tokens=np.array([held.tokens.get(each, 0) for each in content]) if folder.kind == "text" else None,
    )


def _write_aside(renames: ExitStack, path: Place, rows: store.SplitRows, held: Held, shard_rows: int) -> None:
    beside = path.with_suffix(".dropped.txt")
    note = f", {len(rows.dropped):,} left out and listed in {beside.name}" if rows.dropped else ""
    if _unchanged(path, rows, held, shard_rows):
        say(f"{path}: {len(rows):,} memes{note}, up to date")
        return
    if rows.dropped:
        listed = "".join(f"{printable(row['id'])}\t{printable(row['reason'])}\n" for row in rows.dropped)
        renames.enter_context(replacing(beside)).write_text(listed, encoding="utf-8")
    else:
        beside.unlink(missing_ok=True)
    content = rows.content.astype(str)
    _refuse_constant(path, rows, held)
    store.publish_split(path, rows, lambda numbers: held.blocks(content[numbers].tolist()), shard_rows, renames)
    shards = f" in {-(-len(rows) // shard_rows):,} shards" if len(rows) > shard_rows else ""
    say(f"{path}: {len(rows):,} memes{shards}{note}, written")


def _write_columns(renames: ExitStack, path: Place, memes: Sequence[Meme]) -> None:
    """Keep what else a manifest's rows hold, for stage 2 to slice by; no file where they hold nothing."""
    lines = [json.dumps({"id": meme.id, "columns": meme.columns}, default=str) for meme in memes if meme.columns]
    beside = store.columns_path(path)
    if lines:
        renames.enter_context(replacing(beside)).write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        beside.unlink(missing_ok=True)


def _refuse_constant(path: Place, rows: store.SplitRows, held: Held) -> None:
    """Raise Failed when different contents all have one vector: heads would learn nothing, and not say why."""
    first: np.ndarray | None = None
    for _, vectors in held.blocks(contents := np.unique(rows.content).astype(str).tolist()):
        first = vectors[0] if first is None else first
        if len(contents) == 1 or (vectors != first).any():
            return
    raise Failed(
        f"{path}: all {len(contents):,} different {rows.identity.kind}s have one and the same vector, so that "
        f"{rows.identity.name}'s weights or settings cannot be right; nothing of it was published. Mend them, or name "
        "another encoder"
    )


def _fail(splits: Sequence[HashedSplit], undecodable: Undecodable, unwritten: list[str], features: Place) -> None:
    faults = [f"{meme.id}  {reason}" for bad in undecodable.values() for meme, reason in bad]
    total = sum(len(split.memes) for split in splits)
    raise Failed(
        f"{len(faults):,} of {total:,} images cannot be decoded; {', '.join(unwritten)} "
        f"{'was' if len(unwritten) == 1 else 'were'} not written.\n{list_faults(faults, features)}\n"
        "Everything else is encoded and kept. Replace these images and run again, "
        "or pass --on-error skip: these memes are left out and listed."
    )
