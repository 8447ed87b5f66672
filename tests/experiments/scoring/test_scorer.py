"""A scorer's answers: which head decides, from where on a label is 1, and what one encoder alone may say."""

import numpy as np
import pytest
import trained
from fake_encoders import FakeImage, FakeText, text_vector

from experiments.scoring.scorer import Scorer, Unscored
from extract import errors, images
from extract.dataset import read_split


def test_a_scorer_may_have_one_encoder(world, fakes):
    both = Scorer.load(world / "reports", head="text")
    one = Scorer(both.deciding, {"text": both.deciding}, {"text": both.sources["text"]})
    one.ready()
    assert one.sides == ("text",)
    assert one.score(text="words").opinions["text"] == both.score(text="words").opinions["text"]
    with pytest.raises(errors.Refused, match="the head text looks at text, and text is missing"):
        one.score(image=trained.first_meme(world).image)


def test_the_default_head_is_the_best_on_dev(world, fakes):
    scorer = Scorer.load(world / "reports")
    dev = {head: float(its.fitted.dev_auc.mean()) for head, its in scorer.heads.items()}
    assert scorer.deciding.name == max(dev, key=dev.__getitem__)
    assert list(scorer.heads) == ["text", "image", "early", "late"]


def test_a_label_is_one_from_the_threshold_on(world, fakes):
    meme = trained.first_meme(world)
    probability = Scorer.load(world / "reports").score(meme.image, meme.text).probability
    for threshold, label in ((probability, 1), (np.nextafter(probability, 1), 0)):
        assert Scorer.load(world / "reports", threshold=threshold).score(meme.image, meme.text).label == label


def test_the_threshold_is_dev_s_best_for_the_mean_of_the_runs(world, fakes):
    from sklearn.metrics import f1_score

    scorer = Scorer.load(world / "reports", head="image")
    dev = read_split(world / "data", "dev").memes
    scores, bad = scorer.score_all([Unscored(meme.text, meme.image) for meme in dev])
    assert not bad
    probability, label = np.array([score.probability for score in scores]), [meme.label for meme in dev]
    best = max(f1_score(label, probability >= at, average="macro") for at in [*probability, 2.0])
    assert f1_score(label, [score.label for score in scores], average="macro") == pytest.approx(best)


def test_runs_are_averaged_as_probabilities(world, fakes):
    meme = trained.first_meme(world)
    scorer = Scorer.load(world / "reports")
    text = text_vector([1, *(ord(letter) for letter in meme.text), 2], FakeText().dim)
    image = FakeImage().encode([images.decode(meme.image.read_bytes())]).numpy()
    runs = scorer.heads["early"].probability(text[None], image)[:, 0]
    early = scorer.score(meme.image, meme.text).opinions["early"]
    assert (early.probability, early.lowest, early.highest) == pytest.approx((runs.mean(), runs.min(), runs.max()))
    assert early.lowest < early.probability < early.highest


def test_half_a_surrogate_pair_is_a_text_too(world, fakes):
    scorer = Scorer.load(world / "reports", head="text")
    assert scorer.score(text="a \ud83d").probability == scorer.score(text="a \ufffd").probability
