"""Sharded detection: one machine scores one shard, and a merge writes the result of all shards."""

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
    """Score one shard of the samples, for example one of ten jobs on a cluster.

    An interrupted call is resumed by the same call. Parameters that are not listed, and errors, are
    those of `augan.detect_folder`.

    Parameters
    ----------
    out : path
        Folder for the scores of this shard.
    shard : Shard
        Number of this shard and number of all shards.
    on_scored : callable
        Called with the number of scored chunks and the number of all chunks of this shard.

    Returns
    -------
    Path
        `out`, which `merge_detection` reads.
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
    """Merge the scores of all shards into the results of a single `augan.detect_folder` call.

    The bundle and the images must be at the same paths as for the shards. Overlays are rendered
    during the merge, by workers if there are any.

    Parameters
    ----------
    shards : ShardSet
        The folders that `detect_shard` wrote, complete.
    out : path
        A new folder, or the folder of an earlier call, which is replaced.
    workers, scheduler, on_scored
        As for `augan.detect_folder`.

    Returns
    -------
    DetectionResult

    Raises
    ------
    DataError
        If the shards belong to different jobs, or the bundle, images or versions have changed.
    """
    options = shards.settings(_OPTIONS)
    request = open_request(load_bundle(options.pop("model path")), **options)
    shards.check_job(request.job())
    with open_executor(workers, scheduler) as executor:
        return write_results(request, out, _stored_chunks(request, shards), executor, on_scored)


def _stored_chunks(request: DetectionRequest, shards: ShardSet) -> ScoredChunks:
    """Yield the scored chunks of all shards in the order of the samples.

    Raises
    ------
    DataError
        If no shard has a chunk.
    """
    for number, _ in enumerate(request.chunks):
        record = shards.read(_key(number))
        if record is None:
            raise DataError(f"no shard has chunk {number}; make the shards again")
        yield ScoredChunk.from_record(record)


def _key(number: int) -> str:
    """Return the key under which a shard stores the chunk of this number, counted from 0."""
    return f"{number:08d}"
