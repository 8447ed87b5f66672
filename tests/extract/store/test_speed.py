"""How long an encoder took: of the run that encoded most, and never in the way of a reader."""

from dataclasses import replace

import pytest

from extract.store import SPEED, Speed, read_speed, record_speed

MOST = Speed(2.0, 8, "cpu", "float32", "a processor")


def test_it_is_that_of_the_run_that_encoded_most(tmp_path):
    assert read_speed(tmp_path) is None
    record_speed(tmp_path, replace(MOST, contents=4))
    record_speed(tmp_path, MOST)
    for fewer in (7, 0):
        record_speed(tmp_path, replace(MOST, contents=fewer))
    assert read_speed(tmp_path) == MOST
    assert MOST.each == 0.25
    again = replace(MOST, seconds=1.0)
    record_speed(tmp_path, again)
    assert read_speed(tmp_path) == again


def test_a_run_that_encoded_nothing_says_nothing(tmp_path):
    record_speed(tmp_path, replace(MOST, contents=0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("odd", ["", "[]", "{}", '{"seconds": 1}', '{"seconds": 1, "of another version": 2}'])
def test_a_file_that_is_something_else_tells_nothing_and_is_replaced(tmp_path, odd):
    (tmp_path / SPEED).write_text(odd)
    assert read_speed(tmp_path) is None
    record_speed(tmp_path, MOST)
    assert read_speed(tmp_path) == MOST
