"""Judge a bundle's detector on labeled test images, beside simple baselines on the same images.

Nothing is chosen on the labels: the line was drawn by calibration. The one figure that does look,
the best F1, is marked `oracle`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from augan.bundle import Bundle
from augan.data.dataset import plural
from augan.detect.conformal.decision import default_rate
from augan.detect.conformal.guarantee import guarantee_void_reason
from augan.detect.detector import Detector, bundled_methods
from augan.detect.ignore_mask import IgnoreMask
from augan.detect.inputs import ImageFolderSource, InputSource, open_source, parts_of, usual_shape
from augan.detect.output_paths import RECORD_FILES, absolute_path
from augan.detect.score_table import SCORES_FILE
from augan.evaluation.detection.baselines import FittedBaselines, fit_baselines
from augan.evaluation.detection.detection_limit import min_detectable_defect
from augan.evaluation.detection.labels import Labels, read_labels
from augan.evaluation.detection.metrics import DetectionMetrics, LabeledScores
from augan.evaluation.detection.pixel_metrics import Masks, read_masks
from augan.exceptions import DataError
from augan.io.atomic import atomic_folder, check_replaceable, unmanaged_except
from augan.io.csv_safety import ANY_BYTES, escape_formula

EVALUATION = RECORD_FILES["evaluate"]
FILES = (EVALUATION, SCORES_FILE, "report.html")  # the last is written by `augan.report`


@dataclass(frozen=True)
class DetectionEvaluation:
    """What `evaluate_detection` found.

    Attributes
    ----------
    summary : dict
        `auroc` with its 95 % bootstrap interval, `average_precision`, `best_f1` (oracle),
        `false_alarms` on the normals with their 95 % interval and the range that calibration
        promises, `detected` (the share of anomalies flagged), `pixels` (with masks), counts, what
        was left out, and warnings.
    kinds : list of dict
        For each kind of anomaly its `count`, `auroc` against all normals, and `detected`.
    baselines : list of dict
        For each baseline its `auroc`, `average_precision`, and AUROC of each kind; empty where
        `summary["baselines_skipped"]` says why.
    normal, anomalous : ndarray of float64 [N], [A]
        The detector's scores of each side.
    """

    summary: dict[str, Any]
    kinds: list[dict[str, Any]]
    baselines: list[dict[str, Any]]
    normal: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)
    anomalous: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able result."""
        return {"summary": self.summary, "kinds": self.kinds, "baselines": self.baselines}


def evaluate_detection(
    bundle: Bundle,
    images: str | Path,
    labels: str | Path,
    *,
    normal: str | None = None,
    far: float | None = None,
    masks: str | Path | None = None,
    data: str | Path | None = None,
    out: str | Path | None = None,
    method: str | None = None,
    power: bool = False,
) -> DetectionEvaluation:
    """Judge the detector of a bundle on test images whose labels are known.

    Parameters
    ----------
    bundle : Bundle
        One with a calibrated detector.
    images : path
        A folder of images; for a model of a table, a table file.
    labels : path or "folders"
        A CSV file `path,label` (and perhaps `group`), paths relative to `images`; or `folders`: the
        first folder below `images` is the label. Images without a label are left out.
    normal : str or None
        The label of normal images; None: `normal`, else `good`, else `ok`. Every other label is a
        kind of anomaly.
    far : float or None
        False-alarm rate; None: the bundle's own, else 0.05 or the smallest supported.
    masks : path or None
        Folder of PNG masks, see `augan.evaluation.detection.pixel_metrics.read_masks`.
    data : str, path or None
        The training data, for the baselines; None: where the bundle remembers it.
    out : path or None
        Folder for `evaluation.json` and `scores.csv`; None: nothing is written.
    method : str or None
        One of those that the bundle carries; None: its first.
    power : bool
        Also paint spots of growing size on the normal images and count which are flagged.

    Raises
    ------
    BundleError
        The bundle has no calibrated detector, or not of this method.
    ConfigError
        The calibration images are too few for `far`.
    DataError
        Images, labels, masks or training data cannot be used.
    """
    detector = Detector.from_bundle(bundle, method)
    calibration, preprocessing = detector.require_calibration(), detector.preprocessing
    rate, warning = default_rate(bundle, calibration, preprocessing.sample_type, far)
    if out is not None:
        check_replaceable(Path(out).absolute(), unmanaged_except(*FILES))
    usual, ignored = usual_shape(bundle, preprocessing), IgnoreMask.of(bundle)
    source = open_source(Path(images), preprocessing, usual, ignored)
    known = read_labels(labels, source.names, images, normal)
    marked = None if masks is None else _masks(masks, source, known)
    painted = _painted(source) if power else None
    opponents = fit_baselines(bundle, preprocessing, data)
    scored = _score(detector, source, known, opponents, marked)
    scored.check(images, known)
    broken = guarantee_void_reason(bundle)
    scored.warnings += [*source.warnings, *(text for text in (warning, broken) if text)]
    seed = int(bundle.config.get("seed", 0))
    judge = DetectionMetrics(scored, known, calibration, rate, seed, broken is None)
    judgement = DetectionEvaluation(
        {
            **judge.summary(preprocessing.sample_type),
            "pixels": None if marked is None else marked.figures(),
            "power": None if painted is None else _power(detector, painted, judge, rate, seed),
            "baselines_skipped": opponents.skipped,
            "num_baseline_training": opponents.num_training,
            "images": absolute_path(images),
            "bundle": bundle.bundle_id,
            "method": detector.method.name,
            "methods": list(bundled_methods(bundle)),
            "seed": seed,
            "out": None if out is None else str(out),
        },
        judge.kinds(),
        [judge.baseline(name) for name in opponents.detectors],
        *judge.sides(),
    )
    if out is not None:
        _write(Path(out), judgement, judge)
    return judgement


