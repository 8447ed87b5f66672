"""`python -m extract.inspect FEATURES`: what a features folder holds, and whether every byte of it is sound."""

import argparse
import datetime
from contextlib import suppress

from extract import errors, places, store
from extract.places import Place, place

EXAMPLE = "example:\n  python -m extract.inspect features --verify\n"
COLUMNS = (
    "encoder",
    "kind",
    "split",
    "memes",
    "labels 0/1/none",
    "pooling",
    "dim",
    "precision",
    "fingerprint",
    "left out",
    "written",
)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m extract.inspect",
        description="Say what a features folder holds; with --verify, check every byte.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("features", type=place, metavar="FEATURES", help="a folder, or s3://...")
    parser.add_argument("--verify", action="store_true", help="check schema, digests, counts and finite values")
    args = parser.parse_args(argv)
    store.refuse_no_folder(args.features)
    files = places.glob(args.features, "[!.]*/[!.]*.h5")
    if not files:
        again = store.extract_command(args.features)
        raise errors.Refused(f"{args.features} holds no <encoder>/<split>.h5; run: {again}")
    damaged = _describe(files, args.verify)
    _say_unpublished(args.features)
    if damaged:
        lines = [line.strip() for each in damaged for line in each.splitlines()]
        raise errors.Failed(
            f"{len(damaged):,} of {len(files):,} files are damaged:\n{errors.listing(lines)}\n"
            "Delete them and run extract again: only their memes are encoded anew."
        )
    if args.verify:
        print(f"{len(files):,} files verified")
    return 0


def _describe(files: list[Place], verify: bool) -> list[str]:
    """Print a row for each file that can be read; return what is wrong with the others."""
    rows: list[tuple[str, ...]] = [COLUMNS]
    damaged: list[str] = []
    for path in files:
        try:
            if verify:
                store.verify(path, fresh=True)
            rows.append(_row(store.read(path), path))
        except store.StoreError as error:
            damaged.append(str(error))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return damaged


def _row(features: store.Features, path: Place) -> tuple[str, ...]:
    encoder = features.identity
    labels = "/".join(f"{(features.label == label).sum():,}" for label in (0, 1, -1))
    written = datetime.datetime.fromtimestamp(places.modified(path)).isoformat(" ", "minutes")
    return (
        *(encoder.name, encoder.kind, features.split, f"{len(features):,}", labels),
        *(encoder.pooling or "?", str(encoder.dim), str(encoder.settings.get("precision", "?"))),
        encoder.fingerprint[:12],
        *(f"{len(features.dropped):,}", written),
    )


def _say_unpublished(features: Place) -> None:
    for folder in places.glob(features, "[!.]*/.parts"):
        parts, rows = places.glob(folder, "*/[!.]*.h5"), 0
        for path in parts:
            with suppress(store.StoreError):  # damaged: encoded again
                rows += len(store.read_rows(path))
        print(f"{folder.parent.name}: {rows:,} vectors in {len(parts):,} parts are not published; run extract to go on")


if __name__ == "__main__":
    errors.leave(errors.run(main))
