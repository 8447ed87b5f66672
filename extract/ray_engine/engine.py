"""A plan's parts through Ray Data: decoders in a pool of tasks, encoders in a pool of actors, files by the workers."""

import platform
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from extract import encoders, engine, machine
from extract.config import ExtractConfig
from extract.encoders import batches, reading
from extract.encoders.family import TextEncoder
from extract.engine import EncoderJob, Task, TextCounts, Tokeniser
from extract.errors import Failed, Refused
from extract.parquet import Cell
from extract.parts import Held
from extract.places import Place
from extract.plan import Item, Part, by_length, cut, unique
from extract.progress import bar, say
from extract.ray_engine import decoder, workers
from extract.ray_engine.cluster import Connection, Pool

if TYPE_CHECKING:
    from ray.data import DataContext, Dataset

BLOCK_ROWS = 1024  # images a part at the most: their pixels, 154 MB, travel as one block
BLOCKS_AHEAD = 2  # decoded parts that may wait for each encoder
TRIES = 3  # more for a worker that died, before the run is looked at; Ray Data's own number has no end

COLOUR = re.compile(r"\x1b\[\d*m")
MACHINE = re.compile(r"\bip[=:] ?([\w.:]+)")
REASON = re.compile(r"^[\w.]+(?:Error|Exception)\b.*$", re.MULTILINE)  # a traceback's last, unindented


class RayEngine:
    """Encodes on a Ray cluster."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def processor(self, config: ExtractConfig) -> tuple[str, str]:
        """Device and dtype, as the cluster's machines have them; the driver's may have no GPU."""
        if self.connection.address == "local" or config.device == "cpu":
            return engine.LocalEngine().processor(config)
        self.connection.open()
        gpus = sum(node.gpus for node in self.connection.nodes())
        if config.device == "cuda" and not gpus:
            raise Refused("--device cuda: the Ray cluster has no GPU. Use --device cpu, or auto")
        if not gpus:
            return "cpu", machine.resolve_dtype(config.dtype, "cpu")
        if config.dtype != "auto":
            return "cuda", machine.resolve_dtype(config.dtype, "cuda")
        import ray

        asked = ray.remote(num_gpus=1, num_cpus=0)(machine.resolve_dtype).remote("auto", "cuda")
        try:
            return "cuda", ray.get(asked)
        except ray.exceptions.RayError as error:
            raise stopped("--dtype auto", error) from None

    def encode(self, tasks: Sequence[Task], config: ExtractConfig) -> dict[str, str]:
        """Encode and write what is left, in parts, one encoder after another. Returns content -> reason for bad images.

        Raises Failed if a machine cannot go on, or if Ray loses work again and again without a part being finished.
        """
        self.connection.open()
        bad: dict[str, str] = {}
        for task in tasks:
            bad |= self._encode(task, config)
            task.job.folder.sweep_torn()
        return bad

    def _encode(self, task: Task, config: ExtractConfig) -> dict[str, str]:
        import ray
        from ray.data.exceptions import ExecutionTimeoutError

        job, left = task.job, task.left
        bad: dict[str, str] = {}
        counts, tokeniser = TextCounts(), None
        if job.kind == "text":  # its tokenizer alone is used here, and the driver may have no GPU
            tokeniser = Tokeniser(cast(TextEncoder, engine.load(replace(job, device="cpu"), config)))
            tokeniser.try_on([str(item.source) for item in left])
        with bar(None, task.label, len(left), f"{job.kind}s", config.quiet) as rows_bar:
            while left:
                try:
                    for report in self._stream(_parts(job, left), job, config):
                        if report.failure:
                            raise Failed(report.failure)
                        _refuse_blind(report, left)
                        bad |= {image.content: image.reason for image in report.bad}
                        counts += report.counts
                        rows_bar.update(report.rows)
                    break
                except ray.exceptions.RayTaskError as error:
                    raise stopped(job.located.slug, error) from None
                except (ray.exceptions.RayError, ExecutionTimeoutError) as error:
                    left = self._after(error, job, left, bad)
                    rows_bar.update(rows_bar.total - len(left) - rows_bar.n)
        if tokeniser:
            counts.say(tokeniser.encoder)
        return bad

    def _stream(self, parts: Sequence[Part], job: EncoderJob, config: ExtractConfig) -> Iterator[workers.Report]:
        """Run the parts; yield what became of each, in the order in which they end."""
        from ray.data import DataContext
        from ray.util.annotations import RayDeprecationWarning

        pool = Pool.of(self.connection.nodes(), job.device)
        squeeze = encoders.decoder(job.located)
        pixels = len(parts[0].items) * squeeze.bytes if squeeze else 0
        with DataContext.current(_settings(DataContext.get_current(), pool, pixels)):
            with warnings.catch_warnings():
                # that numbers of tries have no name of their own yet, as numbers of CPUs do
                warnings.simplefilter("ignore", RayDeprecationWarning)
                stream = _pipeline(parts, job, config, pool)
            for batch in stream.iter_batches(batch_size=None, prefetch_batches=0):
                yield from workers.reports(batch)

    def _after(self, error: Exception, job: EncoderJob, left: list[Item], bad: dict[str, str]) -> list[Item]:
        """What is left once Ray has given up on a run: all but finished parts, and images known to be bad."""
        held = Held.scan(job.folder)
        still = [item for item in unique(left, held) if item.content not in bad]
        if len(still) == len(left):
            raise Failed(
                f"{job.located.slug}: Ray gave up before a part was finished: {error_in_words(error)}\n"
                "Finished parts are kept; run the same command again when the cluster is well."
            ) from None
        lost = f"Ray lost work ({type(error).__name__})"
        say(f"{job.located.slug}: {lost}; going on with {len(still):,} that are left")
        return still


def _parts(job: EncoderJob, left: Sequence[Item]) -> list[Part]:
    """The local engine's plan, but for the size of parts that are too large for one block."""
    rows = engine.PART_ROWS[job.device][job.kind]
    if job.kind == "text":
        return cut(by_length(left), rows)
    return cut([_absolute(item) for item in left], min(rows, BLOCK_ROWS))


