"""Fit detectors on one class and judge them on images of all.

Anything with scikit-learn's `fit` and `score_samples` (higher = more normal) can be judged.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from augan.evaluation.detection.baselines import OutlierDetector
from augan.evaluation.detection.metrics import auroc
from augan.exceptions import DataError


def evaluate_one_class(
    detectors: Mapping[str, Callable[[], OutlierDetector]],
    x_train: np.ndarray,
    x_test: np.ndarray,
    is_anomaly: ArrayLike,
) -> list[dict[str, Any]]:
    """Fit each detector on normal images and judge it on labelled ones.

    Parameters
    ----------
    detectors : mapping of name to a function without arguments
        It returns a detector. One that is fitted already is used as it is.
    x_train : ndarray, shape [N, ...]
        Normal images only.
    x_test : ndarray, shape [M, ...]
    is_anomaly : array-like of bool, shape [M]
        Used for the AUROC only, after all scoring.

    Returns
    -------
    list of dict
        `method`, `auroc`, `fit_seconds` (None where it was fitted already) and `ms_per_image`
        (scoring all test images in one call), in the order given.

    Raises
    ------
    DataError
        If labels or scores do not match the test images, or one side is empty.
    """
    labels = np.asarray(is_anomaly)
    if labels.shape != (len(x_test),) or labels.dtype != np.bool_:
        raise DataError(
            f"is_anomaly has shape {labels.shape} and type {labels.dtype}, True or False for "
            f"each of the {len(x_test)} test images was expected."
        )
    if labels.all() or not labels.any():
        raise DataError(
            f"{int(labels.sum())} of the {labels.size} test images are anomalies: AUROC needs "
            "both normal images and anomalies."
        )
    rows = []
    for name, make in detectors.items():
        detector = make()
        fit_seconds = None if _is_fitted(detector) else _timed(detector.fit, x_train)[1]
        scores, seconds = _timed(detector.score_samples, x_test)
        scores = np.asarray(scores)
        if scores.shape != labels.shape:
            raise DataError(
                f"The detector {name!r} gave scores of shape {scores.shape} for "
                f"{labels.size} images: score_samples must give one number per image."
            )
        rows.append(
            {
                "method": name,
                "auroc": auroc(-scores[~labels], -scores[labels]),
                "fit_seconds": fit_seconds,
                "ms_per_image": 1000 * seconds / labels.size,
            }
        )
    return rows


def _is_fitted(detector: OutlierDetector) -> bool:
    if not hasattr(detector, "__sklearn_tags__"):
        # check_is_fitted takes scikit-learn's own classes only; the rule is the same for others.
        return any(name.endswith("_") and not name.startswith("__") for name in vars(detector))
    try:
        check_is_fitted(detector)
    except NotFittedError:
        return False
    return True


def _timed(function: Callable[[Any], Any], argument: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    result = function(argument)
    return result, time.perf_counter() - start
