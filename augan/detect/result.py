"""Result of a detection: decisions about all scored samples, and the folder of results."""

import json
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from augan.data.dataset import plural
from augan.data.modalities.images import join_values
from augan.detect.conformal.calibration import Calibration
from augan.detect.conformal.decision import decide
from augan.detect.conformal.drift import Drift, detect_drift
from augan.detect.conformal.fdr import DiscoveryGuarantee
from augan.detect.conformal.guarantee import Guarantee, guarantee_void_reason
from augan.detect.output_paths import absolute_path
from augan.detect.resolution import ResolvedDetection
from augan.detect.score_table import ComponentSummary, ScoreTableWriter, flag_rows
from augan.detect.visualization.anomaly_map import MapScale
from augan.detect.visualization.renderer import RENDER_CHUNK_SIZE, write_images
from augan.detect.visualization.top_samples import NUM_RECONSTRUCTED, ScoredSample, TopSamples
from augan.detect.worker import ScoredChunk, render_overlays
from augan.exceptions import DataError
from augan.io.atomic import atomic_folder, unmanaged_except
from augan.io.csv_safety import UNDECODABLE
from augan.io.layout import (
    DETECTION_FILE,
    DETECTION_FILES,
    MAPS_FOLDER,
    OVERLAYS_FOLDER,
    PENDING_SCORES_FILE,
    SCORES_FILE,
)
from augan.parallel.executor import Executor

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
    not_looked_at : list of (path, reason)
        Files below the images that were not scored, because they are no images that augan reads,
        or are masks or behind links to folders; empty for rows.
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
    not_looked_at: list[tuple[str, str]] = field(default_factory=list)
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
    def is_complete(self) -> bool:
        """Whether every file was scored: none is unreadable or was not looked at."""
        return not (self.unreadable or self.not_looked_at)

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
            "not_looked_at": [
                {"path": path, "reason": reason} for path, reason in self.not_looked_at
            ],
            "guarantee": self.guarantee.to_dict(),
            "drift": self.drift.to_dict(),
            "warnings": self.warnings,
            "most_anomalous": [
                {"path": sample.path, "score": sample.score, "anomaly": sample.anomaly}
                for sample in self.most_anomalous
            ],
            "components": [component.to_dict() for component in self.components],
        }


def ignore_scored(done: int, total: int) -> None:
    """Accept the arguments of an `OnScored` callback and do nothing; the default callback."""


def write_results(
    detection: ResolvedDetection,
    out: str | Path,
    chunks: ScoredChunks,
    executor: Executor,
    on_scored: OnScored = ignore_scored,
) -> DetectionResult:
    """Decide which of the scored samples are anomalies, and write the folder of results.

    Parameters
    ----------
    detection : ResolvedDetection
        The options, the detector and the input.
    out : path
        A new folder, or the folder of an earlier call, which is replaced when all files are
        complete.
    chunks : generator of ScoredChunk
        One scored chunk for each chunk of `detection.chunks`, in the same order.
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
    worker, calibration = detection.worker, detection.calibration
    detector, source, renderer = worker.predictor.detector, worker.source, worker.renderer
    sample_type = detector.preprocessing.sample_type
    with atomic_folder(out, unmanaged_except(*DETECTION_FILES)) as folder:
        scored = _write_scores(detection, chunks, folder, on_scored)
        if not scored.scores:
            reasons = "; ".join(f"{path}: {reason}" for path, reason in scored.unreadable[:3])
            raise DataError(
                f"none of the {len(source.names)} {plural(sample_type)} in "
                f"{detection.request.images} can be used: {reasons}"
            )
        scores = np.concatenate(scored.scores)
        decision = decide(calibration, calibration.p_values(scores), detection.rule, sample_type)
        flagged = flag_rows(
            folder / PENDING_SCORES_FILE,
            folder / SCORES_FILE,
            decision,
            detector.method.components,
        )
        top_samples = scored.top.load(detector, source, decision)
        if renderer is not None:
            _write_overlays(detection, flagged.names, folder, executor)
            top_samples = renderer.add_thumbnails(top_samples)
        void_reason = detection.mask_caveat or guarantee_void_reason(worker.bundle)
        if void_reason is not None:
            decision = decision.without_guarantee(void_reason)
        drift = detect_drift(calibration, scores, sample_type)
        warnings = [
            void_reason,
            *source.warnings,
            detection.rule.warning,
            drift.sentence,
            decision.warning,
        ]
        mask = worker.predictor.ignore_mask
        result = DetectionResult(
            Path(out),
            decision.guarantee,
            drift,
            num_scored=scores.size,
            num_anomalies=len(flagged.names),
            unreadable=scored.unreadable,
            not_looked_at=list(source.not_looked_at),
            warnings=[text for text in warnings if text],
            top_samples=top_samples,
            sample_type=sample_type,
            method=detector.method.name,
            methods=worker.bundle.require_detector().method_names,
            scores=scores,
            calibration=calibration,
            threshold=decision.threshold,
            components=flagged.components,
            map_scale=None if renderer is None else renderer.scale,
            images=str(detection.request.images),
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
    detection: ResolvedDetection, chunks: ScoredChunks, folder: Path, on_scored: OnScored
) -> _ScorePass:
    """Write the score table without decisions, and the map files, chunk by chunk.

    Only 8 bytes for each sample and the top samples stay in memory.
    """
    result, calibration, done = _ScorePass(), detection.calibration, 0
    predictor, source = detection.worker.predictor, detection.worker.source
    path = folder / PENDING_SCORES_FILE
    with (
        open(path, "w", newline="", encoding="utf-8", errors=UNDECODABLE) as file,
        closing(chunks),
    ):
        table = ScoreTableWriter(file, predictor.detector.method.components)
        for names, chunk in zip(detection.chunks, chunks):
            result.unreadable += chunk.failures.items()
            source.resized.update(chunk.resized)
            source.values = join_values(source.values, chunk.values)
            scores = chunk.components.sum(axis=1)
            p_values = calibration.p_values(scores)
            if scores.size:
                readable = [name for name in names if name not in chunk.failures]
                result.scores.append(scores)
                result.top.add(readable, predictor.component_names, chunk.components, p_values)
                write_images(folder / MAPS_FOLDER, chunk.maps)
            table.write(names, chunk.failures, scores, p_values, chunk.components)
            done += len(names)
            on_scored(done, len(source.names))
    return result


def _write_overlays(
    detection: ResolvedDetection, names: list[str], folder: Path, executor: Executor
) -> None:
    """Render the overlays of the flagged images `names` and write them below `folder`.

    Without calibrated anomaly maps nothing is written.
    """
    renderer = detection.worker.renderer
    if renderer is None or renderer.scale is None:
        return
    chunks = (
        names[start : start + RENDER_CHUNK_SIZE]
        for start in range(0, len(names), RENDER_CHUNK_SIZE)
    )
    for files in executor.map(render_overlays, detection.worker, chunks):
        write_images(folder / OVERLAYS_FOLDER, files)


def _write_record(path: Path, result: DetectionResult) -> None:
    """Write `detection.json`: the summary, the bundle's id and the number of samples without score.

    The path of the folder and the list of unreadable samples are left out.
    """
    record = result.to_dict()
    record |= {
        "bundle": result.bundle,
        "num_unreadable": len(record.pop("unreadable")),
        "num_not_looked_at": len(result.not_looked_at),
    }
    del record["out"]
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
