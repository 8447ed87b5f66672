"""What is left to encode: each content once, in an order that every encoder keeps, cut into parts."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from extract.plan import Item, Part, by_length, cut, merged, unique


def test_plan_keeps_the_first_of_equal_contents_in_order():
    items = [Item("b", "1"), Item("a", "2"), Item("b", "3"), Item("c", "4")]
    assert unique(items, {"c"}) == [items[0], items[1]]
    lengths = [Item("b", "é"), Item("d", "1"), Item("a", "22"), Item("c", "")]
    assert [item.content for item in by_length(lengths)] == ["c", "d", "a", "b"]  # bytes, then contents
    assert cut(items, 3) == [Part(tuple(items[:3])), Part(tuple(items[3:]))]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sets(st.integers(0, 30)), min_size=1, max_size=4))
def test_what_several_encoders_lack_is_taken_in_an_order_that_suits_all(lacking):
    plan = [Item(str(number), "") for number in random.Random(1).sample(range(31), 31)]
    lists = [[item for item in plan if int(item.content) in lacks] for lacks in lacking]
    order = merged(lists)
    assert len(order) == len(set(order)) == len(set().union(*lacking))
    assert all([item for item in order if item in set(mine)] == mine for mine in lists)


def test_parts_of_two_plans_that_begin_alike_have_files_of_their_own():
    one, two, three = (Item(letter * 64, letter) for letter in "abc")
    names = [Part(items).name for items in ((one,), (one, two), (one, three), (one, two, three))]
    assert len(set(names)) == 4
    assert Part((one, two)).name == names[1]
