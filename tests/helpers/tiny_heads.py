"""Heads of a few numbers, and vectors for them."""

import torch

from heads.models import HEADS

TEXT, IMAGE, HIDDEN = 3, 5, 4


def head(name, runs=2, depth=1):
    return HEADS[name](TEXT, IMAGE, HIDDEN, depth, [torch.Generator().manual_seed(run) for run in range(runs)])


def vectors(batch=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, TEXT, generator=generator), torch.randn(batch, IMAGE, generator=generator)
