"""The drawn memes: chance for each modality alone by construction, the data contract, safe writing."""

import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from extract import dataset, errors, files, sample
from extract.sample import draw, pictures
from extract.sample.__main__ import main
from extract.sample.pictures import BLACK, LAYOUTS, LIGHTS, SCENES, Canvas, PictureStyle, fit, inscribe, look, scaled
from extract.sample.plan import DRAWING, DrawnMeme, SampleSettings, captions, plan, rng_of, vocabulary

WORDS = vocabulary()
SMALL = SampleSettings(train=22, dev=8, test=9, seed=3, shortest=300, longest=340)
AS_SMALL = ["--train", "22", "--dev", "8", "--test", "9", "--sides", "300", "340"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "memes"
    assert draw(folder, SMALL, workers=1, progress=False) == 39
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(folder: Path, split: str) -> list[dict]:
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]


def groups_of(memes: list[DrawnMeme]) -> list[list[DrawnMeme]]:
    groups = defaultdict(list)
    for meme in memes:
        groups[meme.group].append(meme)
    return list(groups.values())


# --- what is planned


@settings(max_examples=30, deadline=None)
@given(counts=st.tuples(*[st.integers(4, 90)] * 3), seed=st.integers(-5, 10**9))
def test_cells_and_labels_are_as_even_as_the_count_permits(counts: tuple[int, int, int], seed: int) -> None:
    memes = plan(SampleSettings(*counts, seed=seed))
    assert {split: len(of_split) for split, of_split in memes.items()} == dict(
        zip(("train", "dev", "test"), counts, strict=True)
    )
    for of_split in memes.values():
        cells = Counter((meme.says, meme.shows) for meme in of_split)
        assert len(cells) == 4
        assert max(cells.values()) - min(cells.values()) <= 1
        labels = Counter(meme.label for meme in of_split)
        assert abs(labels[0] - labels[1]) == len(of_split) % 2
    everyone = [meme for of_split in memes.values() for meme in of_split]
    assert len({meme.id for meme in everyone}) == len(everyone)
    assert all(re.fullmatch(r"\d{5}", meme.id) for meme in everyone)


def test_every_caption_has_both_labels_equally_often() -> None:
    """So no function of the text, whatever it learnt, can be better than chance."""
    for of_split in plan(SampleSettings(train=4000, dev=150, test=152)).values():
        balance: Counter[str] = Counter()
        for meme in of_split:
            balance[meme.text] += 1 if meme.label else -1
        assert set(balance.values()) == {0}


def test_what_varies_is_the_same_for_all_four_pairs_of_topics() -> None:
    memes = plan(SampleSettings(train=4000))["train"]
    topics = set(WORDS["topics"])
    for group in groups_of(memes):
        assert {(meme.says, meme.shows) for meme in group} == {(a, b) for a in topics for b in topics}
        assert len({meme.text for meme in group}) == 2
        assert len({meme.img.split(".")[1] for meme in group}) == 1
        assert len({tuple(possible_wordings(meme.text)) for meme in group}) == 1


def test_neither_place_in_the_file_nor_id_tells_the_label() -> None:
    memes = plan(SampleSettings(train=4000))["train"]
    places = [list(range(len(memes))), [int(meme.id) for meme in memes], [int(meme.id[-1]) for meme in memes]]
    for place in places:
        for cell, one in (("label", 1), ("says", "city"), ("shows", "city")):
            of_one = [p for p, meme in zip(place, memes, strict=True) if getattr(meme, cell) == one]
            gap = sum(of_one) / len(of_one) - sum(place) / len(place)
            # the mean of 2,000 of 4,000 ranks strays by 1.8% of the range at four standard deviations
            assert abs(gap) < 0.02 * (max(place) - min(place))


def test_captions_talk_of_their_topic_alone_in_about_twelve_words() -> None:
    memes = plan(SampleSettings(train=4000))["train"]
    phrases_of = {
        topic: {*own["things"], *own["places"], *(f"{ing} {rest}" for _, ing, rest in map(split_act, own["acts"]))}
        | {f"{verb} {rest}" for verb, _, rest in map(split_act, own["acts"])}
        for topic, own in WORDS["topics"].items()
    }
    for meme in memes:
        topics = {topic for topic, phrases in phrases_of.items() if any(phrase in meme.text for phrase in phrases)}
        assert topics == {meme.says}, meme.text
    lengths = [len(meme.text.split()) for meme in memes]
    assert 11.5 < sum(lengths) / len(lengths) < 13.5
    assert (min(lengths) >= 5, max(lengths) <= 25) == (True, True)
    assert len({meme.text for meme in memes}) > 0.45 * len(memes)  # half would be: no two groups alike
    assert len({wording for meme in memes for wording in possible_wordings(meme.text)}) == len(WORDS["wordings"])


def split_act(act: str) -> list[str]:
    return act.split(maxsplit=2)


def possible_wordings(text: str) -> list[str]:
    return [wording for wording, pattern in WORDING_PATTERNS if pattern.fullmatch(text)]


def _pattern(wording: str) -> re.Pattern[str]:
    slots = WORDS["neutral"]
    parts = re.split(r"\{(\w+)\}", wording)
    fixed, names = parts[::2], parts[1::2]
    choices = [f"({'|'.join(map(re.escape, slots[name]))})" if name in slots else "(.+)" for name in names]
    pattern = re.escape(fixed[0])
    for choice, after in zip(choices, fixed[1:], strict=True):
        pattern += choice + re.escape(after)
    return re.compile(pattern)


WORDING_PATTERNS = [(wording, _pattern(wording)) for wording in WORDS["wordings"]]


