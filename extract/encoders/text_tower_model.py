"""The text tower of a CLIP or a SigLIP: word pieces in, one vector a text out."""

import importlib.util
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from extract.encoders import checkpoint
from extract.encoders.family import Located
from extract.encoders.text import architecture
from extract.encoders.text_model import refuse_unfit
from extract.errors import Refused

OLD_CLIP_EOS = 2  # in old configs, by mistake: meant is the highest word piece (transformers, pull request 24773)


class TowerModel(nn.Module):
    """A text tower and what makes one vector of its output."""

    def __init__(self, model: Any, siglip: bool, pooling: str) -> None:
        super().__init__()
        self.model, self.siglip, self.pooling = model, siglip, pooling
        projected = getattr(model.config, "projection_size" if siglip else "projection_dim")
        self.dim: int = projected if pooling == "projected" else model.config.hidden_size

    def forward(
        self, ids: Int[Tensor, "batch tokens"], mask: Int[Tensor, "batch tokens"] | None
    ) -> Float[Tensor, "batch dim"]:
        """float32 vectors. No mask: a CLIP sees nothing behind a text's end, a SigLIP must see its padding."""
        output = self.model(input_ids=ids)
        if self.siglip:
            return (output.pooler_output if self.pooling == "projected" else output.last_hidden_state[:, -1]).float()
        return (output.text_embeds if self.pooling == "projected" else output.pooler_output).float()


def read_tower(located: Located) -> tuple[TowerModel, Any]:
    """The tower, in float32 and eval mode, and its tokenizer. Raises Refused as encoders.load does."""
    import transformers

    kind, projected = architecture(located), located.pooling == "projected"
    siglip = kind.startswith("siglip")
    if (located.path / "spiece.model").exists() and importlib.util.find_spec("sentencepiece") is None:
        raise Refused(f"{located.name}: its tokenizer takes sentencepiece. Run: pip install 'memefuse[siglip]'")
    tokenizer = checkpoint.tokenizer(located)
    if siglip:
        of_class = transformers.SiglipTextModel
    else:
        of_class = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    model, missing = checkpoint.read_model(located, of_class, tower="text_config" if kind in ("clip", "siglip") else "")
    checkpoint.refuse_unsound(located, model, missing)
    tower = TowerModel(model, siglip, located.pooling).eval()
    refuse_unfit(located, tokenizer, tower)
    closing = tokenizer("a")["input_ids"][-1]
    ends = model.config.eos_token_id
    if not siglip and ends == OLD_CLIP_EOS:
        ends = max(tokenizer.get_vocab().values())
    if siglip:
        ends = tokenizer.eos_token_id
    if closing != ends:
        raise Refused(
            f"{located.name}: its tokenizer does not belong to it: it closes a text with word piece {closing}, "
            f"expected {ends}"
        )
    return tower, tokenizer
