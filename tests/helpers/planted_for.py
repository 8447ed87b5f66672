"""For each head, memes whose label is made so that this head finds it best, and why."""

from collections.abc import Callable

import numpy as np

from heads.rows import Rows

SIZES = {"train": 400, "dev": 300, "test": 1000}
Made = tuple[np.ndarray, np.ndarray, np.ndarray]  # text [n, d], image [n, d], score [n], whose sign is the label


def sum_of_both(draw: np.random.Generator, count: int) -> Made:
    """linear: many columns that each tell a little, added up; whatever bends can only overfit."""
    text, image = draw.normal(size=(2, count, 40))
    return text, image, text.sum(1) + image.sum(1) + 6 * draw.normal(size=count)


def sum_of_bends(draw: np.random.Generator, count: int) -> Made:
    """late: a bent term of the text and one of the image, added; units that see both sides have nothing to find."""
    text, image = draw.normal(size=(2, count, 6))
    return text, image, (text[:, 0] * text[:, 1]) + (image[:, 0] * image[:, 1]) + 0.3 * draw.normal(size=count)


def agreement(draw: np.random.Generator, count: int) -> Made:
    """product: whether the two point the same way, over many directions at once: one product for each."""
    text, image = draw.normal(size=(2, count, 12))
    return text, image, (text * image).sum(1)


def each_column_has_a_judge(draw: np.random.Generator, count: int) -> Made:
    """gated: for each column one of the text says whether the text's is true or the image's: a gate for each."""
    text, image, listen = draw.normal(size=(3, count, 6))
    return np.c_[text, 2 * np.sign(listen)], image, np.where(listen > 0, text, image).sum(1)


def one_side_is_true(draw: np.random.Generator, count: int) -> Made:
    """attention: a column of the text tells which whole side is true, and the other one lies: one weight for all."""
    text, image = draw.normal(size=(2, count, 20))
    listen = draw.integers(0, 2, count) * 2 - 1
    return np.c_[text, 3 * listen], image, np.where(listen > 0, text.sum(1), image.sum(1))


def several_pairs(draw: np.random.Generator, count: int) -> Made:
    """combiner: a few pairs of a word and a thing, any of which is enough, beside what either says alone."""
    text, image = draw.normal(size=(2, count, 8))
    pairs = (np.maximum(text[:, :4], 0) * np.maximum(image[:, :4], 0)).sum(1)
    return text, image, 3 * (pairs - 0.6) + text[:, 4:].sum(1) + image[:, 4:].sum(1)


CENTRES = np.random.default_rng(3).normal(size=(2, 100, 3))
OF_CENTRE = np.random.default_rng(4).permutation(np.arange(100) % 2) * 2 - 1


def clusters(draw: np.random.Generator, count: int) -> Made:
    """retrieval: a hundred small kinds of meme in a narrow space, each with a label that only its likes tell."""
    kind = draw.integers(0, 100, count)
    text, image = (centre[kind] + 0.1 * draw.normal(size=(count, 3)) for centre in CENTRES)
    return text, image, OF_CENTRE[kind] + 0.0


PLANTED: dict[str, Callable[[np.random.Generator, int], Made]] = {
    "linear": sum_of_both, "late": sum_of_bends, "product": agreement,
    "gated": each_column_has_a_judge, "attention": one_side_is_true, "combiner": several_pairs, "retrieval": clusters,
}  # fmt: skip


def planted(head: str) -> tuple[Rows, Rows, Rows]:
    """Return train, dev and test of the memes that are made for a head."""
    made = [PLANTED[head](np.random.default_rng([7, number]), count) for number, count in enumerate(SIZES.values())]
    return tuple(Rows(text.astype("f"), image.astype("f"), (score > 0).astype(int)) for text, image, score in made)
