"""Memes in, table out, by the commands that a user types."""

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from extract import errors, store

ROOT = Path(__file__).parent.parent.parent
REAL = ["--text-encoder", "all-MiniLM-L6-v2", "--image-encoder", "resnet50-keras"]


def call(*command, status=0):
    """Call a command of ours in this process; return what it printed on stdout and stderr."""
    out, said = io.StringIO(), io.StringIO()
    name, *options = map(str, command)
    module = importlib.import_module(f"{name}.__main__" if (ROOT / name.replace(".", "/")).is_dir() else name)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        assert errors.run(lambda: module.main(options)) == status, said.getvalue()
    return out.getvalue(), said.getvalue()


def run(*command, status=0):
    """Run a command of ours in a process of its own, as `call` does in this one; no traceback may show."""
    answer = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    assert answer.returncode == status, answer.stderr
    assert "Traceback" not in answer.stderr
    return answer.stdout, answer.stderr


def auc(reports: Path, split: str = "test") -> dict[str, float]:
    comparison = json.loads((reports / "comparison.json").read_text())
    return {row["name"]: row["metrics"]["auc_roc"]["mean"] for row in comparison["rows"] if row["split"] == split}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Options that name a tiny BERT and a tiny ResNet."""
    from tiny_encoders import resnet, resnet_folder, text_folder

    folder = tmp_path_factory.mktemp("encoders")
    text, image = text_folder(folder / "bert"), resnet_folder(folder / "resnet", resnet())
    return ["--text-encoder", text, "--image-encoder", image, "--max-tokens", "32"]


@pytest.fixture(scope="module")
def memes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memes")
    call("extract.sample", "--out", folder, "--train", "24", "--dev", "12", "--test", "12")
    return folder


def broken(folder, what):
    """A one-split dataset whose third meme has something wrong with it."""
    (folder / "img").mkdir(parents=True)
    rows = []
    for number in range(4):
        Image.new("RGB", (9, 9), (number, 0, 0)).save(folder / f"img/{number}.png")
        rows.append({"id": str(number), "img": f"img/{number}.png", "text": f"t {number}", "label": number % 2})
    rows[2] |= what if isinstance(what, dict) else {}
    if isinstance(what, bytes):
        (folder / "img/2.png").write_bytes(what)
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.slow
def test_memes_in_table_out(memes, tiny, tmp_path):
    features, reports = tmp_path / "features", tmp_path / "reports"
    run("extract", "--data", memes, "--features", features, *tiny)
    out, _ = call("extract.inspect", features, "--verify")
    assert out.endswith("6 files verified\n")
    _, said = call("extract", "--data", memes, "--features", features, *tiny)
    assert said.count("nothing to encode") == 2
    out, _ = run("experiments.compare", "--features", features, "--out", reports, "--seeds", "2")
    assert {"text", "image", "early", "late"} <= set(auc(reports))
    for kind in ("md", "csv", "tex"):
        assert (reports / f"comparison.{kind}").stat().st_size > 500
    before = (reports / "comparison.json").read_bytes()
    call("experiments.compare", "--features", features, "--out", reports, "--seeds", "2")
    assert (reports / "comparison.json").read_bytes() == before


def test_a_bad_row_is_refused_and_can_be_skipped(tiny, tmp_path):
    data = broken(tmp_path / "data", {"label": 7})
    _, said = call("extract", "--data", data, "--features", tmp_path / "f", *tiny, status=2)
    assert "1 of 4 rows cannot be used; nothing was encoded.\n  train.jsonl:3  2  label is 7, expected 0 or 1" in said
    assert not (tmp_path / "f").exists()
    _, said = call("extract", "--data", data, "--features", tmp_path / "f", *tiny, "--on-error", "skip")
    files = list((tmp_path / "f").glob("*/train.h5"))
    assert [store.read(path).ids.tolist() for path in files] == [["0", "1", "3"]] * 2


def test_a_bad_image_stops_its_split_and_can_be_skipped_or_mended(tiny, tmp_path):
    data = broken(tmp_path / "data", b"")
    _, said = call("extract", "--data", data, "--features", tmp_path / "f", *tiny, status=1)
    assert f"1 of 4 images cannot be decoded; {tmp_path}/f/resnet-" in said
    assert f"train.h5 was not written.\n  2  {data}/img/2.png  0 bytes: empty file\n" in said
    _, said = call("extract", "--data", data, "--features", tmp_path / "f", *tiny, "--on-error", "skip")
    assert said.count("3 memes, 1 left out and listed in train.dropped.txt, written") == 2
    Image.new("RGB", (9, 9), "white").save(data / "img/2.png")
    _, said = call("extract", "--data", data, "--features", tmp_path / "f", *tiny)
    assert said.count("4 memes, written") == 2


def test_what_is_refused_is_refused_before_any_work(memes, tmp_path):
    out = ("--features", tmp_path / "f")
    _, said = call("extract", "--data", tmp_path / "none", *out, status=2)
    assert f"no data folder {tmp_path}/none" in said
    _, said = call("extract", "--data", memes, *out, "--text-encoder", "bertt", "--image-encoder", "resnet5", status=2)
    assert "unknown text encoder 'bertt'" in said
    assert "unknown image encoder 'resnet5'" in said
    assert not (tmp_path / "f").exists()


@pytest.mark.weights
def test_on_drawn_memes_only_early_fusion_solves_what_the_pair_alone_tells(tmp_path):
    data, features, reports = (tmp_path / name for name in ("data", "features", "reports"))
    run("extract.sample", "--out", data, "--train", "600", "--dev", "150", "--test", "150")
    run("extract", "--data", data, "--features", features, *REAL)
    run("experiments.compare", "--features", features, "--out", reports, "--seeds", "5")
    test = auc(reports)
    assert abs(test["text"] - 0.5) <= 0.1
    assert abs(test["image"] - 0.5) <= 0.1
    assert test["early"] >= 0.9
    assert test["late"] <= test["early"] - 0.2


@pytest.mark.weights
@pytest.mark.slow
@pytest.mark.skipif("MEMEFUSE_MVSA" not in os.environ, reason="MEMEFUSE_MVSA names no folder with the MVSA memes")
def test_on_mvsa_heads_reach_what_frozen_features_hold(tmp_path):
    data = os.environ["MEMEFUSE_MVSA"]
    vectors, test = {}, {}
    for dtype in ("bfloat16", "float32"):
        features, reports = tmp_path / dtype, tmp_path / f"reports-{dtype}"
        run("extract", "--data", data, "--features", features, *REAL, "--dtype", dtype)
        run("experiments.compare", "--features", features, "--out", reports, "--seeds", "5")
        vectors[dtype] = {
            path.relative_to(features): store.read(path).vector for path in sorted(features.glob("*/*.h5"))
        }
        test[dtype] = auc(reports)
    for floor, head in ((0.79, "text"), (0.715, "image"), (0.8, "early"), (0.8, "late")):
        assert test["bfloat16"][head] >= floor
        # two standard deviations over seeds of the noisiest head, as seen in its table
        assert test["bfloat16"][head] == pytest.approx(test["float32"][head], abs=0.02)
    for path, half in vectors["bfloat16"].items():
        full = vectors["float32"][path]
        cosine = (half * full).sum(axis=1) / np.linalg.norm(half, axis=1) / np.linalg.norm(full, axis=1)
        assert cosine.min() >= 0.999, path
