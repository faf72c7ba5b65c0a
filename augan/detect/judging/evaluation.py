"""Judge a detector on labelled images: AUROC and realised false alarms.

Anything with scikit-learn's `fit` and `score_samples` (higher = more normal) can be judged; no
detector of augan is imported here.

References
----------
Clopper, Pearson (1934), The use of confidence or fiducial limits.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.utils.validation import check_is_fitted

from augan.detect.judging.baselines import Detector
from augan.exceptions import DataError


@dataclass(frozen=True)
class RateEstimate:
    """A rate seen on `n` images, with its 95 % interval.

    Attributes
    ----------
    rate : float
        count / n.
    low, high : float
        The Clopper-Pearson interval: it covers the true rate with at least 95 %.
    count, n : int
        Images flagged, and all images.
    """

    rate: float
    low: float
    high: float
    count: int
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain Python values, ready for JSON."""
        return asdict(self)


def realised_rate(flags: ArrayLike) -> RateEstimate:
    """Estimate the rate at which images are flagged.

    On normal images this is the realised false-alarm rate, on anomalies the detection rate.

    Parameters
    ----------
    flags : array-like of bool, shape [n]

    Raises
    ------
    DataError
        If it is empty or holds anything but True and False.

    Examples
    --------
    >>> realised_rate([True, False, False, False]).rate
    0.25
    """
    array = np.asarray(flags)
    if array.ndim != 1 or array.size == 0 or array.dtype != np.bool_:
        raise DataError(
            f"The flags have shape {array.shape} and type {array.dtype}, True or False for each "
            "of at least one image was expected, shape [n]."
        )
    n, count = array.size, int(array.sum())
    # Both ends are quantiles of beta laws that do not exist at 0 and n, where the end is known.
    low = float(beta.ppf(0.025, count, n - count + 1)) if count > 0 else 0.0
    high = float(beta.ppf(0.975, count + 1, n - count)) if count < n else 1.0
    return RateEstimate(count / n, low, high, count, n)


def auroc(normal_scores: ArrayLike, anomaly_scores: ArrayLike) -> float:
    """Return the probability that an anomaly scores higher than a normal image.

    Ties count half. 0.5 is chance, 0 is perfect with the sign turned.

    Parameters
    ----------
    normal_scores, anomaly_scores : array-like, shapes [n] and [m]
        Anomaly scores, **higher = more anomalous**: ``-detector.score_samples(X)``.

    Raises
    ------
    DataError
        If one side is empty or holds NaN or infinite scores.

    Examples
    --------
    >>> auroc([0.1, 0.2], [0.2, 0.3])
    0.875
    """
    sides = {"normal": np.asarray(normal_scores), "anomaly": np.asarray(anomaly_scores)}
    for name, scores in sides.items():
        if scores.ndim != 1 or scores.size == 0 or scores.dtype.kind not in "fiu":
            raise DataError(
                f"The {name} scores have shape {scores.shape} and type {scores.dtype}, one number "
                "for each of at least one image was expected: AUROC needs both sides."
            )
        if not np.isfinite(scores).all():
            raise DataError(
                f"{int((~np.isfinite(scores)).sum())} of {scores.size} {name} scores are NaN or "
                "infinite: check the detector that gave them."
            )
    labels = np.repeat([0, 1], [scores.size for scores in sides.values()])
    return float(roc_auc_score(labels, np.concatenate(list(sides.values()))))


def evaluate_one_class(
    detectors: Mapping[str, Callable[[], Detector]],
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


def _is_fitted(detector: Detector) -> bool:
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
