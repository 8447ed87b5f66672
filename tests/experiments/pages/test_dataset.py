"""A dataset at a glance: memes by lot, small pictures, and no column of zeros."""

import base64
from dataclasses import replace
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memes_on_disk import image, meme, of_every_kind, rows
from PIL import Image

from experiments.dataset_summary import summarise
from experiments.pages import dataset
from extract.dataset import Fault


@given(st.floats(1, 1e5), st.floats(1.01, 1e4))
def test_ticks_lie_within_the_range_and_are_three_where_pixels_allow(low, factor):
    ticks = dataset.nice_ticks(low, low * factor)
    assert list(ticks) == sorted(set(ticks))
    assert all(low - 0.5 <= tick <= low * factor + 0.5 for tick in ticks)
    assert len(ticks) >= len({round(each) for each in (low, low * factor**0.5, low * factor)})


@pytest.mark.parametrize(("size", "shown"), [((400, 100), (200, 50)), ((30, 60), (100, 200)), ((1000, 20), (200, 40))])
def test_a_thumbnail_has_the_image_s_shape_and_travels_inside_the_page(tmp_path, size, shown):
    image(tmp_path / "img" / "1.png", size=size)
    rows(tmp_path, "train", meme("1"))
    [split] = summarise(tmp_path).splits
    small = dataset.thumbnail(split.memes[0], split.headers[0])
    assert (small.width, small.height) == shown
    kind, _, data = small.uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(BytesIO(base64.b64decode(data))).size == shown
    split.memes[0].image.write_bytes(b"")  # since its header was read
    assert dataset.thumbnail(split.memes[0], split.headers[0]) is None


def test_memes_are_drawn_by_lot_and_the_same_every_time(tmp_path):
    image(tmp_path / "img" / "1.png")
    rows(tmp_path, "train", *(meme(f"{number:02d}", label=number % 3 % 2, img="img/1.png") for number in range(60)))
    [split] = summarise(tmp_path).splits
    cards = dataset.examples(split).cards
    assert cards == dataset.examples(split).cards
    assert [card.label for card in cards] == ["label 1"] * dataset.EXAMPLES + ["label 0"] * dataset.EXAMPLES
    assert len({card.id for card in cards}) == 2 * dataset.EXAMPLES
    assert [card.id for card in cards[: dataset.EXAMPLES]] != [f"{number:02d}" for number in range(1, 24, 3)]


def test_columns_of_faults_are_shown_where_there_are_some(tmp_path):
    summary = summarise(of_every_kind(tmp_path))
    assert {"no label", "no text", "unusable rows"} <= set(dataset.splits_table(summary).header)
    train = replace(summary.splits[0], faults=[])
    table = dataset.splits_table(replace(summary, splits=[train]))
    assert not {"no label", "no text", "unusable rows"} & set(table.header)
    assert [len(row) for row in table.rows] == [len(table.header)]


def test_many_faults_are_named_up_to_a_number_and_the_rest_counted(tmp_path):
    summary = summarise(of_every_kind(tmp_path))
    many = [Fault("train", line, str(line), "label is 2") for line in range(1, 31)]
    split = replace(summary.splits[0], memes=[], headers=[], faults=many)
    _, named = dataset.faults(replace(summary, splits=[split]))
    assert len(named.sentences) == dataset.FAULTS + 1
    assert named.sentences[0] == "train.jsonl:1  1  label is 2"
    assert named.sentences[-1] == f"and {30 - dataset.FAULTS} more"
    assert dataset.faults(replace(summary, splits=[replace(split, faults=[])])) == []
