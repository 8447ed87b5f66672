"""transformers' image models against transformers itself: its own model and image processor on the same pixels."""

import functools
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_encoders
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from tiny_encoders import VISION, vision_folder
from torch import Tensor

from extract import encoders
from extract.encoders import catalogue
from extract.encoders.vision_formats import ARCHITECTURES
from extract.errors import Refused
from extract.images import Squeeze

load = functools.partial(tiny_encoders.load, "image")

FP32 = 1e-4  # of vectors of norm 5 and more; a lost projection or a token too many is a thousand times larger
CASES = [(kind, pooling) for kind in VISION for pooling in ARCHITECTURES[kind].poolings]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return functools.cache(lambda kind: vision_folder(tmp_path_factory.mktemp(kind), kind))


def files() -> list[bytes]:
    """PNGs of several sizes."""
    draw = np.random.default_rng(0)
    return [png(draw.integers(0, 256, (high, wide, 3), dtype=np.uint8)) for high, wide in ((5, 4), (3, 9), (6, 6))]


def png(pixels: np.ndarray) -> bytes:
    into = BytesIO()
    Image.fromarray(pixels).resize((pixels.shape[1] * 9, pixels.shape[0] * 9), Image.Resampling.BILINEAR).save(
        into, "PNG"
    )
    return into.getvalue()


def reference(kind: str, folder: Path, model: Any, pooling: str, pixels: list[np.ndarray]) -> Tensor:
    """transformers' own way, but for scaling: the pixels have the model's size already."""
    processor = transformers.AutoImageProcessor.from_pretrained(folder, do_resize=False, do_center_crop=False)
    images = processor([Image.fromarray(image) for image in pixels], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        if pooling == "projected":
            return model.get_image_features(pixel_values=images).pooler_output
        output = getattr(model, "vision_model", model)(pixel_values=images)
    state = output.last_hidden_state
    if pooling == "pooled":
        return output.pooler_output
    if state.dim() == 4:
        patches = state.permute(0, 2, 3, 1).flatten(1, 2)
    else:
        first = {"siglip": 0, "swin": 0, "deit": 2, "dinov2_with_registers": 5, "dinov3_vit": 4}.get(kind, 1)
        patches = state[:, first:]
    return {"cls": state[:, 0], "mean": patches.mean(dim=1), "grid": patches.flatten(1)}[pooling]


@pytest.mark.parametrize(("kind", "pooling"), CASES)
def test_a_vector_is_what_transformers_gives(folder_of: Any, kind: str, pooling: str) -> None:
    folder, model = folder_of(kind)
    encoder = load(folder, pooling)
    pixels = encoder.prepare(files())
    expected = reference(kind, folder, model, pooling, pixels)
    assert expected.abs().max() > 100 * FP32
    torch.testing.assert_close(encoder.encode(pixels), expected, atol=FP32, rtol=0)
    assert encoder.encode(pixels).shape == (3, encoder.dim)
    with torch.no_grad():
        trained = encoders.unfrozen(encoder.located)(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2))
    torch.testing.assert_close(trained, expected, atol=FP32, rtol=0)


@pytest.mark.parametrize("kind", VISION)
def test_bfloat16_stays_close(folder_of: Any, kind: str) -> None:
    exact, short = (load(folder_of(kind)[0], dtype=dtype) for dtype in ("float32", "bfloat16"))
    pixels = exact.prepare(files())
    assert short.encode(pixels).dtype == torch.float32
    assert torch.cosine_similarity(short.encode(pixels), exact.encode(pixels)).min() > 0.999


def test_a_vector_does_not_depend_on_its_batch(folder_of: Any) -> None:
    encoder = load(folder_of("clip")[0])
    pixels = encoder.prepare(files())
    torch.testing.assert_close(
        torch.cat([encoder.encode([image]) for image in pixels]), encoder.encode(pixels), atol=FP32, rtol=0
    )
    assert encoder.encode([]).shape == (0, encoder.dim)


