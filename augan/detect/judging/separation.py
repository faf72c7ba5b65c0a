"""How well scores separate normal images from anomalies, beyond AUROC: pure functions of scores.

`scores` are anomaly scores: **higher = more anomalous**.

References
----------
Efron, Tibshirani (1993), An introduction to the bootstrap, chapter 13 (percentile interval).
Davison, Hinkley (1997), Bootstrap methods and their application, section 3.8 (groups).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve

from augan.detect.judging.evaluation import auroc
from augan.metrics.statistics import LEVEL, Interval

RESAMPLES = 1000


def average_precision(normal: np.ndarray, anomaly: np.ndarray) -> float:
    """Return the average precision with anomalies as the positives."""
    labels = np.repeat([0, 1], [len(normal), len(anomaly)])
    return float(average_precision_score(labels, np.concatenate([normal, anomaly])))


def best_f1(normal: np.ndarray, anomaly: np.ndarray) -> tuple[float, float]:
    """Return the largest F1 of any threshold, and that threshold (flagged: score >= threshold).

    The threshold is chosen on the labels, as nobody can who does not have them: an upper bound.
    """
    labels = np.repeat([0, 1], [len(normal), len(anomaly)])
    precision, recall, thresholds = precision_recall_curve(
        labels, np.concatenate([normal, anomaly])
    )
    precision, recall = precision[:-1], recall[:-1]
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    best = int(f1.argmax())
    return float(f1[best]), float(thresholds[best])


def bootstrap_auroc(
    normal: np.ndarray,
    anomaly: np.ndarray,
    rng: np.random.Generator,
    normal_groups: Sequence[Any] | None = None,
    anomaly_groups: Sequence[Any] | None = None,
) -> Interval:
    """Return AUROC with its 95 % percentile interval over resampled images.

    Normals and anomalies are drawn anew with replacement, each side by itself. Where groups are
    given, whole groups are drawn: images of one part are no independent witnesses.

    Parameters
    ----------
    normal, anomaly : ndarray, shapes [n] and [m]
    rng : numpy Generator
    normal_groups, anomaly_groups : sequence of n and of m hashable values, optional
    """
    value = auroc(normal, anomaly)
    _, place = np.unique(np.concatenate([normal, anomaly]), return_inverse=True)
    size = int(place.max()) + 1
    draws = []
    for _ in range(RESAMPLES):
        below = np.bincount(place[: len(normal)], _times(normal_groups, len(normal), rng), size)
        above = np.bincount(place[len(normal) :], _times(anomaly_groups, len(anomaly), rng), size)
        # An anomaly beats all normals of lower scores, and half of those that tie with it.
        beaten = np.cumsum(below) - below / 2
        draws.append(float(above @ beaten / (above.sum() * below.sum())))
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def _times(groups: Sequence[Any] | None, count: int, rng: np.random.Generator) -> np.ndarray:
    """How many times each of `count` images is drawn."""
    if groups is None:
        return np.bincount(rng.integers(count, size=count), minlength=count)
    distinct, member = np.unique(np.asarray(groups), return_inverse=True)
    drawn = rng.integers(len(distinct), size=len(distinct))
    return np.bincount(drawn, minlength=len(distinct))[member]