def _pipeline(parts: Sequence[Part], job: EncoderJob, config: ExtractConfig, pool: Pool) -> "Dataset":
    """Parts, through decoders if they hold images, and encoders, to reports. Nothing runs before it is read from."""
    import ray.data
    from ray.data import ActorPoolStrategy, TaskPoolStrategy

    rows = [workers.block(part) for part in parts]
    stream: Dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
    prepare = encoders.decoder(job.located)
    if prepare is not None:
        stream = stream.map_batches(
            partial(workers.decode, prepare=prepare, child=decoder.CHILD, data=_anywhere(config.data)),
            batch_size=1,  # a row is a part
            num_cpus=pool.decoder_cpus,
            compute=TaskPoolStrategy(min(pool.decoders, len(parts))),
            max_retries=TRIES,
        )
    return stream.map_batches(
        workers.Encode,
        fn_constructor_args=(_worker_job(job, config, pool),),
        batch_size=1,
        num_cpus=pool.cpus,
        num_gpus=pool.gpus,
        compute=ActorPoolStrategy(size=min(pool.encoders, len(parts))),
        max_restarts=TRIES,
        max_task_retries=TRIES,
    )


def _refuse_blind(report: workers.Report, left: Sequence[Item]) -> None:
    """Raise Failed if a machine could not read an image that the driver can: else it would count as a bad one."""
    unread = {image.content: image.reason for image in report.bad if image.unread}
    for item in left if unread else ():
        if item.content in unread and isinstance(reading.read(item), bytes):
            raise Failed(
                f"machine {report.reader} of the cluster: {item.source!s} {unread[item.content]}; the driver can.\n"
                "Every machine must see all that lies in the dataset's folder, also what a link in it leads to.\n"
                "Finished parts are kept. Mend that machine, or leave it out, and run the same command again."
            )


def _absolute(item: Item) -> Item:
    """As other processes find it."""
    if isinstance(item.source, Path):
        return replace(item, source=item.source.absolute())
    if isinstance(item.source, Cell):
        return replace(item, source=replace(item.source, file=_anywhere(item.source.file)))
    return item


def _anywhere(place: Place) -> Place:
    return place.absolute() if isinstance(place, Path) else place


def _worker_job(job: EncoderJob, config: ExtractConfig, pool: Pool) -> workers.WorkerJob:
    load = partial(
        workers.load,
        job.located,
        device=job.device,
        dtype=job.dtype,
        max_tokens=config.max_tokens,
        compile=config.compile,
    )
    folder = replace(job.folder, path=_anywhere(job.folder.path))
    batch_size = config.batch_size or batches.BATCH_SIZE[job.device]
    return workers.WorkerJob(load, folder, batch_size, pool.threads, platform.node())


def _settings(context: "DataContext", pool: Pool, pixels: int) -> "DataContext":
    """Ray Data's settings for a run whose largest block has so many bytes of pixels."""
    context = context.copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.raise_original_map_exception = True
    context.target_max_block_size = None  # a part is a block: never cut
    if pixels:
        # back-pressure: decoders wait once so much lies decoded, however many rows there are
        blocks = pool.encoders * (1 + BLOCKS_AHEAD) + pool.decoders
        context.execution_options.resource_limits = context.execution_options.resource_limits.copy(
            object_store_memory=blocks * pixels
        )
    return context


def error_in_words(error: Exception) -> str:
    """The machine, if Ray tells, and the reason: what was raised there, else what Ray says first."""
    told = COLOUR.sub("", str(error)).strip() or type(error).__name__
    machine = MACHINE.search(told)
    raised = REASON.findall(told)
    reason = raised[-1] if raised else told.splitlines()[0]
    return f"machine {machine[1]} of the cluster: {reason}" if machine else reason


def stopped(what: str, error: Exception) -> Failed:
    """For what was raised on a machine and would be raised again: no package there, another version, a sick GPU."""
    return Failed(
        f"{what}: {error_in_words(error)}\nFinished parts are kept. Mend that machine, or leave it out, and run the "
        "same command again; every machine needs the driver's versions of memefuse and its libraries."
    )
