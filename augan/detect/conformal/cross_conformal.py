"""Cross-conformal calibration: every normal image calibrates, though most were trained on.

With few normal images, those held out for calibration are missed in training. So the images are
divided into K folds, and a detector is fitted for each fold on all the others. Image i is scored
only by the detector of its own fold k(i), which has not seen it: s_i = S_k(i)(x_i). A new image x
is scored by all K detectors, and compared with each fold in that fold's own terms:

    p(x) = (1 + #{i : s_i >= S_k(i)(x)}) / (n + 1)

These are the cross-conformal p-values of Vovk (2015), and the CV+ of Barber et al. (2021).

What they promise. Each fold by itself is plain conformal: the number c_k of its scores that reach
the new image's is at most j with a probability of at most (j+1)/(n_k+1). How the folds depend on
each other is unknown, for they share images and are asked about the same one; for independent or
equal folds p(x) <= A would happen with a probability of about A. Whatever the dependence, Markov's
inequality on the sum of max(0, b - c_k) bounds it, see `max_false_alarm_rate`: about 2A for large
folds. Barber et al. (theorem 4) and Vovk and Wang (2020) have 2A + 2(1 - A)(K-1)/(n+K); counting
whole images, as here, gives less.

References
----------
Vovk (2015), Cross-conformal predictors.
Barber, Candès, Ramdas, Tibshirani (2021), Predictive inference with the jackknife+, section 3.
Vovk, Wang (2020), Combining p-values via averaging.
Hennhofer, Preisach (2024), Leave-one-out-, bootstrap- and cross-conformal anomaly detectors.
"""

from collections.abc import Sequence

import numpy as np

FARTHEST = 1e30  # a mean that is farther from 0 counts as this, so that nothing overflows


def max_false_alarm_rate(rank: int, fold_sizes: Sequence[int]) -> float:
    """Return how likely p <= rank/(n+1) is at most, for an image like the calibration images.

    That event is c_1 + ... + c_K <= c = rank - 1, in the words of the top of this file. Then the
    sum of max(0, b - c_k) is at least K b - c for any whole b, and the mean of max(0, b - c_k) is
    at most b (b+1) / (2 (n_k+1)). The quotient is a bound for every b > c / K; the least is taken.

    Examples
    --------
    >>> [round(largest_rate(rank, [30] * 5), 4) for rank in (1, 7)]  # p <= 1/151 and p <= 7/151
    [0.0323, 0.1075]
    """
    folds, count = len(fold_sizes), rank - 1
    chances = sum(1 / (size + 1) for size in fold_sizes)
    b = np.arange(count // folds + 1, 2 * count // folds + 3)
    bounds = chances * b * (b + 1) / 2 / (folds * b - count)
    return min(1.0, float(bounds.min()))


class CrossConformalPool:
    """The scores of all folds as one: what makes one score of the K that a new image has.

    Its place among all calibration scores is the one that has the rank of the formula above, so
    that `Calibration.p_values` of it is p(x); where in the gap between two calibration scores, or
    how far beyond them all, is decided by the mean of the K. So images are ordered by their p-value
    and then by their mean. Where calibration scores of different folds are equal, a gap may be
    lacking; p is then larger.

    Parameters
    ----------
    lines : sequence of ndarray [n_k]
        The calibration scores of each fold, in units that make 1 about a deviation.

    Attributes
    ----------
    lines : list of ndarray [n_k]
    every : ndarray of float64 [n]
        The calibration scores of each fold, and of all, ascending.
    """

    def __init__(self, lines: Sequence[np.ndarray]) -> None:
        self.lines = [np.sort(line) for line in lines]
        self.every = np.sort(np.concatenate(self.lines)).astype(np.float64)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return one score of each image or place: `[..., K]` to `[...]`, float64."""
        count = np.zeros(values.shape[:-1], np.int64)
        for k, line in enumerate(self.lines):
            count += line.size - np.searchsorted(line, values[..., k], side="left")
        mean = np.clip(values.mean(axis=-1, dtype=np.float64), -FARTHEST, FARTHEST)
        every, n = self.every, self.every.size
        below, above = (every[np.clip(n - count - i, 0, n - 1)] for i in (1, 0))
        off = mean - (below + above) / 2
        between = below + (above - below) * (1 + off / (1 + np.abs(off))) / 2
        beyond = every[-1] + _positive(mean - every[-1])
        beneath = every[0] - _positive(every[0] - mean)
        return np.select([count == 0, count == n], [beyond, beneath], between)


def _positive(values: np.ndarray) -> np.ndarray:
    """Return numbers above 0, in the same order, which hardly differ from large ones."""
    return (values + np.hypot(values, 1)) / 2