@pytest.mark.parametrize("resample", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
def test_images_are_squeezed_as_transformers_pillow_backend_does(resample: Image.Resampling) -> None:
    processor = transformers.CLIPImageProcessorPil(
        size={"height": 20, "width": 30}, resample=resample, do_center_crop=False, do_normalize=False, do_rescale=False
    )
    for content, ours in zip(files(), Squeeze(30, 20, resample)(files()), strict=True):
        theirs = processor(Image.open(BytesIO(content)), return_tensors="np")["pixel_values"][0]
        np.testing.assert_array_equal(ours, theirs.transpose(1, 2, 0))


def test_settings_name_what_changes_a_number(folder_of: Any) -> None:
    located = catalogue.locate("image", str(folder_of("clip")[0]))
    assert encoders.settings(located, dtype="float32", max_tokens=77) == {
        "weights": located.weights,
        "family": "image-tower",
        "pooling": "pooled",
        "precision": "float32",
        "transform": "first frame, upright by EXIF, alpha on white, RGB, 32x32 whole image, Pillow bicubic",
    }


@pytest.mark.parametrize(
    ("kind", "pooling", "has"),
    [("siglip", "projected", "pooled, mean, grid"), ("swin", "cls", "pooled, mean, grid"),
     ("dinov2", "projected", "pooled, cls, mean, grid")],
)  # fmt: skip
def test_a_pooling_that_an_architecture_lacks_is_refused(folder_of: Any, kind: str, pooling: str, has: str) -> None:
    folder = folder_of(kind)[0]
    with pytest.raises(Refused, match=f":{pooling}: a model of type {kind} gives {has}, no other"):
        load(folder, pooling)


def test_a_text_tower_alone_is_no_image_encoder(tmp_path: Path) -> None:
    transformers.CLIPTextModel(transformers.CLIPTextConfig(**VISION["clip"]["text_config"])).save_pretrained(tmp_path)
    with pytest.raises(Refused, match="holds a model of type 'clip_text_model', expected one of resnet, clip, clip_vi"):
        catalogue.locate("image", str(tmp_path))


def test_images_that_positions_do_not_fit_are_refused(tmp_path: Path) -> None:
    larger = {"crop_size": {"height": 40, "width": 48}}
    folder, _ = vision_folder(tmp_path / "siglip", "siglip", **larger)
    with pytest.raises(Refused, match="its images are to be 48x40, but its position embedding is of 32x32"):
        load(folder)
    uneven, _ = vision_folder(tmp_path / "uneven", "dinov2", crop_size={"height": 36, "width": 36})
    with pytest.raises(Refused, match="images of 36x36 are not made of whole patches of 8x8"):
        load(uneven)
    # these interpolate their positions, as they were meant to
    folder, model = vision_folder(tmp_path / "dinov2", "dinov2", **larger)
    encoder = load(folder)
    pixels = encoder.prepare(files())
    assert pixels[0].shape == (40, 48, 3)
    torch.testing.assert_close(
        encoder.encode(pixels), reference("dinov2", folder, model, "pooled", pixels), atol=FP32, rtol=0
    )


def test_timms_models_are_read_through_transformers_wrapper(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=32, num_classes=3).eval()
    about = {"input_size": [3, 32, 32], "interpolation": "bilinear", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
    arguments = {"depth": 1, "img_size": 32}
    config = {"architecture": "vit_tiny_patch16_224", "num_classes": 3, "model_args": arguments}
    (tmp_path / "config.json").write_text(json.dumps(config | {"pretrained_cfg": about}))
    save_file(model.state_dict(), tmp_path / "model.safetensors", metadata={"format": "pt"})
    encoder = load(tmp_path)
    pixels = encoder.prepare(files())
    mean, deviation = (torch.tensor(about[name]).view(3, 1, 1) for name in ("mean", "std"))
    images = (torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2) / 255 - mean) / deviation
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(images), pre_logits=True)
    torch.testing.assert_close(encoder.encode(pixels), expected, atol=FP32, rtol=0)
    assert encoders.settings(encoder.located, dtype="float32", max_tokens=0)["transform"].endswith("Pillow bilinear")
