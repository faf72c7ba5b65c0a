"""Augmentation in shards: each call generates a share of the candidates; a merge joins all shares.

A candidate is a generated sample that is not filtered yet. The number of candidates a class needs
is known only after the filter has seen all earlier candidates. So a shard generates chunks of
candidates until its share of the samples is accepted, and ignores duplicates between candidates.
The merge rejects duplicates and generates the few chunks that are still missing.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from augan.augment.api import AugmentationResult, ignore_progress, run_request
from augan.augment.filters.acceptance import AcceptanceStats
from augan.augment.generation import ProgressCallback
from augan.augment.request import AugmentRequest, parse_request
from augan.augment.worker import CandidateChunk, CandidateWorker, ChunkRequest, generate_chunk
from augan.bundle import Bundle, load_bundle
from augan.bundle.reference import BundleRef
from augan.data.dataset import Classes, as_class_names
from augan.exceptions import RefusedError
from augan.parallel.executor import Executor, open_executor
from augan.parallel.sharding import Shard, ShardRecord, ShardSet, ShardWriter, shard_folder

_COMMAND = "augment"  # names the command in the job of a shard
_REQUEST_KEYS = (
    *("model path", "classes", "n", "seed", "method", "transform", "format"),
    *("training_data", "filtered", "balance", "balance_to"),
)


def augment_shard(
    bundle: Bundle,
    classes: Classes,
    n: int | None,
    out: str | Path | None,
    shard: Shard,
    *,
    seed: int = 0,
    method: str = "auto",
    transform: str | None = None,
    format: str | None = None,
    training_data: str | Path | None = None,
    filtered: bool = True,
    balance: bool = False,
    balance_to: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    on_accepted: ProgressCallback = ignore_progress,
) -> Path:
    """Generate one share of the candidates of a job, for `merge_augmentation`.

    An interrupted call resumes when the same call is repeated.

    Parameters
    ----------
    bundle : Bundle
        A saved bundle.
    classes, n, balance, balance_to
        Those of the complete job, see `augan.augment_folder`.
    out : path or None
        Folder of the shard. None: a folder next to the bundle, named after the complete job and the
        shard.
    shard : Shard
        The share to generate, such as shard 0 of 8.
    seed, method, transform, format, training_data, filtered, workers, scheduler
        See `augan.augment_folder`; except for `workers` and `scheduler`, equal in all shards of a
        job.
    on_accepted : callable
        Called after each chunk with the class name, the number of accepted candidates (at most the
        share), and the share of the class.

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
    options: dict[str, Any] = {
        "seed": seed,
        "method": method,
        "transform": transform,
        "format": format,
        "filtered": filtered,
        "balance": balance,
        "balance_to": balance_to,
    }
    names = as_class_names(classes)
    request = parse_request(bundle, names, n, out, **options)
    location = None if training_data is None else str(training_data)
    options |= {"classes": names, "n": n, "training_data": location}
    target = request.out if out is not None else shard.folder_for(request.out)
    worker = CandidateWorker.create(
        request.sampler, request.method, request.filtered, training_data
    )
    with (
        shard_folder(target, shard, _job(request, worker, options)) as writer,
        open_executor(workers, scheduler) as executor,
    ):
        class_names = request.sampler.class_names
        for index, num_samples in request.counts.items():
            requests = (ChunkRequest(index, chunk, seed) for chunk in shard.select(count()))
            stats = AcceptanceStats(class_names[index], num_samples, len(class_names))
            share = -(-num_samples // shard.count)
            with closing(_requested_chunks(writer, executor, worker, requests)) as chunks:
                _write_share(stats, share, chunks, writer, on_accepted)
    return target


def merge_augmentation(
    shards: ShardSet,
    out: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    on_accepted: ProgressCallback = ignore_progress,
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
    on_accepted : callable
        Called after each chunk with the class name, the number of accepted samples and the number
        of requested samples.

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
    options = shards.settings(_REQUEST_KEYS)
    training_data = options.pop("training_data")
    request = parse_request(load_bundle(options.pop("model path")), out=out, **options)
    shards.check_job(_versions(request))
    with open_executor(workers, scheduler) as executor:
        return run_request(
            request,
            training_data,
            lambda worker: partial(_merged_chunks, shards, executor, worker),
            on_accepted,
        )


def _job(
    request: AugmentRequest, worker: CandidateWorker, options: dict[str, Any]
) -> dict[str, Any]:
    """Return the JSON-able values that all candidates of a job depend on, equal in all shards."""
    has_training_data = {"training data found": worker.context.reference is not None}
    return {"command": _COMMAND, **options, **_versions(request), **has_training_data}


def _versions(request: AugmentRequest) -> dict[str, Any]:
    """Return the hash and path of the bundle and the versions of the packages, JSON-able."""
    same = BundleRef.of(request.bundle)
    return {"model": same.sha256, "model path": same.path, "versions": dict(same.versions)}


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
