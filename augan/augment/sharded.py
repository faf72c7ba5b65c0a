"""One share of the candidates, and the result of all shares: what a single call would have written.

Which candidates are needed is known only when all before them are judged. So a shard makes chunks
until it has its share of what passes by itself, and merging makes the few that are still missing.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from augan.augment.api import AugmentationResult, run_request
from augan.augment.filters.acceptance import AcceptanceStats
from augan.augment.generation import ProgressCallback
from augan.augment.request import AugmentRequest, parse_request
from augan.augment.worker import CandidateChunk, CandidateWorker, ChunkRequest, make
from augan.bundle import Bundle, load_bundle
from augan.bundle.reference import BundleRef
from augan.data.dataset import Classes, as_class_names
from augan.exceptions import RefusedError
from augan.parallel.executor import Executor, open_executor
from augan.parallel.sharding import Record, Shard, Shards, ShardWriter, shard_folder

COMMAND = "augment"  # what a shard calls it


def augment_shard(
    bundle: Bundle,
    classes: Classes,
    n: int | None,
    out: str | Path | None,
    shard: Shard,
    *,
    seed: int = 0,
    method: str = "auto",
    policy: str | None = None,
    format: str | None = None,
    data: str | Path | None = None,
    filtered: bool = True,
    balance: bool = False,
    to: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    on_accepted: ProgressCallback = lambda name, kept, asked: None,
) -> Path:
    """Make one share of the candidates and return the folder with what `merge_augmentation` needs.

    `n` and `to` are those of the whole job; without `out` the folder is called as that of the whole
    job, and which shard it is. A call that was interrupted goes on when it is repeated. Other
    parameters and errors are those of `augan.augment_folder`.
    """
    asked: dict[str, Any] = {"seed": seed, "method": method, "policy": policy, "format": format}
    asked |= {"filtered": filtered, "balance": balance, "to": to}
    names = as_class_names(classes)
    order = parse_request(bundle, names, n, out, **asked)
    whole = {"classes": names, "n": n, "data": None if data is None else str(data), **asked}
    target = order.target
    if out is None:
        target = shard.named(target)
    maker = CandidateWorker.of(order.sampler, order.method, order.filtered, data)
    with (
        shard_folder(target, shard, _job(order, maker, whole)) as writer,
        open_executor(workers, scheduler) as executor,
    ):
        for index, wanted in order.wanted.items():
            requests = (ChunkRequest(index, number, seed) for number in shard.of(count()))
            names = maker.sampler.class_names
            found, share = (
                AcceptanceStats(names[index], wanted, len(names)),
                -(-wanted // shard.count),
            )
            with closing(_found(writer, executor, maker, requests)) as chunks:
                _make_share(found, share, chunks, writer, on_accepted)
    return target


def merge_augmentation(
    shards: Shards,
    out: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    on_accepted: ProgressCallback = lambda name, kept, asked: None,
) -> AugmentationResult:
    """Write into `out` what `augan.augment_folder` would have written at once.

    Bundle and training data are where they were. What the shards lack is made by workers if there
    are.

    Raises
    ------
    RefusedError
        Too few candidates of a class pass the filters. Nothing is written.
    DataError
        The shards are of something else, or the bundle, the data or the versions have changed.
    """
    asked = shards.asked(_ASKED)
    data = asked.pop("data")
    order = parse_request(load_bundle(asked.pop("model path")), out=out, **asked)
    shards.check(_versions(order))
    with open_executor(workers, scheduler) as executor:
        return run_request(
            order, data, lambda maker: partial(_chunks, shards, executor, maker), on_accepted
        )


_ASKED = (
    *("model path", "classes", "n", "seed", "method", "policy", "format"),
    *("data", "filtered", "balance", "to"),
)


def _job(order: AugmentRequest, maker: CandidateWorker, asked: dict[str, Any]) -> dict[str, Any]:
    """Return all that the candidates depend on, JSON-able."""
    compared = {"training data found": maker.real.reference is not None}
    return {"command": COMMAND, **asked, **_versions(order), **compared}


def _versions(order: AugmentRequest) -> dict[str, Any]:
    same = BundleRef.of(order.bundle)
    return {"model": same.sha256, "model path": same.path, "versions": dict(same.versions)}


def _make_share(
    found: AcceptanceStats,
    share: int,
    chunks: Iterator[tuple[ChunkRequest, CandidateChunk | None]],
    writer: ShardWriter,
    on_accepted: ProgressCallback,
) -> None:
    """Write chunks of one class until so many candidates pass, or it is clear that few will."""
    for request, chunk in chunks:
        if chunk is None or chunk.filter_result is None:
            raise RuntimeError("a shard asks for judged chunks only")
        writer.add(request.key, chunk.record())
        found.count(chunk.filter_result.decisions)
        on_accepted(found.class_name, min(found.accepted, share), share)
        if found.accepted >= share:
            return
        try:
            found.check(chunk.filter_result.decisions)
        except RefusedError:
            return  # whether the class is refused, merging decides: it sees all of them


def _found(
    done: Shards | ShardWriter,
    executor: Executor,
    maker: CandidateWorker,
    requests: Iterable[ChunkRequest],
) -> Generator[tuple[ChunkRequest, CandidateChunk | None], None, None]:
    """Yield requests and their chunks in order: those that are done, and else new ones."""
    asked: deque[tuple[ChunkRequest, Record | None]] = deque()

    def missing() -> Iterator[ChunkRequest]:
        for request in requests:
            record = done.find(request.key) if request.wanted else None
            asked.append((request, record))
            yield request if record is None else replace(request, wanted=False)

    with closing(executor.map(make, maker, missing())) as chunks:
        for chunk in chunks:
            request, record = asked.popleft()
            yield request, chunk if record is None else CandidateChunk.of(record)


def _chunks(
    shards: Shards, executor: Executor, maker: CandidateWorker, requests: Iterable[ChunkRequest]
) -> Generator[CandidateChunk | None, None, None]:
    with closing(_found(shards, executor, maker, requests)) as found:
        for _, chunk in found:
            yield chunk
