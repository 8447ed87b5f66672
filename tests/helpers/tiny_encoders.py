"""Tiny random encoders in every form that memefuse loads: folders, a hub's cache, a torch.hub cache."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.transforms.v2 import functional as transforms
from transformers import (
    AutoConfig,
    AutoModel,
    BertConfig,
    DistilBertConfig,
    MPNetConfig,
    PreTrainedModel,
    ResNetConfig,
    ResNetModel,
)

from extract import encoders
from extract.encoders import catalogue

SPECIALS = {
    "bert": ["[PAD]", "[CLS]", "[SEP]", "[UNK]"],
    "distilbert": ["[PAD]", "[CLS]", "[SEP]", "[UNK]"],
    "mpnet": ["<s>", "<pad>", "</s>", "[UNK]"],
}
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'"
SMALL_BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
POSITIONS = 40  # as the config has it; MPNet's hold two fewer word pieces
KERAS = {"normalisation": "caffe", "stride_on": "conv1", "bn_eps": 1.001e-5}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
TEXTS = ["", "a", "you say so", "when the cat. said no, again!", "ünïcödé — 100% OK 😀", "x" * 30, "\u202etxet\x00\n"]


def load(
    kind: str, name: Path | str, pooling: str = "", dtype: str = "float32", max_tokens: int = 32, **how: Any
) -> Any:
    """The encoder of this name or folder, on the CPU."""
    located = catalogue.locate(kind, f"{name}:{pooling}" if pooling else str(name))
    return encoders.load(located, device="cpu", dtype=dtype, max_tokens=max_tokens, **how)


def images(count: int, seed: int = 0) -> Tensor:
    """Smooth noise, as a photograph is: neighbouring pixels are alike."""
    coarse = torch.rand(count, 3, 14, 14, generator=torch.Generator().manual_seed(seed))
    return (nn.functional.interpolate(coarse, size=(224, 224), mode="bilinear") * 255).to(torch.uint8)


def pattern() -> Tensor:
    """Diagonal stripes: (3 x + 5 y + 85 channel) mod 256."""
    channel, y, x = torch.meshgrid(torch.arange(3), torch.arange(224), torch.arange(224), indexing="ij")
    return ((3 * x + 5 * y + 85 * channel) % 256).to(torch.uint8)[None]


def imagenet(pixels: Tensor) -> Tensor:
    """As torchvision normalises them."""
    return transforms.normalize(pixels.float() / 255, IMAGENET["image_mean"], IMAGENET["image_std"])


def assert_alike(found: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    """tolerance: of the largest value. Folding and another order of sums round differently in each of 20 layers."""
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=tolerance * expected.abs().max().item(), rtol=0)


def text_folder(folder: Path, kind: str = "bert", seed: int = 0, safe: bool = True) -> Path:
    """A transformers folder of a tiny random text encoder, with a tokenizer that knows letters and digits.

    safe: weights as safetensors, else as pytorch_model.bin.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pad, first, last, unknown = _roles(kind)
    vocabulary = SPECIALS[kind] + list(LETTERS) + [f"##{letter}" for letter in LETTERS]
    model = text_model(kind, len(vocabulary), SPECIALS[kind].index(pad), seed)
    model.save_pretrained(folder)
    if not safe:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    tokenizer = Tokenizer(models.WordPiece({piece: at for at, piece in enumerate(vocabulary)}, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(token, vocabulary.index(token)) for token in (first, last)]
    )
    # As all-MiniLM-L6-v2's file has it; an encoder must not follow it.
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8, pad_id=vocabulary.index(pad), pad_token=pad)
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = {"pad_token": pad, "cls_token": first, "sep_token": last, "unk_token": unknown}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **roles})
    return folder


def text_model(kind: str, vocabulary: int, pad_id: int, seed: int = 0) -> PreTrainedModel:
    """Two layers of width 32, random."""
    torch.manual_seed(seed)
    common = {"vocab_size": vocabulary, "pad_token_id": pad_id, "max_position_embeddings": POSITIONS}
    if kind == "distilbert":
        config: Any = DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=64, **common)
    else:
        sizes = SMALL_BERT
        config = {"bert": BertConfig, "mpnet": MPNetConfig}[kind](**sizes, **common)
    model = AutoModel.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Ten times the usual start: attention must matter, or a lost mask would not show.
            parameter.copy_(torch.randn_like(parameter) * 0.2 if parameter.dim() > 1 else parameter)
    return model


def resnet(bottleneck: bool = False, seed: int = 0) -> ResNet:
    """torchvision's narrowest: one block a stage; random, with batch statistics that are not trivial."""
    torch.manual_seed(seed)
    net = ResNet(Bottleneck if bottleneck else BasicBlock, [1, 1, 1, 1])
    shake_norms(net)
    return net.eval()


def shake_norms(net: nn.Module) -> None:
    """Batch norms as a trained network has them: statistics and affine parts unlike zero and one."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.5, 0.5),
            ):
                assert tensor is not None
                tensor.uniform_(low, high)


def resnet_folder(folder: Path, net: ResNet, recipe: dict[str, Any] | None = None) -> Path:
    """A state dict as model.safetensors, with encoder.json if a recipe is given."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(net.state_dict(), folder / "model.safetensors")
    if recipe is not None:
        write_json(folder / "encoder.json", recipe)
    return folder


