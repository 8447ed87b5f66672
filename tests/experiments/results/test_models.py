"""Saved heads are read whole, or refused with what to do."""

import json
import shutil

import trained

from experiments import predict
from experiments.scoring.scorer import Scorer
from extract import errors


def test_models_that_cannot_be_used_are_refused(world, fakes, tmp_path, capsys):
    def said_of(model) -> str:
        assert errors.run(lambda: predict.main(["--model", str(model), "--text", "a", "--head", "text"])) == 2
        return capsys.readouterr().err

    none = tmp_path / "none"
    run = f"Run: python -m experiments.compare --features DIR --out {none}\n"
    assert f"{none} holds no trained heads. {run}" in said_of(none)
    assert f"{world} holds no trained heads. There are some in:\n  --model {world / 'reports'}\n" in said_of(world)
    model = shutil.copytree(world / "reports", tmp_path / "reports")
    about, weights = model / "models" / "text.json", model / "models" / "text.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    assert "text.safetensors is damaged, or not what text.json tells of" in said_of(model)
    weights.unlink()
    assert "text.safetensors cannot be read: No such file or directory" in said_of(model)
    weights.write_bytes(kept)
    old = json.loads(about.read_text())
    del old["mean_threshold"]
    about.write_text(json.dumps(old))
    assert "text.json has no 'mean_threshold'" in said_of(model)
    about.write_text("{")
    assert "text.json is not what this version of memefuse writes" in said_of(model)
    (model / "models" / "text.json").unlink()
    assert "head text is not among those kept: image, early, late" in said_of(model)


def test_heads_of_two_comparisons_are_not_mixed(world, fakes, tmp_path, capsys):
    model = shutil.copytree(world / "reports", tmp_path / "reports")
    about = json.loads((model / "models" / "text.json").read_text())
    about["text"] |= {"name": "other", "fingerprint": "0" * 64}
    (model / "models" / "text.json").write_text(json.dumps(about))
    meme = trained.first_meme(world)
    one = ["--image", str(meme.image), "--text", meme.text]
    assert errors.run(lambda: predict.main(["--model", str(model), *one])) == 2
    said = capsys.readouterr().err
    assert "heads of different comparisons lie together" in said
    assert "text: other, resnet50-keras" in said
    assert errors.run(lambda: predict.main(["--model", str(model), *one, "--head", "early"])) == 0
    assert list(Scorer.load(model, head="early").heads) == ["image", "early", "late"]
