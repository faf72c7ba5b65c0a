"""Judge a detector on labelled images: AUROC and realised false alarms.

Of scores and flags alone: no detector is imported here.

References
----------
Clopper, Pearson (1934), The use of confidence or fiducial limits.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta
from sklearn.metrics import roc_auc_score

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
