"""Features made up for tests of the store."""

import hashlib

import numpy as np
from hypothesis import strategies as st

from extract import store


def make(ids, kind="text", split="train", dim=4, label=None, **more) -> store.Features:
    rng = np.random.default_rng(len(ids))
    vector = more.pop("vector", rng.standard_normal((len(ids), dim)).astype(np.float32))
    how = {"pooling": "cls", "max_tokens": 128}
    values = {
        "identity": store.EncoderIdentity(kind, f"{kind}-encoder", vector.shape[1], "f", how, {"torch": "2"}),
        "split": split,
        "ids": np.array(ids),
        "label": np.zeros(len(ids), np.int8) if label is None else np.array(label, np.int8),
        "content": np.array([f"{number:064x}" for number in range(len(ids))], dtype="S64"),
        "dropped": [{"id": "é", "reason": "truncated"}],
        "tokens": np.arange(len(ids), dtype=np.int32) if kind == "text" else None,
        "vector": vector,
    }
    return store.Features(**(values | more))


distinct_ids = st.lists(
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1), min_size=1, unique=True
)


def as_of_old(path):
    """The same file as earlier versions sealed it."""
    whole = path.read_bytes()
    digest = hashlib.sha256(whole[store.files.USER_BLOCK :]).hexdigest()
    head = b"memefuse sha256 " + digest.encode() + b"\n"
    path.write_bytes(head.ljust(store.files.USER_BLOCK, b"\0") + whole[store.files.USER_BLOCK :])
