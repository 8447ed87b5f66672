"""Exported heads say what predict says, without memefuse; the card tells what they are; figures are logged."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import planted
import pytest
import torch

from experiments import compare, export
from experiments.results import exported, models
from extract import errors
from heads.models import HEADS

PROBE = """
import sys
import numpy as np, torch
import head
from head import Head, THRESHOLD
head.AT_ONCE = 3
text, image = np.load("text.npy"), np.load("image.npy")
with torch.no_grad():
    np.save("torch.npy", Head()(torch.from_numpy(text), torch.from_numpy(image)).numpy())
assert not {"experiments", "heads", "extract", "sklearn"} & set(sys.modules)
from estimator import HeadClassifier
from sklearn.base import clone
model = clone(HeadClassifier()).fit(None)
X = np.hstack([text, image])
np.save("sklearn.npy", model.predict_proba(X)[:, 1])
assert (model.predict(X) == (np.load("sklearn.npy") >= THRESHOLD)).all()
"""


def same_elsewhere(model, saved, out):
    """Export a head in all forms, and hold each to predict, out of reach of memefuse."""
    export.export(model, head=saved.name, out=out, formats="all")
    text, image = planted.vectors(saved)
    np.save(out / "text.npy", text)
    np.save(out / "image.npy", image)
    subprocess.run([sys.executable, "-c", PROBE], cwd=out, check=True)
    expected = saved.probability(text, image).mean(axis=0)
    for kind in ("torch", "sklearn"):
        # a few memes at a time are multiplied in another order: float32 rounding
        np.testing.assert_allclose(np.load(out / f"{kind}.npy"), expected, atol=1e-6)
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(out / "head.onnx"))
    given = {"text_vec": text, "image_vec": image}
    [said] = session.run(None, {each.name: given[each.name] for each in session.get_inputs()})
    np.testing.assert_allclose(said, expected, atol=1e-6)
    assert len((out / "head.py").read_text().splitlines()) < 150


@pytest.mark.slow  # torch's tracer takes seconds to start
def test_every_head_says_elsewhere_what_predict_says(every_head, tmp_path):
    for head, saved in models.load(every_head / "out").items():
        same_elsewhere(every_head / "out", saved, tmp_path / head)


def retrieval(every_head, monkeypatch, *neighbours):
    """The saved head with as many voting neighbours in each run; below zero, dev chose the linear output."""
    heads = models.load(every_head / "out")
    [(_, stack)] = heads["retrieval"].fitted.stacks
    stack.neighbours.copy_(torch.tensor(neighbours))
    monkeypatch.setattr(models, "load", lambda model: heads)
    return heads["retrieval"], stack


@pytest.mark.slow
@pytest.mark.parametrize("neighbours", [(5, 20), (-10, 5), (-5, -5)])
def test_what_votes_goes_along_and_nothing_else(every_head, tmp_path, monkeypatch, neighbours):
    saved, stack = retrieval(every_head, monkeypatch, *neighbours)
    same_elsewhere(every_head / "out", saved, tmp_path)
    named = torch.load(tmp_path / "head.pt").items()
    remembered = {name.removeprefix("b_stacks_0_"): tensor for name, tensor in named if "memory" in name}
    text = " ".join((tmp_path / "README.md").read_text().split())
    if saved.fitted.voting:
        assert torch.equal(remembered.pop("memory"), stack.memory)
        assert torch.equal(remembered.pop("memory_label"), stack.memory_label)
        assert f"In {saved.fitted.voting} of 2 runs the nearest of 60 memes of train vote." in text
    else:
        assert "Dev preferred each run's linear output" in text
    assert remembered == {}


@pytest.mark.slow
def test_equally_near_memes_of_both_labels_vote_as_in_predict(every_head, monkeypatch):
    saved, stack = retrieval(every_head, monkeypatch, 5, 10)
    stack.memory = stack.memory[:, :12].repeat(1, 5, 1)
    text, image = planted.vectors(saved, memes=200)
    said = exported.trace(saved).module()(*(torch.from_numpy(vec) for vec in (text, image)))
    np.testing.assert_allclose(said, saved.probability(text, image).mean(axis=0), atol=1e-6)


@pytest.mark.slow
def test_a_head_that_asks_what_a_value_is_is_named(every_head, tmp_path, monkeypatch):
    retrieval(every_head, monkeypatch, 5, -5)
    monkeypatch.delattr(HEADS["retrieval"], "traced")
    with pytest.raises(errors.Failed, match=r"^the head retrieval cannot be exported: "):
        export.export(every_head / "out", head="retrieval", out=tmp_path / "export")
    assert not (tmp_path / "export").exists()


@pytest.mark.slow
def test_more_than_an_onnx_file_holds_is_refused(every_head, tmp_path, monkeypatch):
    saved, stack = retrieval(every_head, monkeypatch, 5, -5)
    many = 1_000_000
    stack.memory = stack.memory[:, :1].expand(-1, many, -1)  # takes no memory
    stack.memory_label = stack.memory_label[:, :1].expand(-1, many)
    heads = {"retrieval": replace(saved, known=replace(saved.known, ids=["1"] * many))}
    monkeypatch.setattr(models, "load", lambda model: heads)
    monkeypatch.setattr(exported, "MOST_BYTES", 66_000_000)
    reason = (
        r"^--formats onnx: an ONNX file has 2 GB at the most, and the head retrieval would take 0\.07 GB, 0\.07 of it "
        r"for 1,000,000 memes in each run\. Leave onnx out, or compare again with fewer --seeds or a smaller --hidden"
    )
    with pytest.raises(errors.Refused, match=reason):
        export.export(every_head / "out", out=tmp_path / "export", formats="torch,onnx")
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--formats", "torch,jar"], "--formats: unknown format jar; there are torch, sklearn, onnx, or all"),
        (["--formats", ","], "--formats: no format is named; there are torch, sklearn, onnx, or all"),
        (["--head", "none"], "head none is not among those kept"),
        (["--model", "nowhere"], "nowhere holds no comparison.json"),
    ],
)
def test_what_cannot_be_exported_is_refused(every_head, tmp_path, monkeypatch, capsys, options, reason):
    monkeypatch.chdir(tmp_path)
    assert errors.run(lambda: export.main(["--model", str(every_head / "out"), *options])) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "export").exists()


def test_a_package_that_is_missing_is_named(every_head, tmp_path, monkeypatch):
    monkeypatch.setattr(errors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.Refused, match=r"ONNX needs onnx, onnxscript, not installed.*memefuse\[onnx\]"):
        export.export(every_head / "out", out=tmp_path, formats="onnx")
    with pytest.raises(errors.Refused, match=r"--log mlflow needs mlflow, not installed.*memefuse\[mlflow\]"):
        compare.compare(every_head / "features", log=("mlflow", str(tmp_path / "log")))
    assert list(tmp_path.iterdir()) == []
