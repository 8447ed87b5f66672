"""What each head looks at, and how branches are joined."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heads.fitted import blank
from heads.models import HEADS
from heads.settings import HeadSettings

TEXT_DIM, IMAGE_DIM, RUNS = 4, 6, 3


def head(name, runs=RUNS):
    return blank(name, TEXT_DIM, IMAGE_DIM, [HeadSettings(hidden=5, depth=2, seed=seed) for seed in range(runs)])


def vectors(seed, count=8):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, TEXT_DIM, generator=draw), torch.randn(count, IMAGE_DIM, generator=draw)


@pytest.mark.parametrize(
    ("name", "sees_text", "sees_image"),
    [("text", True, False), ("image", False, True), ("early", True, True), ("late", True, True)],
)
def test_a_head_sees_its_own_vectors_only(name, sees_text, sees_image):
    (text, image), (other_text, other_image) = vectors(0), vectors(1)
    model = head(name)
    logit = model(text, image)
    assert torch.equal(model(other_text, image), logit) is not sees_text
    assert torch.equal(model(text, other_image), logit) is not sees_image
    seen_text, seen_image = HEADS[name].seen(text, image)
    assert (seen_text.shape[1], seen_image.shape[1]) == (TEXT_DIM * sees_text, IMAGE_DIM * sees_image)
    assert torch.equal(model(seen_text, seen_image), logit)


@pytest.mark.parametrize("name", HEADS)
@given(order=st.permutations(range(8)), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_permuting_memes_permutes_logits(name, order, seed):
    model, (text, image) = head(name), vectors(seed)
    # fp32 rounding: a meme at another place of a product may be summed by another kernel
    torch.testing.assert_close(model(text[order], image[order]), model(text, image)[:, order], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_vectors_per_run_are_those_shared(name):
    model, (text, image) = head(name), vectors(0)
    own = model(text.expand(RUNS, -1, -1), image.expand(RUNS, -1, -1))
    torch.testing.assert_close(own, model(text, image), atol=1e-6, rtol=1e-5)


def test_late_fusion_starts_as_the_plain_average():
    late, (text, image) = head("late"), vectors(0)
    assert torch.equal(late.branch_weight, torch.full((RUNS, 2), 0.5))
    assert late.branch_weight.requires_grad
    torch.testing.assert_close(late(text, image), (late.text(text) + late.image(image)) / 2)


def test_late_fusion_weighs_each_runs_branches():
    late, (text, image) = head("late"), vectors(0)
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, -1.0]])
    with torch.no_grad():
        late.branch_weight.copy_(weights)
    logit, says, shows = late(text, image), late.text(text), late.image(image)
    torch.testing.assert_close(logit, torch.stack([says[0], shows[1], 2 * says[2] - shows[2]]))


def test_late_fusion_cannot_see_a_pair():
    """A sum of a text and an image term: f(a, x) + f(b, y) = f(a, y) + f(b, x); early fusion is not bound by it."""
    gap = {}
    for name in ("late", "early"):
        model, (text, image) = head(name), vectors(0, count=2)
        logit = model(text[[0, 1, 0, 1]], image[[0, 1, 1, 0]])
        gap[name] = (logit[:, :2].sum(dim=1) - logit[:, 2:].sum(dim=1)).abs().max().item()
    assert gap["late"] == pytest.approx(0, abs=1e-6)
    assert gap["early"] > 1e-3