def test_another_seed_gives_other_memes() -> None:
    one, other = (plan(SampleSettings(seed=seed))["train"] for seed in (0, 1))
    assert len({meme.text for meme in one} & {meme.text for meme in other}) < 30
    assert [meme.label for meme in one] != [meme.label for meme in other]
    assert {meme.id for meme in one} != {meme.id for meme in other}


def test_default_rows_are_those_of_this_drawing_version() -> None:
    """Count DRAWING up when this digest changes: folders drawn before hold other memes under the same settings."""
    text = json.dumps([meme.row() for of_split in plan(SampleSettings()).values() for meme in of_split])
    assert (DRAWING, hashlib.sha256(text.encode()).hexdigest()[:16]) == (2, "8e0cf6a6cba89e8d")


# --- what is drawn


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


def test_memes_of_a_group_differ_in_caption_and_scene_alone(drawn: Path) -> None:
    groups = [group for group in groups_of(plan(SMALL)["train"]) if len(group) == 4 and group[0].img.endswith("png")]
    assert len(groups) == 4  # a JPEG would smear across the caption's edge
    for group in groups:
        images = {(meme.says, meme.shows): Image.open(drawn / meme.img) for meme in group}
        style = look(rng_of(SMALL, "train", group[0].group, "look"), SMALL.shortest, SMALL.longest)
        assert {image.size for image in images.values()} == {style.size}
        assert len({image.tobytes() for image in images.values()}) == 4
        for shows in WORDS["topics"]:
            difference = ImageChops.difference(images["country", shows], images["city", shows])
            for box in style.layout.captions:
                difference.paste(BLACK, scaled(box, style.size))
            assert difference.getbbox() is None


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


@pytest.mark.parametrize("scene", SCENES.values())
@pytest.mark.parametrize("size", [(160, 90), (90, 160)])
def test_every_scene_can_be_painted_in_every_light_and_shape(scene: Callable, size: tuple[int, int]) -> None:
    for light in LIGHTS:
        canvas = Canvas(size, light, Random(0))
        before = canvas.image.copy()
        scene(canvas)
        changed = ImageChops.difference(before, canvas.image).convert("L").point(lambda level: 255 * (level > 0))
        assert changed.histogram()[255] > 0.25 * canvas.image.width * canvas.image.height
        assert len(canvas.image.getcolors(canvas.image.width * canvas.image.height) or []) > 5


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), sides=st.tuples(st.integers(300, 900), st.integers(0, 500)))
def test_sides_lie_within_the_bounds(seed: int, sides: tuple[int, int]) -> None:
    style = look(Random(seed), sides[0], sides[0] + sides[1])
    assert all(sides[0] <= side <= sides[0] + sides[1] for side in style.size)


def test_a_meme_is_the_same_drawn_alone_or_with_its_group(drawn: Path, tmp_path: Path) -> None:
    """So a caption is written on a picture of its own, and what is left of a group can be drawn later."""
    (tmp_path / "img").mkdir()
    for meme in groups_of(plan(SMALL)["train"])[0]:
        assert pictures.draw_group(tmp_path, SMALL, [meme]) == 1
        assert (tmp_path / meme.img).read_bytes() == (drawn / meme.img).read_bytes()


LONGEST = max(
    (text for number in range(2000) for text in captions(Random(number)).values()),
    key=len,
)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(300, 300), (533, 300), (300, 450), (640, 480)])
@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("text", [LONGEST, "me in january: riding a horse"])
def test_captions_are_whole_and_stay_in_their_boxes(layout: str, size: tuple[int, int], upper: bool, text: str) -> None:
    boxes = LAYOUTS[layout].captions
    lettering = LAYOUTS[layout]._replace(letters=(255, 0, 0), outline=0.1)
    style = PictureStyle(size, "noon", lettering, 0.12, upper, front=None, grain=0)
    grey = Image.new("RGB", size, (90, 90, 90))
    meme = grey.copy()
    lines = inscribe(meme, text, style)
    assert " ".join(line for part in lines for line in part) == (text.upper() if upper else text[0].upper() + text[1:])
    assert len(lines) == len(boxes)
    changed = ImageChops.difference(grey, meme)
    for box in boxes:
        left, top, right, bottom = scaled(box, size)
        lettered = changed.crop((left, top, right, bottom)).getbbox()
        assert lettered is not None
        # a caption that were cut off would touch the box's edge
        assert lettered[0] > 0
        assert lettered[2] < right - left
        assert lettered[1] > 0
        assert lettered[3] < bottom - top
        changed.paste(BLACK, (left, top, right, bottom))
    assert changed.getbbox() is None


def test_letters_shrink_until_the_words_fit() -> None:
    assert fit(["A", "COW"], 400, 100, 40) == (40, ["A COW"])
    assert fit(["A", "COW"], 120, 100, 40) == (40, ["A", "COW"])
    small, lines = fit(["WHEN", "THE", "COWS", "COME", "HOME"] * 4, 300, 60, 40)
    assert small < 40
    assert " ".join(lines).split() == ["WHEN", "THE", "COWS", "COME", "HOME"] * 4


# --- safe writing


def test_a_second_run_draws_nothing_and_says_so(
    drawn: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (sample, pictures):
        monkeypatch.setattr(room, "replacing", lambda path: pytest.fail(f"wrote {path}"))
    assert main(["--out", str(drawn), *AS_SMALL, "--seed", "3"]) == 0
    assert capsys.readouterr().out == f"{drawn}: train 22, dev 8, test 9 memes; all there already, nothing drawn\n"


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


def refused(*arguments: str) -> str:
    with pytest.raises(errors.Refused) as refusal:
        main(list(arguments))
    return str(refusal.value)


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
