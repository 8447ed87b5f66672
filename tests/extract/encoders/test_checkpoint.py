"""Any model of transformers from its folder: no code of its own runs, and what is frozen stays exact."""

import json
from pathlib import Path

import pytest
import torch
from tiny_encoders import TEXTS, Hostile, load, text_folder, vision_folder

from extract.errors import Refused

FP32 = 1e-5  # rounding of two float32 products in another order; a lost mask costs a thousand times as much


def test_a_folders_own_code_is_not_run(tmp_path: Path) -> None:
    folder = text_folder(tmp_path / "bert")
    config = json.loads((folder / "config.json").read_text())
    auto = {"AutoConfig": "code.Config", "AutoModel": "code.Model"}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "own", "auto_map": auto}))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(Refused, match=r"transformers cannot load .*: ValueError: "):
        load("text", folder)
    assert not (tmp_path / "ran").exists()


def test_pickled_weights_load_and_hostile_ones_do_not_run(tmp_path: Path) -> None:
    folder = text_folder(tmp_path / "pickled", safe=False)
    ids = load("text", folder).prepare(TEXTS)
    torch.testing.assert_close(
        load("text", folder).encode(ids), load("text", text_folder(tmp_path / "bert")).encode(ids), atol=FP32, rtol=0
    )
    torch.save({"weight": Hostile(tmp_path / "ran")}, folder / "pytorch_model.bin")
    with pytest.raises(Refused, match="pickled holds more than tensors; it was not loaded"):
        load("text", folder)
    assert not (tmp_path / "ran").exists()


def test_rotary_frequencies_are_not_rounded(tmp_path: Path) -> None:
    folder, _ = vision_folder(tmp_path / "vit", "dinov3_vit")
    tables = dict(load("image", folder, dtype="bfloat16")._net.named_buffers())
    assert {name: table.dtype for name, table in tables.items()} == {"model.rope_embeddings.inv_freq": torch.float32}
