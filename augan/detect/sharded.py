"""Sharded detection: scoring of one shard, and the merge of all shards into one result."""

from contextlib import closing
from pathlib import Path

from augan.bundle import Bundle, load_bundle
from augan.detect.api import DetectionResult, OnScored, ScoredChunks, write_results
from augan.detect.request import DetectionRequest, open_request
from augan.detect.worker import ScoredChunk, score_chunk
from augan.exceptions import DataError
from augan.parallel.executor import open_executor
from augan.parallel.sharding import Shard, ShardSet, shard_folder

_OPTIONS = ("model path", "images", "far", "fdr", "method", "save_maps", "ignore_mask")


def detect_shard(
    bundle: Bundle,
    images: str | Path,
    out: str | Path,
    shard: Shard,
    far: float | None = None,
    fdr: float | None = None,
    *,
    method: str | None = None,
    save_maps: bool = False,
    ignore_mask: str | Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    on_scored: OnScored = lambda done, total: None,
) -> Path:
    """Score one shard of the samples, and return the folder that `merge_detection` reads.

    If a call was interrupted, the same call resumes it. Other parameters and errors are those of
    `augan.detect_folder`.
    """
    request = open_request(bundle, images, far, fdr, method, save_maps, ignore_mask)
    chunks = list(shard.select(enumerate(request.chunks)))
    with shard_folder(out, shard, request.job()) as writer:
        remaining = [(number, names) for number, names in chunks if not writer.read(_key(number))]
        done, total = len(chunks) - len(remaining), len(chunks)
        with open_executor(workers, scheduler) as executor:
            results = executor.map(score_chunk, request.worker, [names for _, names in remaining])
            with closing(results):
                for (number, _), scored in zip(remaining, results):
                    writer.add(_key(number), scored.to_record())
                    done += 1
                    on_scored(done, total)
    return Path(out)


def merge_detection(
    shards: ShardSet,
    out: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    on_scored: OnScored = lambda done, total: None,
) -> DetectionResult:
    """Write into `out` the results that a single `augan.detect_folder` would have written.

    The bundle and the images must be at the same paths. Overlays are rendered during the merge, by
    workers if there are any.

    Raises
    ------
    DataError
        The shards belong to different jobs, or the bundle, images or versions have changed.
    """
    options = shards.settings(_OPTIONS)
    request = open_request(load_bundle(options.pop("model path")), **options)
    shards.check_job(request.job())
    with open_executor(workers, scheduler) as executor:
        return write_results(request, out, _stored_chunks(request, shards), executor, on_scored)


def _stored_chunks(request: DetectionRequest, shards: ShardSet) -> ScoredChunks:
    for number, _ in enumerate(request.chunks):
        record = shards.read(_key(number))
        if record is None:
            raise DataError(f"no shard has chunk {number}; make the shards again")
        yield ScoredChunk.from_record(record)


def _key(number: int) -> str:
    return f"{number:08d}"
