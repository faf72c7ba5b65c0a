"""Score every image below a folder, or every row of a table, and write what was found."""

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
from augan.detect.output_paths import absolute_path, default_out
from augan.detect.request import DetectionRequest, open_request
from augan.detect.score_table import ComponentSummary, ScoreTableWriter, apply_threshold
from augan.detect.visualization.anomaly_map import MapScale
from augan.detect.visualization.overlay import PART, keep
from augan.detect.visualization.top_samples import NUM_RECONSTRUCTED, ScoredSample, TopSamples
from augan.detect.worker import ScoredChunk, draw, score
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
# All that the folder may hold when it is replaced; the last two are written by `augan.report`.


@dataclass
class DetectionResult:
    """What `detect_folder` found.

    Parameters
    ----------
    out : Path
        The folder that holds `scores.csv`.
    num_scored, num_anomalies : int
        Images or rows that could be read, and those of them that were flagged.
    unreadable : list of (path, reason)
        Files, or numbers of rows, without a score.
    sample_type : str
        "image" or "row".
    guarantee : Guarantee or DiscoveryGuarantee
        What the false-alarm rate, or the false-discovery rate, promises.
    drift : Drift
        Whether all images have changed, and not only the anomalies.
    warnings : list of str
        What the user should know before trusting the decisions.
    shown : list of ScoredImage
        The highest scores, in order, with pictures.
    method : str
        What scored; `methods` are all that the bundle carries.
    scores : ndarray of float64 [N]
        Of all that could be read, in order.
    calibration : Calibration
    line : float or None
        What is flagged scores more than this; None: nothing is.
    terms : list of Term
        What the terms of the score said.
    heat : Heat or None
        The units of maps; None where there are none.
    images, bundle : str
        What was scored, and the id of the model's bundle.
    ignored : float
        Share of each image's pixels that never count.
    """

    out: Path
    guarantee: Guarantee | DiscoveryGuarantee
    drift: Drift
    num_scored: int = 0
    num_anomalies: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    shown: list[ScoredSample] = field(default_factory=list)
    sample_type: str = "image"
    method: str = ""
    methods: tuple[str, ...] = ()
    scores: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)
    calibration: Calibration | None = field(default=None, repr=False)
    line: float | None = None
    components: list[ComponentSummary] = field(default_factory=list)
    heat: MapScale | None = field(default=None, repr=False)
    images: str = ""
    bundle: str = ""
    ignored: float = 0.0

    @property
    def most_anomalous(self) -> list[ScoredSample]:
        """The highest scores of all, in order."""
        return self.shown[:NUM_RECONSTRUCTED]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able summary."""
        return {
            "images": absolute_path(self.images),
            "out": str(self.out),
            "method": self.method,
            "methods": list(self.methods),
            "ignored": self.ignored,
            "num_scored": self.num_scored,
            "num_anomalies": self.num_anomalies,
            "unreadable": [{"path": path, "reason": reason} for path, reason in self.unreadable],
            "guarantee": self.guarantee.to_dict(),
            "drift": self.drift.to_dict(),
            "warnings": self.warnings,
            "most_anomalous": [
                {"path": image.path, "score": image.score, "anomaly": image.anomaly}
                for image in self.most_anomalous
            ],
            "components": [term.to_dict() for term in self.components],
        }


def detect_folder(
    bundle: Bundle,
    images: str | Path,
    out: str | Path | None = None,
    far: float | None = None,
    fdr: float | None = None,
    *,
    method: str | None = None,
    maps: bool = False,
    ignore: str | Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    on_scored: OnScored = lambda done, total: None,
) -> DetectionResult:
    """Score the images below `images`, or the rows of that table, and write `out/scores.csv`.

    The table has the columns `path` (relative to `images`; of a row its number from 0), `score`
    (higher = more anomalous), `p_value`, `anomaly` (0, 1, or empty for what cannot be read) and one
    for each term. A name that is not UTF-8 stands in it byte for byte; `errors="surrogateescape"`
    reads it. The score of several folds is their mean, moved to the rank that they give it together
    (`augan.detect.conformal.cross_conformal`). `out/detection.json` says what the rate promises,
    how many
    there are, and the warnings. Of each flagged image, `out/overlays/<path>.png` shows the places
    that stand out, in colours that mean the same in all images.

    Parameters
    ----------
    bundle : Bundle
        One with a calibrated detector.
    images : path
        A folder, flat or nested, or one image file; for a model of a table, a table file. Its
        columns may stand in any order, unknown ones are ignored with a warning, and an unknown
        category counts as odd.
    out : path or None
        A new folder, or one that an earlier call made; that is replaced. None: one inside the run
        of the bundle that is named after the images.
    far : float or None
        False-alarm rate, the share of good images that may be flagged; None: the bundle's own,
        else 0.05 or the smallest supported.
    fdr : float or None
        In place of `far`, the false-discovery rate: the share of good images among the flagged
        ones (Benjamini-Hochberg over all images of this call).
    method : str or None
        One of those that the bundle carries; None: its first.
    maps : bool
        Also write a map of every image, `out/maps/<path>.png`: 16 bits, gray, as large as the
        image, thousandths of the units of `augan.detect.visualization.anomaly_map`, 0 where
        nothing stands out.
    ignore : path or None
        An image as large as all images; what is above 0 there never counts. Nothing is promised
        then unless the bundle was calibrated with the same mask.
    workers : int or None
        Processes of this machine that score, and share its cores; with the extra `augan[dask]`.
        A script that asks for them does so below `if __name__ == "__main__":`.
    scheduler : str or None
        In their place, the address of a Dask scheduler. Its workers see bundle and images at the
        same paths.
    on_scored : callable
        Told now and then how many samples are scored, and how many there are.

    Raises
    ------
    BundleError
        If the bundle carries no such method, or maps are asked for that were never calibrated.
    DataError
        If there is nothing to score, nothing can be read, a table lacks a column, or the mask is
        of another size than the images.
    ConfigError
        If the calibration images are too few for the rate, both rates are given, or workers and a
        scheduler; or the extra is missing.
    WorkerError
        If there is no scheduler, or the workers die.
    """
    target = out or default_out(bundle, images)
    check_replaceable(Path(target).absolute(), unmanaged_except(*DETECTION_FILES))
    task = open_request(bundle, images, far, fdr, method, maps, ignore)
    with open_executor(workers, scheduler) as executor:
        found = executor.map(score, task.examiner, task.parts)
        return finish(task, target, found, executor, on_scored)


def finish(
    task: DetectionRequest,
    out: str | Path,
    found: ScoredChunks,
    executor: Executor,
    on_scored: OnScored = lambda done, total: None,
) -> DetectionResult:
    """Decide over all samples, and write the folder.

    Parameters
    ----------
    found : generator of Scored
        What came of each of the task's parts, in order.
    executor : Executor
        Draws what is flagged.
    """
    examiner, calibration = task.examiner, task.calibration
    detector, source, painter = examiner.detector, examiner.source, examiner.painter
    sample_type = detector.preprocessing.sample_type
    samples = plural(sample_type)
    with atomic_folder(out, unmanaged_except(*DETECTION_FILES)) as partial:
        seen = _gather(task, found, partial, on_scored)
        if not seen.scores:
            reasons = "; ".join(f"{path}: {reason}" for path, reason in seen.unreadable[:3])
            raise DataError(
                f"none of the {len(source.names)} {samples} in {task.asked['images']} can be used: "
                f"{reasons}"
            )
        scores = np.concatenate(seen.scores)
        decision = decide(calibration, calibration.p_values(scores), task.rule, sample_type)
        flagged = apply_threshold(
            partial / PENDING_SCORES_FILE,
            partial / SCORES_FILE,
            decision.cutoff,
            detector.method.components,
        )
        shown = seen.gallery.shown(detector, source, decision.cutoff)
        if painter is not None:
            starts = range(0, len(flagged.names), PART) if painter.heat else ()
            parts = (flagged.names[start : start + PART] for start in starts)
            for drawn in executor.map(draw, examiner, parts):
                keep(partial / OVERLAYS_FOLDER, drawn)
            shown = painter.shown(shown)
        foreign = task.foreign or guarantee_void_reason(examiner.bundle)
        decision = decision if foreign is None else decision.without_guarantee(foreign)
        drift = detect_drift(calibration, scores, sample_type)
        said = [foreign, *source.warnings, task.rule.warning, drift.sentence, decision.warning]
        result = DetectionResult(
            Path(out),
            decision.guarantee,
            drift,
            num_scored=scores.size,
            num_anomalies=len(flagged.names),
            unreadable=seen.unreadable,
            warnings=[text for text in said if text],
            shown=shown,
            sample_type=sample_type,
            method=detector.method.name,
            methods=bundled_methods(examiner.bundle),
            scores=scores,
            calibration=calibration,
            line=decision.threshold,
            components=flagged.components,
            heat=None if painter is None else painter.heat,
            images=task.asked["images"],
            bundle=examiner.bundle.bundle_id,
            ignored=0.0 if task.ignored is None else float(task.ignored.mask.mean()),
        )
        _write_record(partial / DETECTION_FILE, result)
    return result


def _write_record(path: Path, result: DetectionResult) -> None:
    """Write all but the list of what is not readable, which the table has, and where it lies."""
    about = result.to_dict()
    about |= {"bundle": result.bundle, "num_unreadable": len(about.pop("unreadable"))}
    del about["out"]
    path.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


@dataclass
class _Seen:
    """What the first pass over the samples leaves in memory: 8 bytes of each, and a few images."""

    scores: list[np.ndarray] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    gallery: TopSamples = field(default_factory=TopSamples)


def _gather(task: DetectionRequest, found: ScoredChunks, out: Path, on_scored: OnScored) -> _Seen:
    """Write the table without decisions, and the maps, a part at a time."""
    seen, calibration, done = _Seen(), task.calibration, 0
    components, source = task.examiner.detector.method.components, task.examiner.source
    place = out / PENDING_SCORES_FILE
    with open(place, "w", newline="", encoding="utf-8", errors=UNDECODABLE) as file, closing(found):
        table = ScoreTableWriter(file, components)
        for names, scored in zip(task.parts, found):
            seen.unreadable += scored.failures.items()
            source.unusual.update(scored.unusual)
            scores = scored.components.sum(axis=1)
            p_values = calibration.p_values(scores)
            if scores.size:
                readable = [name for name in names if name not in scored.failures]
                seen.scores.append(scores)
                kinds = [component.name for component in components]
                seen.gallery.add(readable, kinds, scored.components, p_values)
                keep(out / MAPS_FOLDER, scored.maps)
            table.write(names, scored.failures, scores, p_values, scored.components)
            done += len(names)
            on_scored(done, len(source.names))
    return seen
