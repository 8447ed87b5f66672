"""What stands on the encoders, and encoders that train: from stage 1's vectors, with gradients where they are meant.

Concat over cached vectors: its layers, its two kinds of logit, what it can and cannot express. The transformer: cells
and words in one sequence, what is read, what trains, and that it learns what neither side tells alone.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny_systems
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_memes import IMAGE_DIM, TEXT_DIM, concat, memes
from tiny_encoders import KERAS, images, pattern, resnet, resnet_folder, text_folder, transformers_resnet_folder
from torch import Tensor, nn

from experiments.systems import models, trainer
from experiments.systems.encoders import Request, choose
from experiments.systems.inputs import Inputs, collate, padded
from experiments.systems.models import (
    Branch,
    Classifier,
    Concat,
    MultimodalTransformer,
    TrainedImage,
    cached,
    hateful,
    loss,
)
from experiments.systems.published import SYSTEMS, Shape, TrainingRecipe
from extract import encoders
from extract.encoders import catalogue
from extract.errors import Refused
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


FP32 = 1e-4  # of the largest value: stage 1 folds batch norms and packs weights, which rounds differently


TEXTS = ["look how many people love you", "a", ""]


def assert_alike(found: Tensor, expected: Tensor, tolerance: float = FP32) -> None:
    torch.testing.assert_close(found, expected, atol=tolerance * expected.abs().max().item(), rtol=0)


def stage_1(name: str) -> tuple[Tensor, list[list[int]]]:
    """Vectors of TEXTS, and their word pieces."""
    encoder = encoders.load(catalogue.locate("text", name), device="cpu", dtype="float32", max_tokens=32)
    return encoder.encode(encoder.prepare(TEXTS)), encoder.prepare(TEXTS)


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [("bert", "cls"), ("bert", "mean"), ("bert", "pooler"), ("distilbert", "cls"), ("mpnet", "mean")],
)
def test_a_text_model_starts_from_stage_1s_vectors(tmp_path: Path, kind: str, pooling: str) -> None:
    name = f"{text_folder(tmp_path / kind, kind)}:{pooling}"
    expected, token_ids = stage_1(name)
    model = encoders.unfrozen(catalogue.locate("text", name))
    assert model.dim == expected.shape[1]
    with torch.inference_mode():
        assert_alike(model(*padded(token_ids)), expected)


@pytest.mark.parametrize("family", ["torchvision", "keras", "transformers"])
def test_a_trained_image_encoder_starts_from_stage_1s_vectors(tmp_path: Path, family: str) -> None:
    if family == "transformers":
        folder, _ = transformers_resnet_folder(tmp_path / "net", "basic")
    else:
        keras = family == "keras"
        folder = resnet_folder(tmp_path / "net", resnet(bottleneck=keras), KERAS if keras else None)
    located = catalogue.locate("image", str(folder))
    expected = encoders.load(located, device="cpu", dtype="float32", max_tokens=1).vectors(images(2))
    image = TrainedImage(located)
    assert image.dim == expected.shape[1]
    for mode in (False, True):  # kept statistics: training sees what evaluation sees
        with torch.no_grad():
            assert_alike(image.train(mode)(images(2)), expected)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    return text_folder(folder / "bert"), resnet_folder(folder / "resnet", resnet())


def with_encoders(folders: tuple[Path, Path], train: tuple[str, ...]) -> Concat:
    """Encoders that train, cached vectors of the others, and a linear layer."""
    bert, net = folders
    text, image = cached("text", 32), cached("image", 512)
    if "text" in train:
        text = Branch(("input_ids", "attention_mask"), encoders.unfrozen(catalogue.locate("text", str(bert))), 32)
    if "image" in train:
        image = Branch(("pixels",), TrainedImage(catalogue.locate("image", str(net))), 512)
    return Concat(text, image, Shape(), torch.Generator().manual_seed(0))


def batch(count: int = 2) -> Mapping[str, Tensor]:
    ids, mask = padded([[1, 7, 9, 2], [1, 8, 2]][:count])
    draw = torch.Generator().manual_seed(0)
    vectors = {"text_vec": torch.randn(count, 32, generator=draw), "image_vec": torch.randn(count, 512, generator=draw)}
    return vectors | {"input_ids": ids, "attention_mask": mask, "pixels": images(count)}


@pytest.mark.parametrize("train", [(), ("text",), ("image",), ("text", "image")])
def test_a_step_moves_exactly_what_is_meant_to_train(both: tuple[Path, Path], train: tuple[str, ...]) -> None:
    model = with_encoders(both, train)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    Classifier(model).train()(labels=torch.tensor([0, 1]), **batch())["loss"].backward()
    optimiser.step()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
        assert not torch.equal(parameter, before[name]), name
    for name, statistic in model.named_buffers():
        assert torch.equal(statistic, before.get(name, statistic)), name
    owners = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert owners == {*train, "joint"}


def test_a_memes_logit_does_not_depend_on_its_batch_in_training(both: tuple[Path, Path]) -> None:
    model = with_encoders(both, ("image",)).train()
    whole = batch()
    with torch.no_grad():
        alone = model({name: value[:1] for name, value in whole.items()})
        assert_alike(alone, model(whole)[:1])


def test_batch_norms_that_update_see_the_batch_in_training_and_their_statistics_after(both: tuple[Path, Path]) -> None:
    image = TrainedImage(catalogue.locate("image", str(both[1])), SYSTEMS["bert-resnet18-linear"].shape.norms_update)
    norms = [module for module in image.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]
    with torch.no_grad():
        image.eval()(images(2))
        assert all(map(torch.equal, before, [norm.running_mean for norm in norms]))
        in_training = image.train()(images(2))
        assert not any(map(torch.equal, before, [norm.running_mean for norm in norms]))
        assert not torch.equal(image.train()(images(2)), image.eval()(images(2)))
    assert in_training.isfinite().all()


@pytest.mark.slow
def test_an_image_and_its_negative_are_learnt_by_heart(both: tuple[Path, Path]) -> None:
    model = Classifier(with_encoders(both, ("image",))).train()
    rows = dict(batch()) | {"pixels": torch.cat([images(1), 255 - images(1)])}
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = model(labels=torch.tensor([0, 1]), **rows)["loss"]
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_bfloat16_products_stay_close_and_gradients_are_float32(both: tuple[Path, Path]) -> None:
    model = with_encoders(both, ("text", "image")).eval()
    with torch.no_grad():
        exact = model(batch())
    with torch.autocast("cpu", torch.bfloat16):
        short = model(batch())
    assert short.dtype == torch.float32
    assert_alike(short, exact, tolerance=0.05)  # bfloat16 keeps 8 bits
    short.sum().backward()
    assert {parameter.grad.dtype for parameter in model.parameters() if parameter.grad is not None} == {torch.float32}
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


@pytest.mark.gpu
def test_a_gpus_logits_and_gradients_are_the_cpus(both: tuple[Path, Path]) -> None:
    found = []
    for device in ("cpu", "cuda"):
        model = with_encoders(both, ("text", "image")).eval().to(device)
        logits = model({name: value.to(device) for name, value in batch().items()})
        logits.sum().backward()
        found.append((logits.detach().cpu(), [p.grad.cpu() for p in model.parameters() if p.grad is not None]))
    (here, here_grads), (there, there_grads) = found
    assert_alike(there, here, tolerance=0.01)  # TF32 in convolutions
    assert len(here_grads) == len(there_grads)
    for theirs, ours in zip(there_grads, here_grads, strict=True):
        assert_alike(theirs, ours, tolerance=0.05)


@pytest.mark.weights
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_real_minilm_starts_from_stage_1s_vectors(pooling: str) -> None:
    expected, token_ids = stage_1(f"all-MiniLM-L6-v2:{pooling}")
    model = encoders.unfrozen(catalogue.locate("text", f"all-MiniLM-L6-v2:{pooling}"))
    with torch.inference_mode():
        assert_alike(model(*padded(token_ids)), expected)


@pytest.mark.weights
def test_the_real_keras_resnet_starts_from_stage_1s_vectors() -> None:
    located = catalogue.locate("image", "resnet50-keras")
    expected = encoders.load(located, device="cpu", dtype="float32", max_tokens=1).vectors(pattern())
    with torch.no_grad():
        assert_alike(TrainedImage(located).train()(pattern()), expected)
    assert [module for module in TrainedImage(located).modules() if isinstance(module, nn.BatchNorm2d)]


ROUNDING = 1e-5  # rounding; a lost mask or position is a thousand times larger (seen below)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_folder(tmp_path_factory.mktemp("encoders") / "bert")


@pytest.fixture(scope="module")
def net(bert: Path) -> Any:
    return tiny_systems.transformer(bert).module.eval()


def grid_batch(memes: Inputs) -> dict[str, Tensor]:
    rows = collate([memes[row] for row in range(len(memes))])
    return {name: rows[name] for name in ("image_vec", "input_ids", "attention_mask")}


@torch.inference_mode()
def test_it_reads_what_bert_reads_of_cells_that_stand_before_words(net: Any) -> None:
    """BERT's embeddings and layers, put together by hand for one meme without padding."""
    meme = tiny_systems.memes(1)[0]
    ids = torch.tensor([meme["input_ids"]])
    own = net.bert.embeddings
    assert (net.text_modality == 0).all()
    assert (net.image_modality == 1).all()
    cells = net.project(torch.from_numpy(meme["image_vec"]).reshape(tiny_systems.CELLS, -1)) + net.position.weight + 1.0
    words = own.word_embeddings(ids[0]) + own.position_embeddings.weight[: ids.shape[1]]
    joint = torch.cat([cells, words])
    total = joint + own.position_embeddings.weight[: len(joint)] + own.token_type_embeddings.weight[0]
    hidden = own.LayerNorm(total)[None]
    for layer in net.bert.encoder.layer:
        hidden = layer(hidden)
    found = net(torch.from_numpy(meme["image_vec"])[None], ids, torch.ones_like(ids))
    torch.testing.assert_close(found, net.classify(hidden[:, 0]), atol=ROUNDING, rtol=0)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 12), st.integers(0, 40))
