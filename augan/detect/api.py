"""Anomaly detection on files: the function `detect_folder` and its folder of results.

A call validates its options and opens the input (`augan.detect.request`), scores chunks of samples
in this process or in workers (`augan.detect.worker`), decides which samples are anomalies, and
writes the folder of results.
"""

import json
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from augan.bundle import Bundle
from augan.data.dataset import plural
from augan.detect.conformal.calibration import Calibration
from augan.detect.conformal.decision import decide
from augan.detect.conformal.drift import Drift, detect_drift
from augan.detect.conformal.fdr import DiscoveryGuarantee
from augan.detect.conformal.guarantee import Guarantee, guarantee_void_reason
from augan.detect.detector import bundled_methods
from augan.detect.output_paths import absolute_path, default_output_folder
from augan.detect.request import DetectionRequest, open_request
from augan.detect.score_table import ComponentSummary, ScoreTableWriter, flag_rows
from augan.detect.visualization.anomaly_map import MapScale
from augan.detect.visualization.overlay import RENDER_CHUNK_SIZE, write_images
from augan.detect.visualization.top_samples import NUM_RECONSTRUCTED, ScoredSample, TopSamples
from augan.detect.worker import ScoredChunk, render_overlays, score_chunk
from augan.exceptions import DataError
from augan.io.atomic import atomic_folder, check_replaceable, unmanaged_except
from augan.io.csv_safety import UNDECODABLE
from augan.io.layout import (
    DETECTION_FILE,
    DETECTION_FILES,
    MAPS_FOLDER,
    OVERLAYS_FOLDER,
    PENDING_SCORES_FILE,
    SCORES_FILE,
)
from augan.parallel.executor import Executor, open_executor

OnScored = Callable[[int, int], None]
ScoredChunks = Generator[ScoredChunk, None, None]


