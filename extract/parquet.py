"""Parquet manifests: `id`, `text`, `label`, and `img` (or `image`), a path or the image's bytes; other
columns are kept, but for bytes.

Bytes may also be the `bytes` of a struct, as Hugging Face's datasets write them. They are read one after the other when
an image is needed, never a whole file or row group of them; but a page of the file must fit into memory, and pyarrow
writes pages of up to 1,024 rows (its `write_batch_size`).
"""

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from extract import places
from extract.errors import Failed, Refused, in_a_line, need
from extract.manifest import FIELDS, Row, meme_id
from extract.places import Place, Remote

ROWS = 4096  # rows of ids, texts and labels read at a time
CELLS = 16  # images read at a time
KEPT = 8  # such batches that are kept: threads ask a little out of order
COPIED = 128  # rows, images and all, that are copied at a time
BUFFER = 1 << 20  # bytes of a column read at a time; without one, pyarrow reads a row group's column whole


@dataclass(frozen=True)
class Cell:
    """An image whose bytes stand in a Parquet file."""

    file: Place
    column: str
    row: int  # of the file, counted from 0

    suffix = ""  # it has no file name

    def __str__(self) -> str:
        return f"{self.file}:{self.row + 1}"

    @property
    def name(self) -> str:
        return f"{self.file.name}:{self.row + 1}"

    def read_bytes(self) -> bytes:
        """Raises OSError, Failed. An absent cell is empty."""
        return _column(self.file, self.column).read(self.row)


def rows(path: Place) -> Iterator[tuple[int, Row | ValueError]]:
    """Rows counted from 1, as JSON would have them: what is null is absent, and `img` is a path or a `Cell`.

    path: a file, or a folder of them as Spark and Ray write it. Raises Refused when it cannot be read as Parquet.
    """
    _column.cache_clear()
    number = 0
    for file in places.glob(path, "[!._]*.parquet") if path.is_dir() else [path]:
        for row in _rows(file):
            number += 1
            yield number, row


def _rows(path: Place) -> Iterator[Row | ValueError]:
    with _opened(path) as file, _in_words(path):
        schema = file.schema_arrow
        twice = [name for name in ("id", "text", "label", "img", "image") if schema.names.count(name) > 1]
        if twice:
            raise Refused(f"{path} holds a column more than once: {', '.join(twice)}")
        image = next((name for name in ("img", "image") if name in schema.names), "")
        inline = bool(image) and _holds_bytes(schema.field(image).type)
        column = f"{image}.bytes" if inline and schema.field(image).type.num_fields else image
        wanted = [name for name in ("id", "text", "label", *([] if inline else [image])) if name in schema.names]
        beside = [name for name in schema.names if name not in (*FIELDS, "image") and schema.names.count(name) == 1]
        beside = [name for name in beside if not _holds_bytes(schema.field(name).type)]
        absent = _absent(file, column) if inline else set()
        start = 0
        for batch in file.iter_batches(batch_size=ROWS, columns=wanted + beside, use_threads=False):
            extra = {name: _values(batch.column(name)) for name in beside}
            read = {name: _values(batch.column(name)) for name in wanted}
            for place in range(len(batch)):
                values = {"img" if name == image else name: read[name][place] for name in wanted}
                if inline and start + place not in absent:
                    values["img"] = Cell(path, column, start + place)
                bad = next((value for value in values.values() if isinstance(value, ValueError)), None)
                kept = {name: column[place] for name, column in extra.items()}
                values |= {name: value for name, value in kept.items() if not isinstance(value, ValueError)}
                yield bad or {name: value for name, value in values.items() if value is not None}
            start += len(batch)


