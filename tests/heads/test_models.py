"""What each head sees and how it puts the two sides together."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_heads import head, vectors

from heads.models import HEADS


@pytest.mark.parametrize(
    ("name", "text_matters", "image_matters"),
    [("text", True, False), ("image", False, True), ("early", True, True), ("late", True, True)],
)
def test_a_head_sees_its_sides_and_no_other(name, text_matters, image_matters):
    made, (text, image), (other_text, other_image) = head(name), vectors(), vectors(seed=1)
    logit = made(text, image)
    assert torch.equal(logit, made(other_text, image)) != text_matters
    assert torch.equal(logit, made(text, other_image)) != image_matters


@settings(deadline=None, max_examples=20)
@given(name=st.sampled_from(list(HEADS)), order=st.permutations(range(6)), stacked=st.booleans())
def test_permuting_memes_permutes_logits(name, order, stacked):
    made, pair = head(name), vectors()
    if stacked:
        pair = tuple(vec.expand(2, -1, -1) for vec in pair)
    logit, permuted = made(*pair), made(*(vec[..., order, :] for vec in pair))
    torch.testing.assert_close(permuted, logit[:, order], rtol=1e-5, atol=1e-6)  # float32 rounding


def test_late_fusion_starts_as_the_mean_of_its_branches():
    late, (text, image) = head("late"), vectors()
    torch.testing.assert_close(late(text, image), (late.text(text) + late.image(image)) / 2)
    assert late.branch_weight.tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_late_fusions_weights_train():
    late, (text, image) = head("late"), vectors()
    late(text, image).sum().backward()
    assert (late.branch_weight.grad != 0).all()


def test_late_fusion_adds_and_early_fusion_does_not():
    # for a sum of two terms, f(a, b) + f(c, d) = f(a, d) + f(c, b)
    (a, b), (c, d) = vectors(), vectors(seed=1)
    for name, adds in (("late", True), ("early", False)):
        made = head(name)
        gap = (made(a, b) + made(c, d) - made(a, d) - made(c, b)).abs().max()
        assert (gap < 1e-5) == adds
