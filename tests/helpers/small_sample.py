"""A small folder of drawn memes, and how it is asked for. A plugin for pytest."""

from collections import defaultdict
from pathlib import Path

import pytest

from extract import errors
from extract.sample import draw
from extract.sample.__main__ import main
from extract.sample.plan import DrawnMeme, SampleSettings, vocabulary

WORDS = vocabulary()
SMALL = SampleSettings(train=22, dev=8, test=9, seed=3, shortest=300, longest=340)
AS_SMALL = ["--train", "22", "--dev", "8", "--test", "9", "--sides", "300", "340"]


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "memes"
    assert draw(folder, SMALL, workers=1, progress=False) == 39
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def groups_of(memes: list[DrawnMeme]) -> list[list[DrawnMeme]]:
    groups = defaultdict(list)
    for meme in memes:
        groups[meme.group].append(meme)
    return list(groups.values())


def refused(*arguments: str) -> str:
    with pytest.raises(errors.Refused) as refusal:
        main(list(arguments))
    return str(refusal.value)
