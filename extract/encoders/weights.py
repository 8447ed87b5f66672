"""Which files of a folder make an encoder, whether they are all there, and the digest over them."""

import hashlib
import json
from pathlib import Path
from typing import Any

from extract.encoders.fetch import sha256

RECIPE = "encoder.json"  # beside a ResNet's state dict: how it differs from torchvision's
TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model",
)  # fmt: skip
VOCABULARIES = set(TOKENIZER) - {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt"}
TRANSFORMERS_WEIGHTS = (
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
)  # fmt: skip


class Incomplete(Exception):
    """A folder does not hold such an encoder; the text says what is wrong or missing, to follow its name."""


def files(kind: str, folder: Path) -> list[Path]:
    """All files that change a number. Raises Incomplete if they do not make an encoder of this kind."""
    config = read_json(folder / "config.json")
    model_type = config.get("model_type")
    if kind == "image":
        if config and model_type != "resnet":
            raise Incomplete(f"holds a model of type {model_type!r}, expected a ResNet")
        settings = [folder / name for name in (RECIPE, "config.json", "preprocessor_config.json")]
        return [*(path for path in settings if path.exists()), *_weights(folder, any_name=not config)]
    if model_type == "resnet" or (folder / RECIPE).exists():
        raise Incomplete("holds an image encoder")
    if not config:
        raise Incomplete("has no config.json")
    tokenizer = [folder / name for name in TOKENIZER if (folder / name).exists()]
    if VOCABULARIES.isdisjoint(path.name for path in tokenizer):
        raise Incomplete("has no tokenizer (tokenizer.json or a vocabulary)")
    return [folder / "config.json", *tokenizer, *_weights(folder)]


def digest(paths: list[Path]) -> str:
    """sha256 over the files' names and contents."""
    return combine({path.name: sha256(path) for path in paths})


def combine(digests: dict[str, str]) -> str:
    """sha256 over files' names and their digests, in the order of the names."""
    lines = "".join(f"{name} {content}\n" for name, content in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def weight_files(paths: list[Path]) -> list[Path]:
    """Those of `files` that hold tensors."""
    return [path for path in paths if path.suffix in (".safetensors", ".bin", ".pth", ".pt")]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file. Raises Incomplete for anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Incomplete(f"has a {path.name} that cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise Incomplete(f"has a {path.name} that is no JSON object")
    return content


def _weights(folder: Path, any_name: bool = False) -> list[Path]:
    """The file that transformers would read, with its shards; or, of a plain state dict, the only one there is."""
    for name in TRANSFORMERS_WEIGHTS:
        if (folder / name).exists():
            shards = read_json(folder / name).get("weight_map", {}) if name.endswith(".json") else {}
            paths = [folder / name, *(folder / shard for shard in sorted(set(shards.values())))]
            if missing := [path.name for path in paths if not path.exists()]:
                raise Incomplete(f"lacks {', '.join(missing)}")
            return paths
    endings = ("*.safetensors", "*.pth", "*.pt") if any_name else ()
    found = sorted(path for ending in endings for path in folder.glob(ending))
    if len(found) > 1:
        raise Incomplete(f"has {len(found)} weights files ({', '.join(path.name for path in found)}), expected one")
    if not found:
        raise Incomplete(f"has no weights ({' or '.join(endings) or 'model.safetensors or pytorch_model.bin'})")
    return found
