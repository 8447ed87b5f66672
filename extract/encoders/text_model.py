"""A transformers model: word pieces in, one vector a text out; to be frozen, or to go on training."""

import importlib.util
from pickle import UnpicklingError
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from extract.encoders import onednn
from extract.encoders.family import Located
from extract.encoders.weights import SPM, VOCABULARIES, in_words, not_finite
from extract.errors import Refused


class TextModel(nn.Module):
    """A transformers model and what makes one vector of its output."""

    def __init__(self, model: Any, pooling: str) -> None:
        """pooling: "cls", "mean" or "pooler"."""
        super().__init__()
        self.model = model
        self.pooling = pooling
        self.dim: int = model.config.hidden_size

    def forward(
        self, ids: Int[Tensor, "batch tokens"], mask: Int[Tensor, "batch tokens"] | None
    ) -> Float[Tensor, "batch dim"]:
        """float32 vectors. mask: 1 for word pieces, 0 for padding; None where nothing is padded."""
        output = self.model(input_ids=ids, attention_mask=mask)
        if self.pooling == "pooler":
            return output.pooler_output.float()
        if self.pooling == "cls":
            return output.last_hidden_state[:, 0].float()
        if mask is None:
            return output.last_hidden_state.float().sum(dim=1) / ids.shape[1]
        real = mask[:, :, None].bool()
        total = output.last_hidden_state.float().masked_fill(~real, 0.0).sum(dim=1)
        return total / mask.sum(dim=1, keepdim=True).clamp(min=1)  # the mean of no word pieces is zero


def freeze(model: TextModel, device: str, dtype: str, compile: bool) -> TextModel:
    """Make a model ready for inference, in place. compile: with torch.compile."""
    model.requires_grad_(False).to(device, getattr(torch, dtype))
    if compile:
        model.model = torch.compile(model.model, dynamic=True)
    elif onednn.fits(device, dtype):
        onednn.pack_linears(model)
    return model


def read(located: Located) -> tuple[TextModel, Any]:
    """Model, in float32 and eval mode, and tokenizer from their folder. Raises Refused as encoders.load does."""
    from transformers import AutoModel, AutoTokenizer, logging

    # Its load report speaks of heads that are not ours; what matters to us is checked below.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    alone = VOCABULARIES.isdisjoint(path.name for path in located.path.iterdir())  # then it has spm.model
    if alone and importlib.util.find_spec("sentencepiece") is None:
        raise Refused(
            f"{located.name}: its tokenizer is {SPM} alone, which takes sentencepiece, not installed here. "
            "Run: pip install sentencepiece protobuf"
        )
    try:
        # Code that a folder brings along is not run, and nobody is asked whether it should be.
        local = {"local_files_only": True, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(located.path, **local)
        model, report = AutoModel.from_pretrained(located.path, output_loading_info=True, **local)
    except UnpicklingError:
        raise Refused(f"{located.name}: {located.path} holds more than tensors; it was not loaded") from None
    except Exception as error:  # what a damaged file makes of transformers has no common kind
        raise Refused(f"{located.name}: transformers cannot load {located.path}: {in_words(error)}") from None
    if model.config.is_encoder_decoder:
        raise Refused(f"{located.name} is an encoder-decoder ({model.config.model_type}); take one that only encodes")
    _refuse_untrained(located, model, set(report["missing_keys"]))
    if fault := not_finite(model.state_dict()):
        raise Refused(f"{located.name}: {fault}")
    if located.pooling == "cls" and not _opens_with_cls(tokenizer):
        raise Refused(f"{located.name}: its tokenizer puts no [CLS] token first. Take {located.name}:mean")
    pieces, embedded = 1 + max(tokenizer.get_vocab().values()), model.get_input_embeddings().num_embeddings
    if pieces > embedded:
        raise Refused(f"{located.name}: its tokenizer has {pieces:,} word pieces, its model vectors for {embedded:,}")
    try:
        text_model = TextModel(model.float(), located.pooling).eval()
        with torch.inference_mode():
            ids = torch.tensor([tokenizer("a", truncation=False, padding=False)["input_ids"] or [0]])
            text_model(ids, torch.ones_like(ids))
    except Exception as error:  # settings that fit the weights, but not each other
        raise Refused(f"{located.name}: it cannot encode a text: {in_words(error)}") from None
    return text_model, tokenizer


def _refuse_untrained(located: Located, model: Any, missing: set[str]) -> None:
    """Weights that a checkpoint lacks are drawn at random by transformers: never use them."""
    pooler = {key for key in missing if key.startswith("pooler.")}
    if located.pooling == "pooler":
        if pooler or getattr(model, "pooler", None) is None:
            raise Refused(f"{located.name} has no trained pooler. Take {located.name} (:cls) or {located.name}:mean")
    elif hasattr(model, "pooler"):
        model.pooler = None  # not asked for
    if untrained := sorted(missing - pooler):
        raise Refused(f"{located.name}: {len(untrained)} tensors are missing in {located.path}, first: {untrained[0]}")


def _opens_with_cls(tokenizer: Any) -> bool:
    first = tokenizer("a")["input_ids"][:1]
    return tokenizer.cls_token_id is not None and first == [tokenizer.cls_token_id]
