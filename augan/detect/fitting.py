"""Fit and calibrate a detector on the parts of a split, dirty images set aside."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from augan.data.modalities.registry import AnyPreprocessing, PreparedSamples
from augan.data.splits import Split
from augan.detect.conformal.calibration import Calibration
from augan.detect.detector import Detector
from augan.detect.methods.cross_conformal import CrossConformalEnsemble
from augan.gan import keras

MIN_TUNE = 10  # samples below which the training split helps to standardise the terms


def fit_detector(
    method: str,
    models: Mapping[str, keras.Model],
    preprocessing: AnyPreprocessing,
    stored: PreparedSamples,
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
    stored : PreparedSamples
        All samples.
    split : Split
        Without calibration samples the detector is not calibrated.
    groups : sequence or None
        Of all samples.
    trim_fraction : float
        The share of dirty samples that is suspected. So many of the highest scores of each part are
        set aside, and the detector is fitted and calibrated anew on the others.
    """

    def fitted(parts: Split) -> Detector:
        val = _tuning(parts)
        return Detector.fit(method, models, preprocessing, stored, train=parts.train, val=val)

    detector = fitted(split)
    if trim_fraction:
        split = replace(
            split,
            **{
                name: _lowest(detector, stored, rows, trim_fraction)
                for name, rows in vars(split).items()
            },
        )
        detector = fitted(split)
    if len(split.calibration):
        held_out = None if groups is None else np.asarray(groups)[split.calibration]
        detector.calibrate(stored, held_out, rows=split.calibration)
    return detector


def fit_cross_conformal(
    method: str,
    models: Sequence[Mapping[str, keras.Model]],
    preprocessing: AnyPreprocessing,
    stored: PreparedSamples,
    folds: Sequence[Split],
    *,
    groups: Sequence[str] | np.ndarray | None = None,
    trim_fraction: float = 0.0,
) -> Detector:
    """Return the detectors of all folds as one, each fitted and calibrated as by `fit_detector`.

    `models` are the networks that were trained for each fold. Of one fold its detector is returned.
    """
    found = [
        fit_detector(
            method, own, preprocessing, stored, split, groups=groups, trim_fraction=trim_fraction
        )
        for own, split in zip(models, folds)
    ]
    if len(found) == 1:
        return found[0]
    own = [detector.require_calibration() for detector in found]
    heights = [line.scores for line in (detector.map_calibration for detector in found) if line]
    together = CrossConformalEnsemble([one.method for one in found])
    together.calibrate([line.scores for line in own], heights)
    num_groups = sum(line.num_groups for line in own)  # each lies whole in one fold
    maps = Calibration.from_folds(together.heights, num_groups) if heights else None
    calibration = Calibration.from_folds(together.lines, num_groups)
    return Detector(together, preprocessing, calibration, maps)


def _lowest(
    detector: Detector, stored: PreparedSamples, rows: np.ndarray, trim_fraction: float
) -> np.ndarray:
    """Return the rows without the share that scores highest; at least two are kept."""
    keep = trimmed_size(len(rows), trim_fraction)
    if keep == len(rows):
        return rows
    scores = detector.score(stored, rows)
    return np.sort(rows[np.argsort(scores, kind="stable")[:keep]])


def _tuning(split: Split) -> np.ndarray:
    """The samples that the terms are standardised on: spread of two or three would be chance."""
    if len(split.val) >= MIN_TUNE:
        return split.val
    return np.sort(np.concatenate([split.train, split.val]))


def trimmed_size(count: int, trim_fraction: float) -> int:
    """Return how many of `count` samples are left once the suspected share is set aside."""
    return max(count - round(trim_fraction * count), min(2, count))
