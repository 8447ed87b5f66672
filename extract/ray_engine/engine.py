"""A plan's parts through Ray Data: decoders in a pool of tasks, encoders in a pool of actors, files by the workers."""

import platform
import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from extract import encoders, engine, machine
from extract.config import ExtractConfig
from extract.encoders import batches, reading
from extract.encoders.family import TextEncoder
from extract.engine import EncoderJob, EncoderTask, TextCounts, Tokeniser
from extract.errors import Failed, Refused
from extract.parquet import Cell
from extract.plan import Item, Part, by_length, cut, merged
from extract.progress import bar, say
from extract.ray_engine import decoder, workers
from extract.ray_engine.cluster import Connection, Pool

if TYPE_CHECKING:
    from ray.data import DataContext, Dataset

    from extract.images import Squeeze

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

    def encode(self, tasks: Sequence[EncoderTask], config: ExtractConfig) -> dict[str, str]:
        """Encode and write what is left, in parts, as LocalEngine does. Returns content -> reason for bad images.

        Raises Failed if a machine cannot go on, or if Ray loses work again and again without a part being finished.
        """
        self.connection.open()
        bad: dict[str, str] = {}
        for group in engine.rounds(tasks):
            bad |= self._encode(group, config, bad)
            for task in group:
                task.job.folder.sweep_torn()
        return bad

    def _encode(self, tasks: list[EncoderTask], config: ExtractConfig, known_bad: Collection[str]) -> dict[str, str]:
        """With several encoders, all of images, each of an encoder's actors holds them all."""
        import ray
        from ray.data.exceptions import ExecutionTimeoutError

        tasks, jobs = [task.less(known_bad) for task in tasks], [task.job for task in tasks]
        kind, label = jobs[0].kind, ", ".join(task.label for task in tasks)
        bad: dict[str, str] = {}
        counts, tokeniser = TextCounts(), None
        if kind == "text":  # its tokenizer alone is used here, and the driver may have no GPU
            tokeniser = Tokeniser(cast(TextEncoder, engine.load(replace(jobs[0], device="cpu"), config)))
            tokeniser.try_on([str(item.source) for item in tasks[0].left])
        with bar(None, label, _left(tasks), f"{kind}s" if len(tasks) == 1 else "vectors", config.quiet) as rows_bar:
            while _left(tasks):
                try:
                    for report in self._stream(_rows(tasks), jobs, config):
                        if report.failure:
                            raise Failed(report.failure)
                        _refuse_blind(report, [item for task in tasks for item in task.left])
                        bad |= {image.content: image.reason for image in report.bad}
                        counts += report.counts
                        rows_bar.update(report.rows)
                    break
                except ray.exceptions.RayTaskError as error:
                    raise stopped(_names(jobs), error) from None
                except (ray.exceptions.RayError, ExecutionTimeoutError) as error:
                    tasks = self._after(error, tasks, bad)
                    rows_bar.update(rows_bar.total - _left(tasks) - rows_bar.n)
        if tokeniser:
            counts.say(tokeniser.encoder)
        return bad

    def _stream(
        self, rows: Sequence[workers.Row], jobs: Sequence[EncoderJob], config: ExtractConfig
    ) -> Iterator[workers.Report]:
        """Run the rows; yield what became of each, in the order in which they end."""
        from ray.data import DataContext
        from ray.util.annotations import RayDeprecationWarning

        pool = Pool.of(self.connection.nodes(), jobs[0].device)
        pixels = len(merged([part.items for part in rows[0]])) * sum(transform.bytes for transform in _transforms(jobs))
        with DataContext.current(_settings(DataContext.get_current(), pool, pixels)):
            with warnings.catch_warnings():
                # that numbers of tries have no name of their own yet, as numbers of CPUs do
                warnings.simplefilter("ignore", RayDeprecationWarning)
                stream = _pipeline(rows, jobs, config, pool)
            for batch in stream.iter_batches(batch_size=None, prefetch_batches=0):
                yield from workers.reports(batch)

    def _after(self, error: Exception, tasks: list[EncoderTask], bad: Collection[str]) -> list[EncoderTask]:
        """What is left once Ray has given up on a run: all but finished parts, and images known to be bad."""
        names, still = _names([task.job for task in tasks]), [task.missing().less(bad) for task in tasks]
        if _left(still) == _left(tasks):
            raise Failed(
                f"{names}: Ray gave up before a part was finished: {error_in_words(error)}\n"
                "Finished parts are kept; run the same command again when the cluster is well."
            ) from None
        say(f"{names}: Ray lost work ({type(error).__name__}); going on with {_left(still):,} that are left")
        return still


