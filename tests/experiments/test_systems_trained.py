"""Encoders that train: they start from stage 1's vectors, and gradients reach all that is meant to train."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from tiny_encoders import KERAS, images, pattern, resnet, resnet_folder, text_folder, transformers_resnet_folder
from torch import Tensor, nn

from experiments.systems.inputs import padded
from experiments.systems.models import Branch, Classifier, Concat, TrainedImage, cached
from experiments.systems.published import SYSTEMS, Shape
from extract import encoders
from extract.encoders import catalogue

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


def concat(folders: tuple[Path, Path], train: tuple[str, ...]) -> Concat:
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
    model = concat(both, train)
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
    model = concat(both, ("image",)).train()
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
    model = Classifier(concat(both, ("image",))).train()
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
    model = concat(both, ("text", "image")).eval()
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
        model = concat(both, ("text", "image")).eval().to(device)
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
