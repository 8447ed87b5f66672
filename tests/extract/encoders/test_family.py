"""What is asked of every family: here, what a text encoder says of words that it does not know."""

import json
from pathlib import Path

import pytest
from tiny_encoders import load, text_folder, write_json

from extract import engine
from extract.errors import Failed


def test_the_share_of_unknown_word_pieces_is_said_and_refused_above_half(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = text_folder(tmp_path / "bert")
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
