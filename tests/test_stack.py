"""How much each row counts in each run."""

from dataclasses import replace

import torch
from drawn import QUICK

from heads.stack import balance_weights


def test_balance_weights():
    label = torch.tensor([1] * 3 + [0] * 12)
    runs = [replace(QUICK, balance=balance) for balance in ("none", "pos_weight", "undersample")]
    generators = [torch.Generator().manual_seed(0) for _ in runs]
    first, second = (balance_weights(runs, label, generators) for _ in range(2))
    assert first[0].tolist() == [1] * 15
    assert first[1].tolist() == [4] * 3 + [1] * 12
    assert first[2, :3].tolist() == [1] * 3
    assert sorted(first[2, 3:].tolist()) == [0] * 9 + [1] * 3
    assert not torch.equal(first[2], second[2])  # drawn anew each epoch
    assert balance_weights(runs[:1], label, generators[:1]) is None
    mirrored = balance_weights(runs[2:], 1 - label, generators[:1])
    assert (mirrored[0, :3].tolist(), mirrored[0, 3:].sum()) == ([1] * 3, 3)
