"""Exported heads say what predict says, without memefuse; the card tells what they are; figures are logged."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import planted
import pytest
import torch

from experiments import compare, export
from experiments.model_card import card
from experiments.operating_points import operating_points
from experiments.results import exported, folder, loggers, models
from experiments.words.comparison import FIGURES_READING, SLICES_READING
from extract import errors, store
from heads.models import HEADS

FILES = {"head.py": "a module"}
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


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    where = tmp_path_factory.mktemp("export")
    planted.features(where / "features", {"train": 60, "dev": 40, "test": 40})
    heads = {head: {"hidden": 8, "max_epochs": 4, "batch_size": 32} for head in HEADS}
    (where / "choice.json").write_text(json.dumps({"heads": heads}))
    compare.compare(
        where / "features", heads="all", seeds=2, out=where / "out", device="cpu", references="none",
        from_sweep=where / "choice.json", calibrate="temperature",
    )  # fmt: skip
    return where


def vectors(saved, memes=7):
    draw = np.random.default_rng(0)
    return [draw.normal(size=(memes, saved.encoders[side].dim)).astype(np.float32) for side in ("text", "image")]


def same_elsewhere(model, saved, out):
    """Export a head in all forms, and hold each to predict, out of reach of memefuse."""
    export.export(model, head=saved.name, out=out, formats="all")
    text, image = vectors(saved)
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
def test_every_head_says_elsewhere_what_predict_says(compared, tmp_path):
    for head, saved in models.load(compared / "out").items():
        same_elsewhere(compared / "out", saved, tmp_path / head)


def retrieval(compared, monkeypatch, *neighbours):
    """The saved head with as many voting neighbours in each run; below zero, dev chose the linear output."""
    heads = models.load(compared / "out")
    [(_, stack)] = heads["retrieval"].fitted.stacks
    stack.neighbours.copy_(torch.tensor(neighbours))
    monkeypatch.setattr(models, "load", lambda model: heads)
    return heads["retrieval"], stack


@pytest.mark.slow
@pytest.mark.parametrize("neighbours", [(5, 20), (-10, 5), (-5, -5)])
def test_what_votes_goes_along_and_nothing_else(compared, tmp_path, monkeypatch, neighbours):
    saved, stack = retrieval(compared, monkeypatch, *neighbours)
    same_elsewhere(compared / "out", saved, tmp_path)
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
def test_equally_near_memes_of_both_labels_vote_as_in_predict(compared, monkeypatch):
    saved, stack = retrieval(compared, monkeypatch, 5, 10)
    stack.memory = stack.memory[:, :12].repeat(1, 5, 1)
    text, image = vectors(saved, memes=200)
    said = exported.trace(saved).module()(*(torch.from_numpy(vec) for vec in (text, image)))
    np.testing.assert_allclose(said, saved.probability(text, image).mean(axis=0), atol=1e-6)


@pytest.mark.slow
def test_a_head_that_asks_what_a_value_is_is_named(compared, tmp_path, monkeypatch):
    retrieval(compared, monkeypatch, 5, -5)
    monkeypatch.delattr(HEADS["retrieval"], "traced")
    with pytest.raises(errors.Failed, match=r"^the head retrieval cannot be exported: "):
        export.export(compared / "out", head="retrieval", out=tmp_path / "export")
    assert not (tmp_path / "export").exists()


@pytest.mark.slow
def test_more_than_an_onnx_file_holds_is_refused(compared, tmp_path, monkeypatch):
    saved, stack = retrieval(compared, monkeypatch, 5, -5)
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
        export.export(compared / "out", out=tmp_path / "export", formats="torch,onnx")
    assert not (tmp_path / "export").exists()


def test_the_whole_head_is_predict_s(compared):
    """What is traced, before the trace."""
    for saved in models.load(compared / "out").values():
        text, image = vectors(saved)
        whole = exported.WholeHead(saved)
        said = whole(*(torch.from_numpy(vec) for vec in (text, image))).detach().numpy()
        np.testing.assert_allclose(said, saved.probability(text, image).mean(axis=0), atol=1e-6)


def test_the_card_tells_what_it_is(compared):
    out = compared / "out"
    operating_points(out, costs=(5.0, 1.0))
    results, saved = folder.read_results(out), models.load(out)["early"]
    text = card(results, saved, out, FILES)
    front = dict(line.split(": ", 1) for line in text.split("---\n")[1].splitlines())
    [index] = json.loads(front["model-index"])
    area = results.rows("test")["early, mean of 2 runs"].metrics["auc_roc"].mean
    assert {"type": "auc_roc", "value": round(area, 4), "name": "AUC-ROC, test"} in index["results"][0]["metrics"]
    parts = ("Use", "Limits", "Data", "Encoders", "Slices of test", "Thresholds for a moderator, on test", "Training")
    assert [part for part in parts if f"\n## {part}\n" not in text] == []
    assert "\n## Figures on test: 40 memes" in text
    digests = [size.digest for size in results.comparison.splits]
    digests += [encoder.fingerprint for encoder in saved.encoders.values()]
    assert all(len(digest) == 64 and f"`{digest}`" in text for digest in digests)
    assert "4 of 40 memes of test stand in train, too" in text
    assert "A miss costs 5, a false alarm 1" in text
    vectors = f"{planted.TEXT} (6) + {planted.IMAGE} (9)"
    assert f"\nDataset: of unknown name; vectors by {vectors}.\n" in text
    assert "| --- | ---: | ---: | ---: | --- |" in text  # of the data
    assert "| --- | --- | ---: | --- | --- |" in text  # of the encoders
    assert not {"Holm", "kNN"} & {*re.findall(r"\w+", text)}  # nor what is told of tests and references
    assert text.endswith(f"{FIGURES_READING}\n\n{SLICES_READING}\n")
    uncut = replace(results, comparison=replace(results.comparison, slices=[]))
    assert card(uncut, saved, out, FILES).endswith(f"{FIGURES_READING}\n")
    recorded = compared / "features" / planted.TEXT / store.DATASET
    recorded.write_text(json.dumps({"data": "../../my_memes", "splits": {}}))
    assert f"\nDataset: my_memes; vectors by {vectors}.\n" in card(results, saved, out, FILES)
    recorded.unlink()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--formats", "torch,jar"], "--formats: unknown format jar; there are torch, sklearn, onnx, or all"),
        (["--formats", ","], "--formats: no format is named; there are torch, sklearn, onnx, or all"),
        (["--head", "none"], "head none is not among those kept"),
        (["--model", "nowhere"], "nowhere holds no comparison.json"),
    ],
)
def test_what_cannot_be_exported_is_refused(compared, tmp_path, monkeypatch, capsys, options, reason):
    monkeypatch.chdir(tmp_path)
    assert errors.run(lambda: export.main(["--model", str(compared / "out"), *options])) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "export").exists()


def test_a_package_that_is_missing_is_named(compared, tmp_path, monkeypatch):
    monkeypatch.setattr(errors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.Refused, match=r"ONNX needs onnx, onnxscript, not installed.*memefuse\[onnx\]"):
        export.export(compared / "out", out=tmp_path, formats="onnx")
    with pytest.raises(errors.Refused, match=r"--log mlflow needs mlflow, not installed.*memefuse\[mlflow\]"):
        compare.compare(compared / "features", log=("mlflow", str(tmp_path / "log")))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_logger_is_refused(capsys):
    with pytest.raises(SystemExit):
        compare.main(["--log", "paper", "logs"])
    assert "--log paper: unknown; there are tensorboard and mlflow" in capsys.readouterr().err


def test_figures_and_curves_are_logged(compared):
    results = folder.read_results(compared / "out")
    logged = {(name, step): value for name, value, step in loggers.finite(results)}
    history = results.history["early"]
    assert logged["early/seed 1/dev_auc", 2] == history.dev_auc[1, 1]
    area = results.rows("test")["early"].metrics["auc_roc"]
    assert (logged["test/early/auc_roc", 0], logged["test/early/auc_roc_low", 0]) == (area.mean, area.low)
    assert np.isfinite(list(logged.values())).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", loggers.LOGGERS)
def test_the_libraries_read_back_what_was_logged(compared, tmp_path, kind):
    results = folder.read_results(compared / "out")
    loggers.log(results, kind, tmp_path / "log")
    expected = results.rows("test")["early"].metrics["auc_roc"].mean
    if kind == "tensorboard":
        reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
        events = reader.EventAccumulator(str(tmp_path / "log" / results.comparison.run)).Reload()
        [scalar] = events.Scalars("test/early/auc_roc")
        assert scalar.value == pytest.approx(expected)
    else:
        client = pytest.importorskip("mlflow").MlflowClient((tmp_path / "log").as_uri())
        [run] = client.search_runs([client.get_experiment_by_name("memefuse").experiment_id])
        assert run.data.metrics["test/early/auc_roc"] == pytest.approx(expected)
        assert len(client.get_metric_history(run.info.run_id, "early/seed 0/dev_auc")) > 1
