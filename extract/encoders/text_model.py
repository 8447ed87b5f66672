"""A transformers model: word pieces in, one vector a text out; to be frozen, or to go on training."""

from pickle import UnpicklingError
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from torch import Tensor, nn

from extract.encoders import onednn
from extract.encoders.family import Located
from extract.encoders.weights import in_words
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
        self, ids: Int[Tensor, "batch tokens"], mask: Int[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch dim"]:
        """float32 vectors. mask: 1 for word pieces, 0 for padding."""
        output = self.model(input_ids=ids, attention_mask=mask)
        if self.pooling == "pooler":
            return output.pooler_output.float()
        if self.pooling == "cls":
            return output.last_hidden_state[:, 0].float()
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
    try:
        # Code that a folder brings along is not run, and nobody is asked whether it should be.
        local = {"local_files_only": True, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(located.path, **local)
        model, report = AutoModel.from_pretrained(located.path, output_loading_info=True, **local)
    except UnpicklingError:
        raise Refused(f"{located.name}: {located.path} holds more than tensors; it was not loaded") from None
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise Refused(f"{located.name}: transformers cannot load {located.path}: {in_words(error)}") from None
    if model.config.is_encoder_decoder:
        raise Refused(f"{located.name} is an encoder-decoder ({model.config.model_type}); take one that only encodes")
    _refuse_untrained(located, model, set(report["missing_keys"]))
    if located.pooling == "cls" and not _opens_with_cls(tokenizer):
        raise Refused(f"{located.name}: its tokenizer puts no [CLS] token first. Take {located.name}:mean")
    return TextModel(model.float(), located.pooling).eval(), tokenizer


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
