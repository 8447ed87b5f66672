"""Heads that let two projected vectors meet, against plain, unstacked torch written from the papers' formulas."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from drawn import DEV, QUICK, TEST, TRAIN

from heads.models import HEADS
from heads.train import fit

TEXT, IMAGE, HIDDEN, WIDTH, MEMES = 3, 5, 4, 8, 7
ROUNDING = {"rtol": 1e-4, "atol": 1e-5}  # float32 products in another order; a lost bias is a thousand times larger


def made(name, runs=2, depth=1):
    generators = [torch.Generator().manual_seed(run) for run in range(runs)]
    return HEADS[name](TEXT, IMAGE, HIDDEN, depth, generators, WIDTH)


def vectors(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, MEMES, dim, generator=generator) for dim in (TEXT, IMAGE))


class Alone:
    """One run of a head, its layers by name, as functions of [batch, in]."""

    def __init__(self, head, run):
        self.params = {name: param.detach()[run].clone().requires_grad_() for name, param in head.named_parameters()}

    def linear(self, name, vec):
        return vec @ self.params[f"{name}.weight"] + self.params[f"{name}.bias"]

    def mlp(self, name, vec, depth=1):
        for layer in range(depth + 1):
            vec = vec @ self.params[f"{name}.weights.{layer}"] + self.params[f"{name}.biases.{layer}"]
            vec = torch.relu(vec) if layer < depth else vec
        return vec.squeeze(1)

    def sides(self, text, image):
        return (F.normalize(self.linear(*its), dim=1) for its in (("text", text), ("image", image)))


def align(alone, text, image):
    t, i = alone.sides(text, image)
    return alone.mlp("joint", i * t * 4 * WIDTH**0.5)


def gmu(alone, text, image):
    h_t, h_i = torch.tanh(alone.linear("text", text)), torch.tanh(alone.linear("image", image))
    z = torch.sigmoid(alone.linear("opening", torch.cat([image, text], dim=1)))
    return alone.mlp("joint", z * h_i + (1 - z) * h_t)


def cmaf(alone, text, image):
    t, i = (4 * vec for vec in alone.sides(text, image))
    q_i, q_t = (torch.relu(alone.linear("query", vec)) for vec in (i, t))
    k_i, k_t = (torch.relu(alone.linear("key", vec)) for vec in (i, t))
    p = torch.softmax(torch.stack([(q_i * k_t).sum(1), (q_t * k_i).sum(1)], dim=1), dim=1)
    return alone.mlp("joint", torch.cat([p[:, :1] * i, p[:, 1:] * t], dim=1))


def combiner(alone, text, image):
    t, i = alone.linear("text", text), alone.linear("image", image)
    c = torch.relu(alone.linear("wide_image", i)) * torch.relu(alone.linear("wide_text", t))
    s = torch.sigmoid(alone.mlp("mixing", c))[:, None]
    return alone.mlp("joint", alone.mlp("mixed", c) + (1 - s) * i + s * t)


PLAIN = {
    "product": align, "gated": gmu, "attention": cmaf, "combiner": combiner,
    "retrieval": align,
}  # fmt: skip


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", PLAIN)
def test_logits_and_gradients_are_those_of_plain_torch_run_by_run(name, shared):
    head = made(name)
    text, image = vectors() if shared else vectors(2)
    logit = head(text, image)
    logit.square().sum().backward()
    for run in range(2):
        alone = Alone(head, run)
        expected = PLAIN[name](alone, text if shared else text[run], image if shared else image[run])
        torch.testing.assert_close(logit[run], expected, **ROUNDING)
        expected.square().sum().backward()
        for param_name, param in head.named_parameters():
            torch.testing.assert_close(param.grad[run], alone.params[param_name].grad, **ROUNDING)


def test_lengths_of_vectors_are_not_looked_at_but_by_gates():
    text, image = vectors()
    for name in ("product", "attention"):
        head = made(name)
        for side in (head.text, head.image):
            side.bias.data.zero_()
        torch.testing.assert_close(head(3 * text, image), head(text, image), **ROUNDING)


def test_a_gate_says_how_much_the_image_is_listened_to():
    head, (text, image) = made("gated"), vectors()
    share = head.image_share(text, image)
    assert share.shape == (2, MEMES)
    assert ((share > 0) & (share < 1)).all()
    head.opening.weight.data.zero_()
    for bias, expected in ((-20.0, 0.0), (0.0, 0.5), (20.0, 1.0)):
        head.opening.bias.data.fill_(bias)
        assert head.image_share(text, image).allclose(torch.tensor(expected), atol=1e-6)
    one, other = (head(text, image) for text in vectors(seed=1) if text.shape[1] == TEXT for text in (text, -text))
    assert torch.equal(one, other)  # the image alone is let through
    assert made("early").image_share(text, image) is None


@pytest.mark.parametrize("name", PLAIN)
def test_a_run_in_a_stack_equals_that_run_alone_in_bfloat16_too(name):
    """Emulated where the processor has none. So the neighbours that retrieval looks up each epoch are the same."""
    asked = [replace(QUICK, seed=0), replace(QUICK, seed=1, learning_rate=3e-3, max_epochs=5), replace(QUICK, seed=2)]
    stacked = fit(name, TRAIN, DEV, asked, precision="bfloat16")
    logit = stacked.logits(TEST)
    for place, run in enumerate(asked):
        alone = fit(name, TRAIN, DEV, [run], precision="bfloat16")
        assert stacked.best_epoch[place] == alone.best_epoch[0]
        # as in float32: a step multiplies each run's own matrices, so that no product is rounded otherwise
        torch.testing.assert_close(logit[place], alone.logits(TEST)[0], rtol=1e-3, atol=1e-4)
    exact = fit(name, TRAIN, DEV, asked, precision="float32").logits(TEST)
    assert (logit - exact).abs().max() > 1e-3  # bfloat16 is another arithmetic
