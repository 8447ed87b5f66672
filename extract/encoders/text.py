"""Text encoders of transformers: BERT and its kin. Importing this takes no torch; loading does."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from extract.encoders import sentence
from extract.encoders.family import Foreign, Incomplete, Located
from extract.encoders.sentence import PLAIN, Recipe
from extract.encoders.vision_formats import ARCHITECTURES, TWO_TOWERS
from extract.encoders.weights import RECIPE, SPM, TOKENIZER, TOKENIZER_SETTINGS, VOCABULARIES, read_json, weights_of
from extract.errors import Refused

if TYPE_CHECKING:
    from torch import Tensor

    from extract.encoders.text_model import TextModel
    from extract.encoders.text_tower_model import TowerModel

LENGTH_STEP = 8  # word pieces: texts are padded to a multiple of this
# These count positions from pad_token_id + 1: 514 of them hold 512 word pieces.
OFFSET_POSITIONS = {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "data2vec-text", "longformer"}


class TransformersText:
    """A transformers model and its tokenizer: one vector a text.

    On a CPU a text's vector does not depend on the texts that share its batch, to the last bit; on another padded
    length only by rounding. So texts are padded to a length that depends on themselves alone. On a GPU kernels are
    chosen by shape, and others where there is a mask: there only texts of one exact length share a batch, without a
    mask, and `Batches` gives every batch of a length one size. Another --batch-size, or one that was halved for memory,
    rounds otherwise.
    """

    # the first token, the mean over tokens, the model's own pooler, the last token, what sentence-transformers would do
    poolings: ClassVar[dict[str, tuple[str, ...]]] = {"text": ("cls", "mean", "pooler", "last", "sentence")}
    forms: ClassVar[tuple[str, ...]] = ("transformers",)

    def __init__(
        self,
        located: Located,
        model: "TextModel | TowerModel",
        tokenizer: Any,
        *,
        max_tokens: int,
        recipe: Recipe = PLAIN,
        padded: int = 0,
    ) -> None:
        """padded: word pieces that every text is padded to; 0: to a length of its own."""
        self.located = located
        self.max_tokens = max_tokens  # word pieces, specials included
        self.longest = padded or max_tokens
        self._recipe, self._padded = recipe, padded
        parameter = next(model.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        self.dim = model.dim
        self.row_by_row: bool | None = self.device.type == "cpu"
        self._length_step = LENGTH_STEP if self.device.type == "cpu" else 1
        self._model = model
        self._tokenizer = tokenizer
        self._closing = _closing_specials(tokenizer)
        self._pad_id = tokenizer.pad_token_id or 0  # masked out: any id does

    @classmethod
    def form(cls, kind: str, path: Path) -> str:
        return "transformers" if read_json(path / "config.json") else ""

    @classmethod
    def files(cls, kind: str, folder: Path) -> list[Path]:
        config = read_json(folder / "config.json")
        if config.get("model_type") in {"resnet", *ARCHITECTURES} - {*TWO_TOWERS} or (folder / RECIPE).exists():
            raise Foreign("holds an image encoder")
        if not config:
            raise Incomplete("has no config.json")
        if not isinstance(config.get("model_type"), str):
            raise Incomplete("has a config.json that names no model_type")
        tokenizer = [folder / name for name in TOKENIZER if (folder / name).exists()]
        for path in tokenizer:
            if path.name in TOKENIZER_SETTINGS:
                read_json(path)
        if VOCABULARIES.isdisjoint(path.name for path in tokenizer):
            if not (folder / SPM).exists():
                raise Incomplete("has no tokenizer (tokenizer.json or a vocabulary)")
            tokenizer.append(folder / SPM)
        return [folder / "config.json", *tokenizer, *weights_of(folder)]

    @classmethod
    def settings(cls, located: Located, *, dtype: str, max_tokens: int) -> dict[str, str | int]:
        limit, recipe = position_limit(located), sentence.recipe_of(located)
        longest = min(max_tokens, recipe.max_tokens or max_tokens)
        if limit and longest > limit:
            raise Refused(f"--max-tokens is {longest}, but {located.name} reads at most {limit} word pieces")
        told = {"recipe": recipe.told} if located.pooling == "sentence" else {}
        return located.settings(dtype, max_tokens=longest) | told

    @classmethod
    def load(
        cls, located: Located, *, device: str, dtype: str, max_tokens: int, compile: bool = False
    ) -> "TransformersText":
        """Raises Refused if the checkpoint lacks weights that the asked-for vector needs."""
        from extract.encoders import checkpoint, text_model

        model, tokenizer = text_model.read_text_model(located)
        # The older poolings' vectors of models with rotary positions were made with rounded frequencies.
        older = located.pooling in ("cls", "mean", "pooler")
        frozen = checkpoint.freeze(model, device, dtype, compile, short_tables=older, texts=True)
        recipe = sentence.recipe_of(located)
        longest = min(max_tokens, recipe.max_tokens or max_tokens)
        return cls(located, frozen, tokenizer, max_tokens=longest, recipe=recipe)

    @classmethod
    def unfrozen(cls, located: Located) -> "TextModel | TowerModel":
        from extract.encoders import text_model

        return text_model.read_text_model(located)[0]

    @classmethod
    def decoder(cls, located: Located) -> None:
        return None

    def prepare(self, contents: list[str]) -> list[list[int]]:
        """Word pieces with specials, not truncated."""
        if not contents:
            return []
        # A tokenizer file may ask for truncation and padding of its own; these arguments switch both off.
        encoding = self._tokenizer(
            [self._recipe.words(text) for text in contents],
            truncation=False,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return encoding["input_ids"]

    def known_and_unknown(self, prepared: list[list[int]]) -> tuple[int, int]:
        pieces = sum(len(ids) for ids in prepared) - len(prepared) * self._tokenizer.num_special_tokens_to_add()
        piece, specials = self._tokenizer.unk_token_id, self._tokenizer("")["input_ids"]
        # CLIP's closes texts as well
        unknown = sum(ids.count(piece) for ids in prepared) - len(prepared) * specials.count(piece)
        return pieces - unknown, unknown

    def length(self, content: list[int]) -> int:
        """Word pieces that a text is padded to; a tokenizer without specials makes nothing of no text."""
        step = self._length_step
        return self._padded or min(self.max_tokens, max(1, -(-len(content) // step)) * step)

    def encode(self, batch: Sequence[list[int]], pad_to: int | None = None) -> "Tensor":
        """Vectors [batch, dim] on the encoder's device. Texts beyond max_tokens are cut; their closing specials stay.

        pad_to: word pieces to pad the batch to; the length of its longest text by default. Raises ValueError if it is
            less than that text has.
        """
        import torch

        cut = [self._cut(ids) for ids in batch]
        longest = max((len(ids) for ids in cut), default=0)
        length = max((self.length(ids) for ids in batch), default=1) if pad_to is None else pad_to
        if longest > length:
            raise ValueError(f"pad_to is {length}, but a text has {longest} word pieces")
        ids = torch.tensor([row + [self._pad_id] * (length - len(row)) for row in cut])
        mask = None
        if any(len(row) < length for row in cut):  # else transformers would look for zeros in it, and wait for a GPU
            mask = self._on_device((torch.arange(length) < torch.tensor([len(row) for row in cut])[:, None]).long())
        with torch.inference_mode():
            return self._model(self._on_device(ids), mask)

    def _cut(self, ids: list[int]) -> list[int]:
        if len(ids) <= self.max_tokens:
            return ids
        return ids[: self.max_tokens - self._closing] + ids[len(ids) - self._closing :]

    def _on_device(self, batch: "Tensor") -> "Tensor":
        pinned = batch.pin_memory() if self.device.type == "cuda" else batch
        return pinned.to(self.device, non_blocking=True)


def position_limit(located: Located) -> int | None:
    """Word pieces that the model has positions for, specials included; None if its positions are relative."""
    config = read_json(located.path / "config.json")
    positions = config.get("max_position_embeddings") or config.get("n_positions")
    if not isinstance(positions, int) or positions < 1:
        return None
    if config["model_type"] not in OFFSET_POSITIONS:
        return positions
    padding = config.get("pad_token_id", 1)
    if not isinstance(padding, int):
        raise Refused(f"{located.name}: pad_token_id in config.json is {padding!r}, expected a number")
    return positions - padding - 1


def architecture(located: Located) -> str:
    """What transformers calls it: "bert", "mpnet", ..."""
    return read_json(located.path / "config.json")["model_type"]


def _closing_specials(tokenizer: Any) -> int:
    """Specials at a text's end, as [SEP]."""
    mask = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
    return next((count for count, special in enumerate(reversed(mask)) if not special), len(mask))
