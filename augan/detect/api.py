"""Anomaly detection on files: in one call, or in shards that are merged."""

from contextlib import closing
from dataclasses import fields
from pathlib import Path

from augan.bundle import Bundle, as_bundle, load_bundle
from augan.checks import check_instance, check_out
from augan.detect.output_paths import default_output_folder
from augan.detect.request import DetectionRequest, check_detection_request
from augan.detect.resolution import ResolvedDetection, resolve_detection
from augan.detect.result import DetectionResult, OnScored, ScoredChunks, write_results
from augan.detect.worker import ScoredChunk, score_chunk
from augan.exceptions import DataError
from augan.io.atomic import check_replaceable, unmanaged_except
from augan.io.layout import DETECTION_FILES
from augan.parallel.executor import open_executor
from augan.parallel.sharding import Shard, ShardSet, shard_folder
from augan.progress import Progress

_OPTIONS = tuple(field.name for field in fields(DetectionRequest))


def detect_folder(
    bundle: Bundle | str | Path,
    request: DetectionRequest,
    out: str | Path | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    verbose: int = 1,
    on_scored: OnScored | None = None,
) -> DetectionResult:
    """Score the images of a folder, or the rows of a table, and flag the anomalies among them.

    `out/scores.csv` has the columns `path` (relative to `images`; for rows the number, from 0),
    `score` (higher = more anomalous), `p_value`, `anomaly` (0, 1, or empty if unreadable) and one
    column for each score component. Names that are not UTF-8 are written byte for byte;
    `errors="surrogateescape"` reads them. With a cross-conformal detector, the score is the mean of
    all folds, moved to the rank of their joint p-value
    (`augan.detect.conformal.cross_conformal`).

    `out/detection.json` contains the guarantee of the rate, the threshold, the counts and the
    warnings. For each flagged image, `out/overlays/<path>.png` shows its significant pixels in
    colors that mean the same in all images.

    Parameters
    ----------
    bundle : Bundle or path
        A bundle with a calibrated detector, its file or its run folder.
    request : DetectionRequest
        The images or the table, the error rate and the other options.
    out : path or None
        A new folder, or the folder of an earlier call, which is replaced. None: a folder inside the
        run of the bundle, named after the images.
    workers : int or None
        Number of processes of this machine that score; they share its cores. Requires the extra
        `augan[dask]`. A script must make the call below `if __name__ == "__main__":`.
    scheduler : str or None
        Address of a Dask scheduler, in place of `workers`. Its workers must see bundle and images
        at the same paths.
    verbose : int
        0: no progress is shown on standard error.
    on_scored : callable or None
        Called with the number of scored samples and the number of all samples, in place of the
        progress on standard error.

    Returns
    -------
    DetectionResult

    Raises
    ------
    BundleError
        If the bundle does not have the method, or its anomaly maps were never calibrated.
    DataError
        If there is nothing to score, nothing can be read, a table lacks a column, or the mask has
        another size than the images.
    ConfigError
        If `request` is no request, the calibration images are too few for the rate, both workers
        and a scheduler are given, or the extra is missing.
    WorkerError
        If there is no scheduler, or the workers die.

    Examples
    --------
    A folder of images, of which at most 1 % of the normal ones may be flagged::

        detect_folder("runs/parts", DetectionRequest("incoming", far=0.01))
    """
    bundle, request = as_bundle(bundle), check_detection_request(request)
    out = check_out(out) or default_output_folder(bundle, request.path, names=request.names)
    check_replaceable(out.absolute(), unmanaged_except(*DETECTION_FILES))
    detection = resolve_detection(bundle, request)
    with open_executor(workers, scheduler) as executor, Progress(verbose) as progress:
        chunks = executor.map(score_chunk, detection.worker, detection.chunks)
        return write_results(detection, out, chunks, executor, on_scored or progress.on_scored)


def detect_shard(
    bundle: Bundle | str | Path,
    request: DetectionRequest,
    out: str | Path,
    shard: Shard,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    verbose: int = 1,
    on_scored: OnScored | None = None,
) -> Path:
    """Score one shard of the samples, for example one of ten jobs on a cluster.

    An interrupted call is resumed by the same call. Parameters that are not listed, and errors, are
    those of `detect_folder`.

    Parameters
    ----------
    out : path
        Folder for the scores of this shard.
    shard : Shard
        Number of this shard and number of all shards.
    on_scored : callable or None
        Called with the number of scored chunks and the number of all chunks of this shard, in place
        of the progress on standard error.

    Returns
    -------
    Path
        `out`, which `merge_detection` reads.
    """
    check_out(out)
    check_instance("shard", shard, Shard, "Shard(0, 8), the first of 8")
    detection = resolve_detection(as_bundle(bundle), check_detection_request(request))
    chunks = list(shard.select(enumerate(detection.chunks)))
    with (
        shard_folder(out, shard, detection.job()) as writer,
        open_executor(workers, scheduler) as executor,
        Progress(verbose) as progress,
    ):
        remaining = [(number, names) for number, names in chunks if not writer.read(_key(number))]
        done, total = len(chunks) - len(remaining), len(chunks)
        results = executor.map(score_chunk, detection.worker, [names for _, names in remaining])
        with closing(results):
            for (number, _), scored in zip(remaining, results):
                writer.add(_key(number), scored.to_record())
                done += 1
                (on_scored or progress.on_scored)(done, total)
    return Path(out)


def merge_detection(
    shards: ShardSet,
    out: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    verbose: int = 1,
) -> DetectionResult:
    """Merge the scores of all shards into the results of a single `detect_folder` call.

    The bundle and the images must be at the same paths as for the shards. Overlays are rendered
    during the merge, by workers if there are any.

    Parameters
    ----------
    shards : ShardSet
        The folders that `detect_shard` wrote, complete.
    out : path
        A new folder, or the folder of an earlier call, which is replaced.
    workers, scheduler, verbose
        As for `detect_folder`.

    Returns
    -------
    DetectionResult

    Raises
    ------
    DataError
        If the shards belong to different jobs, or the bundle, images or versions have changed.
    """
    bundle = load_bundle(shards.settings(["model path"])["model path"])
    detection = resolve_detection(bundle, DetectionRequest(**shards.settings(_OPTIONS)))
    shards.check_job(detection.job())
    with open_executor(workers, scheduler) as executor, Progress(verbose) as progress:
        chunks = _stored_chunks(detection, shards)
        return write_results(detection, out, chunks, executor, progress.on_scored)


def _stored_chunks(detection: ResolvedDetection, shards: ShardSet) -> ScoredChunks:
    """Yield the scored chunks of all shards in the order of the samples.

    Raises
    ------
    DataError
        If no shard has a chunk.
    """
    for number, _ in enumerate(detection.chunks):
        record = shards.read(_key(number))
        if record is None:
            raise DataError(f"no shard has chunk {number}; make the shards again")
        yield ScoredChunk.from_record(record)


def _key(number: int) -> str:
    """Return the key under which a shard stores the chunk of this number, counted from 0."""
    return f"{number:08d}"