def _painted(source: InputSource) -> ImageFolderSource:
    if not isinstance(source, ImageFolderSource):
        raise DataError(
            "the detection limit is about defects painted on images, but this model scores rows; "
            "leave --detection-limit out"
        )
    return source


def _power(
    detector: Detector, source: ImageFolderSource, judge: DetectionMetrics, rate: float, seed: int
) -> dict[str, Any]:
    names = [name for name, good in zip(judge.scored.names, judge.is_normal) if good]
    return min_detectable_defect(detector, source, names, rate, seed)


def _masks(folder: str | Path, source: InputSource, labels: Labels) -> Masks:
    if not isinstance(source, ImageFolderSource):
        raise DataError(
            "masks mark defects in images, but this model is one of rows; leave --masks out"
        )
    return read_masks(folder, source.root, labels)


def _score(
    detector: Detector,
    source: InputSource,
    labels: Labels,
    opponents: FittedBaselines,
    masks: Masks | None,
) -> LabeledScores:
    result, samples = LabeledScores(), plural(detector.preprocessing.sample_type)
    parts: dict[str, list[np.ndarray]] = {}
    trained_on = 0
    for part in parts_of(list(labels.kinds), detector.preprocessing):
        batch = source.read(part)
        names, stored = batch.names, batch.stored
        result.unreadable |= batch.failures
        if not names:
            continue
        result.names += names
        squares = opponents.read(source, names, stored)
        trained_on += opponents.num_trained_on(squares)
        everybody = {"": detector.score(stored), **opponents.scores(squares)}
        for name, scores in everybody.items():
            parts.setdefault(name, []).append(scores)
        if masks is not None and isinstance(source, ImageFolderSource):
            masks.add(names, detector.maps(stored), source.preprocessing, source.ignored)
    result.scores = {name: np.concatenate(scores) for name, scores in parts.items()}
    if trained_on:
        result.warnings.append(
            f"{trained_on} of the {len(result.names)} test {samples} equal ones that "
            "the model was trained or calibrated on: the figures flatter it"
        )
    return result


def _write(out: Path, judgement: DetectionEvaluation, judge: DetectionMetrics) -> None:
    import pandas as pd

    scored, groups = judge.scored, judge.labels.groups
    everybody = dict(scored.scores)
    scores = everybody.pop("")
    texts: dict[str, Sequence[str]] = {"path": scored.names, "label": judge.kind_of.tolist()}
    if groups is not None:
        texts["group"] = [groups.get(name, "") for name in scored.names]
    # As objects: the own texts of pandas cannot hold every name of a file.
    table: dict[str, Any] = {
        name: pd.Series([escape_formula(text) for text in column], dtype=object)
        for name, column in texts.items()
    }
    table |= {"score": scores, "p_value": judge.calibration.p_values(scores)}
    table |= {"anomaly": judge.flags.astype(int), **everybody}
    with atomic_folder(out, unmanaged_except(*FILES)) as partial:
        (partial / EVALUATION).write_text(json.dumps(judgement.to_dict(), indent=2), "utf-8")
        pd.DataFrame(table).to_csv(
            partial / SCORES_FILE, index=False, encoding="utf-8", errors=ANY_BYTES
        )
