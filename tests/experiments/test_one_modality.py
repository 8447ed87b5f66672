"""Datasets of texts alone and of images alone go from rows to scores: no row has the other field."""

import json

import pytest
import trained
from PIL import Image
from starlette.testclient import TestClient
from tiny_encoders import resnet, resnet_folder, text_folder

from experiments import compare, predict, report, sweep
from experiments.results import folder
from experiments.scoring.scorer import Scorer
from experiments.serve import app
from extract import errors
from extract.__main__ import main as extract
from extract.errors import Refused


def extracted(root, side, encoder, rows):
    """Write a dataset's splits, extract them with one encoder, and choose a quick recipe for its head."""
    for split, its in rows.items():
        (root / "data" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in its))
    where = ["--data", str(root / "data"), "--features", str(root / "features"), "--quiet", "--max-tokens", "20"]
    encoders = {"text": "none", "image": "none", side: str(encoder)}
    assert extract([*where, "--text-encoder", encoders["text"], "--image-encoder", encoders["image"]]) == 0
    (root / "choice.json").write_text(json.dumps({"heads": {side: trained.QUICK}}))
    return root


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Memes without `img`, a tiny text encoder, and what extract made of both."""
    root = tmp_path_factory.mktemp("texts")
    (root / "data").mkdir()
    rows = {
        split: [{"id": f"{split}{n}", "text": f"{'good' if n % 2 else 'bad'} {n}", "label": n % 2} for n in range(size)]
        for split, size in {"train": 40, "dev": 24, "test": 24}.items()
    }
    return extracted(root, "text", text_folder(root / "bert"), rows)


def test_texts_alone_are_compared_reported_and_predicted(texts, monkeypatch, capsys):
    monkeypatch.setenv("MEMEFUSE_CACHE", str(texts / "cache"))
    features, reports = str(texts / "features"), str(texts / "reports")
    quick = ["--seeds", "2", "--from-sweep", str(texts / "choice.json")]
    assert errors.run(lambda: compare.main(["--features", features, "--out", reports, *quick])) == 0
    note = f"image, early, late left out: there are no image vectors in {features}."
    assert note in capsys.readouterr().err
    results = folder.read_results(texts / "reports")
    assert note in results.comparison.notes
    assert {row.name for row in results.comparison.rows} >= {"text", "LR text", "kNN text", "majority class"}
    assert not {"image", "early", "late", "LR image", "LR both"} & {row.name for row in results.comparison.rows}
    assert errors.run(lambda: report.main(["--reports", reports, "--data", str(texts / "data")])) == 0
    capsys.readouterr()
    model = ["--model", reports, "--cache", "none", "--text-encoder", str(texts / "bert")]
    assert errors.run(lambda: predict.main([*model, "--text", "good 3"])) == 0
    assert "text" in capsys.readouterr().out


def test_heads_that_need_images_are_refused_in_words(texts):
    with pytest.raises(Refused, match=r"(?s)no head can be trained: early, late left out: .*--heads text;"):
        compare.compare(texts / "features", heads="early,late")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Images without `text`, a tiny image encoder, and what extract made of both."""
    root = tmp_path_factory.mktemp("images")
    (root / "data/img").mkdir(parents=True)
    rows: dict[str, list[dict]] = {"train": [], "dev": [], "test": []}
    for split, size in {"train": 24, "dev": 16, "test": 16}.items():
        for number in range(size):
            name = f"img/{split}{number}.png"
            Image.new("RGB", (8, 8), (200 * (number % 2), 10 * number, len(split))).save(root / "data" / name)
            rows[split].append({"id": f"{split}{number}", "img": name, "label": number % 2})
    return extracted(root, "image", resnet_folder(root / "resnet", resnet()), rows)


def test_images_alone_are_compared_reported_and_predicted(images, monkeypatch, capsys):
    monkeypatch.setenv("MEMEFUSE_CACHE", str(images / "cache"))
    features, reports = str(images / "features"), str(images / "reports")
    quick = ["--seeds", "2", "--from-sweep", str(images / "choice.json")]
    assert errors.run(lambda: compare.main(["--features", features, "--out", reports, *quick])) == 0
    names = {row.name for row in folder.read_results(images / "reports").comparison.rows}
    assert names >= {"image", "LR image", "kNN image"}
    assert not names & {"text", "early", "late", "LR text", "LR both"}
    page = report.report(images / "reports", data=images / "data")
    assert "none" not in (images / "reports/comparison.md").read_text().splitlines()[2]
    assert page.exists()
    capsys.readouterr()
    model = ["--model", reports, "--cache", "none", "--image-encoder", str(images / "resnet")]
    assert errors.run(lambda: predict.main([*model, "--data", str(images / "data"), "--split", "test"])) == 0
    assert len(capsys.readouterr().out.splitlines()) == 17


def test_images_alone_are_served(images, monkeypatch):
    """After the comparison above."""
    scorer = Scorer.load(images / "reports", cache=False, image_encoder=str(images / "resnet"))
    picture = (images / "data/img/test1.png").read_bytes()
    with TestClient(app.application(scorer), base_url="http://127.0.0.1:8000") as client:
        assert client.get("/model").json()["encoders"].keys() == {"image"}
        answer = client.post("/score", files={"image": ("image", picture)})
        assert answer.json()["probability"] == f"{scorer.score(picture).probability:.3f}".lstrip("0")
        refused = client.post("/score", files={"text": (None, "words")})
    assert refused.status_code == 400
    assert "image" in refused.json()["error"]


def test_a_sweep_over_images_alone_tries_the_image_head(images):
    results = sweep.sweep(images / "features", grid={"max_epochs": [1, 2]}, seeds=1, out=images / "sweep")
    assert {each.head for each in results.ranked} == {"image"}
