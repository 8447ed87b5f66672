"""Published vectors: written whole or not at all, read back, joined by id. Needs only h5py and numpy.

`features/<encoder>/<split>.h5` is one split under one encoder. A large split's vectors lie beside it in shards,
`<split>/00000-of-00042-<digest>.h5`, each a complete file of the same schema, and `<split>.h5` holds everything else.
"""

from extract.store.files import Opened, check_seal, chunks, open_file, write
from extract.store.reading import (
    DATASET,
    DatasetIdentity,
    EncoderFolder,
    Pairs,
    Taken,
    columns,
    columns_path,
    encoders,
    extract_command,
    join,
    recorded,
    refuse_no_folder,
    side_by_side,
)
from extract.store.schema import (
    NO_LABEL,
    SCHEMA,
    Block,
    EncoderIdentity,
    Features,
    OtherSchema,
    SplitRows,
    StoreError,
    StoreIncomplete,
    Vectors,
    fingerprint,
)
from extract.store.speed import SPEED, Speed, read_speed, record_speed
from extract.store.splits import (
    SHARD_ROWS,
    Shards,
    holds,
    publish,
    publish_split,
    read,
    read_rows,
    split_files,
    sweep_shards,
    verify,
)
