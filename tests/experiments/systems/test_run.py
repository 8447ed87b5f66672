"""What a system does when its memes, vectors or folders are not what they were, are in use, or lie elsewhere."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from systems_command import label_and_probability, lines, tiny
from trained import picture

from experiments import training
from experiments.pages import report_page
from experiments.pages.document import Grid
from experiments.systems import results, run, trainer
from experiments.systems.__main__ import main
from extract import machine, store
from extract.__main__ import main as extract
from extract.encoders.resnet import ResNet
from extract.errors import Refused
from extract.locks import locked
from heads.settings import HeadSettings

pytest_plugins = ["systems_folder", "elsewhere"]
pytestmark = pytest.mark.usefixtures("quick")

ROOT = Path(__file__).parents[3]
MLP = "distilbert-resnet50-mlp"


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


@pytest.mark.parametrize("train", ["none", pytest.param("image", marks=pytest.mark.slow)])
@pytest.mark.slow
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


@pytest.fixture
def coloured(monkeypatch):
    """An image's vector is its colours, cell by cell: where bfloat16 is emulated, convolutions take a minute."""

    def vectors(self, pixels):
        return torch.nn.functional.adaptive_avg_pool2d(pixels.float() / 255, 14).flatten(1)[:, : self.dim]

    monkeypatch.setattr(ResNet, "vectors", vectors)


@pytest.mark.slow
def test_vectors_that_a_user_made_otherwise_are_read_and_not_made_anew(copy, coloured):
    other = {"float32": "bfloat16", "bfloat16": "float32"}[machine.resolve_dtype("auto", "cpu")]
    where = ["--data", str(copy / "data"), "--features", str(copy / "features"), "--device", "cpu", "--quiet"]
    encoders = ["--text-encoder", str(copy / "bert"), "--image-encoder", str(copy / "resnet")]
    extract([*where, *encoders, "--dtype", other, "--max-tokens", "16"])
    there = {path: store.read_rows(path).identity.fingerprint for path in (copy / "features").glob("*/train.h5")}
    main([MLP, *tiny(copy, "--dtype", "auto", "--seeds", "1", "--steps", "1")])
    assert {path: store.read_rows(path).identity.fingerprint for path in there} == there
    assert len(there) == 2
    [result] = runs(copy, MLP)
    assert (result.text.identity.settings["precision"], result.text.identity.settings["max_tokens"]) == (other, 16)


@pytest.mark.slow
def test_stage_2s_heads_run_in_the_precision_that_is_recorded_and_know_their_recipe(copy, coloured, monkeypatch):
    short = HeadSettings(learning_rate=1e-3, weight_decay=0.0, max_epochs=2)
    monkeypatch.setattr(run.Job, "recipe", short)
    for dtype in ("float32", "bfloat16"):
        main(["lab", *tiny(copy, "--seeds", "1", "--dtype", dtype)])
    made = {each.precision: each for each in runs(copy, "lab")}
    assert set(made) == {"float32", "bfloat16"}
    monkeypatch.setattr(run.Job, "recipe", replace(short, patience=3))
    main(["lab", *tiny(copy, "--seeds", "1")])
    assert len(runs(copy, "lab")) == 3


