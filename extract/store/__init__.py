"""Published vectors: written whole or not at all, read back, joined by id. Needs only h5py and numpy.

`features/<encoder>/<split>.h5` is one split under one encoder. A large split's vectors lie beside it in shards,
`<split>/00000-of-00042-<digest>.h5`, each a complete file of the same schema, and `<split>.h5` holds everything else.
"""

from extract.store.files import check_seal, chunks, write
from extract.store.reading import EncoderFolder, Pairs, Taken, encoders, join, split_path
from extract.store.schema import (
    NO_LABEL,
    SCHEMA,
    Block,
    EncoderIdentity,
    Features,
    Rows,
    StoreError,
    StoreIncomplete,
    Vectors,
    fingerprint,
)
from extract.store.splits import (
    SHARD_ROWS,
    Shards,
    holds,
    publish,
    publish_split,
    read,
    read_rows,
    sweep_shards,
    vector_files,
    verify,
)

__all__ = [
    "NO_LABEL",
    "SCHEMA",
    "SHARD_ROWS",
    "Block",
    "EncoderFolder",
    "EncoderIdentity",
    "Features",
    "Pairs",
    "Rows",
    "Shards",
    "StoreError",
    "StoreIncomplete",
    "Taken",
    "Vectors",
    "check_seal",
    "chunks",
    "encoders",
    "fingerprint",
    "holds",
    "join",
    "publish",
    "publish_split",
    "read",
    "read_rows",
    "split_path",
    "sweep_shards",
    "vector_files",
    "verify",
    "write",
]
