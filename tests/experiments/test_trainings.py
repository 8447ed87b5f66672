"""What a training came to is kept whole, in its order, or trained again."""

import numpy as np
import pytest

from experiments.results import trainings

ARRAYS = {"test/text": np.array([[1.5, np.inf]], np.float32), "dev/a": np.zeros((2, 0), np.float32)}


def test_what_is_kept_comes_back_in_its_order(tmp_path):
    assert trainings.kept(tmp_path, "one") is None
    trainings.keep(tmp_path, "one", ARRAYS, {"seconds": 1.5})
    arrays, about = trainings.kept(tmp_path, "one")
    assert (list(arrays), about) == (list(ARRAYS), {"seconds": 1.5})
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


@pytest.mark.parametrize("left", [0, 7, 100, -1])
def test_a_cut_file_counts_for_nothing(tmp_path, left):
    trainings.keep(tmp_path, "one", ARRAYS, {})
    path = tmp_path / trainings.FOLDER / "one.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    assert trainings.kept(tmp_path, "one") is None


def test_what_is_not_named_is_forgotten(tmp_path):
    for name in ("one", "two"):
        trainings.keep(tmp_path, name, ARRAYS, {})
    trainings.forget(tmp_path, ["two"])
    assert [path.stem for path in (tmp_path / trainings.FOLDER).iterdir()] == ["two"]


def test_a_name_is_of_all_that_decides():
    assert trainings.key({"a": 1, "b": 2}) == trainings.key({"b": 2, "a": 1}) != trainings.key({"a": 1, "b": 3})
