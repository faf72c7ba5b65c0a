"""Fitting and calibration of detectors on a split, optionally without contaminated samples."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from augan.data.modalities.base import PreparedSamples, Preprocessing
from augan.data.splits import Split
from augan.detect.conformal.calibration import Calibration
from augan.detect.detector import Detector

if TYPE_CHECKING:
    from augan.gan import keras

MIN_STANDARDIZATION_SAMPLES = 10  # with fewer validation samples, training samples are added


def fit_detector(
    method: str,
    models: "Mapping[str, keras.Model]",
    preprocessing: Preprocessing,
    samples: PreparedSamples,
    split: Split,
    *,
    groups: Sequence[str] | np.ndarray | None = None,
    trim_fraction: float = 0.0,
) -> Detector:
    """Fit a detection method on a split of the samples, and calibrate it on the held-out part.

    Parameters
    ----------
    method : str
        Name of the detection method, a key of `augan.choices.DETECTION_METHODS`.
    models : mapping of str to keras.Model
        Trained networks by role, such as "discriminator".
    preprocessing : Preprocessing
    samples : PreparedSamples
        Prepared samples of all splits.
    split : Split
        Indices into `samples`. If there are fewer than 10 validation samples, score components are
        standardized on training samples too. Without calibration samples, the detector is not
        calibrated.
    groups : sequence or None
        The group (part, patient) of each sample; None: each sample is its own group.
    trim_fraction : float
        Suspected share of contaminated samples. This share of each split, the samples with the
        highest scores, is removed; then the detector is fitted again and calibrated on the rest.
        0.0: nothing is removed.

    Returns
    -------
    Detector
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
    preprocessing: Preprocessing,
    samples: PreparedSamples,
    folds: Sequence[Split],
    *,
    groups: Sequence[str] | np.ndarray | None = None,
    trim_fraction: float = 0.0,
) -> Detector:
    """Fit one detector for each fold by `fit_detector`, and combine the detectors.

    Parameters
    ----------
    method, preprocessing, samples, groups, trim_fraction
        As for `fit_detector`.
    models : sequence of mapping of str to keras.Model
        The networks that were trained for each fold.
    folds : sequence of Split
        The split of each fold; with several folds, each needs calibration samples.

    Returns
    -------
    Detector
        With one fold (the split of a plain training) the detector of `fit_detector`; with several
        folds a cross-conformal ensemble.
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
    """Return how many of `count` samples remain after the share `trim_fraction` is removed.

    At least two samples remain, unless there are fewer.
    """
    return max(count - round(trim_fraction * count), min(2, count))


def _trim_highest(
    detector: Detector, samples: PreparedSamples, rows: np.ndarray, trim_fraction: float
) -> np.ndarray:
    """Return the indices `rows` without the share `trim_fraction` of the highest anomaly scores."""
    size = trimmed_size(len(rows), trim_fraction)
    if size == len(rows):
        return rows
    scores = detector.score(samples, rows)
    return np.sort(rows[np.argsort(scores, kind="stable")[:size]])


def _standardization_rows(split: Split) -> np.ndarray:
    """Return the indices of the samples on which score components are standardized.

    They are the validation samples, plus the training samples if there are fewer than 10: the
    standard deviation of two or three samples would be arbitrary.
    """
    if len(split.val) >= MIN_STANDARDIZATION_SAMPLES:
        return split.val
    return np.sort(np.concatenate([split.train, split.val]))
