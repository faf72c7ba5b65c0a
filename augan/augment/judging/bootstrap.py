"""Is the difference between arms more than luck? Resampling of draws and test images at once.

The accuracy of few labels varies with the labels (draws) and with the images that it is measured
on, so both are drawn anew in every resample, and the deviations of both add up. That counts the
chance of single predictions, which is in both, twice: it is never narrower than the truth allows.
Arms are compared on the same draws and images. A handful of draws tells less about their spread
than a bootstrap of them believes, therefore their deviations are widened to what Student's t law
with one degree of freedom less than draws asks for.

A lift is claimed over the best rival, and which rival is best is itself chance. Here it must be
more than luck over *every* rival: the interval reaches down to the lowest bound of all. Such an
intersection-union test keeps the level of each comparison, however many rivals there are.

References
----------
Owen (2007), The pigeonhole bootstrap, which counts the chance of single predictions three times.
Davison, Hinkley (1997), Bootstrap methods and their application, section 2.8. Berger (1982),
Multiparameter hypothesis testing and acceptance sampling (intersection-union tests).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from augan.metrics.interval import LEVEL, Interval

RESAMPLES = 2000
LEAST_DRAWS = 2
_CELLS = 8_000_000  # weights in memory at once


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
        Arm -> whether each test image was recognised, in each of 2 or more draws.
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
        self._place = {name: place for place, name in enumerate(right)}
        _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        shares = 1.0 / (len(counts) * counts[classes])  # of each test image in the figure
        of_draws = np.stack([shares @ one.T for one in right.values()], axis=1)  # [D, A]
        of_images = np.stack([one.mean(axis=0) for one in right.values()], axis=1)  # [n, A]
        draws = len(of_draws)
        self.values = of_draws.mean(axis=0)
        times = rng.multinomial(draws, [1 / draws] * draws, resamples)
        self._resampled = self.values + _widening(draws) / draws * ((times - 1) @ of_draws)
        for place, n in enumerate(counts.tolist()):
            of_class = of_images[classes == place]
            # In few images there is less spread than in those that they come from.
            factor = math.sqrt(n / max(1, n - 1)) / (n * len(counts))
            most = max(1, _CELLS // n)
            for start in range(0, resamples, most):
                part = slice(start, min(start + most, resamples))
                times = rng.multinomial(n, [1 / n] * n, part.stop - start)
                self._resampled[part] += factor * ((times - 1) @ of_class)

    def difference(self, one: str, other: str) -> Interval:
        """Return how much better `one` is than `other`."""
        first, second = self._place[one], self._place[other]
        value = float(self.values[first] - self.values[second])
        spread = self._resampled[:, first] - self._resampled[:, second]
        bounds = np.quantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        low, high = np.clip(bounds, -1, 1)  # no two shares are further apart
        return Interval(value, min(value, float(low)), max(value, float(high)))

    def lead(self, one: str, others: Sequence[str]) -> Lead:
        """Return how far `one` is ahead of the best of `others`."""
        over = {name: self.difference(one, name) for name in others}
        rival = min(over, key=lambda name: over[name].value)
        low = min(interval.low for interval in over.values())
        high = min(interval.high for interval in over.values())
        value = over[rival].value
        return Lead(rival, Interval(value, low, max(value, high)), over)


def _widening(draws: int) -> float:
    """By how much deviations of resampled draws are too small for the 95 % interval of a mean."""
    tail = (1 + LEVEL) / 2
    return float(math.sqrt(draws / (draws - 1)) * stdtrit(draws - 1, tail) / ndtri(tail))
