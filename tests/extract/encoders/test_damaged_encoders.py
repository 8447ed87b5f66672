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
from tiny_encoders import load, resnet, resnet_folder, text_folder, transformers_resnet_folder, write_json

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


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON object; those that are set to Ellipsis are taken out."""
    content = (json.loads(path.read_text()) if path.exists() else {}) | changes
    write_json(path, {key: value for key, value in content.items() if value is not ...})


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
