"""Several encoders of a side, side by side: a+b through compare, saved heads, scorer, sweep and report."""

import json

import numpy as np
import planted
import pytest
import torch
import trained

from experiments import data as loading
from experiments import predict, report, submit, training
from experiments.compare import compare
from experiments.results import models
from experiments.scoring.scorer import Scorer
from experiments.serve import app
from experiments.sweep import sweep
from extract import store
from extract.errors import Refused
from extract.stage import extract
from extract.store import EncoderIdentity, StoreError
from heads.rows import SQUARED_NORM, Scaling

OTHER = "small-bert"  # a second text encoder
SUM = f"{planted.TEXT}+{OTHER}"


@pytest.fixture
def features(tmp_path):
    """Two text encoders and an image encoder of the same memes; the second's vectors are a thousand times as long."""
    planted.features(tmp_path)
    planted.features(tmp_path, shuffle=5, names=(OTHER, "unused"))
    for split in planted.SIZES:
        vector = store.read(tmp_path / OTHER / f"{split}.h5").vector
        planted.rewrite(tmp_path, OTHER, split, vector=1000 * np.array(vector))
        (tmp_path / f"unused/{split}.h5").unlink()
    (tmp_path / "unused").rmdir()
    return tmp_path


def test_a_sum_has_each_encoder_s_vectors_of_the_same_meme(features):
    data = loading.load(features, text_encoder=f"{planted.TEXT} + {OTHER}")
    alone = [loading.load(features, text_encoder=name) for name in (planted.TEXT, OTHER)]
    assert (data.text.name, data.text.dim) == (SUM, 11)
    assert [part.name for part in data.text.parts] == [planted.TEXT, OTHER]
    assert data.text.fingerprint not in {each.text.fingerprint for each in alone}
    assert EncoderIdentity.from_json("text", json.loads(json.dumps(data.text.to_json()))).parts == data.text.parts
    assert data.notes == []
    for split, one, other in zip(data.splits, *(each.splits for each in alone), strict=True):
        assert split.pairs.ids.tolist() == one.pairs.ids.tolist()
        both = np.concatenate([one.pairs.text_vec, other.pairs.text_vec], axis=1)
        np.testing.assert_array_equal(split.pairs.text_vec, both)
        np.testing.assert_array_equal(split.pairs.label, one.pairs.label)
        np.testing.assert_array_equal(split.pairs.tokens, one.pairs.tokens)
    assert loading.load(features, "all").text.name == f"{OTHER}+{planted.TEXT}"  # in the folder's order
    assert loading.load(features, planted.TEXT, "all").image.name == planted.IMAGE


def test_each_block_is_standardised_and_has_one_norm_by_itself(features):
    rows = training.rows(loading.load(features, SUM).train)
    assert (rows.text_blocks, rows.image_blocks) == ((6, 5), (9,))
    vectors = np.array(rows.text_vec)
    together = Scaling.fit(rows.text_vec, rows.text_blocks)(torch.from_numpy(vectors))
    for block in (together[:, :6], together[:, 6:]):
        torch.testing.assert_close(block.mean(dim=0), torch.zeros(block.shape[1]), atol=1e-5, rtol=0)
        assert block.square().sum(dim=1).mean().item() == pytest.approx(SQUARED_NORM, rel=1e-4)
    single = Scaling.fit(vectors[:, :6])(torch.from_numpy(vectors[:, :6]))
    # whatever stands beside it, but for the order in which a wider sum adds up
    torch.testing.assert_close(together[:, :6], single, atol=1e-5, rtol=0)


def test_memes_that_one_of_them_lacks_are_left_out_and_told(features):
    planted.rewrite(features, OTHER, "dev", rows=slice(3, None))
    planted.rewrite(features, planted.TEXT, "dev", rows=slice(None, -1))
    data = loading.load(features, SUM)
    gone = [each for name in (planted.TEXT, OTHER) for each in missing(features, name, "dev")]
    assert len(data.dev) == planted.SIZES["dev"] - len(set(gone))
    assert data.notes[0] == (
        f"dev: 1 memes without a vector by {planted.TEXT} left out of {SUM}: {', '.join(gone[:1])}."
    )
    assert data.notes[1] == f"dev: 3 memes without a vector by {OTHER} left out of {SUM}: {', '.join(gone[1:])}."


def missing(features, name, split) -> list[str]:
    ids = store.read_rows(features / name / f"{split}.h5").ids
    return sorted(set(store.read_rows(features / planted.IMAGE / f"{split}.h5").ids.tolist()) - set(ids.tolist()))


