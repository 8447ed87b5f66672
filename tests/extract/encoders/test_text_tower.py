"""CLIP's and SigLIP's text towers against transformers itself, on tiny random models."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny_encoders
import torch
import transformers
from tiny_encoders import hub_cache, two_tower_folder
from torch import Tensor

from extract import encoders
from extract.encoders import catalogue
from extract.errors import Refused

load = partial(tiny_encoders.load, "text")

POSITIONS = 16
TEXTS = ["", "a", "you say so", "when the cat. said no, again!", "x" * 30]
FP32 = 1e-5  # rounding; a text pooled elsewhere is ten thousand times farther


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    root = tmp_path_factory.mktemp("towers")
    return {kind: two_tower_folder(root / kind, kind) for kind in ("clip", "siglip")}


def reference(kind: str, folder: Path, model: Any, pooling: str, text: str) -> Tensor:
    """transformers' own way, one text at a time, padded as its processors pad."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    padding = {"padding": "max_length"} if kind == "siglip" else {}
    ids = tokenizer(text, truncation=True, max_length=POSITIONS, return_tensors="pt", **padding)["input_ids"]
    with torch.inference_mode():
        if pooling == "projected":
            return model.get_text_features(input_ids=ids).pooler_output[0]
        output = model.text_model(input_ids=ids)
    return output.pooler_output[0] if kind == "clip" else output.last_hidden_state[0, -1]


@pytest.mark.parametrize("pooling", ["pooled", "projected"])
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_vector_is_what_transformers_gives(folders: Any, kind: str, pooling: str) -> None:
    folder, model = folders[kind]
    encoder = load(folder, pooling)
    expected = torch.stack([reference(kind, folder, model, pooling, text) for text in TEXTS])
    together = encoder.encode(encoder.prepare(TEXTS))
    torch.testing.assert_close(together, expected, atol=FP32, rtol=0)
    assert together.shape == (5, {"pooled": 32, "projected": 16 if kind == "clip" else 24}[pooling])
    assert (together[2] - together[3]).abs().max() > 100 * FP32
    short = load(folder, pooling, dtype="bfloat16")
    assert torch.cosine_similarity(short.encode(short.prepare(TEXTS)), expected).min() > 0.999


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_vector_does_not_depend_on_its_batch(folders: Any, kind: str) -> None:
    encoder = load(folders[kind][0])
    ids = encoder.prepare(TEXTS)
    alone = torch.cat([encoder.encode([each], pad_to=POSITIONS) for each in ids])
    assert torch.equal(alone, encoder.encode(ids, pad_to=POSITIONS))
    assert {encoder.length(each) for each in ids} == ({8, 16} if kind == "clip" else {16})


def test_a_siglip_reads_lower_case_and_its_padding(folders: Any) -> None:
    encoder = load(folders["siglip"][0])
    assert encoder.prepare(["YOU Say"]) == encoder.prepare(["you say"])
    clip = load(folders["clip"][0])  # its case is its tokenizer's affair: this one knows no capitals
    assert clip.prepare(["YOU"]) != clip.prepare(["you"])
    right = encoder.encode(encoder.prepare(["you say"]))
    encoder._pad_id = 1
    assert (encoder.encode(encoder.prepare(["you say"])) - right).abs().max() > 100 * FP32


def test_a_tower_reads_no_more_than_its_positions(folders: Any) -> None:
    for kind in ("clip", "siglip"):
        located = catalogue.locate("text", str(folders[kind][0]))
        for asked, read in ((128, 16), (16, 16), (9, 9)):
            assert encoders.settings(located, dtype="float32", max_tokens=asked)["max_tokens"] == read
        encoder = load(folders[kind][0], max_tokens=9)
        assert (encoder.max_tokens, encoder.longest) == (9, 9 if kind == "clip" else 16)
        assert encoder.encode(encoder.prepare(["x" * 30])).isfinite().all()


def test_settings_name_what_changes_a_number(folders: Any) -> None:
    located = catalogue.locate("text", f"{folders['siglip'][0]}:projected")
    assert encoders.settings(located, dtype="float32", max_tokens=128) == {
        "weights": located.weights,
        "family": "text-tower",
        "pooling": "projected",
        "max_tokens": 16,
        "precision": "float32",
        "case": "lower",
    }


def test_a_closing_piece_that_stands_for_the_unknown_is_not_counted_so(tmp_path: Path) -> None:
    folder, _ = two_tower_folder(tmp_path / "clip", "clip")
    about = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(about | {"unk_token": "[SEP]"}))
    encoder = load(folder)
    assert encoder.known_and_unknown(encoder.prepare(["ab", "a"])) == (3, 0)


def test_one_name_is_both_encoders_and_each_tower_is_loaded_alone(
    folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "openai/clip-vit-base-patch32"
    hub_cache(monkeypatch, tmp_path / "hub", name, folders["clip"][0])
    for kind, pooling, slug in (
        ("text", "", "openai--clip-vit-base-patch32-text"),
        ("image", ":projected", "openai--clip-vit-base-patch32-projected-image"),
    ):
        located = catalogue.locate(kind, name + pooling)
        assert (located.slug, catalogue.full_name(located)) == (slug, name + pooling)
        encoder = encoders.load(located, device="cpu", dtype="float32", max_tokens=77)
        loaded = {parameter.split(".")[0] for parameter, _ in encoders.unfrozen(located).named_parameters()}
        assert loaded == ({"model"} if kind == "text" else {"net"})
        assert encoder.dim == (32 if kind == "text" else 16)
    model = encoders.unfrozen(catalogue.locate("text", name)).model
    assert isinstance(model, transformers.CLIPTextModel)


@pytest.mark.parametrize("kind", ["dinov2", "clip_vision_model"])
def test_a_model_without_a_text_tower_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(Refused, match=r"holds an image encoder, so it is no text encoder\."):
        catalogue.locate("text", str(tmp_path))


def test_siglips_own_tokenizer_takes_punctuation_off(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    folder, model = two_tower_folder(tmp_path / "siglip", "siglip")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["abc def ghi jkl mno pqr stu vwx yz", "you say so"] * 9),
        model_prefix=str(folder / "spiece"), vocab_size=32, hard_vocab_limit=False, pad_id=0, eos_id=1, unk_id=2,
        bos_id=-1, minloglevel=3,
    )  # fmt: skip
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "SiglipTokenizer"}))
    encoder = load(folder)
    assert encoder.prepare(["You say: so!"]) == encoder.prepare(["you say so"])
    assert encoder.prepare(["you say so"])[0][-1] == 1
    expected = reference("siglip", folder, model, "pooled", "You say: so!")
    torch.testing.assert_close(encoder.encode(encoder.prepare(["You say: so!"]))[0], expected, atol=FP32, rtol=0)
