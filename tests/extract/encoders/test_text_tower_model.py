"""A tower and its tokenizer from their folder: whole, and made for each other."""

import json
from functools import partial
from pathlib import Path

import pytest
import tiny_encoders
import torch
from tiny_encoders import text_folder, two_tower_folder, without

from extract import encoders
from extract.encoders import catalogue
from extract.errors import Refused

load = partial(tiny_encoders.load, "text")

FP32 = 1e-5  # rounding; a text pooled elsewhere is ten thousand times farther


@pytest.mark.parametrize("eos", [2, 85])
def test_old_and_new_configs_pool_a_clips_text_at_its_end(tmp_path: Path, eos: int) -> None:
    folder, model = two_tower_folder(tmp_path / "clip", "clip")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["eos_token_id"] = eos
    (folder / "config.json").write_text(json.dumps(config))
    encoder = load(folder)
    assert encoder.prepare(["ab"])[0][-1] == 85
    with torch.inference_mode():
        states = model.text_model(input_ids=torch.tensor(encoder.prepare(["ab"]))).last_hidden_state
    torch.testing.assert_close(encoder.encode(encoder.prepare(["ab"])), states[:, -1], atol=FP32, rtol=0)


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    folder, _ = two_tower_folder(tmp_path / "clip", "clip")
    without(folder, "text_model.encoder.layers.1")
    with pytest.raises(Refused, match=r"16 tensors are missing in .*, first: .*encoder\.layers\.1\.layer_norm1\.bias"):
        load(folder)
    vision = catalogue.locate("image", str(folder))  # the other tower is whole
    assert encoders.load(vision, device="cpu", dtype="float32", max_tokens=0).dim == 32


def test_a_tokenizer_that_does_not_belong_is_refused(tmp_path: Path) -> None:
    folder, _ = two_tower_folder(tmp_path / "clip", "clip")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((text_folder(tmp_path / "bert") / name).read_bytes())
    with pytest.raises(Refused, match="does not belong to it: it closes a text with word piece 2, expected 85"):
        load(folder)


def test_siglips_own_tokenizer_needs_sentencepiece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = two_tower_folder(tmp_path / "siglip", "siglip")
    (folder / "spiece.model").write_bytes(b"")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Refused, match=r"its tokenizer takes sentencepiece\. Run: pip install 'memefuse\[siglip\]'"):
        load(folder)
