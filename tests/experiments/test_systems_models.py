"""Concat over cached vectors: its layers, its two kinds of logit, and what it can and cannot express."""

import math

import pytest
import torch
import torch.nn.functional as F
from planted_memes import IMAGE_DIM, TEXT_DIM, concat, memes

from experiments.systems import models, trainer
from experiments.systems.inputs import collate
from experiments.systems.models import Classifier, cached, hateful, loss
from experiments.systems.published import SYSTEMS, Shape, TrainingRecipe
from heads.metrics import auc_roc
from heads.models import EarlyFusionHead

QUICK = TrainingRecipe(learning_rate=1e-2, batch=32, epochs=12)


def auc(model, split) -> float:
    return auc_roc(trainer.logits(model, split, "cpu")[None], torch.from_numpy(split.label)).item()


@pytest.mark.parametrize("logits", [1, 2])
def test_only_a_hidden_layer_on_both_sees_what_neither_side_tells(logits, tmp_path):
    train, dev = memes(400), memes(200, seed=1, split="dev")
    found = {}
    for name, shape in {"linear": Shape(logits), "mlp": Shape(logits, hidden=32, depth=1)}.items():
        model = concat(shape)
        trainer.train(model, train, dev, QUICK, tmp_path / name, seed=0, device="cpu")
        found[name] = auc(model, dev)
    assert found["linear"] < 0.62
    assert found["mlp"] > 0.95


def test_a_concat_of_one_logit_is_the_early_head_of_stage_2():
    batch = collate([memes(5)[row] for row in range(5)])
    ours = concat(Shape(logits=1, hidden=8, depth=1), seed=3)
    head = EarlyFusionHead(TEXT_DIM, IMAGE_DIM, 8, 1, [torch.Generator().manual_seed(3)])
    torch.testing.assert_close(ours(batch)[:, 0], head(batch["text_vec"], batch["image_vec"])[0], rtol=0, atol=0)


def test_projections_bring_each_side_to_their_width_and_are_rectified():
    model = concat(Shape(projection=7, hidden=5, depth=1))
    text = model.projections[0](torch.randn(4, TEXT_DIM))
    assert text.shape == (4, 7)
    assert (text >= 0).all()
    assert model.joint.weights[0].shape == (1, 14, 5)


def test_two_logits_and_their_difference_have_one_loss():
    two, label = torch.randn(6, 2), torch.tensor([0, 1, 1, 0, 1, 0])
    # cross-entropy of (a, b) is log(1 + exp(a - b)) for label 1: binary cross-entropy of b - a
    torch.testing.assert_close(loss(two, label), loss(hateful(two)[:, None], label))
    torch.testing.assert_close(torch.sigmoid(hateful(two)), F.softmax(two, dim=1)[:, 1])


def test_the_linear_system_reads_the_image_before_the_text():
    system = SYSTEMS["bert-resnet18-linear"]
    model = models.Concat(cached("text", 768), cached("image", 512), system.shape, torch.Generator().manual_seed(0))
    assert [weight.shape for weight in model.joint.weights] == [(1, 1280, 2)]
    text, image = torch.randn(3, 768), torch.randn(3, 512)
    expected = torch.cat([image, text], dim=1) @ model.joint.weights[0][0] + model.joint.biases[0][0]
    torch.testing.assert_close(model({"text_vec": text, "image_vec": image}), expected)
    assert system.max_tokens == 512


def test_fasttext_and_resnet152_are_projected_rectified_fused_and_dropped():
    shape = SYSTEMS["fasttext-resnet152-concat"].shape
    model = models.Concat(cached("text", 150), cached("image", 2048), shape, torch.Generator().manual_seed(0)).eval()
    assert [weight.shape for weight in model.joint.weights] == [(1, 600, 256), (1, 256, 2)]
    (inner, outer), (inner_bias, outer_bias) = model.joint.weights, model.joint.biases
    text, image = torch.randn(3, 150), torch.randn(3, 2048)
    sides = [layer(vec) for layer, vec in zip(model.projections, (text, image), strict=True)]
    fused = torch.relu(torch.cat(sides, dim=1) @ inner[0] + inner_bias[0])
    torch.testing.assert_close(model({"text_vec": text, "image_vec": image}), fused @ outer[0] + outer_bias[0])
    assert model.dropout.p == 0.1


def test_the_published_second_softmax_is_in_the_loss_and_nowhere_else():
    how = SYSTEMS["fasttext-resnet152-concat"].settings["published"].training
    assert how.softmax_twice
    sure, label = torch.tensor([[-1e3, 1e3]]), torch.tensor([1])
    # the softmax of a sure answer is (0, 1), and that of it again leaves log(1 + 1/e)
    assert loss(sure, label, softmax_twice=True).item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert loss(sure, label).item() == 0
    batch = collate([memes(3)[row] for row in range(3)])
    once, twice = (Classifier(concat(Shape()), softmax_twice=each)(**batch) for each in (False, True))
    assert torch.equal(once["logit"], twice["logit"])
    assert once["loss"] != twice["loss"]


def test_dropout_is_for_training_alone():
    model = concat(Shape(hidden=64, depth=1, dropout=0.5))
    batch = collate([memes(3)[row] for row in range(3)])
    model.train()
    assert not torch.equal(model(batch), model(batch))
    model.eval()
    assert torch.equal(model(batch), model(batch))


def test_the_classifier_gives_loss_and_logit():
    batch = collate([memes(3)[row] for row in range(3)])
    out = Classifier(concat(Shape()))(**batch)
    assert out["logit"].shape == (3,)
    assert out["loss"].ndim == 0
