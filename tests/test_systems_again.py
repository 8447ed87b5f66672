"""What a system does when its memes, its encoders or its folders are not what they were, or not fit for use."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from systems_command import tiny
from trained import picture

from experiments.systems import job, lock, pictures, results, sides
from experiments.systems.__main__ import main
from extract import device, store
from extract.__main__ import main as extract
from extract.errors import Refused
from heads.settings import HeadSettings

pytest_plugins = ["systems_folder"]
pytestmark = pytest.mark.usefixtures("quick")

ROOT = Path(__file__).parent.parent
MLP = "distilbert-resnet50-mlp"


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    """The dataset and its encoders, to be changed."""
    shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True)
    return tmp_path / "copy"


def runs(folder: Path, system: str) -> list[results.Result]:
    return [each for each in results.all_results(folder / "reports") if each.system == system]


def first_meme(folder: Path, split: str) -> dict[str, str]:
    return json.loads((folder / "data" / f"{split}.jsonl").read_text().splitlines()[0])


def say_otherwise(folder: Path, split: str) -> None:
    """Another text under the id and label of the first meme."""
    path = folder / "data" / f"{split}.jsonl"
    path.write_text(path.read_text().replace(first_meme(folder, split)["text"], "quite another", 1))


def show_otherwise(folder: Path, split: str) -> None:
    """Another image under the name of the first meme's."""
    (folder / "data" / first_meme(folder, split)["img"]).write_bytes(picture((1, 2, 3)))


@pytest.mark.parametrize("train", ["none", "image"])
def test_a_meme_that_was_mended_makes_another_run(train, copy, capsys):
    command = [MLP, *tiny(copy, "--train", train, "--seeds", "1", "--steps", "1")]
    main(command)
    for number, (change, split) in enumerate([(say_otherwise, "train"), (show_otherwise, "test")], start=2):
        change(copy, split)
        main(command)
        assert "done before" not in capsys.readouterr().err
        assert len({each.key for each in runs(copy, MLP)}) == number
    main(command)
    assert "done before" in capsys.readouterr().err


def break_images(folder: Path) -> list[str]:
    """Two images of train and one of test that are none. Returns their memes' ids."""
    ids = []
    for split, count in (("train", 2), ("test", 1)):
        for line in (folder / "data" / f"{split}.jsonl").read_text().splitlines()[:count]:
            (folder / "data" / json.loads(line)["img"]).write_bytes(b"no image")
            ids.append(json.loads(line)["id"])
    return ids


def test_an_encoder_that_trains_names_all_images_that_are_none_before_any_work(copy):
    ids = break_images(copy)
    with pytest.raises(Refused) as refusal:
        main([MLP, *tiny(copy, "--train", "image", "--steps", "1")])
    said = str(refusal.value).splitlines()
    assert said[0] == "the images of 3 of 80 memes cannot be decoded; nothing was trained."
    assert [line.split()[1] for line in said[1:4]] == sorted(ids[:2]) + ids[2:]
    assert said[1].endswith("not an image of a known format")
    assert said[4].endswith("or pass --on-error skip: these memes are left out and named.")
    assert not (copy / "features").exists()


def test_an_encoder_that_trains_skips_images_that_are_none(copy, capsys):
    ids = break_images(copy)
    main([MLP, *tiny(copy, "--train", "text,image", "--steps", "1", "--on-error", "skip")])
    [result] = runs(copy, MLP)
    assert (result.train_of, result.memes) == (46, {"dev": 20, "test": 11})
    named = ", ".join(sorted(ids[:2]))
    assert f"train: 2 memes left out, whose images cannot be decoded: {named}." in result.notes
    assert "train: 2 memes left out" in capsys.readouterr().out


def test_a_look_at_an_image_says_what_it_is_or_why_it_is_none(tmp_path):
    (tmp_path / "one.png").write_bytes(picture((1, 2, 3)))
    (tmp_path / "none.png").write_bytes(b"")
    good, empty, absent = pictures.looks([tmp_path / name for name in ("one.png", "none.png", "absent.png")])
    assert (len(good.digest), good.fault) == (64, "")
    assert empty.fault == "empty file"
    assert "No such file" in absent.fault


def test_vectors_that_a_user_made_otherwise_are_read_and_not_made_anew(copy):
    other = {"float32": "bfloat16", "bfloat16": "float32"}[device.resolve_dtype("auto", "cpu")]
    where = ["--data", str(copy / "data"), "--features", str(copy / "features"), "--device", "cpu", "--quiet"]
    encoders = ["--text-encoder", str(copy / "bert"), "--image-encoder", str(copy / "resnet")]
    extract([*where, *encoders, "--dtype", other, "--max-tokens", "16"])
    there = {path: store.read_rows(path).fingerprint for path in (copy / "features").glob("*/train.h5")}
    main([MLP, *tiny(copy, "--dtype", "auto", "--seeds", "1", "--steps", "1")])
    assert {path: store.read_rows(path).fingerprint for path in there} == there
    assert len(there) == 2
    [result] = runs(copy, MLP)
    assert (result.text.settings["precision"], result.text.settings["max_tokens"]) == (other, 16)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["lab", "--steps", "5"], "lab's heads train until dev is best: --steps is for the other systems"),
        (["lab", "--image-encoder", "resnet50-keras:grid"], "lab reads one vector an image, and resnet50-keras:grid"),
        (
            ["multimodal-transformer", "--text-encoder", "fasttext", "--train", "none"],
            "multimodal-transformer reads words with its text encoder, and fastText gives vectors of whole texts",
        ),
        (
            [MLP, "--text-encoder", "fasttext", "--train", "text"],
            f"{MLP} trains its text encoder, and fastText gives vectors of whole texts: name another --text-encoder",
        ),
        (
            ["bert-resnet18-linear", "--settings", "1,10", "--predict", "a.png", "words"],
            "--predict asks the run of one setting, and --settings is 1,10: name one",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_any_work(command, why, folder, tmp_path):
    where = ["--data", str(folder / "data"), "--features", str(tmp_path / "features"), "--out", str(tmp_path / "out")]
    with pytest.raises(Refused, match=re.escape(why)):
        main([*command, *where])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "library"), [("fasttext-resnet152-concat", "gensim"), (MLP, "accelerate")])
