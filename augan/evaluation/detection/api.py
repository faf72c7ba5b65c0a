"""Evaluation of a bundle's detector on labeled test samples, next to baselines.

The evaluation chooses nothing on the labels: the threshold comes from the calibration. The only
exception is the best F1, which is marked `oracle`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from augan.bundle import Bundle, as_bundle
from augan.checks import check_out
from augan.data.dataset import plural
from augan.data.labels import LabelSource
from augan.data.layouts import find_test_images
from augan.detect.conformal.decision import default_rate
from augan.detect.conformal.guarantee import guarantee_void_reason
from augan.detect.detector import load_calibrations
from augan.detect.ignore_mask import IgnoreMask
from augan.detect.inputs import (
    ImageFolderSource,
    InputSource,
    get_expected_shape,
    name_chunks,
    open_source,
)
from augan.detect.output_paths import absolute_path
from augan.detect.predictor import Predictor
from augan.detect.request import DetectionRequest, check_detection_request
from augan.evaluation.detection.baselines import FittedBaselines, fit_baselines
from augan.evaluation.detection.detection_limit import min_detectable_defect
from augan.evaluation.detection.labels import Labels, read_labels
from augan.evaluation.detection.metrics import DETECTOR, DetectionMetrics, LabeledScores
from augan.evaluation.detection.mistakes import Mistakes, find_mistakes, write_overlays
from augan.evaluation.detection.pixel_metrics import LabeledMaps, read_masks
from augan.exceptions import ConfigError, DataError
from augan.io.atomic import atomic_folder, check_replaceable, unmanaged_except
from augan.io.csv_safety import UNDECODABLE, escape_formula
from augan.io.layout import DETECTION_EVALUATION_FILES, EVALUATION_FILE, SCORES_FILE

_USED_OPTIONS = ("images", "far", "method", "follow_links")  # of a DetectionRequest


@dataclass(frozen=True)
class DetectionEvaluation:
    """Result of `evaluate_detection`: metrics of a detector, next to those of baselines.

    Attributes
    ----------
    summary : dict
        `auroc` with its 95 % bootstrap interval, `average_precision`, `best_f1` (oracle),
        `false_alarms` on the normal samples with their 95 % interval and the range that the
        calibration predicts, `detected` (the fraction of flagged anomalies), `pixels` (None without
        masks), `detection_limit` (None unless requested), counts, samples left out, and warnings.
    anomaly_types : list of dict
        For each type of anomaly its `count`, `auroc` against all normal samples, and `detected`.
    baselines : list of dict
        For each baseline its `auroc`, `average_precision`, and AUROC of each type of anomaly. Empty
        if `summary["baselines_skipped"]` has a reason.
    normal, anomalous : ndarray of float64 [N], [A]
        Anomaly scores of the detector on normal samples and on anomalies.
    mistakes : Mistakes
        The missed anomalies and the false alarms, with pictures of the worst.
    """

    summary: dict[str, Any]
    anomaly_types: list[dict[str, Any]]
    baselines: list[dict[str, Any]]
    normal: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)
    anomalous: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)
    mistakes: Mistakes = field(default_factory=Mistakes, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the result without the scores as JSON-able values, as in `evaluation.json`."""
        return {
            "summary": self.summary,
            "anomaly_types": self.anomaly_types,
            "baselines": self.baselines,
            "mistakes": {
                "missed": list(self.mistakes.missed),
                "false_alarms": list(self.mistakes.false_alarms),
            },
        }


