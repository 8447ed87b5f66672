"""What is said of a features folder."""

import json

import pytest
from extraction_steps import encode_texts, folder_of, text_split
from made_features import make

from extract import inspect, store
from extract.errors import Refused


def test_a_folder_without_vectors_is_refused_with_the_command_that_fills_it(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(Refused, match=rf" run: python -m extract --data DIR --features {folder}$"):
            inspect.main([str(folder)])
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / store.DATASET).write_text(json.dumps({"data": "/memes", "splits": {}}))
    with pytest.raises(Refused, match=rf" run: python -m extract --data /memes --features {tmp_path}$"):
        inspect.main([str(tmp_path)])


def test_a_line_says_what_a_file_holds(tmp_path, capsys):
    store.publish(tmp_path / "text-encoder/train.h5", make(["a", "b", "c"], label=[0, 1, -1]))
    store.publish(tmp_path / "image-encoder/dev.h5", make(["a"], "image", split="dev", dim=7))
    assert inspect.main([str(tmp_path), "--verify"]) == 0
    head, image, text, verified = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "encoder"
    assert image.split()[:9] == ["image-encoder", "image", "dev", "1", "1/0/0", "cls", "7", "?", "f"]
    assert text.split()[:10] == ["text-encoder", "text", "train", "3", "1/1/1", "cls", "4", "?", "f", "1"]
    assert verified == "2 files verified"


def test_vectors_that_wait_to_be_published_are_counted(tmp_path, capsys):
    folder = folder_of(tmp_path)
    store.publish(folder.published("dev"), make(["a"]))
    encode_texts(folder, [text_split("train", [(number, "x" * number, 0) for number in range(5)])], rows=2)
    damaged = sorted(folder.parts.iterdir())[0]
    lost = len(store.read_rows(damaged))
    damaged.write_bytes(b"")
    inspect.main([str(tmp_path)])
    told = f"text-encoder: {5 - lost} vectors in 3 parts are not published; run extract to go on\n"
    assert capsys.readouterr().out.endswith(told)
