"""A plan -> part files: what an engine is, and the one that runs in this process. torch is imported late."""

import re
import time
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from typing import Protocol, cast

from extract import encoders, store
from extract.config import ExtractConfig
from extract.encoders.batches import BATCH_SIZE, Batches, Group, Prepare, Report, side_by_side
from extract.encoders.family import Encoder, Located, TextEncoder, refuse_unknown, unknown_pieces
from extract.encoders.reading import BadImage
from extract.errors import Failed
from extract.machine import prefetch, processor_name, resolve_device, resolve_dtype
from extract.parts import Folder, Held
from extract.plan import Item, Part, by_length, cut, unique
from extract.progress import bar, say

GPU_ROWS = {"text": 32768, "image": 4096}
PART_ROWS = {"cpu": {"text": 2048, "image": 256}, "cuda": GPU_ROWS, "mps": GPU_ROWS}  # some seconds' work
# Of vectors: a grid is fifty times as long as a pooled vector, and a GPU's part must be more than one batch of them.
PART_BYTES = {"cpu": 1 << 27, "cuda": 1 << 29, "mps": 1 << 28}

BEHIND = {"cpu": 0, "cuda": 2, "mps": 2}  # parts that may wait to be written; a CPU is not faster than its disk
SAMPLE = 1024  # texts that must show, before any is encoded, that their encoder knows their words
TOGETHER_BYTES = 4 << 30  # of weights on disk: image encoders that have more are not in memory at once


@dataclass(frozen=True)
class EncoderJob:
    """One encoder to extract with, located but not loaded, and the folder that its vectors go to."""

    located: Located
    folder: Folder
    device: str  # "cpu", "cuda" or "mps"
    dtype: str  # "float32", "bfloat16" or "float16"

    @property
    def kind(self) -> str:
        return self.located.kind


@dataclass(frozen=True)
class EncoderTask:
    """What one encoder has to do in a run."""

    job: EncoderJob
    left: list[Item]  # contents without a vector, in the plan's order
    label: str  # of a progress bar

    def missing(self) -> "EncoderTask":
        """What is left of it by now."""
        return self.less(Held.scan(self.job.folder))

    def less(self, contents: Container[str]) -> "EncoderTask":
        return replace(self, left=unique(self.left, contents))


class Engine(Protocol):
    """Turns a plan into part files."""

    def processor(self, config: ExtractConfig) -> tuple[str, str]:
        """Device ("cpu", "cuda" or "mps") and dtype to encode with."""

    def encode(self, tasks: Sequence[EncoderTask], config: ExtractConfig) -> dict[str, str]:
        """Encode and write what is left to encoders of one kind. Returns content -> reason for bad images."""


class LocalEngine:
    """This process, and the processor or GPU of this machine."""

    def processor(self, config: ExtractConfig) -> tuple[str, str]:
        device = resolve_device(config.device)
        return device, resolve_dtype(config.dtype, device)

    def encode(self, tasks: Sequence[EncoderTask], config: ExtractConfig) -> dict[str, str]:
        """Image encoders side by side, each image decoded once for all, as far as memory holds them."""
        bad: dict[str, str] = {}
        for group in rounds(tasks):
            bad |= self._encode([task.less(bad) for task in group], config)
        return bad

    def _encode(self, tasks: Sequence[EncoderTask], config: ExtractConfig) -> dict[str, str]:
        names = ", ".join(task.job.located.slug for task in tasks)
        batch_size = config.batch_size or BATCH_SIZE[tasks[0].job.device]
        loaded: list[Encoder] = []
        while True:
            try:
                loaded = loaded or [load(task.job, config) for task in tasks]
                return _run(tasks, [Batches(encoder, batch_size) for encoder in loaded], config.quiet)
            except RuntimeError as error:
                if not out_of_memory(error) or (len(tasks) == 1 and not loaded):
                    raise _in_words(names, error) from None
            # only now has the traceback let go of the batch that was in hand
            import torch

            if len(tasks) > 1:
                loaded = []
                torch.cuda.empty_cache()
                say(f"{names}: GPU memory does not hold them side by side; going on one after another")
                left = [task for task in map(EncoderTask.missing, tasks) if task.left]
                return {content: why for task in left for content, why in self._encode([task], config).items()}
            batch_size = min(batch_size, len(tasks[0].left)) // 2
            if batch_size == 0:
                raise Failed(f"{names}: the GPU's memory does not hold one {tasks[0].job.kind}")
            torch.cuda.empty_cache()
            say(f"{names}: GPU memory is full; going on with batch size {batch_size}")
            tasks = [tasks[0].missing()]


def rounds(tasks: Sequence[EncoderTask]) -> Iterator[list[EncoderTask]]:
    """Text encoders one after another; image encoders side by side, as long as all their weights stay small."""
    side_by_side: list[EncoderTask] = []
    for task in tasks:
        if side_by_side and (task.job.kind == "text" or sum(map(_bytes, [*side_by_side, task])) > TOGETHER_BYTES):
            yield side_by_side
            side_by_side = []
        side_by_side.append(task)
    yield side_by_side


def _bytes(task: EncoderTask) -> int:
    """Of its encoder's files on disk."""
    path = task.job.located.path
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.glob("*")))


