"""A learning curve survives its file; it knows its own memes and vectors again."""

from dataclasses import replace

import pytest
from made_curve import LAW, curve

from experiments.results import learning
from experiments.results.records import write_record
from extract.errors import Refused


def test_a_curve_comes_back(tmp_path):
    assert learning.read_learning_curve(tmp_path) is None
    write_record(tmp_path, learning.NAME, curve(laws=[LAW, LAW.but(p=learning.NAN, refused="no fit")]))
    back = learning.read_learning_curve(tmp_path)
    assert repr(back) == repr(curve(laws=[LAW, LAW.but(p=learning.NAN, refused="no fit")]))
    (tmp_path / "learning_curve.json").write_text("{}")
    with pytest.raises(Refused, match=r"Run python -m experiments.learning_curve again, or delete it"):
        learning.read_learning_curve(tmp_path)


def test_other_memes_of_train_or_dev_and_other_vectors_are_not_its_own():
    made = curve()
    train, dev, test = made.splits
    other = [replace(each, digest="other") for each in made.splits]
    assert made.same_memes(made.splits, made.encoders)
    assert made.same_memes([train, dev, other[2]], made.encoders)  # test is no part of what it was trained on
    assert not made.same_memes([other[0], dev, test], made.encoders)
    assert not made.same_memes([train, other[1], test], made.encoders)
    again = {side: replace(each, fingerprint="other") for side, each in made.encoders.items()}
    assert not made.same_memes(made.splits, made.encoders | {"image": again["image"]})


def test_frames_have_a_row_for_each_point_and_law():
    table = curve().table
    assert len(table) == len(curve().points) == 24
    assert table.loc[(table["head"] == "early") & (table["size"] == 60), "auc_roc_mean"].tolist() == [0.81, 0.81]
    assert list(curve().laws_table["refused"]) == ["", "poor fit", "no rise"]
    assert [point.size for point in curve().of("text", "dev")] == [30, 60, 120]