def test_a_library_that_is_missing_is_named_before_any_work(name, library, folder, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == library else found(name, *more)
    )
    with pytest.raises(Refused, match=f"{name} needs {library}: pip install 'memefuse"):
        main([name, "--stand-in", "--data", str(folder / "data"), "--features", str(tmp_path / "features")])
    assert not list(tmp_path.iterdir())


def test_a_draw_of_one_label_is_refused(copy):
    with pytest.raises(Refused, match=r"--rows 1 draws memes of label [01] alone of train; draw more"):
        main(["fasttext-resnet152-concat", *tiny(copy, "--rows", "1")])


def test_stage_2s_heads_run_in_the_precision_that_is_recorded_and_know_their_recipe(copy, monkeypatch):
    short = HeadSettings(learning_rate=1e-3, weight_decay=0.0, max_epochs=2)
    monkeypatch.setattr(job.Job, "recipe", short)
    for dtype in ("float32", "bfloat16"):
        main(["lab", *tiny(copy, "--seeds", "1", "--dtype", dtype)])
    made = {each.precision: each for each in runs(copy, "lab")}
    assert set(made) == {"float32", "bfloat16"}
    monkeypatch.setattr(job.Job, "recipe", replace(short, patience=3))
    main(["lab", *tiny(copy, "--seeds", "1")])
    assert len(runs(copy, "lab")) == 3


HOLD = """
import sys
from dataclasses import replace
from pathlib import Path
from experiments.systems import lock
with lock.held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_same_run_at_work_elsewhere_is_refused(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Refused, match=rf"the same run \(process {other.pid}\) is at work in"), lock.held(tmp_path):
            pass
        other.kill()
        other.wait()
    with lock.held(tmp_path):  # the lock ended with its process
        pass


def test_a_run_holds_its_folder(copy, monkeypatch):
    command = [MLP, *tiny(copy, "--seeds", "1", "--steps", "1")]
    main(command)
    [place] = (copy / "reports/systems" / MLP).iterdir()
    (place / "result.json").unlink()
    with lock.held(place), pytest.raises(Refused, match="is at work in"):
        main(command)


@pytest.mark.parametrize(
    ("kind", "name", "published", "is_other"),
    [
        ("text", "bert-base-uncased", "bert-base-uncased", False),
        ("text", "google-bert/bert-base-uncased", "bert-base-uncased", False),
        ("text", "/models/bert-base-uncased:pooler", "bert-base-uncased:pooler", False),
        ("text", "bert-base-uncased:cls", "bert-base-uncased", False),
        ("text", "bert-base-uncased", "bert-base-uncased:pooler", True),
        ("text", "all-MiniLM-L6-v2", "bert-base-uncased", True),
        ("image", "resnet18:grid", "resnet18:grid", False),
        ("image", "resnet50-keras:grid", "resnet18:grid", True),
        ("text", "fasttext", "fasttext", False),
    ],
)
def test_what_stands_in_is_told_from_what_was_published(kind, name, published, is_other):
    assert sides.other(kind, name, published) == is_other


def test_a_stand_in_out_of_reach_is_not_offered_again():
    refusals = [
        ("text", "all-MiniLM-L6-v2", "all-MiniLM-L6-v2: no registry\nmore"),
        ("image", "resnet50", "resnet50: none"),
    ]
    said = sides.way_out(refusals, ["lab", "--stand-in"])
    assert said.splitlines()[:2] == ["all-MiniLM-L6-v2: no registry", "resnet50: none"]
    assert "--text-encoder all-MiniLM-L6-v2" not in said


def test_predict_asks_the_setting_that_is_named_and_no_other(copy, capsys):
    """Setting 10 begins as setting 1 does."""
    for setting in ("1", "10"):
        main(
            [
                "bert-resnet18-linear",
                *tiny(copy, "--train", "none", "--settings", setting, "--seeds", "1", "--steps", "1"),
            ]
        )
    image = next((copy / "data" / "img").iterdir())
    ask = ["bert-resnet18-linear", "--out", str(copy / "reports"), "--device", "cpu", "--predict", str(image), "words"]
    capsys.readouterr()
    for setting in ("1", "10"):
        main([*ask, "--settings", setting])
        assert f"bert-resnet18-linear/{setting}-" in capsys.readouterr().out
    [place] = (copy / "reports/systems/bert-resnet18-linear").glob("1-*")
    (place / "result.json").write_text("{}")
    with pytest.raises(Refused, match="no run of bert-resnet18-linear, setting 1, under"):
        main([*ask, "--settings", "1"])


@pytest.mark.gpu
def test_a_command_trains_both_encoders_on_a_gpu(copy):
    main([MLP, *tiny(copy, "--train", "text,image", "--steps", "2", "--device", "cuda", "--dtype", "bfloat16")])
    [result] = runs(copy, MLP)
    assert (result.device, result.precision, result.steps) == ("cuda", "bfloat16", 2)