@torch.inference_mode()
def test_padding_changes_no_logit(net: Any, more: int, anything: int) -> None:
    whole = grid_batch(tiny_systems.memes(3))
    ids, mask = whole["input_ids"], whole["attention_mask"]
    longer = torch.cat([ids, torch.full((3, more), anything)], dim=1)
    masked = torch.cat([mask, mask.new_zeros(3, more)], dim=1)
    torch.testing.assert_close(net(whole["image_vec"], longer, masked), net(**whole), atol=ROUNDING, rtol=0)
    unmasked = torch.cat([mask, mask.new_ones(3, more)], dim=1)
    assert (net(whole["image_vec"], longer, unmasked) - net(**whole)).abs().max() > 100 * ROUNDING


@torch.inference_mode()
def test_every_cell_every_word_and_their_places_count(net: Any) -> None:
    whole = grid_batch(tiny_systems.memes(1))
    grid, ids = whole["image_vec"], whole["input_ids"]
    before = net(**whole)
    words = int(whole["attention_mask"].sum())
    by_cell = grid.unflatten(1, (tiny_systems.CELLS, -1))
    changed = [by_cell.index_fill(1, torch.tensor([cell]), 0.0) for cell in range(tiny_systems.CELLS)]
    changed.append(by_cell.roll(1, dims=1))
    other = [ids.index_fill(1, torch.tensor([word]), 30) for word in range(words)]
    found = [net(**whole | {"image_vec": each.flatten(1)}) for each in changed]
    found += [
        net(**whole | {"input_ids": each})
        for each in (*other, torch.cat([ids[:, 1:words].flip(1), ids], dim=1)[:, : ids.shape[1]])
    ]
    for logits in found:
        assert (logits - before).abs().max() > 100 * ROUNDING