def transformers_resnet_folder(folder: Path, layer_type: str, in_bottleneck: bool = False) -> tuple[Path, ResNetModel]:
    """A transformers ResNet with one block a stage, and the model itself."""
    torch.manual_seed(0)
    sizes = [64, 128, 256, 512] if layer_type == "basic" else [256, 512, 1024, 2048]
    config = ResNetConfig(
        hidden_sizes=sizes, depths=[1, 1, 1, 1], layer_type=layer_type, downsample_in_bottleneck=in_bottleneck
    )
    model = ResNetModel(config).eval()
    shake_norms(model)
    model.save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", IMAGENET)
    return folder, model


VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
PATCHES = {"image_size": 32, "patch_size": 8}
STAGES = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
VISION: dict[str, dict[str, Any]] = {  # by the type of model: its settings; 32 x 32 pixels
    "clip": {
        "vision_config": VIT | PATCHES,
        "text_config": VIT | {"vocab_size": 86, "max_position_embeddings": 16, "eos_token_id": 2},
        "projection_dim": 16,  # neither tower's own, which is 512
    },
    "siglip": {
        "vision_config": VIT | PATCHES,
        "text_config": VIT | {"vocab_size": 86, "max_position_embeddings": 16, "projection_size": 24},
    },
    "dinov2": VIT | PATCHES,
    "dinov2_with_registers": VIT | PATCHES,
    "dinov3_vit": VIT | PATCHES | {"num_register_tokens": 3},
    "dinov3_convnext": STAGES,
    "vit": VIT | PATCHES,
    "deit": VIT | PATCHES,
    "beit": VIT | PATCHES | {"use_relative_position_bias": True},
    "convnext": STAGES,
    "convnextv2": STAGES,
    "swin": {
        "image_size": 32,
        "patch_size": 2,
        "embed_dim": 8,
        "depths": [1, 1],
        "num_heads": [2, 2],
        "window_size": 4,
    },
}


def vision_folder(folder: Path, kind: str, **processor: Any) -> tuple[Path, PreTrainedModel]:
    """A transformers folder of a tiny random image model, or of two towers, and the model itself.

    processor: what preprocessor_config.json says otherwise.
    """
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **VISION[kind])
    model = AutoModel.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # far from the usual start: attention, layer scales and norms must matter
            parameter.add_(torch.randn_like(parameter) * (0.2 if parameter.dim() > 1 else 0.1))
    model.save_pretrained(folder)
    size = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}, "do_center_crop": True}
    normalised = {"image_mean": [0.48, 0.45, 0.40], "image_std": [0.27, 0.26, 0.28], "do_normalize": True}
    kinds = {"image_processor_type": "CLIPImageProcessor", "resample": 3, "do_rescale": True, "do_resize": True}
    write_json(folder / "preprocessor_config.json", size | normalised | kinds | processor)
    return folder, model


def two_tower_folder(folder: Path, kind: str) -> tuple[Path, PreTrainedModel]:
    """As `vision_folder`, with a tokenizer of letters whose closing word piece is the highest, as CLIP's is."""
    _, model = vision_folder(folder, kind)
    vocabulary = ["[PAD]", "[CLS]", "[UNK]", *LETTERS, *(f"##{letter}" for letter in LETTERS), "[SEP]"]
    tokenizer = Tokenizer(models.WordPiece({piece: at for at, piece in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    single = "[CLS] $A [SEP]" if kind == "clip" else "$A [SEP]"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[(token, vocabulary.index(token)) for token in ("[CLS]", "[SEP]")]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = {"pad_token": "[PAD]", "eos_token": "[SEP]", "unk_token": "[UNK]"}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **roles})
    return folder, model


def hub_cache(monkeypatch: pytest.MonkeyPatch, cache: Path, repository: str, folder: Path) -> Path:
    """Put a folder into a hub cache as one snapshot, make it this process's cache; returns the snapshot."""
    from huggingface_hub import constants

    model = cache / f"models--{repository.replace('/', '--')}"
    sha = hashlib.sha1(repository.encode()).hexdigest()
    snapshot = model / "snapshots" / sha
    shutil.copytree(folder, snapshot)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(sha)
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    return snapshot


def torch_home(monkeypatch: pytest.MonkeyPatch, home: Path, name: str, net: ResNet) -> Path:
    """Put weights into a torch.hub cache, as torchvision's published ones for `name`; returns the file."""
    from extract.encoders import catalogue

    checkpoints = home / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), checkpoints / "weights")
    digest = hashlib.sha256((checkpoints / "weights").read_bytes()).hexdigest()
    file = (checkpoints / "weights").rename(checkpoints / f"{name}-{digest[:8]}.pth")
    monkeypatch.setenv("TORCH_HOME", str(home))
    monkeypatch.setitem(catalogue.KNOWN, name, catalogue.Known("image", torchvision=file.name))
    return file


def locate_elsewhere(kind: str, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: huggingface_hub reads its environment on import. Says which libraries it took."""
    code = f"""
import sys
from extract import errors
from extract.encoders import catalogue
def main():
    print(catalogue.locate({kind!r}, {name!r}).source)
    print(sorted({{"torch", "transformers", "torchvision"}} & set(sys.modules)))
sys.exit(errors.run(main))"""
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, timeout=60
    )


def without(folder: Path, prefix: str) -> Path:
    """The same folder, its weights less the tensors whose names begin so."""
    state = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(prefix)}
    assert len(kept) < len(state)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


class Hostile:
    """Unpickled without care, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))


def _roles(kind: str) -> tuple[str, str, str, str]:
    """Padding, opening, closing and unknown token."""
    return ("<pad>", "<s>", "</s>", "[UNK]") if kind == "mpnet" else ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
