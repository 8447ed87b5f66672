"""What training gives back: logits of any rows, and a state that carries all of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn import DEV, QUICK, TEST, TRAIN, memes, seeds, state_bytes
from safetensors.torch import load

from heads.models import HEADS
from heads.train import Fitted, Rows, fit


@pytest.mark.parametrize("head", HEADS)
def test_state_round_trip(head):
    runs = [QUICK, replace(QUICK, hidden=5, seed=1), replace(QUICK, depth=2), replace(QUICK, seed=2)]
    runs = [replace(run, max_epochs=2) for run in runs]
    fitted = fit(head, TRAIN, DEV, runs)
    again = Fitted.from_state(head, runs, load(state_bytes(fitted)))
    assert torch.equal(again.logits(TEST), fitted.logits(TEST))
    assert state_bytes(again) == state_bytes(fitted)
    assert (again.head, again.runs) == (head, runs)


@pytest.mark.parametrize(("head", "deaf_to"), [("text", "image_vec"), ("image", "text_vec")])
def test_a_unimodal_head_neither_learns_nor_answers_from_the_other_vector(head, deaf_to):
    garbled = [replace(rows, **{deaf_to: np.full((len(rows), 2), np.nan, np.float32)}) for rows in (TRAIN, DEV, TEST)]
    fitted = fit(head, TRAIN, DEV, [QUICK])
    deaf = fit(head, *garbled[:2], [QUICK])
    assert state_bytes(deaf) == state_bytes(fitted)
    assert torch.equal(deaf.logits(garbled[2]), fitted.logits(TEST))


@pytest.mark.parametrize("head", HEADS)
def test_permuting_memes_permutes_logits(head):
    fitted = fit(head, TRAIN, DEV, seeds(replace(QUICK, max_epochs=2), 2))
    order = np.random.default_rng(0).permutation(len(TEST))
    shuffled = Rows(TEST.text_vec[order], TEST.image_vec[order], TEST.label[order])
    torch.testing.assert_close(fitted.logits(shuffled), fitted.logits(TEST)[:, order], atol=1e-5, rtol=1e-5)


def test_vectors_of_another_width_are_refused():
    fitted = fit("late", TRAIN, DEV, [replace(QUICK, max_epochs=1)])
    with pytest.raises(ValueError, match=r"^image vectors have 8 columns; the head was trained on 9$"):
        fitted.logits(memes(5, dims=(6, 8)))