def write_texts(path: Path, copy: Path, texts: Mapping[str, str]) -> None:
    """Copy a file, with these texts (by id) in place of what it has; its other columns stay as they are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _opened(path) as file, _in_words(path):
        schema, place = file.schema_arrow, file.schema_arrow.get_field_index("text")
        column = pa.field("text", pa.string())
        schema = schema.append(column) if place < 0 else schema.set(place, column)
        with pq.ParquetWriter(copy, schema) as writer:
            for batch in file.iter_batches(COPIED, use_threads=False):
                names = [meme_id({"id": name}) for name in _values(batch.column("id"))]
                old = [None] * len(batch) if place < 0 else _values(batch.column(place))
                new = pa.array([texts.get(name, text) for name, text in zip(names, old, strict=True)], pa.string())
                columns = [new if name == "text" else batch.column(name) for name in schema.names]
                writer.write_batch(pa.record_batch(columns, schema=schema))


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _values(column: Any) -> list[Any]:
    """Python's values; a ValueError in the place of each that Python cannot hold, such as text that is no UTF-8."""
    try:
        return list(column.to_pylist())
    except Exception:  # ValueError, OverflowError, decimal's and pyarrow's own
        return [_value(scalar) for scalar in column]


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        return ValueError(f"not UTF-8: {error.reason} at byte {error.start}")
    except Exception as error:
        return ValueError(f"a value of type {scalar.type} cannot be read: {error or type(error).__name__}")


def _absent(file: Any, column: str) -> set[int]:
    """Rows whose image is null. A row group's statistics tell whether there is any; only then is it read through."""
    lacking: set[int] = set()
    start = 0
    for group in range(file.metadata.num_row_groups):
        about = file.metadata.row_group(group)
        told = [about.column(place) for place in range(about.num_columns)]
        counts = [each.statistics for each in told if each.path_in_schema == column]
        if not all(each is not None and each.has_null_count and each.null_count == 0 for each in counts):
            row = start
            for batch in file.iter_batches(CELLS, row_groups=[group], columns=[column], use_threads=False):
                cells = _cells(batch)
                lacking.update(row + place for place in range(len(cells)) if not cells[place].is_valid)
                row += len(batch)
        start += about.num_rows
    return lacking


def _cells(batch: Any) -> Any:
    """The only column; of a struct, its bytes."""
    import pyarrow.compute as pc

    column = batch.column(0)
    return pc.struct_field(column, "bytes") if hasattr(column, "flatten") and column.type.num_fields else column


class Column:
    """The images of one file, quick when they are asked for in the order of the rows; safe to share among threads.

    Memory holds KEPT x CELLS images. To go back, or on to another row group, costs reading that group from its start.
    """

    def __init__(self, path: Place, name: str) -> None:
        self.path, self.file, self.name, self.lock = path, _opened(path), name, threading.Lock()
        about = self.file.metadata
        sizes = [about.row_group(group).num_rows for group in range(about.num_row_groups)]
        self.starts = [0, *accumulate(sizes)]
        self.kept: deque[tuple[int, Any]] = deque(maxlen=KEPT)
        self.next = self.starts[-1]
        self.batches: Iterator[Any] = iter(())

    def read(self, row: int) -> bytes:
        with self.lock, _in_words(self.path):
            while True:
                for start, cells in self.kept:
                    if start <= row < start + len(cells):
                        return cells[row - start].as_py() or b""
                self._advance(row)

    def _advance(self, row: int) -> None:
        """Read the next batch on the way to `row`."""
        group = next(group for group, end in enumerate(self.starts[1:]) if row < end)
        if row < self.next or self.next < self.starts[group]:
            groups = list(range(group, len(self.starts) - 1))
            self.batches = self.file.iter_batches(CELLS, row_groups=groups, columns=[self.name], use_threads=False)
            self.next = self.starts[group]
        cells = _cells(next(self.batches))
        self.kept.append((self.next, cells))
        self.next += len(cells)


@lru_cache(maxsize=16)
def _column(path: Place, name: str) -> Column:
    return Column(path, name)


def _opened(path: Place) -> Any:
    """pyarrow's ParquetFile. Raises Refused without pyarrow, or when it is none."""
    need(["pyarrow"], f"{path}: reading Parquet needs", "cloud")
    import pyarrow.parquet as pq

    with _in_words(path):
        source = path.open() if isinstance(path, Remote) else path
        return pq.ParquetFile(source, buffer_size=BUFFER, pre_buffer=False)


@contextmanager
def _in_words(path: Place) -> Iterator[None]:
    """What pyarrow raises for bytes that are damaged, OSError without a number too, becomes Refused."""
    import pyarrow as pa

    try:
        yield
    except (FileNotFoundError, Failed):
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise Refused(f"{path} is no Parquet file that can be read: {in_a_line(error)}") from None
