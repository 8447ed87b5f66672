"""The text towers of CLIP and SigLIP. Importing this takes no torch; loading does."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from extract.encoders.family import Located
from extract.encoders.sentence import Recipe
from extract.encoders.text import TransformersText, architecture
from extract.encoders.weights import read_json

if TYPE_CHECKING:
    from extract.encoders.text_tower_model import TowerModel

POSITIONS = {"clip": 77, "clip_text_model": 77, "siglip": 64, "siglip_text_model": 64}  # unless config.json says others
PADDED = ("siglip", "siglip_text_model")  # to all their positions, unmasked: their last position is the vector
# Trained on lower case. Punctuation is left to the tokenizer: SigLIP's takes it off, SigLIP 2's keeps it.
LOWER = Recipe(lower=True)


class TextTower(TransformersText):
    """A two-tower model's texts: one vector a text, before or after the projection into the space shared with images.

    However many word pieces are asked for, a tower reads no more than its few positions.
    """

    # CLIP: at the text's end; SigLIP: at the last position; or their projection into the shared space
    poolings: ClassVar[dict[str, tuple[str, ...]]] = {"text": ("pooled", "projected")}
    forms: ClassVar[tuple[str, ...]] = ("text-tower",)

    @classmethod
    def form(cls, kind: str, path: Path) -> str:
        return "text-tower" if read_json(path / "config.json").get("model_type") in POSITIONS else ""

    @classmethod
    def settings(cls, located: Located, *, dtype: str, max_tokens: int) -> dict[str, str | int]:
        settings = located.settings(dtype, max_tokens=min(max_tokens, positions(located)))
        return settings | ({"case": "lower"} if architecture(located) in PADDED else {})

    @classmethod
    def load(cls, located: Located, *, device: str, dtype: str, max_tokens: int, compile: bool = False) -> "TextTower":
        """Raises Refused if the checkpoint lacks weights that the asked-for vector needs."""
        from extract.encoders import checkpoint, text_tower_model

        model, tokenizer = text_tower_model.read_tower(located)
        frozen = checkpoint.freeze(model, device, dtype, compile, texts=True)
        longest = positions(located)
        padded: dict[str, Any] = {"recipe": LOWER, "padded": longest} if architecture(located) in PADDED else {}
        return cls(located, frozen, tokenizer, max_tokens=min(max_tokens, longest), **padded)

    @classmethod
    def unfrozen(cls, located: Located) -> "TowerModel":
        from extract.encoders import text_tower_model

        return text_tower_model.read_tower(located)[0]


def positions(located: Located) -> int:
    """Word pieces that the tower reads, specials included."""
    config = read_json(located.path / "config.json")
    own = config.get("text_config") or config
    return own.get("max_position_embeddings", POSITIONS[architecture(located)])
