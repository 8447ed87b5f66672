"""A text model and its tokenizer from their folder, and what makes one vector of its output."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import tiny_encoders
import torch
from tiny_encoders import POSITIONS, SMALL_BERT, TEXTS, text_folder, without, write_json
from transformers import AutoModel, AutoTokenizer, Qwen3Config, T5Config, T5Model

from extract.encoders import catalogue
from extract.errors import Refused

load = partial(tiny_encoders.load, "text")


def test_a_tokenizer_larger_than_its_embedding_is_refused(tmp_path: Path) -> None:
    folder = text_folder(tmp_path / "bert")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["##zz"] = 300
    write_json(folder / "tokenizer.json", tokenizer)
    with pytest.raises(Refused, match="its tokenizer has 301 word pieces, its model vectors for 86"):
        load(folder)


def test_spm_model_alone_names_the_package_that_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    folder = text_folder(tmp_path / "bert")
    before = catalogue.locate("text", str(folder)).weights
    (folder / "spm.model").write_bytes(b"")
    assert catalogue.locate("text", str(folder)).weights == before  # where it is not read, it counts for nothing
    (folder / "tokenizer.json").unlink()
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "sentencepiece" else find(name, *rest)
    )
    with pytest.raises(Refused, match=r"spm\.model alone, which takes sentencepiece, .* pip install sentencepiece"):
        load(folder)


def test_spm_model_alone_is_a_tokenizer(tmp_path: Path) -> None:
    import sentencepiece
    from transformers import DebertaV2Config, DebertaV2Model

    words = [f"look how many people love you {number} cats and dogs" for number in range(100)]
    specials = {"pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3}
    pieces = {"pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]"}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words), model_prefix=str(tmp_path / "spm"), vocab_size=55, hard_vocab_limit=False,
        user_defined_symbols=["[MASK]"], minloglevel=2, **specials, **pieces,
    )  # fmt: skip
    (tmp_path / "spm.vocab").unlink()
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    DebertaV2Model(DebertaV2Config(vocab_size=64, max_position_embeddings=64, **small)).save_pretrained(tmp_path)
    encoder = load(tmp_path)
    plain = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spm.model"))
    texts = ["look how many dogs", "cats"]
    prepared = encoder.prepare(texts)
    assert prepared == [[1, *plain.encode(text), 2] for text in texts]
    assert encoder.encode(prepared).shape == (2, 16)


FP32 = 1e-5  # rounding of two float32 products in another order; a lost mask costs a thousand times as much


def test_a_pooler_that_was_never_trained_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="distilbert has no trained pooler"):
        load(text_folder(tmp_path / "distilbert", "distilbert"), "pooler")
    folder = without(text_folder(tmp_path / "bert"), "pooler")
    with pytest.raises(Refused, match=r"bert has no trained pooler\. Take .*bert:mean"):
        load(folder, "pooler")
    assert load(folder, "cls").dim == 32


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    folder = without(text_folder(tmp_path / "bert"), "encoder.layer.1.output.dense")
    with pytest.raises(Refused, match=r"2 tensors are missing in .*, first: encoder\.layer\.1\.output\.dense\.bias"):
        load(folder)


def test_a_model_without_a_cls_token_needs_another_pooling(tmp_path: Path) -> None:
    folder = text_folder(tmp_path / "bert")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["post_processor"] = None
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(Refused, match=r"puts no \[CLS\] token first. Take .*bert:mean"):
        load(folder)
    encoder = load(folder, "mean")
    assert encoder.prepare(["", "ab"]) == [[], encoder.prepare(["ab"])[0]]
    assert torch.equal(encoder.encode(encoder.prepare([""])), torch.zeros(1, 32))


def test_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    folder = text_folder(tmp_path / "t5")
    T5Model(T5Config(vocab_size=99, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)).save_pretrained(folder)
    with pytest.raises(Refused, match=r"t5 is an encoder-decoder \(t5\); take one that only encodes"):
        load(folder, "mean")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny decoder, as the embedders built on Qwen3 are: bfloat16 weights, rotary positions, a closing special."""
    folder = text_folder(tmp_path_factory.mktemp("encoders") / "qwen")
    sizes = SMALL_BERT | {"num_key_value_heads": 2, "head_dim": 8}
    config = Qwen3Config(vocab_size=86, max_position_embeddings=POSITIONS, **sizes)
    torch.manual_seed(0)
    model = AutoModel.from_config(config)
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * (0.2 if parameter.dim() > 1 else 0.0)
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_decoders_last_token_does_not_depend_on_padding(decoder: Path, tmp_path: Path, side: str) -> None:
    folder = Path(shutil.copytree(decoder, tmp_path / side))
    about = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(about | {"padding_side": side}))
    encoder = load(folder, "last")
    vectors = encoder.encode(encoder.prepare(TEXTS), pad_to=40)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder, dtype=torch.float32)
    batch = tokenizer(TEXTS, truncation=True, max_length=32, padding="max_length", return_tensors="pt")
    with torch.inference_mode():
        state = model.eval()(**batch).last_hidden_state
    last = torch.full((len(TEXTS),), 31) if side == "left" else batch["attention_mask"].sum(dim=1) - 1
    torch.testing.assert_close(vectors, state[torch.arange(len(TEXTS)), last], atol=FP32, rtol=0)
    short = load(folder, "last", dtype="bfloat16")
    tables = {name: table.dtype for name, table in short._model.named_buffers() if "inv_freq" in name}
    assert set(tables.values()) == {torch.float32}
    assert torch.cosine_similarity(short.encode(short.prepare(TEXTS)), vectors).min() > 0.999
