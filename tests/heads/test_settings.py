"""Settings refuse all faults at once."""

import pytest

from heads.settings import HeadSettings


def test_every_fault_is_named_at_once():
    with pytest.raises(ValueError, match=r".*") as caught:
        HeadSettings(
            hidden=0, depth=-1, dropout=1.0, learning_rate=0.0, weight_decay=-2.0, averaging=1.0, balance="both"
        )
    assert str(caught.value) == (
        "hidden must be at least 1, not 0; depth must be at least 1, not -1; "
        "dropout must be at least 0 and below 1, not 1.0; averaging must be at least 0 and below 1, not 1.0; "
        "learning_rate must be above 0, not 0.0; weight_decay must be at least 0, not -2.0; "
        "balance must be one of none, pos_weight, undersample, not both"
    )


@pytest.mark.parametrize("field", ["learning_rate", "weight_decay", "dropout", "averaging"])
def test_nan_is_no_setting(field):
    with pytest.raises(ValueError, match=f"^{field} must be .*, not nan$"):
        HeadSettings(**{field: float("nan")})


def test_runs_share_a_stack_unless_their_products_or_batches_differ():
    plain = HeadSettings()
    for same in ({"seed": 3}, {"dropout": 0.1}, {"learning_rate": 1.0}, {"weight_decay": 0.0}, {"patience": 1}):
        assert HeadSettings(**same).shape == plain.shape
    for other in ({"hidden": 7}, {"depth": 3}, {"batch_size": 9}, {"averaging": 0.5}, {"min_steps": 2}):
        assert HeadSettings(**other).shape != plain.shape
