"""Bootstrap confidence intervals, and paired comparisons of classifiers on one test set.

An arm is one way to make the training set of the classifier, such as with or without synthetic
images. A repeat is one training of every arm, with another seed or training subset.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

CONFIDENCE_LEVEL = 0.95
MIN_REPEATS = 2
_NUM_RESAMPLES = 2000
_MAX_WEIGHTS = 8_000_000  # resampling weights in memory at once


@dataclass(frozen=True)
class ConfidenceInterval:
    """A measured value with its 95 % bootstrap confidence interval.

    Attributes
    ----------
    value : float
        The measured value.
    low, high : float
        Bounds of the interval, low <= value <= high.
    """

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Return value and bounds as a dict, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class PairedComparison:
    """Difference in balanced accuracy between one arm and the best of several baselines.

    Attributes
    ----------
    best_baseline : str
        The baseline with the highest mean balanced accuracy.
    interval : ConfidenceInterval
        Arm minus best baseline, -1 to 1. `low` is the minimum of the lower bounds over all
        baselines, and `high` the minimum of the upper bounds, but at least the value.
    differences : dict of str to ConfidenceInterval
        Baseline -> arm minus this baseline.
    """

    best_baseline: str
    interval: ConfidenceInterval
    differences: dict[str, ConfidenceInterval]

    @property
    def is_significant(self) -> bool:
        """Whether the arm is better than every baseline: all lower bounds are above 0."""
        return self.interval.low > 0


class BootstrapComparison:
    """Balanced accuracy of several arms, measured and in every bootstrap resample.

    Repeats and test images are resampled together for all arms, so differences are paired.
    Intervals are widened to t-intervals, because few repeats underestimate the variance.

    Parameters
    ----------
    correct : mapping of str to ndarray of bool [R, n]
        Arm -> whether each of n test images is classified correctly, in each of R >= 2 repeats.
    labels : ndarray of int [n]
        Classes of the test images; images are resampled within their class.
    rng : numpy.random.Generator
        Source of the resamples.
    num_resamples : int
        Number of resamples; default: 2,000.
    groups : ndarray [n] or None
        Test images of one group are resampled together, across classes. None (default): each image
        is resampled alone.

    Attributes
    ----------
    values : ndarray [A]
        Mean balanced accuracy of each arm, in the order of `correct`.
    """

    def __init__(
        self,
        correct: Mapping[str, np.ndarray],
        labels: np.ndarray,
        rng: np.random.Generator,
        num_resamples: int = _NUM_RESAMPLES,
        groups: np.ndarray | None = None,
    ) -> None:
        self._columns = {arm: column for column, arm in enumerate(correct)}
        _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        weights = 1.0 / (len(counts) * counts[classes])  # of each test image in the mean
        by_repeat = np.stack([weights @ of_arm.T for of_arm in correct.values()], axis=1)  # [R, A]
        by_image = np.stack([of_arm.mean(axis=0) for of_arm in correct.values()], axis=1)  # [n, A]
        repeats = len(by_repeat)
        self.values = by_repeat.mean(axis=0)
        times = rng.multinomial(repeats, [1 / repeats] * repeats, num_resamples)
        self._resampled = self.values + _widening(repeats) / repeats * ((times - 1) @ by_repeat)
        strata = [
            weights[classes == label, None] * by_image[classes == label]
            for label in range(len(counts))
        ]
        if groups is not None:
            strata = [_group_contributions(by_image, classes, weights, groups)]
        for stratum in strata:
            self._resampled += _resampled_deviations(stratum, rng, num_resamples)

    def difference(self, arm: str, other: str) -> ConfidenceInterval:
        """Return the mean balanced accuracy of `arm` minus that of `other`, with its interval."""
        first, second = self._columns[arm], self._columns[other]
        value = float(self.values[first] - self.values[second])
        differences = self._resampled[:, first] - self._resampled[:, second]
        tails = [(1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2]
        low, high = np.clip(np.quantile(differences, tails), -1, 1)  # the range of a difference
        return ConfidenceInterval(value, min(value, float(low)), max(value, float(high)))

    def compare(self, arm: str, baselines: Sequence[str]) -> PairedComparison:
        """Compare an arm with several baselines, and report the difference to the best baseline."""
        differences = {name: self.difference(arm, name) for name in baselines}
        best = min(differences, key=lambda name: differences[name].value)
        low = min(interval.low for interval in differences.values())
        high = min(interval.high for interval in differences.values())
        value = differences[best].value
        return PairedComparison(best, ConfidenceInterval(value, low, max(value, high)), differences)


def _group_contributions(
    by_image: np.ndarray, classes: np.ndarray, weights: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Return the contribution of each group of test images to the balanced accuracies.

    An image contributes its difference to the mean of its class, so that the size of a group alone
    does not count.

    Parameters
    ----------
    by_image : ndarray [n, A]
        Fraction of repeats in which each arm classifies each image correctly.
    classes : ndarray of int [n]
        Class of each image, from 0.
    weights : ndarray [n]
        Weight of each image in the balanced accuracy.
    groups : ndarray [n]
        Group of each image.

    Returns
    -------
    ndarray [G, A]
        One row for each of G groups.
    """
    _, group_of = np.unique(groups, return_inverse=True)
    contributions = np.zeros((group_of.max() + 1, by_image.shape[1]))
    for label in range(classes.max() + 1):
        rows = classes == label
        centered = by_image[rows] - by_image[rows].mean(axis=0)
        np.add.at(contributions, group_of[rows], weights[rows, None] * centered)
    return contributions


def _resampled_deviations(
    units: np.ndarray, rng: np.random.Generator, num_resamples: int
) -> np.ndarray:
    """Return the deviation of the sum of `n` units in each bootstrap resample from their sum.

    Parameters
    ----------
    units : ndarray [n, A]
        Contributions of test images or groups to the balanced accuracy of A arms.
    rng : numpy.random.Generator
        Source of the resamples.
    num_resamples : int
        Number B of resamples.

    Returns
    -------
    ndarray [B, A]
        Deviations, scaled by sqrt(n / (n - 1)), because a resample of n units has the variance of n
        - 1.
    """
    n, deviations = len(units), np.empty((num_resamples, units.shape[1]))
    # A resample of n units has the variance of n - 1 units: correct for the difference.
    factor, chunk = math.sqrt(n / max(1, n - 1)), max(1, _MAX_WEIGHTS // n)
    for start in range(0, num_resamples, chunk):
        times = rng.multinomial(n, [1 / n] * n, min(chunk, num_resamples - start))
        deviations[start : start + chunk] = factor * ((times - 1) @ units)
    return deviations


def _widening(repeats: int) -> float:
    """Return the factor that widens bootstrap deviations of few repeats to a 95 % t-interval."""
    tail = (1 + CONFIDENCE_LEVEL) / 2
    return float(math.sqrt(repeats / (repeats - 1)) * stdtrit(repeats - 1, tail) / ndtri(tail))
