"""A family of encoders is one class and one entry in the catalogue: extract, compare and predict take it as it is."""

import json
from typing import ClassVar

import numpy as np
import torch
import trained
from tiny_encoders import text_folder

from experiments import compare, predict
from extract import errors
from extract.__main__ import main as extract
from extract.encoders import catalogue
from extract.encoders.weights import read_json
from extract.images import decode_each
from heads.models import HEADS


class Colours:
    """Its weights are numbers in colours.json; a vector is a picture's mean colour times these."""

    poolings: ClassVar = {"image": ("mean", "extremes")}
    forms = ("colours",)
    longest, row_by_row = 1, True

    def __init__(self, located, device):
        self.located, self.device, self.dtype, self.dim = located, torch.device(device), torch.float32, 3
        self.weights = torch.tensor(read_json(located.path / "colours.json")["weights"])

    @classmethod
    def form(cls, kind, path):
        return "colours" if (path / "colours.json").is_file() else ""

    @classmethod
    def files(cls, kind, folder):
        return [folder / "colours.json"]

    @classmethod
    def settings(cls, located, *, dtype, max_tokens):
        about = {"weights": located.weights, "family": located.family, "pooling": located.pooling}
        return about | {"precision": dtype, "transform": "whole"}

    @classmethod
    def load(cls, located, *, device, dtype, max_tokens, compile):
        return cls(located, device)

    @classmethod
    def decoder(cls, located):
        return decode_each

    def prepare(self, contents):
        return decode_each(contents)

    def length(self, content):
        return 1

    def encode(self, batch):
        colours = torch.from_numpy(np.stack(batch)).float()
        pooled = colours.mean(dim=(1, 2)) if self.located.pooling == "mean" else colours.amax(dim=(1, 2))
        return pooled * self.weights


def test_a_new_family_goes_through_extract_compare_and_predict(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(catalogue, "FAMILIES", (Colours, *catalogue.FAMILIES))
    monkeypatch.setenv("MEMEFUSE_CACHE", str(tmp_path / "cache"))
    colours, text = tmp_path / "colours", text_folder(tmp_path / "bert")
    colours.mkdir()
    (colours / "colours.json").write_text(json.dumps({"weights": [1.0, 2.0, 3.0]}))
    for seed, (split, size) in enumerate({"train": 30, "dev": 20, "test": 13}.items(), 1):
        trained.memes(tmp_path / "data", split, size, seed)
    data, features, reports = (str(tmp_path / name) for name in ("data", "features", "reports"))
    named = ["--text-encoder", str(text), "--image-encoder", f"{colours}:extremes"]
    assert extract(["--data", data, "--features", features, "--quiet", "--max-tokens", "20", *named]) in (0, None)
    (tmp_path / "choice.json").write_text(json.dumps({"heads": dict.fromkeys(HEADS, trained.QUICK)}))
    quick = ["--seeds", "2", "--references", "none", "--from-sweep", str(tmp_path / "choice.json")]
    assert errors.run(lambda: compare.main(["--features", features, "--out", reports, *quick])) == 0
    capsys.readouterr()
    where = ["--model", reports, "--data", data, "--split", "test", "--head", "image"]
    shown = []
    for source in (["--cache", "none", *named], ["--features", features]):
        assert errors.run(lambda source=source: predict.main([*where, *source])) == 0
        shown.append(capsys.readouterr().out)
    assert len(shown[0].splitlines()) == 14
    assert shown[0] == shown[1]
