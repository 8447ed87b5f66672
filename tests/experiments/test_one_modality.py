"""A dataset of texts alone goes from rows to scores: no row has `img`, no vector is an image's."""

import json

import pytest
import trained
from tiny_encoders import text_folder

from experiments import compare, predict, report
from experiments.results import folder
from extract import errors
from extract.__main__ import main as extract
from extract.errors import Refused


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Memes without `img`, a tiny text encoder, and what extract made of both."""
    root = tmp_path_factory.mktemp("texts")
    (root / "data").mkdir()
    for split, size in {"train": 40, "dev": 24, "test": 24}.items():
        rows = [{"id": f"{split}{n}", "text": f"{'good' if n % 2 else 'bad'} {n}", "label": n % 2} for n in range(size)]
        (root / "data" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    encoder = str(text_folder(root / "bert"))
    where = ["--data", str(root / "data"), "--features", str(root / "features")]
    assert extract([*where, "--quiet", "--max-tokens", "20", "--text-encoder", encoder, "--image-encoder", "none"]) == 0
    (root / "choice.json").write_text(json.dumps({"heads": {"text": trained.QUICK}}))
    return root


def test_texts_alone_are_compared_reported_and_predicted(texts, monkeypatch, capsys):
    monkeypatch.setenv("MEMEFUSE_CACHE", str(texts / "cache"))
    features, reports = str(texts / "features"), str(texts / "reports")
    quick = ["--seeds", "2", "--from-sweep", str(texts / "choice.json")]
    assert errors.run(lambda: compare.main(["--features", features, "--out", reports, *quick])) == 0
    note = f"image, early, late left out: there are no image vectors in {features}."
    assert note in capsys.readouterr().err
    results = folder.read(texts / "reports")
    assert note in results.comparison.notes
    assert {row.name for row in results.comparison.rows} >= {"text", "LR text", "kNN text", "majority class"}
    assert not {"image", "early", "late", "LR image", "LR both"} & {row.name for row in results.comparison.rows}
    assert errors.run(lambda: report.main(["--reports", reports, "--no-images"])) == 0
    capsys.readouterr()
    model = ["--model", reports, "--cache", "none", "--text-encoder", str(texts / "bert")]
    assert errors.run(lambda: predict.main([*model, "--text", "good 3"])) == 0
    assert "text" in capsys.readouterr().out


def test_heads_that_need_images_are_refused_in_words(texts):
    with pytest.raises(Refused, match=r"(?s)no head can be trained: early, late left out: .*--heads text;"):
        compare.compare(texts / "features", heads="early,late")
