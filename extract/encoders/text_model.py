"""A transformers model: word pieces in, one vector a text out. Frozen it is an encoder; else it can go on training."""

from pickle import UnpicklingError
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from torch import Tensor, nn

from extract.encoders import onednn
from extract.encoders.catalogue import Located
from extract.encoders.fetch import in_words
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


class TextEncoder:
    """A text encoder in memory.

    A text's vector does not depend on the texts that share its batch, to the last bit; on another padded length only by
    rounding.
    """

    def __init__(self, located: Located, model: TextModel, tokenizer: Any, *, max_tokens: int) -> None:
        self.located = located
        self.max_tokens = max_tokens  # word pieces, specials included
        self.device: torch.device = next(model.parameters()).device
        self.dtype: torch.dtype = next(model.parameters()).dtype
        self.dim = model.dim
        self._model = model
        self._tokenizer = tokenizer
        self._closing = _closing_specials(tokenizer)
        self._pad_id = tokenizer.pad_token_id or 0  # masked out: any id does

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """Word pieces with specials, not truncated."""
        if not texts:
            return []
        # A tokenizer file may ask for truncation and padding of its own; these arguments switch both off.
        found = self._tokenizer(
            texts,
            truncation=False,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return found["input_ids"]

    @torch.inference_mode()
    def encode(self, token_ids: list[list[int]], pad_to: int | None = None) -> Float[Tensor, "batch dim"]:
        """Vectors on the encoder's device. Texts beyond max_tokens are cut; their closing specials stay.

        token_ids: as from `tokenize`.
        pad_to: word pieces to pad the batch to; its longest text by default. Raises ValueError if it is less.
        """
        cut = [self._cut(ids) for ids in token_ids]
        longest = max((len(ids) for ids in cut), default=0)
        length = max(longest, 1) if pad_to is None else pad_to
        if longest > length:
            raise ValueError(f"pad_to is {length}, but a text has {longest} word pieces")
        ids = torch.tensor([row + [self._pad_id] * (length - len(row)) for row in cut])
        mask = torch.arange(length) < torch.tensor([len(row) for row in cut])[:, None]
        return self._model(self._on_device(ids), self._on_device(mask.long()))

    def _cut(self, ids: list[int]) -> list[int]:
        if len(ids) <= self.max_tokens:
            return ids
        return ids[: self.max_tokens - self._closing] + ids[len(ids) - self._closing :]

    def _on_device(self, batch: Int[Tensor, "batch tokens"]) -> Int[Tensor, "batch tokens"]:
        return batch.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else batch


def load(located: Located, *, device: str, dtype: str, max_tokens: int, compile: bool) -> TextEncoder:
    """Freeze a model for inference. Raises Refused as text_encoders.load does."""
    text, tokenizer = read(located)
    text.requires_grad_(False).to(device, getattr(torch, dtype))
    if compile:
        text.model = torch.compile(text.model, dynamic=True)
    elif onednn.fits(device, dtype):
        onednn.pack_linears(text)
    return TextEncoder(located, text, tokenizer, max_tokens=max_tokens)


def read(located: Located) -> tuple[TextModel, Any]:
    """Model, in float32 and eval mode, and tokenizer from their folder. Raises Refused as text_encoders.load does."""
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


def _closing_specials(tokenizer: Any) -> int:
    """Specials at a text's end, as [SEP]."""
    mask = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
    return next((count for count, special in enumerate(reversed(mask)) if not special), len(mask))
