"""Drawing a folder of memes: the data contract, the same bytes however it is done, safe writing."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image
from small_sample import AS_SMALL, SMALL, contents, refused

from extract import dataset, errors, files
from extract.sample import draw, pictures
from extract.sample.plan import SampleSettings, plan

pytest_plugins = ["small_sample"]


def rows(folder: Path, split: str) -> list[dict]:
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]


def test_drawn_folder_keeps_the_data_contract(drawn: Path) -> None:
    assert dataset.find_splits(drawn) == ["train", "dev", "test"]
    for split, memes in plan(SMALL).items():
        read = dataset.read_split(drawn, split)
        assert read.faults == []
        assert [(m.id, m.text, m.label) for m in read.memes] == [(m.id, m.text, m.label) for m in memes]
        assert rows(drawn, split) == [meme.row() for meme in memes]
    assert {path.name for path in drawn.iterdir()} == {"train.jsonl", "dev.jsonl", "test.jsonl", "img", "sample.json"}
    assert {f"img/{path.name}" for path in (drawn / "img").iterdir()} == {
        meme.img for of_split in plan(SMALL).values() for meme in of_split
    }


def test_images_are_what_their_names_say_and_within_the_sides(drawn: Path) -> None:
    formats: Counter[str | None] = Counter()
    for path in (drawn / "img").iterdir():
        with Image.open(path) as image:
            image.load()
            assert image.format == {".jpg": "JPEG", ".png": "PNG"}[path.suffix]
            assert image.mode == "RGB"
            assert all(300 <= side <= 340 for side in image.size)
            formats[image.format] += 1
    # groups 0 and 5 of train, 0 of dev and test
    assert formats == {"JPEG": 4 + 2 + 4 + 4, "PNG": 25}


def test_same_seed_same_bytes_however_many_workers(drawn: Path, tmp_path: Path) -> None:
    draw(tmp_path / "again", SMALL, workers=2, progress=False)
    assert contents(tmp_path / "again") == contents(drawn)


def test_a_script_without_a_guard_is_not_run_again_by_workers(drawn: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\nfrom extract.sample import draw\nfrom extract.sample.plan import SampleSettings\n"
        f"print(draw(Path({str(tmp_path / 'again')!r}), {SMALL}, workers=2, progress=False), __name__)"
    )
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "39 __main__\n", "")
    assert contents(tmp_path / "again") == contents(drawn)


def test_an_interrupted_run_has_no_split_and_is_taken_up_again(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = pictures.draw_group, []

    def interrupted(*arguments: object) -> int:
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pictures, "draw_group", interrupted)
    with pytest.raises(KeyboardInterrupt):
        draw(tmp_path / "memes", SMALL, workers=1, progress=False)
    there = len(list((tmp_path / "memes" / "img").iterdir()))
    assert 4 <= there <= 12
    with pytest.raises(errors.Refused, match="holds no split"):
        dataset.find_splits(tmp_path / "memes")
    monkeypatch.undo()
    undrawn = next(meme for meme in plan(SMALL)["test"] if not (tmp_path / "memes" / meme.img).exists())
    for path in (undrawn.img, "train.jsonl", "sample.json"):
        files.partial(tmp_path / "memes" / path).write_bytes(b"what a kill leaves")
    assert draw(tmp_path / "memes", SMALL, workers=1, progress=False) == 39 - there
    assert contents(tmp_path / "memes") == contents(drawn)


def test_a_killed_run_leaves_no_worker_and_is_taken_up_again(tmp_path: Path) -> None:
    out, asked = tmp_path / "memes", SampleSettings(train=80, dev=8, test=9, shortest=300, longest=340)
    command = [sys.executable, "-m", "extract.sample", *AS_SMALL, "--train", "80", "--workers", "2", "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        while not list(out.glob("img/[!.]*")):
            assert running.poll() is None
            time.sleep(0.005)
        running.kill()
        running.communicate(timeout=60)  # returns when the last worker, too, has let go of stdout
    assert running.returncode == -signal.SIGKILL
    assert not list(out.glob("*.jsonl"))
    assert 0 < draw(out, asked, workers=1, progress=False) < 97
    draw(tmp_path / "undisturbed", asked, workers=1, progress=False)
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_a_full_disk_fails_with_a_way_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures, "replacing", full)
    with pytest.raises(errors.Failed) as failure:
        draw(tmp_path / "memes", SMALL, workers=1, progress=False)
    assert failure.value.status == 1
    assert str(failure.value) == (
        f"[Errno 28] No space left on device\n{tmp_path}/memes is unfinished; the same command goes on from there"
    )


def test_other_memes_and_other_files_are_left_alone(drawn: Path, tmp_path: Path) -> None:
    before = contents(drawn)
    message = refused("--out", str(drawn), *AS_SMALL, "--seed", "4", "--test", "8")
    assert message == (
        f"{drawn} holds other sample memes; nothing was drawn.\n"
        "  test: 9 there, 8 asked for\n"
        "  seed: 3 there, 4 asked for\n"
        "Name another folder, or delete this one."
    )
    assert contents(drawn) == before
    (tmp_path / "train.jsonl").write_text("{}")
    assert refused("--out", str(tmp_path)) == (
        f"{tmp_path} holds files that are not sample memes; nothing was drawn.\n"
        "  train.jsonl\n"
        "Name a folder that is empty or not there yet."
    )
    assert contents(tmp_path) == {"train.jsonl": b"{}"}
    assert refused("--out", str(tmp_path / "train.jsonl")).startswith(
        f"{tmp_path}/train.jsonl cannot hold sample memes: [Errno 20] Not a directory"
    )


def test_memes_of_an_older_drawing_are_refused(tmp_path: Path) -> None:
    marker = {"drawn by": "python -m extract.sample", "drawing": 1, **asdict(SMALL)}
    (tmp_path / "sample.json").write_text(json.dumps(marker))
    message = refused("--out", str(tmp_path), *AS_SMALL, "--seed", "3")
    assert "nothing was drawn.\n  drawing: 1 there, 2 asked for\n" in message


def test_a_broken_marker_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sample.json").write_text("[1]")
    assert "seed: None there, 0 asked for" in refused("--out", str(tmp_path))
    (tmp_path / "sample.json").write_text("{")
    assert refused("--out", str(tmp_path)).startswith(f"{tmp_path} cannot hold sample memes: Expecting property name")