@dataclass
class DetectionResult:
    """Result of `detect_folder`: counts, guarantee and warnings, and data for the report.

    Parameters
    ----------
    out : Path
        The folder that contains `scores.csv`.
    guarantee : Guarantee or DiscoveryGuarantee
        Guarantee of the false-alarm rate, or of the false-discovery rate.
    drift : Drift
        Result of the test for a shift of all scores relative to the calibration samples.
    num_scored : int
        Number of samples that could be read.
    num_anomalies : int
        Number of flagged samples.
    unreadable : list of (path, reason)
        Samples without a score: path of the image or number of the row (from 0), and why it cannot
        be read.
    warnings : list of str
        Messages that the user should read before trusting the decisions.
    top_samples : list of ScoredSample
        Up to 24 samples with the highest scores, highest first, with thumbnails for images.
    sample_type : str
        "image" or "row".
    method : str
        Detection method that computed the scores.
    methods : tuple of str
        All detection methods of the bundle; the first is the default.
    scores : ndarray of float64 [N]
        Anomaly scores of all readable samples, in the order of the input.
    calibration : Calibration or None
        Calibration of the detector.
    threshold : float or None
        Samples with a greater score are flagged; None: nothing is flagged.
    components : list of ComponentSummary
        Statistics of the score components.
    map_scale : MapScale or None
        Conversion of anomaly maps to calibrated units; None for rows, and for detectors whose maps
        were never calibrated.
    images : str
        Path of the images or of the table, as given by the caller.
    bundle : str
        Id of the bundle.
    masked_fraction : float
        Share of each image's pixels that the ignore mask covers; 0.0 without a mask.
    """

    out: Path
    guarantee: Guarantee | DiscoveryGuarantee
    drift: Drift
    num_scored: int = 0
    num_anomalies: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    top_samples: list[ScoredSample] = field(default_factory=list)
    sample_type: str = "image"
    method: str = ""
    methods: tuple[str, ...] = ()
    scores: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)
    calibration: Calibration | None = field(default=None, repr=False)
    threshold: float | None = None
    components: list[ComponentSummary] = field(default_factory=list)
    map_scale: MapScale | None = field(default=None, repr=False)
    images: str = ""
    bundle: str = ""
    masked_fraction: float = 0.0

    @property
    def most_anomalous(self) -> list[ScoredSample]:
        """Up to 8 samples with the highest scores, highest first.

        If the method computes reconstructions, each of these samples has one.
        """
        return self.top_samples[:NUM_RECONSTRUCTED]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able summary that `detection.json` and `augan detect --json` build on.

        Scores, calibration and pictures are left out.
        """
        return {
            "images": absolute_path(self.images),
            "out": str(self.out),
            "method": self.method,
            "methods": list(self.methods),
            "masked_fraction": self.masked_fraction,
            "num_scored": self.num_scored,
            "num_anomalies": self.num_anomalies,
            "threshold": self.threshold,
            "unreadable": [{"path": path, "reason": reason} for path, reason in self.unreadable],
            "guarantee": self.guarantee.to_dict(),
            "drift": self.drift.to_dict(),
            "warnings": self.warnings,
            "most_anomalous": [
                {"path": sample.path, "score": sample.score, "anomaly": sample.anomaly}
                for sample in self.most_anomalous
            ],
            "components": [component.to_dict() for component in self.components],
        }


def detect_folder(
    bundle: Bundle,
    images: str | Path,
    out: str | Path | None = None,
    far: float | None = None,
    fdr: float | None = None,
    *,
    method: str | None = None,
    save_maps: bool = False,
    ignore_mask: str | Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    on_scored: OnScored = lambda done, total: None,
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
    bundle : Bundle
        A bundle with a calibrated detector.
    images : path
        A folder, flat or nested, or one image file; for a model of a table, a table file. Columns
        may be in any order. Unknown columns are ignored with a warning, and unknown categories
        count as anomalous.
    out : path or None
        A new folder, or the folder of an earlier call, which is replaced. None: a folder inside the
        run of the bundle, named after the images.
    far : float or None
        False-alarm rate (false-positive rate): share of normal images that may be flagged. None:
        the rate of the bundle, else 0.05 or the smallest supported rate.
    fdr : float or None
        False-discovery rate, in place of `far`: share of normal images among the flagged images
        (Benjamini-Hochberg over all images of this call).
    method : str or None
        A method of the bundle. None: its default method.
    save_maps : bool
        Also write an anomaly map of each image, `out/maps/<path>.png`: 16 bits, gray, in the size
        of the image, in thousandths of the units of `augan.detect.visualization.anomaly_map`; 0
        means not significant.
    ignore_mask : path or None
        An image in the size of all images; pixels above 0 are ignored. This voids the guarantee
        unless the bundle was calibrated with the same mask.
    workers : int or None
        Number of processes of this machine that score; they share its cores. Requires the extra
        `augan[dask]`. A script must make the call below `if __name__ == "__main__":`.
    scheduler : str or None
        Address of a Dask scheduler, in place of `workers`. Its workers must see bundle and images
        at the same paths.
    on_scored : callable
        Called with the number of scored samples and the number of all samples.

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
        If the calibration images are too few for the rate, both rates are given, both workers and
        a scheduler are given, or the extra is missing.
    WorkerError
        If there is no scheduler, or the workers die.
    """
    out = out or default_output_folder(bundle, images)
    check_replaceable(Path(out).absolute(), unmanaged_except(*DETECTION_FILES))
    request = open_request(bundle, images, far, fdr, method, save_maps, ignore_mask)
    with open_executor(workers, scheduler) as executor:
        chunks = executor.map(score_chunk, request.worker, request.chunks)
        return write_results(request, out, chunks, executor, on_scored)