def evaluate_detection(
    bundle: Bundle | str | Path,
    request: DetectionRequest,
    labels: str | Path | LabelSource | None = None,
    *,
    normal: str | None = None,
    masks: str | Path | None = None,
    training_data: str | Path | None = None,
    out: str | Path | None = None,
    detection_limit: bool = False,
) -> DetectionEvaluation:
    """Measure how well the detector of a bundle separates labeled normal samples and anomalies.

    Parameters
    ----------
    bundle : Bundle or path
        A bundle with a calibrated detector, its file or its run folder.
    request : DetectionRequest
        The test images, or a table file for a model of a table, with the false-alarm rate and the
        detection method. Of a folder that is laid out like MVTec AD, BTAD or VisA, the test images
        are evaluated, with their masks. The options `fdr`, `save_maps` and `ignore_mask` do not
        apply.
    labels : path, "folders", LabelSource or None
        CSV, TSV or Parquet file with a path and a label (optionally a `group`) in each row, or a
        COCO file; `LabelSource` also names its columns. `folders`: the label of an image is the
        first folder below the images. Samples without a label are left out. None: a file of labels
        with the images, if it is obvious, else the folders.
    normal : str or None
        Label of the normal samples. None: `normal`, `good` or `ok`, the first that occurs. Every
        other label is a type of anomaly.
    masks : path or None
        Folder of PNG masks of the defects, see
        `augan.evaluation.detection.pixel_metrics.read_masks`. None: no pixel metrics.
    training_data : str, path or None
        Training data of the bundle, which the baselines are fitted to. None: the path recorded in
        the bundle.
    out : path or None
        Folder for `evaluation.json`, `scores.csv` and overlays of the mistakes; replaced if it
        holds an earlier evaluation.
        None: nothing is written.
    detection_limit : bool
        Also measure the smallest painted spot that the detector flags; images only.

    Returns
    -------
    DetectionEvaluation

    Raises
    ------
    BundleError
        The bundle has no calibrated detector, or none of this method.
    ConfigError
        There are too few calibration samples for the rate, or an option does not apply.
    DataError
        The images, labels, masks or training data cannot be used, or `out` holds other files.
    """
    bundle, out = as_bundle(bundle), check_out(out)
    _check_applicable(check_detection_request(request))
    images = request.path
    preprocessing = bundle.preprocessing
    calibration, _ = load_calibrations(bundle, request.method)
    rate, rate_warning = default_rate(bundle, calibration, preprocessing.sample_type, request.far)
    if out is not None:
        check_replaceable(Path(out).absolute(), unmanaged_except(*DETECTION_EVALUATION_FILES))
    shape, ignore_mask = get_expected_shape(bundle, preprocessing), IgnoreMask.from_bundle(bundle)
    tested = find_test_images(Path(images))
    source = open_source(
        tested.root,
        preprocessing,
        shape,
        ignore_mask,
        tested.names,
        follow_links=request.follow_links,
    )
    masks = tested.masks if masks is None else masks
    sample_labels = read_labels(labels, source.names, tested.root, normal)
    maps = None if masks is None else _read_masks(masks, source, sample_labels)
    paintable = _require_images(source) if detection_limit else None
    predictor = Predictor.from_bundle(bundle, request.method, ignore_mask)
    baselines = fit_baselines(bundle, preprocessing, training_data)
    scored = _score(predictor, source, sample_labels, baselines, maps)
    scored.check(images, sample_labels)
    void_reason = guarantee_void_reason(bundle)
    scored.warnings += [] if maps is None else maps.warnings
    scored.warnings += [
        *tested.notes,
        *sample_labels.notes,
        *source.warnings,
        *(text for text in (rate_warning, void_reason) if text),
    ]
    seed = bundle.config.seed
    metrics = DetectionMetrics(scored, sample_labels, calibration, rate, seed, void_reason is None)
    limit = None
    if paintable is not None:
        normal_names = [name for name, good in zip(scored.names, metrics.is_normal) if good]
        limit = min_detectable_defect(predictor, paintable, normal_names, rate, seed)
    evaluation = DetectionEvaluation(
        {
            **metrics.summary(preprocessing.sample_type),
            "pixels": None if maps is None else maps.metrics(),
            "detection_limit": limit,
            "baselines_skipped": baselines.skip_reason,
            "num_baseline_training": baselines.num_training,
            "images": absolute_path(images),
            "not_looked_at": [
                {"path": path, "reason": reason} for path, reason in source.not_looked_at
            ],
            "bundle": bundle.bundle_id,
            "method": predictor.detector.method.name,
            "methods": list(bundle.require_detector().method_names),
            "seed": seed,
            "out": None if out is None else str(out),
        },
        metrics.per_anomaly_type(),
        [metrics.baseline(name) for name in baselines.detectors],
        *metrics.normal_and_anomalous(),
        find_mistakes(metrics, predictor, source),
    )
    if out is not None:
        with atomic_folder(out, unmanaged_except(*DETECTION_EVALUATION_FILES)) as folder:
            write_overlays(evaluation.mistakes, predictor, source, rate, folder)
            _write(folder, evaluation, metrics)
    return evaluation