def test_what_does_not_belong_together_is_refused(features):
    with pytest.raises(Refused) as refused:
        loading.load(features, f"no-such+{planted.TEXT}+nor-this")
    assert [f"holds no text features of {name}" in str(refused.value) for name in ("no-such", "nor-this")] == [True] * 2
    with pytest.raises(Refused, match=f"^--text-encoder {planted.TEXT}\\+{planted.TEXT} names {planted.TEXT} twice$"):
        loading.load(features, f"{planted.TEXT}+{planted.TEXT}")
    with pytest.raises(Refused, match=f"names {planted.TEXT} twice"):
        compare(features, text_encoder=f"{planted.TEXT}+{planted.TEXT}")
    planted.rewrite(features, OTHER, "test", label=1 - store.read(features / OTHER / "test.h5").label)
    with pytest.raises(StoreError, match=r"120 of 120 memes of test have different labels in the two files"):
        loading.load(features, SUM)
    planted.features(features, names=(OTHER, "unused"))
    planted.rewrite(features, OTHER, "test", ids=np.array([f"x{row}" for row in range(planted.SIZES["test"])]))
    with pytest.raises(Refused, match=r"no meme of test has a vector by each of tiny-bert\+small-bert"):
        loading.load(features, SUM, planted.IMAGE)


def test_other_texts_under_the_same_ids_are_refused(features):
    ids = store.read(features / OTHER / "test.h5").ids
    labels = store.read(features / OTHER / "test.h5").label
    planted.rewrite(features, OTHER, "test", ids=np.roll(ids, 1), label=np.roll(labels, 1))
    with pytest.raises(StoreError, match=r"of 120 memes of test have another text in small-bert than in tiny-bert"):
        loading.load(features, SUM)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two text and two image encoders (fake ones), and a comparison of their sums."""
    home = tmp_path_factory.mktemp("sums")
    with trained.encoders():
        trained.everything(home)
        two = {"text_encoder": f"{trained.TEXT.name}:mean", "image_encoder": "none"}
        with pytest.MonkeyPatch.context() as patch:
            located = trained.replace(trained.TEXT, slug="all-MiniLM-L6-v2-mean", pooling="mean")
            patch.setattr(trained.catalogue, "locate", lambda kind, name: located)
            extract(data=home / "data", features=home / "features", device="cpu", **two)
        compare(
            home / "features", text_encoder="all", seeds=2, references="none", out=home / "sums/reports", device="cpu",
            from_sweep=home / "choice.json",
        )  # fmt: skip
    return home


@pytest.mark.parametrize("published", [False, True], ids=["encoded", "published"])
def test_predict_and_submit_give_what_compare_gave(world, fakes, published):
    """Each encoder of the sum is found by its own name, and each content encoded once by each."""
    where = {"model": world / "sums/reports", "features": world / "features" if published else None, "device": "cpu"}
    found = predict.predict(data=world / "data", split="test", **where).table.set_index("id")
    for head, expected in trained.compared(world / "sums").items():
        np.testing.assert_allclose(found[head].loc[list(expected)], list(expected.values()), atol=1.1e-6)
    assert fakes.texts == (0 if published else 20)  # ten different texts, two encoders
    rows = submit.submit(world / "data", split="test", **where)
    assert len(rows) == trained.SIZES["test"]


def test_saved_heads_know_their_parts_and_refuse_half_of_them(world, fakes):
    heads = models.load(world / "sums/reports")
    assert [part.name for part in heads["text"].encoders["text"].parts] == ["all-MiniLM-L6-v2-mean", "all-MiniLM-L6-v2"]
    with pytest.raises(Refused) as refused:
        Scorer.load(world / "sums/reports", text_encoder="a", device="cpu")
    assert str(refused.value) == (
        "--text-encoder a: the heads take vectors of 2 encoders, all-MiniLM-L6-v2-mean+all-MiniLM-L6-v2; name each, "
        "with + between them"
    )
    scorer = Scorer.load(
        world / "sums/reports", text_encoder="all-MiniLM-L6-v2:mean+all-MiniLM-L6-v2", device="cpu", cache=False
    )
    scorer.ready()
    assert fakes.loaded == ["text", "text", "image"]
    assert app.described(scorer)["encoders"]["text"] == "all-MiniLM-L6-v2-mean+all-MiniLM-L6-v2"  # serve's page
    [probability] = {scorer.score(text="train 3", image=next((world / "data/img").iterdir())).probability for _ in "ab"}
    assert 0 < probability < 1


def test_a_report_names_every_encoder_of_a_sum(world):
    report.report(world / "sums/reports")
    page = (world / "sums/reports/report.md").read_text()
    assert "| text | all-MiniLM-L6-v2 | 8 |" in page
    assert "| text | all-MiniLM-L6-v2-mean | 8 |" in page


def test_a_sweep_takes_sums_beside_single_encoders(features, tmp_path):
    small = {"hidden": [8], "max_epochs": [2]}
    options = {"heads": "text,early", "grid": small, "seeds": 1, "device": "cpu"}
    result = sweep(features, text_encoder=f"all,{SUM}", out=tmp_path / "sweep", **options)
    names = {planted.TEXT, OTHER, SUM}
    assert {each.text_encoder for each in result.ranked if each.head == "text"} == names
    assert {each.text_encoder for each in result.ranked if each.head == "early"} == names
    assert len(result.ranked) == 6
