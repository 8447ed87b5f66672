"""The command: what it says, and what it refuses before any work."""

import subprocess
import sys
from pathlib import Path

import pytest
from small_sample import AS_SMALL, refused

from extract import sample
from extract.sample import pictures
from extract.sample.__main__ import main

pytest_plugins = ["small_sample"]


def test_a_second_run_draws_nothing_and_says_so(
    drawn: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (sample, pictures):
        monkeypatch.setattr(room, "replacing", lambda path: pytest.fail(f"wrote {path}"))
    assert main(["--out", str(drawn), *AS_SMALL, "--seed", "3"]) == 0
    assert capsys.readouterr().out == f"{drawn}: train 22, dev 8, test 9 memes; all there already, nothing drawn\n"


def test_all_faulty_settings_are_named_at_once(tmp_path: Path) -> None:
    out = tmp_path / "memes"
    assert refused("--out", str(out), *["--train", "3", "--dev", "0", "--sides", "90", "50"]) == (
        "nothing was drawn:\n"
        "  --train is 3; 4 is the least, one meme for each pair of topics\n"
        "  --dev is 0; 4 is the least, one meme for each pair of topics\n"
        "  --sides starts at 90 pixels; 300 is the least, for captions that can be read\n"
        "  --sides ends at 50 pixels, below its start of 90"
    )
    assert refused("--out", str(out), "--workers", "0") == "--workers is 0; nothing was drawn. 1 is the least"
    assert not out.exists()


def test_refusal_from_the_command_line_has_status_2_and_loads_no_library(tmp_path: Path) -> None:
    script = (
        "import sys; from extract import errors; from extract.sample import __main__ as sample\n"
        "status = errors.run(sample.main)\n"
        "print(status, sorted({'PIL', 'numpy', 'torch'} & set(sys.modules)))"
    )
    arguments = [sys.executable, "-c", script, "--out", str(tmp_path / "memes"), "--test", "1"]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert ended.stdout == "2 []\n"
    assert (
        ended.stderr == "error: nothing was drawn:\n  --test is 1; 4 is the least, one meme for each pair of topics\n"
    )
