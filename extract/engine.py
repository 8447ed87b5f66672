"""A plan -> part files: what an engine is, and the one that runs in this process. torch is imported late."""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from extract import encoders, store
from extract.config import ExtractConfig
from extract.encoders.batches import BATCH_SIZE, BadImage, Batches, Report
from extract.encoders.family import Encoder, Located, TextEncoder, unknown_pieces
from extract.errors import Failed
from extract.machine import processor_name, resolve_device, resolve_dtype
from extract.parts import Folder, Held
from extract.plan import Item, Part, by_length, cut, unique
from extract.progress import bar, say

PART_ROWS = {"cpu": {"text": 2048, "image": 256}, "cuda": {"text": 32768, "image": 4096}}  # some seconds' work
PART_BYTES = 1 << 27  # of vectors: a grid is fifty times as long as a pooled vector


@dataclass(frozen=True)
class EncoderJob:
    """One encoder to extract with, located but not loaded, and the folder that its vectors go to."""

    located: Located
    folder: Folder
    device: str  # "cpu" or "cuda"
    dtype: str  # "float32", "bfloat16" or "float16"

    @property
    def kind(self) -> str:
        return self.located.kind


class Engine(Protocol):
    """Turns a plan into part files."""

    def processor(self, config: ExtractConfig) -> tuple[str, str]:
        """Device ("cpu" or "cuda") and dtype to encode with."""

    def encode(self, job: EncoderJob, left: list[Item], label: str, config: ExtractConfig) -> dict[str, str]:
        """Encode and write what is left. label: of its progress bar. Returns content -> reason for bad images."""


class LocalEngine:
    """This process, and the processor or GPU of this machine."""

    def processor(self, config: ExtractConfig) -> tuple[str, str]:
        device = resolve_device(config.device)
        return device, resolve_dtype(config.dtype, device)

    def encode(self, job: EncoderJob, left: list[Item], label: str, config: ExtractConfig) -> dict[str, str]:
        try:
            encoder = load(job, config)
        except RuntimeError as error:
            raise _in_words(job, error) from None
        batch_size = config.batch_size or BATCH_SIZE[job.device]
        while True:
            try:
                rows = part_rows(job.kind, job.device, encoder.dim, batch_size)
                parts = text_parts(left, encoder, rows) if job.kind == "text" else cut(left, rows)
                start = time.perf_counter()
                with bar(None, label, len(left), f"{job.kind}s", config.quiet) as rows_bar:
                    bad = write_parts(parts, Batches(encoder, batch_size), job.folder, rows_bar.update)
                record(job, time.perf_counter() - start, len(left) - len(bad))
                return {image.content: image.reason for image in bad}
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise _in_words(job, error) from None
            # only now has the traceback let go of the batch that was in hand
            import torch

            batch_size = min(batch_size, len(left)) // 2
            if batch_size == 0:
                raise Failed(f"{job.located.slug}: the GPU's memory does not hold one {job.kind}")
            torch.cuda.empty_cache()
            say(f"{job.located.slug}: GPU memory is full; going on with batch size {batch_size}")
            left = unique(left, Held.scan(job.folder))


def record(job: EncoderJob, seconds: float, contents: int) -> None:
    """Keep beside the vectors how long they took."""
    name = processor_name().split(";")[0].rpartition(":")[2].strip()  # without its flags
    if job.device == "cuda":
        import torch

        name = torch.cuda.get_device_name()
    with job.folder.writing():
        store.record_speed(job.folder.path, store.Speed(round(seconds, 3), contents, job.device, job.dtype, name))


def out_of_memory(error: RuntimeError) -> bool:
    """Whether a GPU had no room: torch's own error, or that of one of CUDA's libraries."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or bool(re.search("ALLOC_FAILED|out of memory", str(error)))


def _in_words(job: EncoderJob, error: RuntimeError) -> Exception:
    """A sick GPU, driver or compiler in words; what is a fault of ours as it is."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if type(error).__module__.startswith(("torch._inductor", "torch._dynamo")):
        return Failed(f"{job.located.slug}: --compile: the compiler fails ({reason}). Mend it, or leave --compile out")
    if re.search("CUDA|CUBLAS|CUDNN|cuDNN", str(error)):
        return Failed(
            f"{job.located.slug}: the GPU cannot go on ({reason}); finished parts are kept: run the same command "
            "again, or with --device cpu"
        )
    return error


def load(job: EncoderJob, config: ExtractConfig) -> Encoder:
    """The encoder itself, on its device."""
    return encoders.load(
        job.located, device=job.device, dtype=job.dtype, max_tokens=config.max_tokens, compile=config.compile
    )


def part_rows(kind: str, device: str, dim: int, batch_size: int) -> int:
    """Rows of a part, so that its vectors [rows, dim] stay small in memory; whole batches of images."""
    rows = min(PART_ROWS[device][kind], PART_BYTES // (4 * dim))
    return rows if kind == "text" else max(1, rows // batch_size) * batch_size


def text_parts(left: Sequence[Item], encoder: Encoder, rows: int) -> list[Part]:
    """Texts in the order of their word pieces, in parts of so many rows."""
    lengths = dict(
        zip(left, text_lengths([str(item.source) for item in left], cast(TextEncoder, encoder)), strict=True)
    )
    return cut(by_length(left, lengths.__getitem__), rows)


def text_lengths(texts: Sequence[str], encoder: TextEncoder, chunk: int = 4096) -> list[int]:
    """Word pieces of each text before truncation; a chunk at a time, so that token ids never pile up.

    Says how many texts are to be cut, and how many pieces the encoder does not know; raises Failed if most.
    """
    lengths: list[int] = []
    known = unknown = 0
    for start in range(0, len(texts), chunk):
        prepared = encoder.prepare(list(texts[start : start + chunk]))
        lengths += [len(ids) for ids in prepared]
        of_chunk = encoder.known_and_unknown(prepared)
        known, unknown = known + of_chunk[0], unknown + of_chunk[1]
    if cut := sum(length > encoder.max_tokens for length in lengths):
        say(f"note: {encoder.located.slug}: {cut_texts(cut, len(texts), encoder.max_tokens)}")
    if note := unknown_pieces(len(texts), known, unknown):
        say(f"note: {encoder.located.slug}: {note}")
    return lengths


def cut_texts(cut: int, texts: int, max_tokens: int) -> str:
    """What to say of texts that are longer than what their encoder reads."""
    return f"{cut:,} of {texts:,} texts are longer than {max_tokens} word pieces and cut there"


def write_parts(
    parts: Sequence[Part],
    batches: Batches,
    folder: Folder,
    done: Report = lambda count: None,
    prepared: Iterator[Any] | None = None,
) -> list[BadImage]:
    """Encode and write parts; return the images that cannot be decoded, whose parts are written without them.

    done: called with a number of finished contents. prepared: as `Batches.encode` has it.
    """
    bad: list[BadImage] = []
    for part, group in zip(parts, batches.encode([part.items for part in parts], done, prepared), strict=True):
        bad += group.bad
        if group.rows:
            folder.write(Part(tuple(part.items[row] for row in group.rows)), group.vectors, group.tokens)
    return bad
