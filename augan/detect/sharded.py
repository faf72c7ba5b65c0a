"""One share of the scoring, and the result of all shares: what a single call would have written."""

from contextlib import closing
from pathlib import Path

from augan.bundle import Bundle, load_bundle
from augan.detect.api import DetectionResult, OnScored, ScoredChunks, finish
from augan.detect.request import DetectionRequest, open_request
from augan.detect.worker import ScoredChunk, score
from augan.exceptions import DataError
from augan.parallel.executor import open_executor
from augan.parallel.sharding import Shard, ShardSet, shard_folder

_ASKED = ("model path", "images", "far", "fdr", "method", "maps", "ignore")


def detect_shard(
    bundle: Bundle,
    images: str | Path,
    out: str | Path,
    shard: Shard,
    far: float | None = None,
    fdr: float | None = None,
    *,
    method: str | None = None,
    maps: bool = False,
    ignore: str | Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    on_scored: OnScored = lambda done, total: None,
) -> Path:
    """Score one share of the samples and return the folder with what `merge_detection` needs.

    A call that was interrupted goes on when it is repeated. Other parameters and errors are those
    of `augan.detect_folder`.
    """
    task = open_request(bundle, images, far, fdr, method, maps, ignore)
    parts = list(shard.select(enumerate(task.parts)))
    with shard_folder(out, shard, task.job()) as writer:
        left = [(number, names) for number, names in parts if not writer.read(_key(number))]
        done, total = len(parts) - len(left), len(parts)
        with open_executor(workers, scheduler) as executor:
            found = executor.map(score, task.examiner, [names for _, names in left])
            with closing(found):
                for (number, _), scored in zip(left, found):
                    writer.add(_key(number), scored.record())
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
    """Write into `out` what `augan.detect_folder` would have written at once.

    Bundle and images are where they were: what is flagged is drawn now, by workers if there are.

    Raises
    ------
    DataError
        The shards are of something else, or the bundle, the images or the versions have changed.
    """
    asked = shards.settings(_ASKED)
    task = open_request(load_bundle(asked.pop("model path")), **asked)
    shards.check_job(task.job())
    with open_executor(workers, scheduler) as executor:
        return finish(task, out, _found(task, shards), executor, on_scored)


def _found(task: DetectionRequest, shards: ShardSet) -> ScoredChunks:
    for number, _ in enumerate(task.parts):
        record = shards.read(_key(number))
        if record is None:
            raise DataError(f"no shard has part {number}; make the shards again")
        yield ScoredChunk.of(record)


def _key(number: int) -> str:
    return f"{number:08d}"
