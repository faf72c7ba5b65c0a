"""Fitting and calibration of detectors on a split, optionally without contaminated samples."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from augan.data.modalities.registry import AnyPreprocessing, PreparedSamples
from augan.data.splits import Split
from augan.detect.conformal.calibration import Calibration
from augan.detect.detector import Detector

if TYPE_CHECKING:
    from augan.gan import keras

MIN_STANDARDIZATION_SAMPLES = 10  # with fewer validation samples, training samples are added


def fit_detector(
    method: str,
    models: "Mapping[str, keras.Model]",
    preprocessing: AnyPreprocessing,
    samples: PreparedSamples,
    split: Split,
    *,
    groups: Sequence[str] | np.ndarray | None = None,
    trim_fraction: float = 0.0,
) -> Detector:
    """Return a detector fitted on `split.train` and `split.val`, calibrated on `split.calibration`.

    Parameters
    ----------
    models : mapping of str to keras.Model
        Trained networks.
    samples : PreparedSamples
        All samples.
    split : Split
        Without calibration samples, the detector is not calibrated.
    groups : sequence or None
        The group of each sample.
    trim_fraction : float
        Suspected share of contaminated samples. This share of each split, the samples with the
        highest scores, is removed; then the detector is fitted again and calibrated on the rest.
    """

    def fit(split: Split) -> Detector:
        rows = _standardization_rows(split)
        return Detector.fit(method, models, preprocessing, samples, train=split.train, val=rows)

    detector = fit(split)
    if trim_fraction:
        split = replace(
            split,
            **{
                name: _trim_highest(detector, samples, rows, trim_fraction)
                for name, rows in vars(split).items()
            },
        )
        detector = fit(split)
    if len(split.calibration):
        held_out = None if groups is None else np.asarray(groups)[split.calibration]
        detector.calibrate(samples, held_out, rows=split.calibration)
    return detector


def fit_folds(
    method: str,
    models: "Sequence[Mapping[str, keras.Model]]",
    preprocessing: AnyPreprocessing,
    samples: PreparedSamples,
    folds: Sequence[Split],
    *,
    groups: Sequence[str] | np.ndarray | None = None,
    trim_fraction: float = 0.0,
) -> Detector:
    """Return the detector of one or more folds, each fitted and calibrated as by `fit_detector`.

    `models` are the networks that were trained for each fold. A single fold, the whole split of a
    plain training, gives a plain detector; several folds give a cross-conformal ensemble.
    """
    detectors = [
        fit_detector(
            method,
            networks,
            preprocessing,
            samples,
            split,
            groups=groups,
            trim_fraction=trim_fraction,
        )
        for networks, split in zip(models, folds)
    ]
    if len(detectors) == 1:
        return detectors[0]
    calibrations = [detector.require_calibration() for detector in detectors]
    max_map_scores = [
        detector.map_calibration.scores for detector in detectors if detector.map_calibration
    ]
    from augan.detect.cross_conformal_ensemble import CrossConformalEnsemble

    ensemble = CrossConformalEnsemble([detector.method for detector in detectors])
    ensemble.calibrate([calibration.scores for calibration in calibrations], max_map_scores)
    num_groups = sum(calibration.num_groups for calibration in calibrations)  # folds share none
    map_calibration = (
        Calibration.from_folds(ensemble.max_map_scores, num_groups) if max_map_scores else None
    )
    calibration = Calibration.from_folds(ensemble.fold_scores, num_groups)
    return Detector(ensemble, preprocessing, calibration, map_calibration)


def trimmed_size(count: int, trim_fraction: float) -> int:
    """Return the number of samples that remain after trimming, at least two."""
    return max(count - round(trim_fraction * count), min(2, count))


def _trim_highest(
    detector: Detector, samples: PreparedSamples, rows: np.ndarray, trim_fraction: float
) -> np.ndarray:
    """Return the rows without the share with the highest scores."""
    size = trimmed_size(len(rows), trim_fraction)
    if size == len(rows):
        return rows
    scores = detector.score(samples, rows)
    return np.sort(rows[np.argsort(scores, kind="stable")[:size]])


def _standardization_rows(split: Split) -> np.ndarray:
    """Return the rows on which score components are standardized.

    The standard deviation of two or three validation samples would be arbitrary.
    """
    if len(split.val) >= MIN_STANDARDIZATION_SAMPLES:
        return split.val
    return np.sort(np.concatenate([split.train, split.val]))
