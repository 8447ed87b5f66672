"""What a published file says of itself, and vectors on disk that are indexed as arrays are."""

import json

import numpy as np
import pytest
from made_features import make

from extract import store


def test_an_encoders_identity_goes_through_json_and_is_read_from_older_files():
    encoder = make(["a"]).identity
    told = json.loads(json.dumps(encoder.to_json()))
    assert store.EncoderIdentity.from_json("text", told) == encoder
    del told["kind"]
    assert store.EncoderIdentity.from_json("text", told) == encoder
    assert store.EncoderIdentity.from_json("image", told | {"of another version": 1}).kind == "image"


def test_a_row_that_is_not_there_is_an_error(tmp_path):
    store.publish(tmp_path / "train.h5", make(list("abcde")), 2)
    vector = store.read(tmp_path / "train.h5").vector
    for wrong in (5, -6, np.array([0, 5])):
        with pytest.raises(IndexError, match="of 5"):
            vector[wrong]
    np.testing.assert_array_equal(vector[np.arange(5) % 2 == 0, 1], np.asarray(vector)[::2, 1])
