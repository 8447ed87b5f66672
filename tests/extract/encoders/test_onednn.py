"""oneDNN's layers give what PyTorch's own give, and for a row the same bits beside any others."""

import pytest
import torch
from torch import nn
from transformers import SiglipVisionConfig, SiglipVisionModel
from transformers.activations import GELUTanh, QuickGELUActivation

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("activation", ["gelu_pytorch_tanh", "quick_gelu"])
def test_a_siglip_s_layers_give_what_transformers_own_give(dtype, activation):
    if not onednn.fits("cpu", str(dtype).removeprefix("torch.")):
        pytest.skip("no such products on this processor")
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    config = SiglipVisionConfig(image_size=32, patch_size=8, hidden_act=activation, **sizes)
    torch.manual_seed(0)
    model = SiglipVisionModel(config).eval().requires_grad_(False)
    with torch.inference_mode():
        pixels = torch.randn(3, 3, 32, 32)
        expected = model(pixel_values=pixels).pooler_output
        onednn.pack_linears(model.to(dtype))
        found = model(pixel_values=pixels.to(dtype)).pooler_output.float()
    kinds = {type(module) for module in model.modules()}
    assert kinds.isdisjoint({nn.Linear, nn.MultiheadAttention, GELUTanh, QuickGELUActivation})
    tolerance = 1e-5 if dtype == torch.float32 else 0.03
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def test_the_gelu_that_is_not_by_tanh_stays_apart():
    sizes = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 96}
    config = SiglipVisionConfig(image_size=32, patch_size=8, hidden_act="gelu", **sizes)
    model = SiglipVisionModel(config).eval().requires_grad_(False)
    with torch.inference_mode():
        expected = model(pixel_values=torch.ones(1, 3, 32, 32)).pooler_output
        onednn.pack_linears(model)
        torch.testing.assert_close(model(pixel_values=torch.ones(1, 3, 32, 32)).pooler_output, expected)
