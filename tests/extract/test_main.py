"""The command: a status for each outcome, and no library before it is known that there is work."""

import subprocess
import sys

import memes_on_disk as disk

pytest_plugins = ["faked_stage"]


def test_each_outcome_has_its_status(tmp_path, extract, capsys):
    data, features = tmp_path / "data", tmp_path / "features"
    assert extract(data, features)[0] == 2
    assert capsys.readouterr().err.startswith(f"error: no data folder {data}.\n")
    for name in ("1", "2"):
        data.mkdir(exist_ok=True)
        disk.image(data / "img" / f"{name}.png", seed=int(name))
    disk.rows(data, "train", disk.meme("1"), disk.meme("2"))
    assert extract(data, features)[0] == 0
    assert f"{features}/fake-image/train.h5: 2 memes, written\n" in capsys.readouterr().err
    (data / "img/2.png").write_bytes(b"")
    assert extract(data, features)[0] == 1
    assert "\nerror: 1 of 2 images cannot be decoded; " in capsys.readouterr().err


def test_a_request_that_cannot_be_meant_loads_no_library():
    script = (
        "import sys; from extract import errors; from extract.__main__ import main\n"
        "print(errors.run(main), sorted({'h5py', 'numpy', 'torch', 'transformers'} & set(sys.modules)))"
    )
    asked = [sys.executable, "-c", script, "--batch-size", "0"]
    ended = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert ended.stdout == "2 []\n"
    assert ended.stderr == "error: --batch-size is 0, expected at least 1\n"
