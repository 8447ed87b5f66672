"""Text encoders: what changes their numbers, told without loading them, and the ways to load them."""

from typing import TYPE_CHECKING

from extract.encoders.catalogue import Located
from extract.encoders.weights import read_json
from extract.errors import Refused

if TYPE_CHECKING:
    import extract.encoders.text_model

# These count positions from pad_token_id + 1: 514 of them hold 512 word pieces.
OFFSET_POSITIONS = {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "data2vec-text", "longformer"}


def settings(located: Located, *, dtype: str, max_tokens: int) -> dict[str, str | int]:
    """All that changes a vector, for a fingerprint. Needs no torch.

    max_tokens: word pieces a text, specials included.
    Raises Refused if the model has not as many positions.
    """
    limit = position_limit(located)
    if limit and max_tokens > limit:
        raise Refused(f"--max-tokens is {max_tokens}, but {located.name} reads at most {limit} word pieces")
    return {
        "weights": located.weights,
        "family": located.family,
        "pooling": located.pooling,
        "max_tokens": max_tokens,
        "precision": dtype,
    }


def position_limit(located: Located) -> int | None:
    """Word pieces that the model has positions for, specials included; None if its positions are relative."""
    config = read_json(located.path / "config.json")
    positions = config.get("max_position_embeddings") or config.get("n_positions")
    if not isinstance(positions, int) or positions < 1:
        return None
    return positions - config.get("pad_token_id", 1) - 1 if config["model_type"] in OFFSET_POSITIONS else positions


def architecture(located: Located) -> str:
    """What transformers calls it: "bert", "mpnet", ... Needs no torch."""
    return str(read_json(located.path / "config.json").get("model_type", ""))


def load(
    located: Located, *, device: str, dtype: str, max_tokens: int, compile: bool = False
) -> "extract.encoders.text_model.TextEncoder":
    """Load a located encoder. compile: with torch.compile, slower to start.

    Raises Refused if the checkpoint lacks weights that the asked-for vector needs.
    """
    settings(located, dtype=dtype, max_tokens=max_tokens)
    from extract.encoders import text_model

    return text_model.load(located, device=device, dtype=dtype, max_tokens=max_tokens, compile=compile)


def unfrozen(located: Located) -> "extract.encoders.text_model.TextModel":
    """The same model as `load` has, to go on training: in float32 on the CPU, and in eval mode as loaded.

    Raises Refused as `load` does.
    """
    from extract.encoders import text_model

    return text_model.read(located)[0]
