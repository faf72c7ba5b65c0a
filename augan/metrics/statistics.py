"""Bootstrap confidence intervals, and paired comparisons of classifiers."""

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
    """A value with its 95 % bootstrap confidence interval."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Return the fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class PairedComparison:
    """Difference of one arm to the best of several baselines.

    Attributes
    ----------
    best_baseline : str
        The baseline with the best mean.
    interval : ConfidenceInterval
        Difference to the best baseline. `low` is the minimum of the lower bounds over all
        baselines.
    differences : dict of str to ConfidenceInterval
        Difference to each baseline.
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

    Parameters
    ----------
    correct : mapping of str to ndarray of bool [R, n]
        Arm -> whether each test image is classified correctly, in each of 2 or more repeats.
    labels : ndarray of int [n]
        Classes of the test images.
    rng : numpy Generator
    num_resamples : int
    groups : ndarray [n] or None
        Test images of one group are resampled together. None: each image is resampled alone.
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
        """Return the balanced accuracy of `arm` minus that of `other`."""
        first, second = self._columns[arm], self._columns[other]
        value = float(self.values[first] - self.values[second])
        differences = self._resampled[:, first] - self._resampled[:, second]
        tails = [(1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2]
        low, high = np.clip(np.quantile(differences, tails), -1, 1)  # the range of a difference
        return ConfidenceInterval(value, min(value, float(low)), max(value, float(high)))

    def compare(self, arm: str, baselines: Sequence[str]) -> PairedComparison:
        """Return the difference of an arm to the best of several baselines."""
        differences = {name: self.difference(arm, name) for name in baselines}
        best = min(differences, key=lambda name: differences[name].value)
        low = min(interval.low for interval in differences.values())
        high = min(interval.high for interval in differences.values())
        value = differences[best].value
        return PairedComparison(best, ConfidenceInterval(value, low, max(value, high)), differences)


def _group_contributions(
    by_image: np.ndarray, classes: np.ndarray, weights: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Return the contribution of each group to the balanced accuracies, `[G, A]`.

    An image contributes its difference to the mean of its class, so that the size of a group alone
    does not count.
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
    """Return the deviation of the sum of units `[n, A]` in each resample of n units, `[B, A]`."""
    n, deviations = len(units), np.empty((num_resamples, units.shape[1]))
    # A resample of n units has the variance of n - 1 units: correct for the difference.
    factor, chunk = math.sqrt(n / max(1, n - 1)), max(1, _MAX_WEIGHTS // n)
    for start in range(0, num_resamples, chunk):
        times = rng.multinomial(n, [1 / n] * n, min(chunk, num_resamples - start))
        deviations[start : start + chunk] = factor * ((times - 1) @ units)
    return deviations


def _widening(repeats: int) -> float:
    """Return the factor from bootstrap deviations of few repeats to a 95 % t-interval."""
    tail = (1 + CONFIDENCE_LEVEL) / 2
    return float(math.sqrt(repeats / (repeats - 1)) * stdtrit(repeats - 1, tail) / ndtri(tail))
