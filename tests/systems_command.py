"""What is typed to run a system on a small folder, and what it leaves."""

import csv
from pathlib import Path


def lines(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def asked(folder: Path, *more: str) -> list[str]:
    where = ["--data", str(folder / "data"), "--features", str(folder / "features"), "--out", str(folder / "reports")]
    return [*where, "--device", "cpu", "--dtype", "float32", *more]


def tiny(folder: Path, *more: str) -> list[str]:
    return asked(folder, "--text-encoder", str(folder / "bert"), "--image-encoder", str(folder / "resnet"), *more)
