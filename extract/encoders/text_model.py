"""A transformers model: word pieces in, one vector a text out; to be frozen, or to go on training."""

import importlib.util
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from extract.encoders import checkpoint
from extract.encoders.family import Located
from extract.encoders.sentence import recipe_of
from extract.encoders.weights import SPM, VOCABULARIES, in_words
from extract.errors import Refused


class TextModel(nn.Module):
    """A transformers model and what makes one vector of its output."""

    def __init__(self, model: Any, pooling: str, unit: bool = False) -> None:
        """pooling: "cls", "mean", "pooler" or "last". unit: vectors of length 1."""
        super().__init__()
        self.model, self.pooling, self.unit = model, pooling, unit
        self.dim: int = model.config.hidden_size

    def forward(
        self, ids: Int[Tensor, "batch tokens"], mask: Int[Tensor, "batch tokens"] | None
    ) -> Float[Tensor, "batch dim"]:
        """float32 vectors. mask: 1 for word pieces, 0 for padding; None where nothing is padded."""
        vectors = self._pooled(self.model(input_ids=ids, attention_mask=mask), mask)
        return nn.functional.normalize(vectors, dim=1) if self.unit else vectors

    def _pooled(self, output: Any, mask: Int[Tensor, "batch tokens"] | None) -> Float[Tensor, "batch dim"]:
        if self.pooling == "pooler":
            return output.pooler_output.float()
        if self.pooling == "cls":
            return output.last_hidden_state[:, 0].float()
        pieces = output.last_hidden_state.float()
        if mask is None:
            return pieces[:, -1] if self.pooling == "last" else pieces.sum(dim=1) / pieces.shape[1]
        pieces = pieces.masked_fill(~mask[:, :, None].bool(), 0.0)
        if self.pooling == "last":
            last = (mask.sum(dim=1) - 1).clamp(min=0)  # of no word pieces, zero
            return pieces[torch.arange(len(last), device=last.device), last]
        return pieces.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)  # the mean of no word pieces is zero


def read_text_model(located: Located) -> tuple[TextModel, Any]:
    """Model, in float32 and eval mode, and tokenizer from their folder. Raises Refused as encoders.load does."""
    from transformers import AutoModel

    alone = VOCABULARIES.isdisjoint(path.name for path in located.path.iterdir())  # then it has spm.model
    if alone and importlib.util.find_spec("sentencepiece") is None:
        raise Refused(
            f"{located.name}: its tokenizer is {SPM} alone, which takes sentencepiece, not installed here. "
            "Run: pip install sentencepiece protobuf"
        )
    tokenizer = checkpoint.tokenizer(located)
    model, missing = checkpoint.read_model(located, AutoModel)
    if model.config.is_encoder_decoder:
        raise Refused(f"{located.name} is an encoder-decoder ({model.config.model_type}); take one that only encodes")
    _refuse_untrained(located, model, missing)
    if located.pooling == "cls" and not _opens_with_cls(tokenizer):
        raise Refused(f"{located.name}: its tokenizer puts no [CLS] token first. Take {located.name}:mean")
    recipe = recipe_of(located)
    text_model = TextModel(model, recipe.pooling or located.pooling, recipe.unit).eval()
    refuse_unfit(located, tokenizer, text_model)
    return text_model, tokenizer


def refuse_unfit(located: Located, tokenizer: Any, text_model: Any) -> None:
    """Raise Refused for a tokenizer of more word pieces than the model knows, and for a model that encodes no text."""
    pieces = 1 + max(tokenizer.get_vocab().values())
    embedded = text_model.model.get_input_embeddings().num_embeddings
    if pieces > embedded:
        raise Refused(f"{located.name}: its tokenizer has {pieces:,} word pieces, its model vectors for {embedded:,}")
    try:
        with torch.inference_mode():
            ids = torch.tensor([tokenizer("a", truncation=False, padding=False)["input_ids"] or [0]])
            text_model(ids, torch.ones_like(ids))
    except Exception as error:  # settings that fit the weights, but not each other
        raise Refused(f"{located.name}: it cannot encode a text: {in_words(error)}") from None


def _refuse_untrained(located: Located, model: Any, missing: set[str]) -> None:
    """Weights that a checkpoint lacks are drawn at random by transformers: never use them."""
    pooler = {key for key in missing if key.startswith("pooler.")}
    if located.pooling == "pooler":
        if pooler or getattr(model, "pooler", None) is None:
            raise Refused(f"{located.name} has no trained pooler. Take {located.name} (:cls) or {located.name}:mean")
    elif hasattr(model, "pooler"):
        model.pooler = None  # not asked for
    checkpoint.refuse_unsound(located, model, missing - pooler)


def _opens_with_cls(tokenizer: Any) -> bool:
    first = tokenizer("a")["input_ids"][:1]
    return tokenizer.cls_token_id is not None and first == [tokenizer.cls_token_id]
