"""What heads say of many memes, as a table and as a file."""

import os
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from memes_on_disk import image, meme, rows

from experiments.scoring import memes
from experiments.scoring.scorer import Opinion, Score, Scorer
from extract.dataset import read_split
from extract.errors import Failed, Refused


def score(probability, band=None, read=None) -> Score:
    opinions = {head: Opinion(head, probability, 0.0, 1.0, 0.5, 1, band) for head in ("text", "early")}
    return Score("early", opinions, read)


def columns(scores, at="", added=None) -> list[str]:
    scorer = Mock(spec=Scorer, at=at, added=added)
    return list(memes.Predictions([str(place) for place in range(len(scores))], scores, scorer, []).table)


def test_columns_are_those_that_were_asked_for():
    plain = ["id", "probability", "label", "head", "text", "early"]
    assert columns([score(0.7)]) == plain
    assert columns([score(0.7, (0.2, 0.6))], at="review=.3") == [*plain[:3], "decision", *plain[3:]]
    assert columns([score(0.7)], added=SimpleNamespace(memes=3)) == [*plain[:4], "examples", *plain[4:]]
    assert columns([score(0.7), score(0.7, read="")]) == [*plain[:4], "read", *plain[4:]]
    assert columns([]) == plain[:4]


def test_a_decision_is_the_band_s():
    scores = [score(probability, (0.2, 0.6)) for probability in (0.1, 0.2, 0.59, 0.6)]
    table = memes.Predictions(list("abcd"), scores, Mock(spec=Scorer, at="review=.3", added=None), []).table
    assert table["decision"].tolist() == ["allow", "review", "review", "block"]
    assert table["label"].tolist() == [0, 0, 1, 1]
    assert memes.csv_text(table, 2).splitlines()[1] == "a,0.10,0,allow,early,0.10,0.10"


def test_memes_keep_their_order_and_those_that_cannot_be_used_are_named(world, fakes, tmp_path):
    image(tmp_path / "img" / "1.png")
    (tmp_path / "img" / "2.png").write_bytes(b"")
    rows(tmp_path, "new", meme("b", img="img/1.png"), meme("c", img="img/2.png"), meme("a", img="img/1.png"), meme("d"))
    split, scorer = read_split(tmp_path, "new"), Scorer.load(world / "reports", head="image")
    found = memes.score(split, scorer, skip=True, quiet=True)
    assert found.ids == found.table["id"].tolist() == ["b", "a"]
    alone = scorer.score(tmp_path / "img" / "1.png", "some words here")
    # products of two memes and of one are summed in other orders
    assert [each.probability for each in found.scores] == pytest.approx([alone.probability] * 2, abs=1e-6)
    assert found.left_out == ["new.jsonl:4  d  img/d.png is missing", f"c  {tmp_path}/img/2.png: empty file"]
    with pytest.raises(Refused, match=r"img/d.png is missing"):
        memes.score(split, scorer, skip=False, quiet=True)
    rows(tmp_path, "new", meme("c", img="img/2.png"))
    with pytest.raises(Failed, match=r"1 of 1 images cannot be decoded; nothing was written"):
        memes.score(read_split(tmp_path, "new"), scorer, skip=False, quiet=True)


def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path, monkeypatch):
    with pytest.raises(Refused, match=r"is a folder; name a file$"):
        memes.refuse_unwritable(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match=r"cannot write there: Not a directory$"):
        memes.refuse_unwritable(tmp_path / "file" / "below" / "a.csv")
    memes.refuse_unwritable(tmp_path / "new" / "a.csv")
    assert (tmp_path / "new").is_dir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(Refused, match=r"cannot write there: permission denied$"):
        memes.refuse_unwritable(tmp_path / "new" / "a.csv")


def test_a_file_is_written_whole_or_the_disk_s_reason_is_told(tmp_path):
    memes.write(tmp_path / "a.csv", "id\n")
    assert (tmp_path / "a.csv").read_text() == "id\n"
    with pytest.raises(Failed, match=r"cannot be written: "):
        memes.write(tmp_path / "a.csv" / "b.csv", "id\n")
