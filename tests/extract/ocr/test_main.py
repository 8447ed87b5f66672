"""The command: its options reach the function as they are meant."""

from pathlib import Path

import pytest

from extract.ocr import read
from extract.ocr.__main__ import main
from extract.ocr.reader import ReaderChoice


@pytest.fixture
def asked(monkeypatch):
    """What the function was called with, but for the words, whose reader is told instead."""
    calls = []
    monkeypatch.setattr(
        read, "read_words", lambda *, words, **options: calls.append(options | {"reader": words.choice})
    )
    return calls


def test_options_reach_the_function(asked):
    assert main(["--data", "memes"]) == 0
    line = "--images pics --all --on-error skip --out there --language korean --model tiny --quiet"
    assert main(line.split()) == 0
    first, second = asked
    usual = {"split": "all", "every": False, "out": None, "on_error": "stop", "quiet": False, "verbose": True}
    assert first == usual | {"data": Path("memes"), "images": None, "reader": ReaderChoice()}
    assert second == {
        "data": None, "images": Path("pics"), "split": "all", "every": True, "out": Path("there"), "on_error": "skip",
        "quiet": True, "verbose": True, "reader": ReaderChoice("korean", "tiny"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("", "one of the arguments --data --images is required"),
        ("--data a --images b", "argument --images: not allowed with argument --data"),
        ("--data a --missing --all", "argument --all: not allowed with argument --missing"),
        ("--data a --model huge", "argument --model: invalid choice: 'huge'"),
    ],
)
def test_what_contradicts_itself_is_refused(asked, capsys, line, fault):
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert (ended.value.code, asked) == (2, [])
    assert fault in capsys.readouterr().err
