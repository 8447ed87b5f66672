"""Lines are read as a person reads them, whatever order they were found in."""

import json
from dataclasses import asdict

import pytest
from fake_reader import box
from hypothesis import given, settings
from hypothesis import strategies as st

from extract.ocr.lines import Line, Reading, in_reading_order, without_specks


def line(text, left, top, right, bottom):
    return Line(text, box(left, top, right, bottom), 1.0)


CAPTIONS = {
    "top and bottom": [
        line("when you", 40, 10, 300, 50), line("see it", 90, 52, 250, 90), line("too", 99, 400, 200, 440),
    ],
    "a row in two pieces, skewed": [
        line("one", 0, 10, 80, 40), line("two", 90, 4, 200, 34), line("three", 0, 42, 99, 70),
    ],
    "columns": [
        line("me at", 0, 0, 100, 30), line("eight", 0, 32, 100, 60), line("me at", 200, 0, 300, 30),
        line("twenty", 200, 31, 300, 62),
    ],
    "a title over columns": [
        line("title", 0, 0, 300, 30), line("left", 0, 100, 100, 130), line("too", 0, 131, 100, 160),
        line("right", 200, 100, 300, 130),
    ],
    "large after small": [line("@name", 0, 0, 60, 12), line("HUGE", 0, 20, 300, 100)],
}  # fmt: skip


@pytest.mark.parametrize("name", CAPTIONS)
def test_a_person_reads_them_so(name):
    assert in_reading_order(CAPTIONS[name][::-1]) == CAPTIONS[name]


def lines():
    number = st.integers(0, 60)
    return st.lists(
        st.builds(
            lambda text, x, y, w, h: line(text, x, y, x + w, y + h),
            st.text("ab", max_size=2),
            number,
            number,
            number,
            number,
        ),
        max_size=7,
    )


@settings(max_examples=40)
@given(lines(), st.randoms())
def test_the_order_that_they_come_in_does_not_matter(found, chance):
    shuffled = [*found]
    chance.shuffle(shuffled)
    ordered = in_reading_order(found)
    assert in_reading_order(shuffled) == ordered
    assert sorted(ordered, key=repr) == sorted(found, key=repr)


@settings(max_examples=40)
@given(lines(), st.integers(0, 999), st.integers(0, 999))
def test_where_on_the_image_they_stand_does_not_matter(found, across, down):
    moved = {}
    for each in found:
        (left, top), _, (right, bottom), _ = each.box
        moved[line(each.text, left + across, top + down, right + across, bottom + down)] = each
    assert [moved[each] for each in in_reading_order(list(moved))] == in_reading_order(list(moved.values()))


def test_specks_are_not_words():
    caption = line("when you", 40, 10, 300, 50)
    question, name = line("?", 310, 10, 330, 48), line("@me", 0, 400, 20, 408)
    assert without_specks([caption, line("0", 68, 443, 73, 448), question, name]) == [caption, question, name]
    assert without_specks([question]) == [question]
    assert without_specks([]) == []


@settings(max_examples=40)
@given(lines())
def test_a_reading_survives_json(found):
    reading = Reading(tuple(found), 640, 480)
    assert Reading.of_row(json.loads(json.dumps(asdict(reading)))) == reading
    assert reading.text.split() == " ".join(each.text for each in found).split()
