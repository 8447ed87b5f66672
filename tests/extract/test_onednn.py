"""oneDNN's layers give what PyTorch's own give, and for a row the same bits beside any others."""

import pytest
import torch
from torch import nn

from extract.encoders import onednn


@pytest.mark.parametrize("shape", [(3, 24), (2, 5, 24), (8, 24), (20, 24)])
def test_rows_in_pieces_are_a_linear_layer_s(shape):
    torch.manual_seed(0)
    linear = nn.Linear(24, 40)
    x = torch.randn(shape)
    with torch.inference_mode():
        torch.testing.assert_close(onednn.PackedLinear(linear, rows=8)(x), linear(x))
        torch.testing.assert_close(onednn.PackedLinear(linear)(x), linear(x))


def test_a_row_s_bits_do_not_depend_on_how_many_there_are():
    if not onednn.fits("cpu", "bfloat16"):
        pytest.skip("no bfloat16 products on this processor")
    torch.manual_seed(0)
    x = torch.randn(1024, 768, dtype=torch.bfloat16)
    for inputs, outputs in ((768, 768), (768, 3072)):  # of BERT-base; of 40 to 750 rows oneDNN rounds otherwise
        layer = onednn.PackedLinear(nn.Linear(inputs, outputs).bfloat16(), onednn.ROWS)
        with torch.inference_mode():
            whole = layer(x)
            for rows in (1, 48, 136, 512, 720):
                assert torch.equal(layer(x[:rows]), whole[:rows])
            assert torch.equal(layer(x.repeat(3, 1)), whole.repeat(3, 1))
