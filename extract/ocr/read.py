"""Words for memes that have none, as a function, `read_words`: its steps, in the order in which they are taken."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from extract import archive, dataset, locks, publish
from extract.dataset import HashedSplit
from extract.errors import Failed, Refused
from extract.ocr.lines import Reading
from extract.ocr.manifests import Manifest
from extract.ocr.words import Words
from extract.places import Place, Remote
from extract.plan import Item, unique
from extract.progress import bar, say, silent
from extract.stage import image_digests


@dataclass(frozen=True)
class ReadSplit:
    """What became of a split."""

    manifest: Place  # with words
    lines: Place  # what was read: lines, boxes and confidences
    texts: dict[str, str] = field(repr=False)  # id -> words, of the memes whose picture was read; "" without words
    left_out: list[str]  # rows and pictures that cannot be used, and why


def read_words(
    data: Place | None = None,
    *,
    images: Path | None = None,
    split: str = "all",
    every: bool = False,
    out: Place | None = None,
    on_error: str = "stop",
    words: Words | None = None,
    quiet: bool = False,
    verbose: bool = False,
) -> list[ReadSplit]:
    """Read the words on the memes of a dataset, `data`, that have no text; or of a folder of pictures, `images`.

    split: "all" or NAME[,NAME]. every: read those that have a text, too, and replace it.
    out: folder for the new manifests; None replaces the old ones, which are kept beside them.
    on_error: "stop", or "skip": leave rows and pictures that cannot be used as they are. words: what reads.
    quiet: no progress bars. verbose: say on stderr what is done; otherwise nothing is printed.
    Raises Refused before any work, Failed where it cannot be finished; what was read is kept.
    """
    with ExitStack() as stack:
        if not verbose:
            stack.enter_context(silent())
        source = _source(data, images, out)
        words = words or Words()
        words.ready()
        out = source if out is None or out.resolve() == source.resolve() else out
        if images is not None:
            manifests = [Manifest.of_pictures(images)]
        else:
            names = dataset.choose_splits(source, split)
            if archive.unpack_images(source):
                say(f"unpacked {source / archive.ARCHIVE}")
            manifests = [Manifest.of_split(source, name) for name in names]
        if on_error == "stop":
            dataset.refuse_faults([each.split for each in manifests], done="read")
        stack.enter_context(locks.locked(out, "another reading of words", "--out"))
        wanted = [[meme for meme in each.split.memes if every or not meme.typed] for each in manifests]
        digests = image_digests([meme.image for memes in wanted for meme in memes], quiet)
        splits = [
            HashedSplit(each.split.name, memes, {"image": [next(digests) for _ in memes]}, each.split.faults)
            for each, memes in zip(manifests, wanted, strict=True)
        ]
        readings, bad = _read(splits, words, quiet)
        return _write(manifests, splits, readings, bad, out, on_error == "skip", images is not None)


def _source(data: Place | None, images: Path | None, out: Place | None) -> Place:
    source = images if data is None else data
    if source is None or (data is not None and images is not None):
        raise Refused("name either a dataset with --data, or a folder of pictures without a manifest with --images")
    if isinstance(images, Remote):
        raise Refused(f"--images {images}: name a folder of this machine")
    if out is not None and out != source and (isinstance(out, Remote) or isinstance(source, Remote)):
        raise Refused(f"--out {out}: a folder of its own leads to the images by a link, here alone; leave out --out")
    return source


def _read(splits: Sequence[HashedSplit], words: Words, quiet: bool) -> tuple[dict[str, Reading], dict[str, str]]:
    """By image's digest: what is written on it, or why it cannot be used."""
    pairs = [pair for split in splits for pair in zip(split.content["image"], split.memes, strict=True)]
    items = unique([Item(content, meme.image) for content, meme in pairs], ())
    readings, bad = {}, {}
    each = bar(words.read_each(items), "reading words", len(items), "images", quiet)
    for item, read in zip(items, each, strict=True):
        if isinstance(read, Reading):
            readings[item.content] = read
        else:
            bad[item.content] = read.reason
    return readings, bad


def _write(
    manifests: Sequence[Manifest],
    splits: Sequence[HashedSplit],
    readings: dict[str, Reading],
    bad: dict[str, str],
    out: Place,
    skip: bool,
    ours: bool,
) -> list[ReadSplit]:
    """Fill and write each manifest. ours: its rows are ours to leave out."""
    undecodable = {split.name: publish.bad_memes(split, bad) for split in splits}
    faults = [f"{meme.id}  {reason}" for pairs in undecodable.values() for meme, reason in pairs]
    if faults and not skip:
        total = sum(len(split.memes) for split in splits)
        raise Failed(
            f"{len(faults):,} of {total:,} images cannot be read; no manifest was written.\n"
            f"{dataset.list_faults(faults, out)}\n"
            "What is written on the others is kept. Replace these images and run again, or pass --on-error skip: these "
            "memes get no text."
        )
    dataset.clear_faults(out)
    done = []
    for manifest, split in zip(manifests, splits, strict=True):
        by_id = {
            meme.id: readings[content]
            for meme, content in zip(split.memes, split.content["image"], strict=True)
            if content in readings
        }
        left_out = [str(fault) for fault in split.faults] + [f"{m.id}  {why}" for m, why in undecodable[split.name]]
        path = out / manifest.file
        if by_id:
            manifest.fill(by_id, out, [meme.id for meme, _ in undecodable[split.name]] if ours else ())
        texts = {name: reading.text for name, reading in by_id.items()}
        done.append(ReadSplit(path, out / f"{split.name}.ocr.jsonl", texts, left_out))
        _say(done[-1], manifest)
    return done


def _say(split: ReadSplit, manifest: Manifest) -> None:
    memes, empty = manifest.split.memes, sum(meme.typed and not meme.text for meme in manifest.split.memes)
    note = f" ({empty:,} of them empty)" if empty else ""
    if not split.texts:
        say(f"{split.manifest}: all of its {len(memes):,} memes have a text{note}; --all reads their pictures as well")
        return
    wordless = sum(not text for text in split.texts.values())
    skipped = f", {len(split.left_out):,} left out" if split.left_out else ""
    say(
        f"{split.manifest}: words of {len(split.texts):,} memes ({wordless:,} without any){skipped}, written; lines, "
        f"boxes and confidences: {split.lines}"
    )
    for reason in split.left_out:
        say(f"  left out: {reason}")
