"""What a sentence-transformers folder does besides its model: its prompt, its pooling, its length."""

from dataclasses import dataclass
from pathlib import Path

from extract.encoders.family import Incomplete, Located
from extract.encoders.weights import read_json, read_list
from extract.errors import Refused

# how sentence-transformers calls poolings, of old and of late
POOLINGS = {"cls_token": "cls", "mean_tokens": "mean", "lasttoken": "last", "cls": "cls", "mean": "mean"}
MODULES = ("Transformer", "Pooling", "Normalize")  # in this order, the last where vectors are to have length 1


@dataclass(frozen=True)
class Recipe:
    """How a text becomes a vector."""

    pooling: str = ""  # "cls", "mean" or "last"
    unit: bool = False  # vectors of length 1
    prompt: str = ""  # stands before every text
    lower: bool = False  # case
    max_tokens: int | None = None  # word pieces, the prompt's included

    @property
    def told(self) -> str:
        """For a fingerprint: all that changes a number, lengths apart."""
        length, case = "length 1" if self.unit else "as pooled", "lower" if self.lower else "as written"
        return f"{self.pooling}, {length}, case {case}, prompt {self.prompt!r}"

    def words(self, text: str) -> str:
        """What the tokenizer is given."""
        whole = self.prompt + text
        if self.pooling:  # sentence-transformers strips texts, and takes a prompt's last blank for part of the text
            whole = whole.strip()
        return whole.lower() if self.lower else whole


PLAIN = Recipe()  # texts as they are


def recipe_of(located: Located) -> Recipe:
    """PLAIN but for `:sentence`. Raises Refused where the folder does not say it."""
    if located.pooling != "sentence":
        return PLAIN
    try:
        return read_recipe(located.path)
    except Incomplete as error:
        raise Refused(f"{located.name}:sentence: {located.path} {error}") from None


def read_recipe(folder: Path) -> Recipe:
    """The folder's recipe. Raises Incomplete where it has none, or one that cannot be followed."""
    modules = read_list(folder / "modules.json")
    names = [str(module.get("type")).rpartition(".")[2] for module in modules]
    if not names:
        raise Incomplete("has no modules.json: it is no sentence-transformers folder")
    if names not in (list(MODULES), list(MODULES[:2])):
        raise Incomplete(f"has the modules {', '.join(names)}, expected {', '.join(MODULES)}")
    pooling = read_json(folder / str(modules[1].get("path")) / "config.json")
    modes = [name.removeprefix("pooling_mode_") for name, value in pooling.items() if value is True]
    modes = [mode for mode in modes if mode != "include_prompt"] or [str(pooling.get("pooling_mode"))]
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise Incomplete(f"pools by {' and '.join(modes)}, expected one of {', '.join(POOLINGS)}")
    about = read_json(folder / "config_sentence_transformers.json")
    prompt = (about.get("prompts") or {}).get(about.get("default_prompt_name"), "")
    if prompt and not pooling.get("include_prompt", True):
        raise Incomplete("leaves its prompt out of the mean (include_prompt), which is not supported")
    texts = read_json(folder / "sentence_bert_config.json")
    lower = bool(texts.get("do_lower_case"))
    return Recipe(POOLINGS[modes[0]], len(names) == len(MODULES), prompt, lower, texts.get("max_seq_length"))