def write_results(
    request: DetectionRequest,
    out: str | Path,
    chunks: ScoredChunks,
    executor: Executor,
    on_scored: OnScored = lambda done, total: None,
) -> DetectionResult:
    """Decide which of the scored samples are anomalies, and write the folder of results.

    Parameters
    ----------
    request : DetectionRequest
        The validated options, the detector and the input.
    out : path
        A new folder, or the folder of an earlier call, which is replaced when all files are
        complete.
    chunks : generator of ScoredChunk
        One scored chunk for each chunk of `request.chunks`, in the same order.
    executor : Executor
        Processes that render the overlays of flagged images.
    on_scored : callable
        Called after each chunk with the number of scored samples and the number of all samples.

    Returns
    -------
    DetectionResult

    Raises
    ------
    DataError
        If no sample can be read, or `out` holds other files.
    """
    worker, calibration = request.worker, request.calibration
    detector, source, renderer = worker.detector, worker.source, worker.renderer
    sample_type = detector.preprocessing.sample_type
    with atomic_folder(out, unmanaged_except(*DETECTION_FILES)) as folder:
        scored = _write_scores(request, chunks, folder, on_scored)
        if not scored.scores:
            reasons = "; ".join(f"{path}: {reason}" for path, reason in scored.unreadable[:3])
            raise DataError(
                f"none of the {len(source.names)} {plural(sample_type)} in "
                f"{request.options['images']} can be used: {reasons}"
            )
        scores = np.concatenate(scored.scores)
        decision = decide(calibration, calibration.p_values(scores), request.rule, sample_type)
        flagged = flag_rows(
            folder / PENDING_SCORES_FILE,
            folder / SCORES_FILE,
            decision.cutoff,
            detector.method.components,
        )
        top_samples = scored.top.load(detector, source, decision.cutoff)
        if renderer is not None:
            _write_overlays(request, flagged.names, folder, executor)
            top_samples = renderer.add_thumbnails(top_samples)
        void_reason = request.mask_caveat or guarantee_void_reason(worker.bundle)
        if void_reason is not None:
            decision = decision.without_guarantee(void_reason)
        drift = detect_drift(calibration, scores, sample_type)
        warnings = [
            void_reason,
            *source.warnings,
            request.rule.warning,
            drift.sentence,
            decision.warning,
        ]
        mask = request.ignore_mask
        result = DetectionResult(
            Path(out),
            decision.guarantee,
            drift,
            num_scored=scores.size,
            num_anomalies=len(flagged.names),
            unreadable=scored.unreadable,
            warnings=[text for text in warnings if text],
            top_samples=top_samples,
            sample_type=sample_type,
            method=detector.method.name,
            methods=bundled_methods(worker.bundle),
            scores=scores,
            calibration=calibration,
            threshold=decision.threshold,
            components=flagged.components,
            map_scale=None if renderer is None else renderer.scale,
            images=request.options["images"],
            bundle=worker.bundle.bundle_id,
            masked_fraction=0.0 if mask is None else float(mask.mask.mean()),
        )
        _write_record(folder / DETECTION_FILE, result)
    return result


@dataclass
class _ScorePass:
    """Scores collected while the score table is written, before any decision.

    Attributes
    ----------
    scores : list of ndarray of float64
        Scores of the readable samples of each chunk.
    unreadable : list of (name, reason)
        Samples that cannot be read.
    top : TopSamples
        The samples with the highest scores so far.
    """

    scores: list[np.ndarray] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    top: TopSamples = field(default_factory=TopSamples)


def _write_scores(
    request: DetectionRequest, chunks: ScoredChunks, folder: Path, on_scored: OnScored
) -> _ScorePass:
    """Write the score table without decisions, and the map files, chunk by chunk.

    Only 8 bytes for each sample and the top samples stay in memory.
    """
    result, calibration, done = _ScorePass(), request.calibration, 0
    components, source = request.worker.detector.method.components, request.worker.source
    component_names = [component.name for component in components]
    path = folder / PENDING_SCORES_FILE
    with (
        open(path, "w", newline="", encoding="utf-8", errors=UNDECODABLE) as file,
        closing(chunks),
    ):
        table = ScoreTableWriter(file, components)
        for names, chunk in zip(request.chunks, chunks):
            result.unreadable += chunk.failures.items()
            source.resized.update(chunk.resized)
            scores = chunk.components.sum(axis=1)
            p_values = calibration.p_values(scores)
            if scores.size:
                readable = [name for name in names if name not in chunk.failures]
                result.scores.append(scores)
                result.top.add(readable, component_names, chunk.components, p_values)
                write_images(folder / MAPS_FOLDER, chunk.maps)
            table.write(names, chunk.failures, scores, p_values, chunk.components)
            done += len(names)
            on_scored(done, len(source.names))
    return result


def _write_overlays(
    request: DetectionRequest, names: list[str], folder: Path, executor: Executor
) -> None:
    """Render the overlays of the flagged images `names` and write them below `folder`.

    Without calibrated anomaly maps nothing is written.
    """
    renderer = request.worker.renderer
    if renderer is None or renderer.scale is None:
        return
    chunks = (
        names[start : start + RENDER_CHUNK_SIZE]
        for start in range(0, len(names), RENDER_CHUNK_SIZE)
    )
    for files in executor.map(render_overlays, request.worker, chunks):
        write_images(folder / OVERLAYS_FOLDER, files)


def _write_record(path: Path, result: DetectionResult) -> None:
    """Write `detection.json`: the summary, the bundle's id and the number of unreadable samples.

    The path of the folder and the list of unreadable samples are left out.
    """
    record = result.to_dict()
    record |= {"bundle": result.bundle, "num_unreadable": len(record.pop("unreadable"))}
    del record["out"]
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