def _check_applicable(request: DetectionRequest) -> None:
    """Raise ConfigError if a request has an option that an evaluation does not use."""
    unused = [field for field in fields(request) if field.name not in _USED_OPTIONS]
    given = [field.name for field in unused if getattr(request, field.name) != field.default]
    if given:
        raise ConfigError(
            f"an evaluation takes {', '.join(_USED_OPTIONS)} of a DetectionRequest, but {given[0]} "
            f"was given; leave out {given[0]}"
        )


def _require_images(source: InputSource) -> ImageFolderSource:
    """Return the source of test samples, if it is a folder of images; DataError for a table."""
    if not isinstance(source, ImageFolderSource):
        raise DataError(
            "`detection_limit` paints spots on images, but this model is for tables; leave out "
            "`detection_limit`"
        )
    return source


def _read_masks(folder: str | Path, source: InputSource, labels: Labels) -> LabeledMaps:
    """Return the masks of the labeled images; DataError if the samples are rows of a table."""
    if not isinstance(source, ImageFolderSource):
        raise DataError(
            "`masks` names masks of images, but this model is for tables; leave out `masks`"
        )
    return read_masks(folder, source.root, labels)


def _score(
    predictor: Predictor,
    source: InputSource,
    labels: Labels,
    baselines: FittedBaselines,
    maps: LabeledMaps | None,
) -> LabeledScores:
    """Score all labeled samples by the detector and by every baseline.

    Parameters
    ----------
    predictor : Predictor
    source : InputSource
        Test samples.
    labels : Labels
        Labels of the samples to score.
    baselines : FittedBaselines
    maps : LabeledMaps or None
        Receives the detector's anomaly maps of the images. None: no maps are computed.
    """
    result, samples = LabeledScores(), plural(predictor.detector.preprocessing.sample_type)
    scores: dict[str, list[np.ndarray]] = {}
    num_training = 0
    for names in name_chunks(list(labels.by_name), predictor.detector.preprocessing):
        batch = source.read(names)
        result.unreadable |= batch.failures
        if not batch.names:
            continue
        result.names += batch.names
        prepared = baselines.prepare(source, batch.names, batch.samples)
        num_training += baselines.count_training_samples(prepared)
        scored = predictor.score_batch(batch, maps=maps is not None)
        of_batch = {DETECTOR: scored.scores, **baselines.scores(prepared)}
        for name, values in of_batch.items():
            scores.setdefault(name, []).append(values)
        if maps is not None:
            maps.add(batch.names, scored.maps)
    result.scores = {name: np.concatenate(values) for name, values in scores.items()}
    if num_training:
        result.warnings.append(
            f"{num_training} of the {len(result.names)} test {samples} equal training or "
            f"calibration {samples}, so the metrics are too optimistic"
        )
    return result


def _write(folder: Path, evaluation: DetectionEvaluation, metrics: DetectionMetrics) -> None:
    """Write `evaluation.json` and `scores.csv` into a folder."""
    import pandas as pd

    scored, groups = metrics.scored, metrics.labels.groups
    baseline_scores = dict(scored.scores)
    scores = baseline_scores.pop(DETECTOR)
    texts: dict[str, Sequence[str]] = {"path": scored.names, "label": metrics.label_of.tolist()}
    if groups is not None:
        texts["group"] = [groups.get(name, "") for name in scored.names]
    # dtype=object: the string type of pandas refuses file names that are not UTF-8.
    table: dict[str, Any] = {
        name: pd.Series([escape_formula(text) for text in column], dtype=object)
        for name, column in texts.items()
    }
    table |= {"score": scores, "p_value": metrics.calibration.p_values(scores)}
    table |= {"anomaly": metrics.flags.astype(int), **baseline_scores}
    (folder / EVALUATION_FILE).write_text(json.dumps(evaluation.to_dict(), indent=2), "utf-8")
    pd.DataFrame(table).to_csv(
        folder / SCORES_FILE, index=False, encoding="utf-8", errors=UNDECODABLE
    )
