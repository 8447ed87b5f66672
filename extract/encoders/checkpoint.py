"""Any model of transformers from its folder, and made ready for inference."""

from collections.abc import Iterator
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from extract.encoders import onednn
from extract.encoders.family import Located
from extract.encoders.weights import in_words, not_finite
from extract.errors import Refused

Module = TypeVar("Module", bound=nn.Module)
LOCAL: dict[str, Any] = {
    "local_files_only": True,
    "trust_remote_code": False,
}  # a folder's own code is not run, and nobody is asked


def read_model(located: Located, of_class: Any, tower: str = "") -> tuple[Any, set[str]]:
    """The model in float32 and eval mode, and the names of tensors that its folder lacks: those are random.

    of_class: transformers' class, or Auto class. tower: which part of a two-tower model's config is meant. Raises
    Refused where the folder cannot be loaded.
    """
    from transformers import AutoConfig, logging

    # Its load report speaks of heads that are not ours; what matters to us, callers check.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    options = dict(LOCAL)
    try:
        if tower:
            both = AutoConfig.from_pretrained(located.path, **LOCAL)
            options["config"] = getattr(both, tower)
            if hasattr(both, "projection_dim"):  # a tower's own may be another, and is not used
                options["config"].projection_dim = both.projection_dim
        # without dtype, transformers 5 takes the checkpoint's, and works out in it what no checkpoint holds
        model, report = of_class.from_pretrained(located.path, output_loading_info=True, dtype=torch.float32, **options)
    except Exception as error:
        raise _refusal(located, error) from None
    return model.float().eval(), set(report["missing_keys"])


def tokenizer(located: Located) -> Any:
    """Its folder's. Raises Refused where it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(located.path, **LOCAL)
    except Exception as error:
        raise _refusal(located, error) from None


def refuse_unsound(located: Located, model: nn.Module, missing: set[str]) -> None:
    """Weights that a checkpoint lacks are drawn at random by transformers: never use them, nor what is no number."""
    if missing:
        first = min(missing)
        raise Refused(f"{located.name}: {len(missing)} tensors are missing in {located.path}, first: {first}")
    if fault := not_finite(model.state_dict()):
        raise Refused(f"{located.name}: {fault}")


def freeze(
    model: Module, device: str, dtype: str, compile: bool, short_tables: bool = False, texts: bool = False
) -> Module:
    """Make a module whose `model` is transformers' ready for inference, in place. compile: with torch.compile.

    short_tables: round what no checkpoint holds, as the frequencies of rotary positions, to `dtype` as well.
    texts: batches come in many sizes, and a vector must not depend on them. In float32 it does not.
    """
    tables = [] if short_tables else list(_tables(model))
    model.requires_grad_(False).to(device, getattr(torch, dtype))
    for module, name, table in tables:
        setattr(module, name, table.to(device))
    if compile:
        whole: Any = model
        whole.model = torch.compile(whole.model, dynamic=True)
    elif onednn.fits(device, dtype):
        onednn.pack_linears(model, onednn.ROWS if texts and dtype == "bfloat16" else None)
    return model


def _tables(model: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """Numbers that modules work out for themselves."""
    for module in model.modules():
        for name in module._non_persistent_buffers_set:
            if (table := getattr(module, name)) is not None and table.is_floating_point():
                yield module, name, table


def _refusal(located: Located, error: Exception) -> Refused:
    """What a damaged file makes of transformers has no common kind."""
    if isinstance(error, UnpicklingError):
        return Refused(f"{located.name}: {located.path} holds more than tensors; it was not loaded")
    return Refused(f"{located.name}: transformers cannot load {located.path}: {in_words(error)}")
