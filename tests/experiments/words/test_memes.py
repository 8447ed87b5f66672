"""What heads say of one meme, in a sentence."""

import pytest

from experiments.scoring.scorer import Opinion, Score, Scorer
from experiments.words.memes import modalities, probability_origin


@pytest.mark.parametrize(
    ("text", "image", "early", "says"),
    [
        (1, 0, 0, "The text alone says label 1, the image alone label 0; early sides with the image."),
        (1, 0, 1, "The text alone says label 1, the image alone label 0; early sides with the text."),
        (1, 1, 1, "The text alone and the image alone say label 1, too."),
        (1, 1, 0, "The text alone and the image alone say label 1; only together do they come to 0."),
        (1, None, 0, ""),
        (1, 1, None, ""),
    ],
)
def test_what_each_side_says_in_a_sentence(world, fakes, text, image, early, says):
    labels = {"text": text, "image": image, "early": early}
    opinions = {
        head: Opinion(head, float(label), 0.0, 1.0, 0.5, 1) for head, label in labels.items() if label is not None
    }
    scorer = Scorer.load(world / "reports")
    assert modalities(Score(list(opinions)[-1], opinions)) == says
    assert probability_origin(opinions["text"], scorer) == "head text, 1 run; label 1 from .500, tuned on dev"
