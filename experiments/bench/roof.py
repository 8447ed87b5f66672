"""Floating-point operations of training a head, and how many a second this machine's products reach."""

import time
from collections.abc import Sequence

import torch

from heads.settings import HeadSettings

ROOF_SECONDS = 0.5  # of products, per figure


def widths(head: str, text_dim: int, image_dim: int) -> list[int]:
    """Inputs of each MLP of a head."""
    both = [text_dim, image_dim]
    return {"text": both[:1], "image": both[1:], "early": [sum(both)], "late": both}[head]


def training_flops(
    head: str, dims: tuple[int, int], runs: Sequence[HeadSettings], epochs: Sequence[int], rows: int
) -> float:
    """Operations (a multiplication or an addition each) in the matrix products of training, forward and backward.

    A layer costs 2 * rows * in * out forward, as much for its weights' gradient, and as much again for its inputs'
    gradient, which the first layer does not need. Scoring dev, dropout and AdamW are not counted.
    """
    total = 0.0
    for run, trained in zip(runs, epochs, strict=True):
        steps = -(-rows // run.batch_size)
        passes = -(-run.min_steps // steps)
        hidden = (run.depth - 1) * run.hidden**2 + run.hidden
        for width in widths(head, *dims):
            total += trained * passes * rows * (4 * width * run.hidden + 6 * hidden)
    return total


def gemm(runs: int, batch: int, inputs: int, out: int, dtype: torch.dtype, device: str) -> float:
    """TFLOP/s of a stack's linear layer, its forward product and its weights' gradient, a batch of memes per run."""
    shapes = (runs, batch, inputs), (runs, inputs, out), (runs, batch, out)
    vec, weight, grad = (torch.randn(shape, device=device).to(dtype) for shape in shapes)

    def products() -> None:
        torch.bmm(vec, weight)
        torch.bmm(vec.transpose(1, 2), grad)
        if device == "cuda":
            torch.cuda.synchronize()

    products()  # the first prepares
    count, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < ROOF_SECONDS:
        products()
        count += 1
    return count * 4 * runs * batch * inputs * out / seconds / 1e12
