"""For each head, memes whose label is made so that this head finds it best, and why."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from heads.rows import Rows

DEV, TEST = 300, 2000  # memes
Made = tuple[np.ndarray, np.ndarray, np.ndarray]  # text [n, d], image [n, d], score [n], whose sign is the label


def a_sum_and_a_fashion(draw: np.random.Generator, count: int, later: bool) -> Made:
    """linear: columns that add up, and products of columns that tell more, and nothing any more when test is drawn.

    What holds within a text, within an image or between them, every head can find that bends; a sum of columns cannot.
    """
    text, image = draw.normal(size=(2, count, 12))
    fashion = text[:, 0] * image[:, 0] + text[:, 1] * text[:, 2] + image[:, 1] * image[:, 2]
    return text, image, text[:, 4:].sum(1) + image[:, 4:].sum(1) + (0 if later else 4) * fashion


def sum_of_bends(draw: np.random.Generator, count: int, later: bool) -> Made:
    """late: how far columns are from usual, added up over both sides; units that see both have twice as many to tell
    apart, and nothing to find in it."""
    text, image = draw.normal(size=(2, count, 8))
    return text, image, (abs(text) + abs(image) - 1.6).sum(1)


def agreement(draw: np.random.Generator, count: int, later: bool) -> Made:
    """product: whether the two point the same way, over many directions at once: one product for each."""
    text, image = draw.normal(size=(2, count, 12))
    return text, image, (text * image).sum(1)


def each_column_has_a_judge(draw: np.random.Generator, count: int, later: bool) -> Made:
    """gated: for each column one of the text says whether the text's stands for label 1 and the image's for label 0,
    or the other way round: two gates a column, of which one lets the text's through and the other the image's."""
    text, image, judge = draw.normal(size=(3, count, 6))
    return np.c_[text, 2 * np.sign(judge)], image, (np.sign(judge) * (text - image)).sum(1)


def one_side_finds_itself(draw: np.random.Generator, count: int, later: bool) -> Made:
    """attention: that whole side is true which finds more of itself in the other: two scores, one weight for all."""
    text, image = draw.normal(size=(2, count, 12))
    found = (text[:, :2] * image[:, 2:4]).sum(1) - (text[:, 2:4] * image[:, :2]).sum(1)
    return text, image, np.where(found > 0, text[:, 4:].sum(1), image[:, 4:].sum(1))


OF_PAIR = np.random.default_rng(5).permutation(np.arange(64) % 2).reshape(8, 8) * 2 - 1


def pairs_of_topic_and_scene(draw: np.random.Generator, count: int, later: bool) -> Made:
    """combiner: each pair of eight topics and eight scenes has its label: a unit of the one times a unit of the other,
    both at least 0, is the pair, and an MLP reads them."""
    topic, scene = draw.integers(0, 8, (2, count))
    text, image = (3 * np.eye(8)[kind] + 0.7 * draw.normal(size=(count, 8)) for kind in (topic, scene))
    return text, image, OF_PAIR[topic, scene] + 0.0


CENTRES = np.random.default_rng(3).normal(size=(2, 150, 3))
OF_CENTRE = np.random.default_rng(4).permutation(np.arange(150) % 2) * 2 - 1


def clusters(draw: np.random.Generator, count: int, later: bool) -> Made:
    """retrieval: small kinds of meme, many in a narrow space, each with a label that only its likes tell."""
    kind = draw.integers(0, 150, count)
    text, image = (centre[kind] + 0.1 * draw.normal(size=(count, 3)) for centre in CENTRES)
    return text, image, OF_CENTRE[kind] + 0.0


class Planted(NamedTuple):
    made: Callable[[np.random.Generator, int, bool], Made]  # the third: whether they are test's
    train: int  # memes
    rivals: tuple[str, str]  # the heads that come nearest


PLANTED = {
    "linear": Planted(a_sum_and_a_fashion, 400, ("early", "gated")),
    "late": Planted(sum_of_bends, 800, ("gated", "early")),
    "product": Planted(agreement, 400, ("combiner", "gated")),
    "gated": Planted(each_column_has_a_judge, 1200, ("early", "product")),
    "attention": Planted(one_side_finds_itself, 1000, ("combiner", "retrieval")),
    "combiner": Planted(pairs_of_topic_and_scene, 600, ("gated", "retrieval")),
    "retrieval": Planted(clusters, 600, ("combiner", "gated")),
}


def planted(head: str, draw: int = 0) -> tuple[Rows, Rows, Rows]:
    """Return train, dev and test of the memes that are made for a head. draw: other memes of the same kind."""
    made, train, _ = PLANTED[head]
    splits = [
        made(np.random.default_rng([7 + draw, number]), count, number == 2)
        for number, count in enumerate((train, DEV, TEST))
    ]
    return tuple(Rows(text.astype("f"), image.astype("f"), (score > 0).astype(int)) for text, image, score in splits)
