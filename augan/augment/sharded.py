"""Augmentation in shards: each call generates a share of the candidates; a merge joins all shares.

A candidate is a generated sample that is not filtered yet. The number of candidates a class needs
is known only after the filter has seen all earlier candidates. So a shard generates chunks of
candidates until its share of the samples is accepted, and ignores duplicates between candidates.
The merge rejects duplicates and generates the few chunks that are still missing.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, fields, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from augan.augment.api import AugmentationResult, run_job
from augan.augment.filters.acceptance import AcceptanceStats
from augan.augment.generation import ProgressCallback
from augan.augment.job import AugmentJob
from augan.augment.request import AugmentRequest, check_augment_request
from augan.augment.worker import CandidateChunk, CandidateWorker, ChunkRequest, generate_chunk
from augan.bundle import Bundle, as_bundle, load_bundle
from augan.bundle.reference import BundleRef
from augan.checks import check_instance
from augan.exceptions import RefusedError
from augan.parallel.executor import Executor, open_executor
from augan.parallel.sharding import Job, Shard, ShardRecord, ShardSet, ShardWriter, shard_folder
from augan.progress import Progress

_COMMAND = "augment"  # names the command in the job of a shard
_BUNDLE_PATH = "model path"  # key of the job that holds the path of the bundle


def augment_shard(
    bundle: Bundle | str | Path,
    request: AugmentRequest,
    shard: Shard,
    out: str | Path | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    verbose: int = 1,
) -> Path:
    """Generate one share of the candidates of a job, for `merge_augmentation`.

    An interrupted call resumes when the same call is repeated.

    Parameters
    ----------
    bundle : Bundle or path
        A saved bundle, its file or its run folder.
    request : AugmentRequest
        The request of the complete job, equal in all shards.
    shard : Shard
        The share to generate, such as shard 0 of 8.
    out : path or None
        Folder of the shard. None: a folder next to the bundle, named after the complete job and the
        shard.
    workers, scheduler, verbose
        See `augan.augment_folder`.

    Returns
    -------
    Path
        The folder of the shard.

    Raises
    ------
    BundleError, ConfigError, DataError, WorkerError
        For the reasons that `augan.augment_folder` lists; BundleError also if the bundle was never
        saved.
    """
    check_instance("shard", shard, Shard, "Shard(0, 8), the first of 8")
    job = AugmentJob.resolve(as_bundle(bundle), check_augment_request(request), out)
    target = job.out if out is not None else shard.folder_for(job.out)
    worker = job.create_worker()
    with (
        shard_folder(target, shard, _describe(job, worker)) as writer,
        open_executor(workers, scheduler) as executor,
        Progress(verbose) as progress,
    ):
        class_names = job.sampler.class_names
        for index, num_samples in job.counts.items():
            requests = (ChunkRequest(index, chunk, request.seed) for chunk in shard.select(count()))
            stats = AcceptanceStats(class_names[index], num_samples, len(class_names))
            share = -(-num_samples // shard.count)
            with closing(_requested_chunks(writer, executor, worker, requests)) as chunks:
                _write_share(stats, share, chunks, writer, progress.on_accepted)
    return target


def merge_augmentation(
    shards: ShardSet,
    out: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    verbose: int = 1,
) -> AugmentationResult:
    """Merge the shards of a job into the folder that one `augan.augment_folder` would write.

    Parameters
    ----------
    shards : ShardSet
        Complete shards. The bundle and the training data must still be at the paths that the shards
        record.
    out : path
        New folder, or the folder of an earlier call, which is replaced.
    workers : int or None
        Number of processes on this machine that generate the chunks missing from the shards. None:
        this process.
    scheduler : str or None
        Address of a Dask scheduler, instead of `workers`.
    verbose : int
        0: no progress is shown on standard error.

    Returns
    -------
    AugmentationResult

    Raises
    ------
    RefusedError
        Too few candidates of a class pass the filters. Nothing is written.
    DataError
        The shards are of another command, or the bundle, the data or the package versions have
        changed.
    BundleError, ConfigError, WorkerError, RunInterruptedError
        For the reasons that `augan.augment_folder` lists.
    """
    request = AugmentRequest(**shards.settings([field.name for field in fields(AugmentRequest)]))
    bundle = load_bundle(shards.settings([_BUNDLE_PATH])[_BUNDLE_PATH])
    job = AugmentJob.resolve(bundle, request, out)
    shards.check_job(_describe_bundle(bundle))
    with open_executor(workers, scheduler) as executor:
        return run_job(
            job, lambda worker: partial(_merged_chunks, shards, executor, worker), verbose
        )


def _describe(job: AugmentJob, worker: CandidateWorker) -> Job:
    """Return the JSON-able values that all candidates of a job depend on, equal in all shards."""
    has_training_data = {"training data found": worker.context.reference is not None}
    command = {"command": _COMMAND}
    return command | asdict(job.request) | _describe_bundle(job.bundle) | has_training_data


def _describe_bundle(bundle: Bundle) -> dict[str, Any]:
    """Return the hash and path of a bundle and the versions of the packages, JSON-able."""
    saved = BundleRef.of(bundle)
    return {"model": saved.sha256, _BUNDLE_PATH: saved.path, "versions": dict(saved.versions)}


def _write_share(
    stats: AcceptanceStats,
    share: int,
    chunks: Iterator[tuple[ChunkRequest, CandidateChunk | None]],
    writer: ShardWriter,
    on_accepted: ProgressCallback,
) -> None:
    """Write chunks of one class until the shard's share of samples is accepted.

    Writing also ends when too few candidates are accepted. The merge sees all shards and decides
    whether to refuse the class.
    """
    for request, chunk in chunks:
        if chunk is None or chunk.filter_result is None:
            raise RuntimeError("a shard requires filtered chunks")
        writer.add(request.key, chunk.to_record())
        stats.update(chunk.filter_result.decisions)
        on_accepted(stats.class_name, min(stats.accepted, share), share)
        if stats.accepted >= share:
            return
        try:
            stats.check_rates(chunk.filter_result.decisions)
        except RefusedError:
            return  # merging sees all shards, so it decides whether to refuse the class


def _requested_chunks(
    stored: ShardSet | ShardWriter,
    executor: Executor,
    worker: CandidateWorker,
    requests: Iterable[ChunkRequest],
) -> Generator[tuple[ChunkRequest, CandidateChunk | None], None, None]:
    """Yield each request with its chunk, in order; chunks that no shard has stored are generated.

    Parameters
    ----------
    stored : ShardSet or ShardWriter
        Chunks that exist already.
    executor : Executor
        Where missing chunks are generated.
    worker : CandidateWorker
    requests : iterable of ChunkRequest
        The chunk of a request that is not required is None.
    """
    pending: deque[tuple[ChunkRequest, ShardRecord | None]] = deque()

    def missing() -> Iterator[ChunkRequest]:
        for request in requests:
            record = stored.read(request.key) if request.required else None
            pending.append((request, record))
            yield request if record is None else replace(request, required=False)

    with closing(executor.map(generate_chunk, worker, missing())) as chunks:
        for chunk in chunks:
            request, record = pending.popleft()
            yield request, chunk if record is None else CandidateChunk.from_record(record)


def _merged_chunks(
    shards: ShardSet,
    executor: Executor,
    worker: CandidateWorker,
    requests: Iterable[ChunkRequest],
) -> Generator[CandidateChunk | None, None, None]:
    """Yield the chunk of each request, from the shards or newly generated; a `ChunkGenerator`."""
    with closing(_requested_chunks(shards, executor, worker, requests)) as chunks:
        for _, chunk in chunks:
            yield chunk
