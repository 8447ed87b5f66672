"""What all heads share: what each looks at, and the defaults of those that remember nothing and ignore nothing."""

from dataclasses import asdict

import pytest
import torch
from tiny_heads import IMAGE, TEXT, head, vectors

from heads.head import Head
from heads.models import HEADS
from heads.settings import HeadSettings


@pytest.mark.parametrize("name", HEADS)
def test_the_side_that_is_not_seen_has_no_columns(name):
    made, (text, image) = head(name), vectors()
    seen = made.seen(text, image)
    assert [part.shape[1] for part in seen] == [TEXT * (name != "image"), IMAGE * (name != "text")]
    assert torch.equal(made(*seen), made(text, image))


@pytest.mark.parametrize("name", HEADS)
def test_a_head_reads_the_settings_that_it_does_not_ignore(name):
    made = HEADS[name]
    asked = {"hidden": 9, "depth": 2, "dropout": 0.1, "projection": 7, "seed": 3}
    run = made.settings(**asked)
    default = asdict(HeadSettings())
    assert asdict(run) == default | {key: value for key, value in asked.items() if key not in made.ignores}
    assert made.described(run) == {key: value for key, value in asdict(run).items() if key not in made.ignores}
    assert "seed" in made.described(run)


def test_what_training_makes_small_is_each_memes_own_log_loss():
    made, (text, image) = head("early"), vectors()
    target = torch.tensor([0.0, 1.0, 0.0, 0.0, 1.0, 1.0]).expand(2, -1)
    pair = text.expand(2, -1, -1), image.expand(2, -1, -1)
    losses = made.losses(*pair, target, torch.arange(6).expand(2, -1))
    sign = 1 - 2 * target  # log(1 + exp(-z)) of a hateful meme's logit z, log(1 + exp(z)) of another's
    torch.testing.assert_close(losses, torch.log1p(torch.exp(sign * made(*pair))))


def test_a_head_that_says_nothing_more_has_no_branch_and_remembers_nothing():
    with pytest.raises(NotImplementedError):
        Head(TEXT, IMAGE, 4, 1, [torch.Generator()])
    made, pair = head("early"), vectors()
    assert (made.image_share(*pair), made.voting, len(made.remembered(9)), made.traced()) == (None, 0, 0, made)
    with pytest.raises(ValueError, match=r"^the head early remembers no memes$"):
        made.remember([pair], torch.zeros(6, dtype=torch.int64), [])