SAME = ("the same run", "--out")
HOLD = """
import sys
from pathlib import Path
from extract.locks import locked
with locked(Path(sys.argv[1]), "the same run", "--out"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_same_run_at_work_elsewhere_is_refused(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(Refused, match=rf"the same run \(process {other.pid}\) is writing to"),
            locked(tmp_path, *SAME),
        ):
            pass
        other.kill()
        other.wait()
    with locked(tmp_path, *SAME):  # the lock ended with its process
        pass


def test_a_run_holds_its_folder(copy, monkeypatch):
    command = [MLP, *tiny(copy, "--seeds", "1", "--steps", "1")]
    main(command)
    [place] = (copy / "reports/systems" / MLP).iterdir()
    (place / "result.json").unlink()
    with locked(place, *SAME), pytest.raises(Refused, match="is writing to"):
        main(command)


@pytest.mark.slow
def test_predict_asks_the_setting_that_is_named_and_no_other(copy, capsys):
    for setting in ("fast-learning", "batch-size"):
        main(
            [
                "bert-resnet18-linear",
                *tiny(copy, "--train", "none", "--settings", setting, "--seeds", "1", "--steps", "1"),
            ]
        )
    image = next((copy / "data" / "img").iterdir())
    ask = ["bert-resnet18-linear", "--out", str(copy / "reports"), "--device", "cpu", "--predict", str(image), "words"]
    capsys.readouterr()
    for setting in ("fast-learning", "batch-size"):
        main([*ask, "--settings", setting])
        assert f"bert-resnet18-linear/{setting}-" in capsys.readouterr().out
    [place] = (copy / "reports/systems/bert-resnet18-linear").glob("fast-learning-*")
    (place / "result.json").write_text("{}")
    with pytest.raises(Refused, match="no run of bert-resnet18-linear, setting fast-learning, under"):
        main([*ask, "--settings", "fast-learning"])


@pytest.mark.gpu
def test_a_command_trains_both_encoders_on_a_gpu(copy):
    main([MLP, *tiny(copy, "--train", "text,image", "--steps", "2", "--device", "cuda", "--dtype", "bfloat16")])
    [result] = runs(copy, MLP)
    assert (result.device, result.precision, result.steps) == ("cuda", "bfloat16", 2)


@pytest.mark.slow
def test_memes_and_vectors_may_lie_elsewhere(copy, memory, upload, capsys):
    upload(copy / "data", memory / "data")
    where = ["--data", str(memory / "data"), "--features", str(memory / "features"), "--out", str(copy / "away")]
    main([MLP, *tiny(copy, "--train", "image", "--rows", "24", "--steps", "1"), *where])
    [place] = (copy / "away/systems" / MLP).iterdir()
    first = lines(place / "predictions_test.csv")[0]["id"]
    meme = next(line for line in (copy / "data/test.jsonl").read_text().splitlines() if first in line)
    image, text = (json.loads(meme)[key] for key in ("img", "text"))
    capsys.readouterr()
    main([MLP, "--out", str(copy / "away"), "--device", "cpu", "--predict", str(copy / "data" / image), text])
    said = capsys.readouterr().out
    assert said.startswith(label_and_probability(place, first))


def test_a_training_that_diverged_is_a_row_without_figures(copy, monkeypatch, capsys):
    monkeypatch.setattr(trainer, "logits", lambda model, memes, *how: torch.full((len(memes),), torch.nan))
    main([MLP, *tiny(copy, "--seeds", "2", "--steps", "1")])
    told = f"{MLP} published: training diverged (seed 0, 1), so there is nothing to measure."
    [row] = [line for line in capsys.readouterr().out.splitlines() if line.startswith(MLP) and "*" in line][:1]
    assert row.count("undefined") == 4
    [result] = [each for each in runs(copy, MLP) if each.seeds == 2]
    assert result.notes[-1] == told
    assert np.isnan([figure.mean for each in result.rows for figure in each.metrics.values()]).all()
    main(["table", "--out", str(copy / "reports")])
    printed = capsys.readouterr().out
    assert told in " ".join(printed.split())
    assert f"{MLP} * + vs" not in printed


def test_the_report_shows_what_was_run_and_trains_and_writes_nothing(copy):
    assert report_page.systems(copy / "elsewhere") is None
    main([MLP, *tiny(copy, "--seeds", "1", "--steps", "1")])
    shutil.rmtree(copy / "features")  # of which a report takes nothing
    left = there(copy / "reports")
    [part] = report_page.systems(copy / "reports").parts
    assert there(copy / "reports") == left
    assert "train 48, dev 20, test 32 memes" in part.title
    reached, how, pairs = (block.table for block in part.blocks if isinstance(block, Grid))
    for table in (reached, how, pairs):
        assert any(row[0].startswith(MLP) for row in table.rows)
        assert {len(row) for row in table.rows} == {len(table.header)}
    assert any("stand-ins" in sentence for sentence in part.blocks[-1].sentences)


@pytest.mark.slow
def test_a_report_without_memefuses_heads_says_how_to_train_them(copy):
    main([MLP, *tiny(copy, "--seeds", "1", "--steps", "1")])
    shutil.rmtree(copy / "reports/systems/memefuse")
    left = there(copy / "reports")
    [part] = report_page.systems(copy / "reports").parts
    assert there(copy / "reports") == left
    told = f"they were not trained yet. Run: python -m experiments.systems table --out {copy / 'reports'}"
    assert any(sentence.endswith(told) for sentence in part.blocks[-1].sentences)


def there(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_one_seed_is_no_plural(copy, capsys):
    main([MLP, *tiny(copy, "--seeds", "1", "--steps", "1")])
    image = next((copy / "data" / "img").iterdir())
    capsys.readouterr()
    main([MLP, "--out", str(copy / "reports"), "--device", "cpu", "--predict", str(image), "words"])
    assert "(dev); 1 seed ." in capsys.readouterr().out


@pytest.mark.slow
def test_seconds_of_heads_that_train_side_by_side_are_not_added_up(copy, monkeypatch):
    heads = training.heads
    monkeypatch.setattr(training, "heads", lambda *how: [replace(each, seconds=1e6) for each in heads(*how)])
    shutil.rmtree(copy / "reports/systems/memefuse", ignore_errors=True)
    main([MLP, *tiny(copy, "--seeds", "1", "--steps", "1")])
    [own] = runs(copy, "memefuse")
    assert 0 < own.seconds < 1e6


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["lab", "--steps", "5"], "lab's heads train until dev is best: --steps is for the other systems"),
        (["lab", "--image-encoder", "resnet50-keras:grid"], "lab reads one vector an image, and resnet50-keras:grid"),
        (["lab", "--text-encoder", "fasttext", "--image-encoder", "fasttext"], "unknown image encoder 'fasttext'"),
        (
            ["multimodal-transformer", "--text-encoder", "fasttext", "--train", "none"],
            "multimodal-transformer reads words with its text encoder, and fastText gives vectors of whole texts",
        ),
        (
            [MLP, "--text-encoder", "fasttext", "--train", "text"],
            f"{MLP} trains its text encoder, and fastText gives vectors of whole texts: name another --text-encoder",
        ),
        (
            ["bert-resnet18-linear", "--settings", "batch-size,balanced-sgd", "--predict", "a.png", "words"],
            "--predict asks the run of one setting, and --settings is batch-size,balanced-sgd: name one",
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
    with pytest.raises(Refused, match=f"{name} needs {library}, not installed here. Run: pip install 'memefuse"):
        main([name, "--stand-in", "--data", str(folder / "data"), "--features", str(tmp_path / "features")])
    assert not list(tmp_path.iterdir())


def test_a_draw_of_one_label_is_refused(copy):
    with pytest.raises(Refused, match=r"--rows 1 draws memes of label [01] alone of train; draw more"):
        main(["fasttext-resnet152-concat", *tiny(copy, "--rows", "1")])
