"""What the stages are measured against is what it says it is."""

import pytest
import torch
from torch import nn

from experiments.bench import alternatives
from experiments.options import DEFAULT_HEADS, head_names
from heads.models import HEADS
from heads.settings import HeadSettings

COMPARED = head_names(DEFAULT_HEADS)


@pytest.mark.parametrize("head", COMPARED)
def test_the_plain_head_is_our_head(head):
    settings = HeadSettings(hidden=5, depth=2)
    ours = HEADS[head](3, 4, 5, 2, [torch.Generator().manual_seed(0)])
    plain = alternatives.PlainHead(head, 3, 4, vars(settings)).eval()
    linear = [layer for branch in plain.branches for layer in branch if isinstance(layer, nn.Linear)]
    stacks = [module for module in (getattr(ours, name, None) for name in ("text", "image", "both")) if module]
    parts = [part for each in stacks for part in zip(each.weights, each.biases, strict=True)]
    for layer, (weight, bias) in zip(linear, parts, strict=True):
        layer.weight.data, layer.bias.data = weight.data[0].T, bias.data[0]
    text, image = torch.randn(6, 3), torch.randn(6, 4)
    seen = HEADS[head].seen(text, image)
    torch.testing.assert_close(plain(text, image), ours(*seen)[0])


def test_the_plain_way_honours_every_setting():
    """`patience` and `max_epochs` by the number of epochs that it is told to train."""
    honoured = "hidden depth dropout learning_rate weight_decay batch_size min_steps averaging max_epochs patience"
    for head in COMPARED:
        assert set(HEADS[head].described(HeadSettings())) == {*honoured.split(), "balance", "seed"}
