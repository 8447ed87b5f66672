"""Scores of memes, drawn: with ties, or with families of memes that share their luck."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays


@st.composite
def tied_scores(draw, runs: int = 1, min_size: int = 4, max_size: int = 40, least: int = 1):
    """Scores of a few values (so ties abound) for memes of both classes. least: memes of either class."""
    count = draw(st.integers(min_size, max_size))
    ones = draw(st.integers(least, count - least))
    positive = np.array(draw(st.permutations([True] * ones + [False] * (count - ones))))
    scores = draw(arrays(np.int8, (runs, count), elements=st.integers(-3, 3)))
    return scores / 2.0, positive


def draw_memes(generator, memes: int, apart: float, siblings: int = 1, shared: float = 0.0):
    """Scores that lie `apart` by class; `siblings` memes in a row share their label and a part of their score."""
    families = memes // siblings
    label = np.repeat(generator.random(families) < 0.5, siblings)
    common = np.repeat(generator.normal(size=families), siblings)
    noise = np.sqrt(shared) * common + np.sqrt(1 - shared) * generator.normal(size=memes)
    return label * apart + noise, label, np.repeat(np.arange(families), siblings)
