"""Concat over cached vectors: its layers, its two kinds of logit, and what it can and cannot express."""

import pytest
import torch
import torch.nn.functional as F
from planted_memes import IMAGE_DIM, TEXT_DIM, concat, memes

from experiments.systems import trainer
from experiments.systems.inputs import collate
from experiments.systems.models import Classifier, hateful, loss
from experiments.systems.published import Shape, Training
from heads.metrics import auc_roc
from heads.models import EarlyFusionHead

QUICK = Training(learning_rate=1e-2, batch=32, epochs=12)


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
