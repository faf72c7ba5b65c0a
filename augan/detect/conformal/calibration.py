"""Split-conformal calibration: p-values and thresholds at a false-alarm rate chosen by the user.

The calibration scores come from normal images on which no part of the detector was fitted. If new
normal images are exchangeable with the calibration images, the p-value is valid for any number of
calibration images and for any detector: a bad detector misses defects, but its false alarms keep
to the rate. If the images were scored in folds, each by the detector that was not trained on it,
about twice the rate is guaranteed (see `augan.detect.conformal.cross_conformal`).

In this file `scores` are anomaly scores: **higher = more anomalous**, the negative of a detector's
`score_samples`.

References
----------
Vovk, Gammerman, Shafer (2005), Algorithmic Learning in a Random World, chapters 2 and 4.
Laxhammar, Falkman (2010), Conformal prediction for distribution-independent anomaly detection
in streaming vessel data.
Vovk (2012), Conditional validity of inductive conformal predictors, Proposition 2a.
Bates, Candès, Lei, Romano, Sesia (2023), Testing for outliers with conformal p-values, section 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta, betabinom

from augan.bundle.sections import CalibrationScores
from augan.data.dataset import plural
from augan.detect.conformal.cross_conformal import max_false_alarm_rate
from augan.detect.conformal.guarantee import (
    Guarantee,
    describe_fold_guarantee,
    describe_group_caveat,
    describe_guarantee,
    rounded_up,
)
from augan.exceptions import ConfigError, DataError

DEFAULT_RATE = 0.05


@dataclass(frozen=True, eq=False)
class Calibration:
    """Sorted anomaly scores of held-out normal images, from which p-values and thresholds follow.

    Build a calibration with :meth:`fit`; the constructor expects sorted `scores`.

    Parameters
    ----------
    scores : ndarray of float64, shape [n]
        Finite and ascending. Kept as a read-only copy.
    num_groups : int
        Number of distinct groups among the images; n if every image is its own group.
    fold_sizes : tuple of int
        Number of images of each fold, if each image was scored by the detector that was not trained
        on its fold; empty if one detector scored all images.

    Raises
    ------
    DataError
        If the scores are empty, not finite or not sorted, `num_groups` is not in 1..n, or the fold
        sizes do not add up to n.

    Examples
    --------
    >>> calibration = Calibration.fit([0.3, 0.1, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    >>> calibration.p_values([0.85, 2.0])
    array([0.2, 0.1])
    >>> calibration.flags([0.85, 2.0], far=0.1)
    array([False,  True])
    """

    scores: np.ndarray
    num_groups: int
    fold_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        scores = _as_scores(self.scores, "calibration scores", finite=True).copy()
        if scores.size == 0:
            raise DataError(
                "there are no calibration scores, at least 1 is needed; hold out some normal "
                "images for calibration"
            )
        if np.any(np.diff(scores) < 0):
            raise DataError(
                "the calibration scores are not in ascending order; build the calibration with "
                "Calibration.fit(scores), which sorts them"
            )
        if not 1 <= self.num_groups <= scores.size:
            raise DataError(
                f"num_groups is {self.num_groups}, a number from 1 to {scores.size} (the number of "
                "calibration images) was expected; use Calibration.fit(scores, groups)"
            )
        if self.fold_sizes and (sum(self.fold_sizes) != scores.size or min(self.fold_sizes) < 1):
            raise DataError(
                f"the folds have {list(self.fold_sizes)} images, which do not add up to the "
                f"{scores.size} calibration scores; calibrate the detector again"
            )
        scores.setflags(write=False)
        object.__setattr__(self, "scores", scores)

    @classmethod
    def fit(cls, scores: ArrayLike, groups: Sequence[Any] | np.ndarray | None = None) -> Self:
        """Calibrate on the anomaly scores of held-out normal images.

        Parameters
        ----------
        scores : array-like, shape [n]
            Higher = more anomalous. The detector must **not** have been fitted on these images:
            the scores of training images are too low and break the bound.
        groups : sequence of n hashable values, optional
            The group of each image, if several images show the same object.

        Raises
        ------
        DataError
            If a score is NaN or infinite, there is none, or `groups` has another length.
        """
        values = np.sort(_as_scores(scores, "calibration scores", finite=True))
        if groups is None:
            return cls(values, values.size)
        if len(groups) != values.size:
            raise DataError(
                f"groups has {len(groups)} entries for {values.size} calibration scores; give one "
                "group for each image, in the same order"
            )
        return cls(values, len(set(groups)))

    @classmethod
    def from_folds(cls, fold_scores: Sequence[ArrayLike], num_groups: int) -> Self:
        """Calibrate on scores of K folds, each scored by the detector not trained on the fold.

        Scores of new images must be pooled by a `CrossConformalPool` of the same fold scores before
        they are compared with this calibration.

        Parameters
        ----------
        fold_scores : sequence of array-like, shape [n_k]
            Anomaly scores of the images of each fold.
        num_groups : int
            Number of distinct groups among all images; n if every image is its own group.

        Raises
        ------
        DataError
            If a score is NaN or infinite, there is none, or `num_groups` is out of range.
        """
        folds = [_as_scores(scores, "calibration scores", finite=True) for scores in fold_scores]
        sizes = tuple(scores.size for scores in folds)
        return cls(np.sort(np.concatenate(folds)), num_groups, sizes)

    @property
    def n(self) -> int:
        """Number of calibration images, over all folds."""
        return int(self.scores.size)

    @property
    def min_rate(self) -> float:
        """The smallest false-alarm rate that n calibration images support, 1/(n+1)."""
        return 1 / (self.n + 1)

    def p_values(self, scores: ArrayLike) -> np.ndarray:
        """Return the conformal p-value of each score, (1 + #{calibration >= s}) / (n + 1).

        A calibration score equal to s counts as at least as anomalous: ties increase p and never
        increase the number of false alarms.

        Parameters
        ----------
        scores : array-like, shape [m]
            Anomaly scores; infinite is allowed, NaN raises `DataError`.

        Returns
        -------
        ndarray of float64, shape [m]
            In [1/(n+1), 1]; a small p-value means an image unlike the normal images.
        """
        values = _as_scores(scores, "scores", finite=False)
        at_least = self.n - np.searchsorted(self.scores, values, side="left")
        return (1 + at_least) / (self.n + 1)

    def supports(self, far: float) -> bool:
        """Return whether n calibration images are enough to flag images at this false-alarm rate.

        Raises
        ------
        ConfigError
            If `far` is not a number between 0 and 1, both excluded.
        """
        return self.min_rate <= check_far(far)

    def threshold(self, far: float) -> float:
        """Return the score above which an image is flagged at the false-alarm rate `far`.

        The threshold is the k-th largest calibration score, with the largest k for which k/(n+1) <=
        far. An image is flagged if its score is **strictly** greater, which is equivalent to p <=
        far: at a score equal to the threshold, k calibration scores are at least as large, so p >
        far.

        Raises
        ------
        ConfigError
            If `far` is not in (0, 1), or n calibration images do not support the rate.
        """
        return float(self.scores[self.n - self._rank(far)])

    def flags(self, scores: ArrayLike, far: float) -> np.ndarray:
        """Return which scores are flagged as anomalies, bool `[m]`: ``p_values(scores) <= far``.

        Parameters
        ----------
        scores : array-like, shape [m]
            Anomaly scores; infinite is allowed.
        far : float
            False-alarm rate.

        Raises
        ------
        DataError
            If a score is NaN.
        ConfigError
            If n calibration images do not support the rate.
        """
        return _as_scores(scores, "scores", finite=False) > self.threshold(far)

    def choose_rate(
        self, far: float | None, sample_type: str = "image"
    ) -> tuple[float, str | None]:
        """Return the false-alarm rate to use, and a warning if the default rate is not supported.

        The user's rate is returned unchanged or refused; it is never changed silently.

        Parameters
        ----------
        far : float or None
            The user's rate; None: 0.05, or the smallest rate that n calibration images support.
        sample_type : str
            "image" or "row", for messages.

        Returns
        -------
        rate : float
        warning : str or None
            Set if `far` is None and the rate is not 0.05.

        Raises
        ------
        ConfigError
            If n calibration images do not support the user's rate.
        """
        samples = plural(sample_type)
        if far is not None:
            self._rank(far)
            return float(far), None
        if self.supports(DEFAULT_RATE):
            return DEFAULT_RATE, None
        return self.min_rate, (
            f"the default false-alarm rate of {DEFAULT_RATE:g} needs "
            f"{min_calibration_size(DEFAULT_RATE)} calibration {samples}, this model has {self.n}: "
            f"the smallest rate that the model supports, {rounded_up(self.min_rate)}, is used "
            f"instead; train with more normal {samples} for fewer false alarms"
        )

    def guarantee(self, far: float, sample_type: str = "image") -> Guarantee:
        """Return the guarantee of a false-alarm rate for new normal images or rows.

        For continuous scores, the realized rate of one calibrated model is a random variable,
        Beta(k, n+1-k) over the sampling of the calibration set (Vovk 2012, Proposition 2a); with
        ties the realized rate is smaller. With folds, only the average is bounded.

        Parameters
        ----------
        far : float
            False-alarm rate.
        sample_type : str
            "image" or "row", for the sentence.

        Raises
        ------
        ConfigError
            If n calibration images do not support the rate.
        """
        k, n, folds = self._rank(far), self.n, self.fold_sizes
        expected = max_false_alarm_rate(k, folds) if folds else k / (n + 1)
        rate_upper_95 = None if folds else float(beta.ppf(0.95, k, n + 1 - k))
        exact = self.num_groups == n
        if not exact:
            fold_rate = expected if folds else None
            sentence = describe_group_caveat(
                k / (n + 1), n, self.num_groups, sample_type, fold_rate
            )
        elif rate_upper_95 is None:
            sentence = describe_fold_guarantee(expected, float(far), n, len(folds), sample_type)
        else:
            sentence = describe_guarantee(expected, rate_upper_95, n, sample_type)
        return Guarantee(float(far), n, self.num_groups, expected, rate_upper_95, exact, sentence)

    def false_alarm_range(self, far: float, num_test: int, level: float = 0.95) -> tuple[int, int]:
        """Return the range of false alarms to expect among `num_test` new normal images.

        The range is the central interval of the beta-binomial distribution: a binomial count with a
        rate that is itself Beta(k, n+1-k). A count outside the interval means that the new images
        differ from the calibration images, or that the detector was trained on the calibration
        images. The interval is valid if ``guarantee(far).exact`` is true and the scores are
        continuous. With folds, the interval starts at 0 and ends where it would for one detector at
        the bound on the average rate.

        Parameters
        ----------
        far : float
            False-alarm rate.
        num_test : int
            Number of new normal images, at least 1.
        level : float
            Probability of the interval, in (0, 1).

        Returns
        -------
        tuple of int
            Smallest and largest count, both included.

        Raises
        ------
        ConfigError
            If the rate is unsupported, `num_test` is less than 1, or `level` is not in (0, 1).
        """
        k = self._rank(far)
        if not isinstance(num_test, Integral) or num_test < 1:
            raise ConfigError(f"num_test is {num_test!r}, a whole number of 1 or more is needed")
        if not 0 < level < 1:
            raise ConfigError(f"level is {level!r}, a number between 0 and 1 (0.95) is needed")
        if self.fold_sizes:
            k = min(self.n, math.ceil(max_false_alarm_rate(k, self.fold_sizes) * (self.n + 1)))
        low, high = betabinom.interval(level, int(num_test), k, self.n + 1 - k)
        return 0 if self.fold_sizes else int(low), int(high)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able summary without the scores, for reports.

        :meth:`to_section` returns what a bundle stores.
        """
        return {
            "n": self.n,
            "num_groups": self.num_groups,
            "min_rate": self.min_rate,
            **({"num_folds": len(self.fold_sizes)} if self.fold_sizes else {}),
        }

    def to_section(self) -> CalibrationScores:
        """Return what a bundle stores, and :meth:`from_section` reads."""
        return CalibrationScores(self.scores, self.num_groups, self.fold_sizes)

    @classmethod
    def from_section(cls, stored: CalibrationScores) -> Self:
        """Restore a calibration from a bundle."""
        return cls(stored.scores, stored.num_groups, stored.fold_sizes)

    def _rank(self, far: float) -> int:
        """Return k = floor(far (n+1)), at least 1: the largest whole number with k/(n+1) <= far.

        Raises
        ------
        ConfigError
            If `far` is not in (0, 1), or is less than 1/(n+1).
        """
        far = check_far(far)
        if self.min_rate > far:
            raise ConfigError(
                f"a false-alarm rate of {far!r} needs {min_calibration_size(far)} calibration "
                f"images, this model has {self.n}: fewer images cannot resolve such a small "
                f"rate; choose `far={rounded_up(self.min_rate)}` or more, or train with more "
                "normal images"
            )
        # 0.29 * 100 is 28.999999999999996 in floating point. The neighboring integers are checked
        # with the same correctly rounded division as in p_values, so that both always agree.
        guess = math.floor(far * (self.n + 1))
        return max(k for k in (guess - 1, guess, guess + 1) if k / (self.n + 1) <= far)


def min_calibration_size(far: float) -> int:
    """Return how many calibration images a false-alarm rate needs: min n with 1/(n+1) <= far.

    Raises
    ------
    ConfigError
        If `far` is not a number between 0 and 1, both excluded.

    Examples
    --------
    >>> min_calibration_size(0.05), min_calibration_size(0.01)
    (19, 99)
    """
    far = check_far(far)
    total = math.ceil(1 / Fraction(far))
    # The float 0.01 may lie just below 1/100 although 1/100 rounds to the same float: then one
    # image fewer is enough.
    return total - 2 if 1 / (total - 1) <= far else total - 1


def check_far(far: float) -> float:
    """Return a false-alarm rate as a float; ConfigError unless it is a number in (0, 1)."""
    if isinstance(far, bool) or not isinstance(far, Real) or not 0 < far < 1:
        raise ConfigError(
            f"the false-alarm rate is {far!r}, a number between 0 and 1 was expected, both "
            "excluded; 0.05 flags about 5 in 100 normal images"
        )
    return float(far)


def _as_scores(scores: ArrayLike, name: str, finite: bool) -> np.ndarray:
    """Return anomaly scores as a float64 array `[n]`, which may be empty.

    Parameters
    ----------
    scores : array-like, shape [n]
    name : str
        Name of the scores in messages, for example "calibration scores".
    finite : bool
        Whether infinite scores are refused; NaN is always refused.

    Raises
    ------
    DataError
        If the scores are no numbers of shape `[n]`, or a score is refused.
    """
    array = np.asarray(scores)
    # NumPy gives an empty list the type float64, so the caller checks for emptiness.
    if array.ndim != 1 or (array.size and array.dtype.kind not in "fiu"):
        raise DataError(
            f"the {name} have shape {array.shape} and type {array.dtype}, one number per image "
            "was expected, shape [n]"
        )
    values = array.astype(np.float64)
    bad = ~np.isfinite(values) if finite else np.isnan(values)
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} of {values.size} {name} are NaN{' or infinite' * finite}, the "
            f"first at index {int(np.argmax(bad))}; check these images and the detector that "
            "scored them"
        )
    return values
