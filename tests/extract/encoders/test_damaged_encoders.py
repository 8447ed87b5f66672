"""Folders of encoders that are damaged or do not fit together: refused in words, never a traceback."""

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_encoders import IMAGENET, resnet, resnet_folder, text_folder, transformers_resnet_folder, write_json

from extract import encoders, engine
from extract.encoders import catalogue, resnet_formats, weights
from extract.errors import Failed, Refused


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("whole")
    theirs, _ = transformers_resnet_folder(root / "theirs", "basic")
    texts = {kind: text_folder(root / kind, kind) for kind in ("bert", "mpnet")}
    ours = resnet_folder(root / "ours", resnet(), {})
    pickled = root / "pickled"
    pickled.mkdir()
    torch.save(resnet().state_dict(), pickled / "weights.pth")
    write_json(pickled / "encoder.json", {"normalisation": "caffe", "stride_on": "conv1", "bn_eps": 1e-5})
    return texts | {"ours": ours, "pickled": pickled, "theirs": theirs}


def load(kind: str, folder: Path, pooling: str = "", **how: Any) -> Any:
    located = catalogue.locate(kind, f"{folder}:{pooling}" if pooling else str(folder))
    return encoders.load(located, device="cpu", dtype="float32", max_tokens=32, **how)


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON object; those that are set to Ellipsis are taken out."""
    content = (json.loads(path.read_text()) if path.exists() else {}) | changes
    write_json(path, {key: value for key, value in content.items() if value is not ...})


def test_a_user_that_is_not_there_is_no_folder() -> None:
    with pytest.raises(Refused, match="~nosuch/x: no such folder"):
        catalogue.locate("text", "~nosuch/x")


@pytest.mark.parametrize(
    ("which", "file", "content", "message"),
    [
        ("bert", "config.json", {"model_type": ...}, "has a config.json that names no model_type"),
        ("bert", "config.json", [], "has a config.json that is no JSON object"),
        ("mpnet", "config.json", {"pad_token_id": None}, "pad_token_id in config.json is None, expected a number"),
        ("bert", "config.json", {"hidden_size": "x"}, "transformers cannot load"),
        ("bert", "config.json", {"hidden_act": 5}, "transformers cannot load"),
        ("bert", "tokenizer_config.json", [], "has a tokenizer_config.json that is no JSON object"),
        ("bert", "model.safetensors.index.json", {"weight_map": []}, "weight_map does not give a file's name for each"),
        ("bert", "model.safetensors.index.json", {"weight_map": {"a": 1}}, "weight_map does not give a file's name"),
        ("ours", "encoder.json", {"normalisation": ["caffe"]}, "normalisation is ['caffe'], expected one of imagenet"),
        ("ours", "encoder.json", {"stride_on": ["conv1"]}, "stride_on is ['conv1'], expected 'conv1' or 'conv2'"),
        ("ours", "encoder.json", {"bn_eps": "small"}, "bn_eps is 'small', expected a small number"),
        ("ours", "encoder.json", {"bn_eps": -5.0}, "bn_eps is -5.0, expected a small number"),
        ("ours", "encoder.json", {"bn_eps": float("nan")}, "bn_eps is nan, expected a small number"),
        ("ours", "encoder.json", {"normalisation": {"mean": [0, 0, 0], "deviation": ["a", 1, 1]}}, "of three numbers"),
        ("ours", "encoder.json", {"normalisation": {"mean": [0, 0, 0], "deviation": [-1, 1, 1]}}, "deviations above 0"),
        (
            "ours",
            "encoder.json",
            {"normalisation": {"mean": [0, 0, 0], "deviation": [float("nan"), 1, 1]}},
            "expected a mean and a deviation of three numbers each",
        ),
        ("theirs", "preprocessor_config.json", {"image_std": float("nan")}, "a deviation of three numbers"),
        ("theirs", "preprocessor_config.json", {"do_rescale": False}, "do_rescale in preprocessor_config.json is"),
        ("theirs", "preprocessor_config.json", [], "has a preprocessor_config.json that is no JSON object"),
    ],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(
    tmp_path: Path, whole: dict[str, Path], which: str, file: str, content: Any, message: str
) -> None:
    folder = Path(shutil.copytree(whole[which], tmp_path / which))
    if "index" in file:
        (folder / "model.safetensors").unlink()
    if isinstance(content, list):
        (folder / file).write_text("[]")
    else:
        edit(folder / file, **content)
    with pytest.raises(Refused) as refused:
        load("text" if which in ("bert", "mpnet") else "image", folder)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({1: torch.ones(1)}, "tensors by name, but one is called 1"),
        ([torch.ones(1)], "expected a state dict, not a list"),
        ({"a": 1}, "expected a state dict, but 'a' is no tensor"),
    ],
)
def test_a_pickle_of_something_else_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(Refused, match=message):
        load("image", tmp_path)


@pytest.mark.parametrize(
    ("which", "name"), [("bert", "encoder.layer.1.output.dense.bias"), ("ours", "layer3.0.bn1.weight")]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(
    tmp_path: Path, whole: dict[str, Path], which: str, name: str, value: float
) -> None:
    folder = Path(shutil.copytree(whole[which], tmp_path / which))
    state = load_file(folder / "model.safetensors")
    state[name][3] = value
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Refused, match=rf"1 of \d+ tensors hold NaN or an infinite value, first: {name}"):
        load("text" if which == "bert" else "image", folder)


def test_a_variance_below_zero_is_refused(tmp_path: Path) -> None:
    net = resnet()
    net.bn1.running_var[0] = -1
    with pytest.raises(Refused, match=r"bn1\.running_var \+ bn_eps \(1e-05\) is not above zero everywhere"):
        load("image", resnet_folder(tmp_path / "net", net))


def test_a_tokenizer_larger_than_its_embedding_is_refused(tmp_path: Path, whole: dict[str, Path]) -> None:
    folder = Path(shutil.copytree(whole["bert"], tmp_path / "bert"))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["##zz"] = 300
    write_json(folder / "tokenizer.json", tokenizer)
    with pytest.raises(Refused, match="its tokenizer has 301 word pieces, its model vectors for 86"):
        load("text", folder)


def test_the_share_of_unknown_word_pieces_is_said_and_refused_above_half(
    tmp_path: Path, whole: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(whole["bert"], tmp_path / "bert"))
    texts = ["ab cd", "ef gh ij"] * 8  # words that the tokenizer cuts into letters
    tokeniser = engine.Tokeniser(load("text", folder))
    assert [len(ids) for ids in tokeniser(texts)] == [6, 8] * 8
    assert len(tokeniser(["é ☃"])[-1]) == 4
    tokeniser.counts.say(tokeniser.encoder)
    assert "1 of the 82 word pieces of 17 texts (1.2%) are unknown to it" in capsys.readouterr().err
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {piece: row for piece, row in vocabulary.items() if row < 10}
    write_json(folder / "tokenizer.json", tokenizer)
    short = engine.Tokeniser(load("text", folder))
    with pytest.raises(Failed, match=r"40 of the 40 word pieces of 16 texts \(100\.0%\) are unknown to it\. Its vocab"):
        short.try_on(texts)
    sampled = r"2,048 of the 2,048 word pieces of a sample of 1,024 of the 3,072 texts \(100\.0%\) are unknown to it\."
    with pytest.raises(Failed, match=sampled):
        short.try_on(["ab cd", *["ef gh ij"] * 2] * 1024)
    short.try_on(["xy"])  # of one text nothing is concluded
    assert len(short(["xy"])[0]) == 3


def test_spm_model_alone_names_the_package_that_it_needs(
    tmp_path: Path, whole: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    folder = Path(shutil.copytree(whole["bert"], tmp_path / "bert"))
    before = catalogue.locate("text", str(folder)).weights
    (folder / "spm.model").write_bytes(b"")
    assert catalogue.locate("text", str(folder)).weights == before  # where it is not read, it counts for nothing
    (folder / "tokenizer.json").unlink()
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "sentencepiece" else find(name, *rest)
    )
    with pytest.raises(Refused, match=r"spm\.model alone, which takes sentencepiece, .* pip install sentencepiece"):
        load("text", folder)


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
    encoder = load("text", tmp_path)
    plain = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spm.model"))
    texts = ["look how many dogs", "cats"]
    prepared = encoder.prepare(texts)
    assert prepared == [[1, *plain.encode(text), 2] for text in texts]
    assert encoder.encode(prepared).shape == (2, 16)


def test_compiling_without_a_compiler_is_refused(whole: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Refused, match=r"--compile needs a C\+\+ compiler, and none is found"):
        load("text", whole["bert"], compile=True)


def test_pixels_that_are_not_to_be_normalised_are_not(tmp_path: Path, whole: dict[str, Path]) -> None:
    folder = Path(shutil.copytree(whole["theirs"], tmp_path / "theirs"))
    write_json(folder / "preprocessor_config.json", IMAGENET | {"do_normalize": False})
    normalisation, _ = resnet_formats.understand(resnet_formats.transformers_recipe(folder))
    assert (normalisation.mean, normalisation.deviation) == ((0.0,) * 3, (255.0,) * 3)
    changed, before = (catalogue.locate("image", str(path)) for path in (folder, whole["theirs"]))
    assert encoders.settings(changed, dtype="float32", max_tokens=8)["normalised"] == "no"
    assert "normalised" not in encoders.settings(before, dtype="float32", max_tokens=8)


def test_files_of_one_name_in_two_folders_both_count(tmp_path: Path) -> None:
    for name, content in (("a/shard", "1"), ("b/shard", "2"), ("index", "3")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    paths = [tmp_path / name for name in ("a/shard", "b/shard", "index")]
    before = weights.digest(paths)
    (tmp_path / "a" / "shard").write_text("4")
    assert weights.digest(paths) != before
    alone = weights.digest(paths[1:])
    assert alone == weights.combine({path.name: weights.sha256(path) for path in paths[1:]})


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 99), st.floats(), st.text(max_size=3), st.lists(st.integers(), max_size=2)
)


@pytest.mark.filterwarnings("ignore")  # what libraries say of such files is theirs
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_damage_is_refused_or_does_no_harm(
    tmp_path_factory: pytest.TempPathFactory, whole: dict[str, Path], data: st.DataObject
) -> None:
    which = data.draw(st.sampled_from(["bert", "mpnet", "pickled", "theirs"]))
    folder = Path(shutil.copytree(whole[which], tmp_path_factory.mktemp("damaged") / which))
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = path.read_bytes()
    how = data.draw(st.sampled_from(["value", "cut", "flip"]))
    if how == "value" and path.suffix == ".json":
        keys = sorted(json.loads(content))
        edit(path, **{data.draw(st.sampled_from(keys)): data.draw(VALUES)})
    elif how == "cut":
        path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    else:
        header = 8 + struct.unpack("<Q", content[:8])[0] if path.suffix == ".safetensors" else len(content)
        at = data.draw(st.integers(0, header - 1))
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << data.draw(st.integers(0, 7))]) + content[at + 1 :])
    try:
        of_texts = which in ("bert", "mpnet")
        encoder = load("text" if of_texts else "image", folder)
        if of_texts:
            assert encoder.encode(encoder.prepare(["abc", ""])).shape == (2, encoder.dim)
    except Failed:
        pass
