"""Cross-conformal calibration: K detectors, so that every normal image trains and calibrates.

With few normal images, holding some out for calibration leaves too few for training. Therefore the
images are divided into K folds, and one detector is trained for each fold, on all other folds.
Image i is scored only by the detector that was not trained on its fold k(i): s_i = S_k(i)(x_i). A
new image x is scored by all K detectors, and each score is compared with the calibration scores of
the same detector:

    p(x) = (1 + #{i : s_i >= S_k(i)(x)}) / (n + 1)

These are the cross-conformal p-values of Vovk (2015), and of CV+ by Barber et al. (2021).

Guarantee. Each fold alone is split-conformal: the number c_k of its calibration scores that are at
least the new score is at most j with probability at most (j+1)/(n_k+1). The dependence between the
folds is unknown, because they share training images and score the same new image; for independent
or equal folds, p(x) <= A would have a probability of about A. For any dependence, Markov's
inequality on the sum of max(0, b - c_k) bounds the probability by about 2A for large folds (see
`max_false_alarm_rate`). The bound of Barber et al. (theorem 4) and of Vovk and Wang (2020),
2A + 2(1 - A)(K-1)/(n+K), is larger, because it does not use that c_k is a whole number.

References
----------
Vovk (2015), Cross-conformal predictors.
Barber, Candès, Ramdas, Tibshirani (2021), Predictive inference with the jackknife+, section 3.
Vovk, Wang (2020), Combining p-values via averaging.
Hennhofer, Preisach (2024), Leave-one-out-, bootstrap- and cross-conformal anomaly detectors.
"""

from collections.abc import Sequence

import numpy as np

MAX_ABS_MEAN = 1e30  # means are clipped to this, so that nothing overflows


def max_false_alarm_rate(rank: int, fold_sizes: Sequence[int]) -> float:
    """Return the upper bound of P(p <= rank/(n+1)) for a new normal image, over K folds.

    In the notation of the module docstring, the event is c_1 + ... + c_K <= c = rank - 1. For any
    whole number b, the sum of max(0, b - c_k) is then at least K b - c, and the mean of max(0, b -
    c_k) is at most b (b+1) / (2 (n_k+1)). The quotient is a bound for every b > c / K; the smallest
    bound is returned, at most 1.

    Parameters
    ----------
    rank : int
        At least 1; rank/(n+1) is the p-value up to which images are flagged.
    fold_sizes : sequence of int
        Number of calibration images of each fold, n_k.

    Examples
    --------
    >>> [round(max_false_alarm_rate(r, [30] * 5), 4) for r in (1, 7)]  # p <= 1/151 and p <= 7/151
    [0.0323, 0.1075]
    """
    num_folds, count = len(fold_sizes), rank - 1
    weight = sum(1 / (size + 1) for size in fold_sizes)
    b = np.arange(count // num_folds + 1, 2 * count // num_folds + 3)
    bounds = weight * b * (b + 1) / 2 / (num_folds * b - count)
    return min(1.0, float(bounds.min()))


class CrossConformalPool:
    """Mapping of the K scores of a new image, one for each fold, to one pooled score.

    The pooled score has the rank among all calibration scores that the formula of the module
    docstring gives, so `Calibration.p_values` of the pooled score returns p(x). The mean of the K
    scores determines the position within the gap between two calibration scores, or the distance
    beyond all calibration scores. So images are ordered by p-value, then by mean score. If
    calibration scores of different folds are equal, a gap may be missing; p is then larger.

    Parameters
    ----------
    fold_scores : sequence of ndarray [n_k]
        Calibration scores of each fold, scaled to a standard deviation of about 1.

    Attributes
    ----------
    fold_scores : list of ndarray [n_k]
        Calibration scores of each fold, ascending.
    all_scores : ndarray of float64 [n]
        Calibration scores of all folds, ascending.
    """

    def __init__(self, fold_scores: Sequence[np.ndarray]) -> None:
        self.fold_scores = [np.sort(scores) for scores in fold_scores]
        self.all_scores = np.sort(np.concatenate(self.fold_scores)).astype(np.float64)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the pooled score of each image or pixel.

        Parameters
        ----------
        values : ndarray [..., K]
            Scores by the K detectors, in the scale of `fold_scores`.

        Returns
        -------
        ndarray of float64 [...]
        """
        count = np.zeros(values.shape[:-1], np.int64)
        for k, scores in enumerate(self.fold_scores):
            count += scores.size - np.searchsorted(scores, values[..., k], side="left")
        mean = np.clip(values.mean(axis=-1, dtype=np.float64), -MAX_ABS_MEAN, MAX_ABS_MEAN)
        scores, n = self.all_scores, self.all_scores.size
        lower, upper = (scores[np.clip(n - count - i, 0, n - 1)] for i in (1, 0))
        offset = mean - (lower + upper) / 2
        between = lower + (upper - lower) * (1 + offset / (1 + np.abs(offset))) / 2
        above = scores[-1] + _softplus_like(mean - scores[-1])
        below = scores[0] - _softplus_like(scores[0] - mean)
        return np.select([count == 0, count == n], [above, below], between)


def _softplus_like(values: np.ndarray) -> np.ndarray:
    """Map values to positive numbers in the same order; large values hardly change."""
    return (values + np.hypot(values, 1)) / 2