def _run(tasks: Sequence[EncoderTask], batches: Sequence[Batches], quiet: bool) -> dict[str, str]:
    """`Engine.encode` with encoders that are loaded; keeps beside the vectors how long they took."""
    kind, tokeniser, work = tasks[0].job.kind, None, []
    for task, of_task in zip(tasks, batches, strict=True):
        rows = part_rows(kind, task.job.device, of_task.encoder.dim, of_task.batch_size)
        work.append((cut(by_length(task.left) if kind == "text" else task.left, rows), of_task, task.job.folder))
    if kind == "text":
        tokeniser = Tokeniser(cast(TextEncoder, batches[0].encoder))
        tokeniser.try_on([str(item.source) for part in work[0][0] for item in part.items])
    label, total = ", ".join(task.label for task in tasks), sum(len(task.left) for task in tasks)
    start = time.perf_counter()
    with bar(None, label, total, f"{kind}s" if len(tasks) == 1 else "vectors", quiet) as rows_bar:
        bad = {image.content: image.reason for image in write_parts(work, rows_bar.update, tokeniser)}
    seconds, busy = time.perf_counter() - start, sum(of_task.busy for of_task in batches) or 1.0
    for task, of_task in zip(tasks, batches, strict=True):
        contents = sum(item.content not in bad for item in task.left)
        record(task.job, seconds * of_task.busy / busy, contents)
    if tokeniser:
        tokeniser.counts.say(tokeniser.encoder)
    return bad


def record(job: EncoderJob, seconds: float, contents: int) -> None:
    """Keep beside the vectors how long they took: of what several encoders took together, this one's share."""
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


def _in_words(names: str, error: RuntimeError) -> Exception:
    """A sick GPU, driver or compiler in words; what is a fault of ours as it is."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if type(error).__module__.startswith(("torch._inductor", "torch._dynamo")):
        return Failed(f"{names}: --compile: the compiler fails ({reason}). Mend it, or leave --compile out")
    if re.search("CUDA|CUBLAS|CUDNN|cuDNN", str(error)):
        return Failed(
            f"{names}: the GPU cannot go on ({reason}); finished parts are kept: run the same command "
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
    rows = min(PART_ROWS[device][kind], PART_BYTES[device] // (4 * dim))
    return rows if kind == "text" else max(1, rows // batch_size) * batch_size


@dataclass(frozen=True)
class TextCounts:
    """What there is to say of texts that were encoded."""

    texts: int = 0
    cut: int = 0  # longer than what their encoder reads
    known: int = 0  # word pieces
    unknown: int = 0

    def __add__(self, other: "TextCounts") -> "TextCounts":
        return TextCounts(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    def say(self, encoder: TextEncoder) -> None:
        slug = encoder.located.slug
        if self.cut:
            longer = f"longer than {encoder.max_tokens} word pieces and cut there"
            say(f"note: {slug}: {self.cut:,} of {self.texts:,} texts are {longer}")
        if note := unknown_pieces(self.texts, self.known, self.unknown):
            say(f"note: {slug}: {note}")


class Tokeniser:
    """A text encoder's `prepare`, which counts what it is given."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder, self.counts = encoder, TextCounts()
        self._tried: dict[str, list[int]] = {}

    def try_on(self, texts: Sequence[str]) -> None:
        """Tokenise some of these texts, for later. Raises Failed if the encoder does not know most of their words."""
        sample = texts[:: -(-len(texts) // SAMPLE) or 1]
        prepared = self.encoder.prepare(list(sample))
        self._tried = dict(zip(sample, prepared, strict=True))
        refuse_unknown(len(sample), *self.encoder.known_and_unknown(prepared), len(texts))

    def __call__(self, texts: list[str]) -> list[list[int]]:
        """Word pieces of each text before truncation."""
        new = [text for text in texts if text not in self._tried]
        pieces = self._tried | dict(zip(new, self.encoder.prepare(new), strict=True))
        prepared = [pieces[text] for text in texts]
        too_long = sum(len(ids) > self.encoder.max_tokens for ids in prepared)
        self.counts += TextCounts(len(texts), too_long, *self.encoder.known_and_unknown(prepared))
        return prepared


def write_parts(
    work: Sequence[tuple[Sequence[Part], Batches, Folder]],
    done: Report = lambda count: None,
    prepare: Prepare | None = None,
) -> list[BadImage]:
    """Encode and write parts, each encoder's into its folder; return the images that cannot be decoded, whose parts are
    written without them.

    A thread writes, at most BEHIND parts behind the encoders.
    done: called with a number of finished contents. prepare: as `side_by_side` has it.
    """
    left = [iter(parts) for parts, _, _ in work]

    def write(started: tuple[int, Callable[[], Group]]) -> list[BadImage]:
        number, group = started[0], started[1]()
        part = next(left[number])
        if group.rows:
            part = Part(tuple(part.items[row] for row in group.rows))
            work[number][2].write(part, group.vectors, group.tokens)
        return group.bad

    device = work[0][1].encoder.device.type
    groups = side_by_side([(batches, [part.items for part in parts]) for parts, batches, _ in work], done, prepare)
    with ThreadPoolExecutor(1, thread_name_prefix="write") as writer:
        bad = list(prefetch(writer, write, groups, window=BEHIND[device] + 1))
    return [image for of_part in bad for image in of_part]
