"""Is the difference between arms more than luck? Resampling of draws and test images at once.

The accuracy of few labels varies with the labels (draws) and with the images that it is measured
on, so both are drawn anew in every resample: the pigeonhole bootstrap, which is never narrower than
the truth allows. Arms are compared on the same draws and images. A handful of draws tells less
about their spread than a bootstrap of them believes, therefore their deviations are widened to what
Student's t law with one degree of freedom less than draws asks for.

A lift is claimed over the best rival, and which rival is best is itself chance. Here it must be
more than luck over *every* rival: the interval reaches down to the lowest bound of all. Such an
intersection-union test keeps the level of each comparison, however many rivals there are.

References
----------
Owen (2007), The pigeonhole bootstrap. Davison, Hinkley (1997), Bootstrap methods and their
application, section 2.8. Berger (1982), Multiparameter hypothesis testing and acceptance sampling
(intersection-union tests).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

RESAMPLES = 2000
LEVEL = 0.95
LEAST_DRAWS = 2
_CELLS = 8_000_000  # weights in memory at once


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Return the fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class Lead:
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
    interval: Interval
    over: dict[str, Interval]

    @property
    def is_real(self) -> bool:
        """Whether it is ahead of all others by more than luck."""
        return self.interval.low > 0


class Resampled:
    """Balanced accuracy of every arm, as measured and in every resample.

    Parameters
    ----------
    right : mapping of str to ndarray of bool [D, n]
        Arm -> whether each test image was recognised, in each draw.
    labels : ndarray of int [n]
        Classes of the test images.
    rng : numpy Generator
    resamples : int
    """

    def __init__(
        self,
        right: Mapping[str, np.ndarray],
        labels: np.ndarray,
        rng: np.random.Generator,
        resamples: int = RESAMPLES,
    ) -> None:
        stacked = np.stack(list(right.values()), axis=-1).astype(np.float32)  # [D, n, A]
        draws = len(stacked)
        if draws < LEAST_DRAWS:
            raise ValueError(f"{draws} draw is too few to say how much draws differ")
        self._place = {name: place for place, name in enumerate(right)}
        self.by_draw = _by_class(stacked, labels, [None] * len(np.unique(labels)))[0]
        self.values = self.by_draw.mean(axis=0)
        widened = 1 + _widening(draws) * (
            rng.multinomial(draws, [1 / draws] * draws, resamples) - 1
        )
        parts = []
        most = max(1, _CELLS // max(1, stacked.shape[1]))
        for start in range(0, resamples, most):
            some = widened[start : start + most]
            weights = [_image_weights(labels == c, len(some), rng) for c in np.unique(labels)]
            measured = _by_class(stacked, labels, weights)  # [B, D, A]
            parts.append(np.einsum("bd,bda->ba", some, measured) / draws)
        self._resampled = np.concatenate(parts)

    def difference(self, one: str, other: str) -> Interval:
        """Return how much better `one` is than `other`."""
        first, second = self._place[one], self._place[other]
        value = float(self.values[first] - self.values[second])
        spread = self._resampled[:, first] - self._resampled[:, second]
        low, high = np.quantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Interval(value, min(value, float(low)), max(value, float(high)))

    def lead(self, one: str, others: Sequence[str]) -> Lead:
        """Return how far `one` is ahead of the best of `others`."""
        over = {name: self.difference(one, name) for name in others}
        rival = min(over, key=lambda name: over[name].value)
        low = min(interval.low for interval in over.values())
        high = min(interval.high for interval in over.values())
        value = over[rival].value
        return Lead(rival, Interval(value, low, max(value, high)), over)


def _by_class(
    right: np.ndarray, labels: np.ndarray, weights: Sequence[np.ndarray | None]
) -> np.ndarray:
    """Return the mean recall of the classes `[B, D, A]`; weights are one `[B, n_c]` a class."""
    draws, _, arms = right.shape
    total: np.ndarray | float = 0.0
    for label, weight in zip(np.unique(labels), weights):
        of_class = np.moveaxis(right[:, labels == label], 1, 0).reshape(-1, draws * arms)
        n = len(of_class)
        total = total + (of_class.mean(axis=0)[None] if weight is None else weight @ of_class / n)
    return np.asarray(total).reshape(-1, draws, arms) / len(np.unique(labels))


def _image_weights(of_class: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each test image of a class is drawn, float32 `[B, n_c]`, classes kept as large."""
    n = int(of_class.sum())
    times = rng.multinomial(n, [1 / n] * n, resamples).astype(np.float32)
    return 1 + math.sqrt(n / max(1, n - 1)) * (times - 1)


def _widening(draws: int) -> float:
    """By how much deviations of resampled draws are too small for the 95 % interval of a mean."""
    tail = (1 + LEVEL) / 2
    return float(math.sqrt(draws / (draws - 1)) * stdtrit(draws - 1, tail) / ndtri(tail))