@pytest.mark.parametrize("train_text", [True, False])
def test_a_step_moves_exactly_what_is_meant_to_train_of_a_transformer(bert: Path, train_text: bool) -> None:
    model = tiny_systems.transformer(bert, train_text)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rows = tiny_systems.memes(4)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    loss = Classifier(model.train())(labels=torch.from_numpy(rows.label), **grid_batch(rows))["loss"]
    loss.backward()
    optimiser.step()
    for name, parameter in model.named_parameters():
        trains = train_text or not name.startswith("module.bert.")
        assert (parameter.grad is not None) == trains, name
        assert torch.equal(parameter, before[name]) != trains, name
    assert [name for name in before if "pooler" in name] == []


def test_a_frozen_bert_drops_nothing_in_training(bert: Path) -> None:
    net: Any = tiny_systems.transformer(bert, train_text=False).module.train()
    assert not [module for module in net.bert.modules() if module.training]
    assert net.dropout.training
    assert tiny_systems.transformer(bert, train_text=True).module.train().bert.training  # type: ignore[union-attr, operator]


def fitted(model: Branch, rows: Inputs, steps: int, learning_rate: float) -> list[float]:
    """The loss of every step, over all rows, without dropout."""
    classifier = Classifier(model)
    for module in classifier.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    optimiser = torch.optim.AdamW(classifier.parameters(), lr=learning_rate)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = classifier(labels=torch.from_numpy(rows.label), **grid_batch(rows))["loss"]
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize("train_text", [True, False])
def test_eight_memes_are_learnt_by_heart(bert: Path, train_text: bool, classes: int) -> None:
    losses = fitted(tiny_systems.transformer(bert, train_text, classes), tiny_systems.memes(8), 60, 5e-3)
    assert losses[-1] < 0.1 * losses[0]


def test_it_learns_what_neither_text_nor_image_tells_alone(bert: Path) -> None:
    model = tiny_systems.transformer(bert)
    train, test = tiny_systems.memes(256), tiny_systems.memes(200, seed=1)
    assert abs(test.label.mean() - 0.5) < 0.1
    fitted(model, train, 80, 3e-3)
    with torch.inference_mode():
        right = (model.eval()(grid_batch(test)).argmax(dim=1) == torch.from_numpy(test.label)).float().mean()
    assert right > 0.9


@pytest.mark.parametrize("kind", ["mpnet", "distilbert"])
def test_an_encoder_that_is_no_bert_is_refused(tmp_path: Path, kind: str) -> None:
    located = catalogue.locate("text", str(text_folder(tmp_path / kind, kind)))
    net = str(resnet_folder(tmp_path / "net", resnet()))
    asked = Request(text_encoder=located.name, image_encoder=net, train=("text",))
    for attempt in (
        lambda: MultimodalTransformer(located, channels=4, cells=9, classes=2, train_text=True),
        lambda: choose(SYSTEMS["multimodal-transformer"], asked, []),
    ):
        with pytest.raises(Refused) as refused:
            attempt()
        assert str(refused.value) == (
            f"{located.name} is of type {kind!r}; a grid's cells are read by a BERT, whose positions are absolute "
            "and can be given to each: take bert-base-uncased or all-MiniLM-L6-v2"
        )
