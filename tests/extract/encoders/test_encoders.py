"""Encoders by the functions that do not ask for their family."""

import shutil
from pathlib import Path

import pytest
from PIL import Image
from tiny_encoders import load, resnet, resnet_folder, text_folder, vision_folder

from extract import encoders
from extract.errors import Refused
from extract.images import Squeeze


def test_compiling_without_a_compiler_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = text_folder(tmp_path / "bert")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Refused, match=r"--compile needs a C\+\+ compiler, and none is found"):
        load("text", folder, compile=True)


def test_a_decoder_without_an_encoder_prepares_as_the_encoder_does(tmp_path: Path) -> None:
    bicubic = Squeeze(32, 32, Image.Resampling.BICUBIC)
    net, vit = resnet_folder(tmp_path / "net", resnet()), vision_folder(tmp_path / "vit", "vit")[0]
    for folder, squeeze in ((net, Squeeze()), (vit, bicubic)):
        encoder = load("image", folder)
        assert encoders.decoder(encoder.located) == encoder.prepare == squeeze
    assert encoders.decoder(load("text", text_folder(tmp_path / "bert")).located) is None