def _left(tasks: Sequence[EncoderTask]) -> int:
    return sum(len(task.left) for task in tasks)


def _names(jobs: Sequence[EncoderJob]) -> str:
    return ", ".join(job.located.slug for job in jobs)


def _transforms(jobs: Sequence[EncoderJob]) -> "list[Squeeze]":
    """Those that are wanted of each image; none of texts."""
    return list(dict.fromkeys(transform for job in jobs if (transform := encoders.decoder(job.located))))


def _rows(tasks: Sequence[EncoderTask]) -> list[workers.Row]:
    """The local engine's plan, but for the size of parts that are too large for one block.

    Each row holds a part for each encoder, of what it lacks among the same contents.
    """
    job = tasks[0].job
    rows = engine.PART_ROWS[job.device][job.kind]
    if job.kind == "text":
        return [(part,) for part in cut(by_length(tasks[0].left), rows)]
    wanted = [{item.content for item in task.left} for task in tasks]
    every = [_absolute(item) for item in merged([task.left for task in tasks])]
    return [
        tuple(Part(tuple(item for item in part.items if item.content in of_task)) for of_task in wanted)
        for part in cut(every, min(rows, BLOCK_ROWS))
    ]


def _pipeline(rows: Sequence[workers.Row], jobs: Sequence[EncoderJob], config: ExtractConfig, pool: Pool) -> "Dataset":
    """Rows, through decoders if they hold images, and encoders, to reports. Nothing runs before it is read from."""
    import ray.data
    from ray.data import ActorPoolStrategy, TaskPoolStrategy

    stream: Dataset = ray.data.from_items([workers.block(row) for row in rows], override_num_blocks=len(rows))
    if transforms := _transforms(jobs):
        stream = stream.map_batches(
            partial(workers.decode, transforms=transforms, child=decoder.CHILD, data=config.data.absolute()),
            batch_size=1,
            num_cpus=pool.decoder_cpus,
            compute=TaskPoolStrategy(min(pool.decoders, len(rows))),
            max_retries=TRIES,
        )
    return stream.map_batches(
        workers.Encode,
        fn_constructor_args=(_worker_job(jobs, config, pool),),
        batch_size=1,
        num_cpus=pool.cpus,
        num_gpus=pool.gpus,
        compute=ActorPoolStrategy(size=min(pool.encoders, len(rows))),
        max_restarts=TRIES,
        max_task_retries=TRIES,
    )


def _refuse_blind(report: workers.Report, left: Sequence[Item]) -> None:
    """Raise Failed if a machine could not read an image that the driver can: else it would count as a bad one."""
    unread = {image.content: image.reason for image in report.bad if image.unread}
    for item in left if unread else ():
        if item.content in unread and isinstance(reading.read_planned(item), bytes):
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
        return replace(item, source=replace(item.source, file=item.source.file.absolute()))
    return item


def _worker_job(jobs: Sequence[EncoderJob], config: ExtractConfig, pool: Pool) -> workers.WorkerJob:
    how: dict[str, Any] = {"device": jobs[0].device, "dtype": jobs[0].dtype}
    how |= {"max_tokens": config.max_tokens, "compile": config.compile}
    loads = [partial(workers.load, job.located, **how) for job in jobs]
    folders = [replace(job.folder, path=job.folder.path.absolute()) for job in jobs]
    batch_size = config.batch_size or batches.BATCH_SIZE[jobs[0].device]
    return workers.WorkerJob(loads, folders, batch_size, pool.threads, platform.node())


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
