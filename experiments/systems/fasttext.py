"""fastText's CBOW vectors, trained without labels on the train split's texts, and kept as stage 1's are."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
from jaxtyping import Float

from extract import store
from extract.dataset import Meme
from extract.errors import Refused
from extract.places import Place

# As fastText's train_unsupervised has them, but for the buckets: two million of them are for a thousand times the text.
CBOW = {
    "vector_size": 150,
    "sg": 0,
    "window": 5,
    "min_count": 5,
    "negative": 5,
    "epochs": 5,
    "alpha": 0.05,
    "min_n": 3,
    "max_n": 6,
    "bucket": 200_000,
    "sample": 1e-4,
    "seed": 0,
    "workers": 1,  # more would race each other to other vectors
}


def settings(texts: Sequence[str]) -> dict[str, Any]:
    """All that changes a vector: the texts in their order, and how they are learned from."""
    read = hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()
    return {**CBOW, "family": "fasttext", "pooling": "mean of unit word vectors", "texts": read}


def words(text: str) -> list[str]:
    """As fastText has them: what stands between spaces."""
    return text.split()


def trained(texts: Sequence[str]) -> Any:
    """gensim's word vectors (FastTextKeyedVectors). The same texts give the same vectors.

    Raises Refused where gensim is missing, or no word occurs often enough.
    """
    try:
        from gensim.models import FastText
    except ImportError:
        raise Refused("fastText needs gensim: pip install 'memefuse[systems]'") from None
    try:
        return FastText(sentences=[words(text) for text in texts], **CBOW).wv
    except RuntimeError as error:  # "you must first build vocabulary"
        raise Refused(
            f"fastText learns from words that occur {CBOW['min_count']} times or more; "
            f"the {len(texts):,} texts of train have none ({error})"
        ) from None


def vectors(texts: Sequence[str], learned: Any) -> Float[np.ndarray, "n dim"]:
    """A text's vector: the mean of its words' vectors at length 1, as fastText's get_sentence_vector; no words, zeros.

    A word that train lacks has the vector of its pieces.
    """
    found = np.zeros((len(texts), learned.vector_size), np.float32)
    for row, text in zip(found, texts, strict=True):
        of_words = [learned.get_vector(word) for word in words(text)]
        if of_words:
            units = np.stack(of_words)
            row[:] = (units / np.linalg.norm(units, axis=1, keepdims=True).clip(1e-12)).mean(axis=0)
    return found


def publish(folder: Place, splits: Mapping[str, Sequence[Meme]]) -> None:
    """Vectors of every split under `folder`, learned from "train"; nothing is done where they are there already."""
    texts = [meme.text for meme in splits["train"]]
    about = settings(texts)
    all_rows = {split: rows(folder.name, split, memes, about) for split, memes in splits.items()}
    if all(store.holds(folder / f"{split}.h5", its_rows) for split, its_rows in all_rows.items()):
        return
    learned = trained(texts)
    for split, its_rows in all_rows.items():
        vector = vectors([meme.text for meme in splits[split]], learned)
        store.publish(folder / f"{split}.h5", store.Features(**vars(its_rows), vector=vector))


def rows(encoder: str, split: str, memes: Sequence[Meme], about: dict[str, Any]) -> store.Rows:
    versions = {"gensim": metadata.version("gensim")}
    return store.Rows(
        identity=store.EncoderIdentity(
            "text", encoder, about["vector_size"], store.fingerprint(about), about, versions
        ),
        split=split,
        ids=np.array([meme.id for meme in memes]),
        label=np.array([store.NO_LABEL if meme.label is None else meme.label for meme in memes], dtype=np.int8),
        content=np.array([meme.text_content for meme in memes], dtype="S64"),
        dropped=[],
        tokens=np.array([len(words(meme.text)) for meme in memes], dtype=np.int32),
    )
