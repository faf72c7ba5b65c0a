"""A figure and how sure it is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

LEVEL = 0.95


@dataclass(frozen=True)
class ConfidenceInterval:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Return the fields by name."""
        return asdict(self)


RESAMPLES = 2000
LEAST_DRAWS = 2
_CELLS = 8_000_000  # weights in memory at once


@dataclass(frozen=True)
class PairedComparison:
    """How far one arm is ahead of the best of others.

    Attributes
    ----------
    rival : str
        The other arm that is best on average.
    interval : Interval
        Of the difference to it; `low` is the lowest bound of the differences to all others.
    over : dict of str to Interval
        The difference to each.
    """

    rival: str
    interval: ConfidenceInterval
    over: dict[str, ConfidenceInterval]

    @property
    def is_real(self) -> bool:
        """Whether it is ahead of all others by more than luck."""
        return self.interval.low > 0


class BootstrapComparison:
    """Balanced accuracy of every arm, as measured and in every resample.

    Parameters
    ----------
    right : mapping of str to ndarray of bool [D, n]
        Arm -> whether each test image was recognised, in each of 2 or more draws.
    labels : ndarray of int [n]
        Classes of the test images.
    rng : numpy Generator
    resamples : int
    groups : ndarray [n] or None
        Test images of one group are drawn together; None: each by itself.
    """

    def __init__(
        self,
        right: Mapping[str, np.ndarray],
        labels: np.ndarray,
        rng: np.random.Generator,
        resamples: int = RESAMPLES,
        groups: np.ndarray | None = None,
    ) -> None:
        self._place = {name: place for place, name in enumerate(right)}
        _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        shares = 1.0 / (len(counts) * counts[classes])  # of each test image in the figure
        of_draws = np.stack([shares @ one.T for one in right.values()], axis=1)  # [D, A]
        of_images = np.stack([one.mean(axis=0) for one in right.values()], axis=1)  # [n, A]
        draws = len(of_draws)
        self.values = of_draws.mean(axis=0)
        times = rng.multinomial(draws, [1 / draws] * draws, resamples)
        self._resampled = self.values + _widening(draws) / draws * ((times - 1) @ of_draws)
        units = [shares[classes == c, None] * of_images[classes == c] for c in range(len(counts))]
        if groups is not None:
            units = [_by_group(of_images, classes, shares, groups)]
        for unit in units:
            self._resampled += _deviations(unit, rng, resamples)

    def difference(self, one: str, other: str) -> ConfidenceInterval:
        """Return how much better `one` is than `other`."""
        first, second = self._place[one], self._place[other]
        value = float(self.values[first] - self.values[second])
        spread = self._resampled[:, first] - self._resampled[:, second]
        bounds = np.quantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        low, high = np.clip(bounds, -1, 1)  # no two shares are further apart
        return ConfidenceInterval(value, min(value, float(low)), max(value, float(high)))

    def lead(self, one: str, others: Sequence[str]) -> PairedComparison:
        """Return how far `one` is ahead of the best of `others`."""
        over = {name: self.difference(one, name) for name in others}
        rival = min(over, key=lambda name: over[name].value)
        low = min(interval.low for interval in over.values())
        high = min(interval.high for interval in over.values())
        value = over[rival].value
        return PairedComparison(rival, ConfidenceInterval(value, low, max(value, high)), over)


def _by_group(
    of_images: np.ndarray, classes: np.ndarray, shares: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Return by how much each group raises the figures over those of its classes, `[G, A]`.

    A large group must not count for being large, so images count by what they differ from the mean
    of their class.
    """
    _, of_group = np.unique(groups, return_inverse=True)
    found = np.zeros((of_group.max() + 1, of_images.shape[1]))
    for number in range(classes.max() + 1):
        rows = classes == number
        beyond = of_images[rows] - of_images[rows].mean(axis=0)
        np.add.at(found, of_group[rows], shares[rows, None] * beyond)
    return found


def _deviations(units: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Return how the sum of units `[n, A]` varies when n of them are drawn anew, `[R, A]`."""
    n, found = len(units), np.empty((resamples, units.shape[1]))
    # In few units there is less spread than in those that they come from.
    factor, most = math.sqrt(n / max(1, n - 1)), max(1, _CELLS // n)
    for start in range(0, resamples, most):
        times = rng.multinomial(n, [1 / n] * n, min(most, resamples - start))
        found[start : start + most] = factor * ((times - 1) @ units)
    return found


def _widening(draws: int) -> float:
    """By how much deviations of resampled draws are too small for the 95 % interval of a mean."""
    tail = (1 + LEVEL) / 2
    return float(math.sqrt(draws / (draws - 1)) * stdtrit(draws - 1, tail) / ndtri(tail))
