"""A sentence-transformers folder's recipe: followed to the number, or refused."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny_encoders
import torch
from tiny_encoders import TEXTS, text_folder

from extract import encoders
from extract.encoders import catalogue
from extract.errors import Refused

load = partial(tiny_encoders.load, "text")

FP32 = 1e-5  # rounding of two float32 products in another order; a lost mask costs a thousand times as much


def sentence_folder(
    folder: Path, modules: tuple[str, ...] = ("Transformer", "Pooling", "Normalize"), **pooling
) -> Path:
    """A text encoder, and what sentence-transformers says beside it."""
    text_folder(folder)
    paths = {"Transformer": "", "Pooling": "1_Pooling"}
    listed = [{"type": f"sentence_transformers.models.{name}", "path": paths.get(name, name)} for name in modules]
    (folder / "1_Pooling").mkdir()
    for name, content in (
        ("modules.json", listed),
        ("1_Pooling/config.json", {"word_embedding_dimension": 32, "include_prompt": True} | pooling),
        ("sentence_bert_config.json", {"max_seq_length": 12, "do_lower_case": True}),
        ("config_sentence_transformers.json", {"prompts": {"query": "find: "}, "default_prompt_name": "query"}),
    ):
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("said", "pooling"),
    [({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
     ({"pooling_mode_cls_token": True}, "cls"), ({"pooling_mode": "lasttoken"}, "last")],
)  # fmt: skip
def test_a_sentence_transformers_folder_says_how(tmp_path: Path, said: dict[str, Any], pooling: str) -> None:
    folder = sentence_folder(tmp_path / "said", **said)
    ours, plain = load(folder, "sentence"), load(folder, pooling, max_tokens=12)
    expected = plain.encode(plain.prepare([f"find: {text.lower().strip()}".strip() for text in TEXTS]))
    torch.testing.assert_close(
        ours.encode(ours.prepare(TEXTS)), torch.nn.functional.normalize(expected, dim=1), atol=FP32, rtol=0
    )
    settings = encoders.settings(ours.located, dtype="float32", max_tokens=128)
    assert settings["max_tokens"] == ours.max_tokens == 12
    assert settings["recipe"] == f"{pooling}, length 1, case lower, prompt 'find: '"


@pytest.mark.parametrize(
    ("modules", "said", "message"),
    [
        (
            ("Transformer", "Pooling", "Dense"),
            {},
            "has the modules Transformer, Pooling, Dense, expected Transformer, ",
        ),
        ((), {}, "has no modules.json: it is no sentence-transformers folder"),
        (
            ("Transformer", "Pooling"),
            {"pooling_mode_max_tokens": True},
            "pools by max_tokens, expected one of cls_token",
        ),
        (
            ("Transformer", "Pooling"),
            {"pooling_mode_cls_token": True, "include_prompt": False},
            "leaves its prompt out of the mean",
        ),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(tmp_path: Path, modules: Any, said: Any, message: str) -> None:
    folder = sentence_folder(tmp_path / "said", modules, **said)
    with pytest.raises(Refused) as refused:
        encoders.settings(catalogue.locate("text", f"{folder}:sentence"), dtype="float32", max_tokens=128)
    assert message in str(refused.value)
    assert f"{folder}:sentence: " in str(refused.value)
