"""Augmentation in shards: one share of the candidates a call, merged into the result of one call.

Which candidates are needed is known only after all earlier ones have been filtered. So a shard
generates chunks until its share of the samples is accepted, ignoring duplicates between shards, and
merging generates the few chunks that are still missing.
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

_COMMAND = "augment"  # in the job of a shard
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
    """Generate one share of the candidates; return the folder that `merge_augmentation` reads.

    `n` and `balance_to` are those of the complete job. Without `out` the folder is named after the
    complete job and the shard. An interrupted call resumes when it is repeated. Other parameters
    and errors are those of `augan.augment_folder`.
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
    """Write into `out` what one call of `augan.augment_folder` would have written.

    The bundle and the training data must be where they were. Workers, if any, generate the chunks
    that the shards lack.

    Raises
    ------
    RefusedError
        Too few candidates of a class pass the filters. Nothing is written.
    DataError
        The shards are of another command, or the bundle, the data or the versions have changed.
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
    """Return the JSON-able values that all candidates depend on."""
    has_training_data = {"training data found": worker.context.reference is not None}
    return {"command": _COMMAND, **options, **_versions(request), **has_training_data}


def _versions(request: AugmentRequest) -> dict[str, Any]:
    same = BundleRef.of(request.bundle)
    return {"model": same.sha256, "model path": same.path, "versions": dict(same.versions)}


def _write_share(
    stats: AcceptanceStats,
    share: int,
    chunks: Iterator[tuple[ChunkRequest, CandidateChunk | None]],
    writer: ShardWriter,
    on_accepted: ProgressCallback,
) -> None:
    """Write chunks of a class until its share is accepted, or too few candidates are accepted."""
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
    """Yield requests and their chunks in order; chunks that are not stored are generated."""
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
    with closing(_requested_chunks(shards, executor, worker, requests)) as chunks:
        for _, chunk in chunks:
            yield chunk
