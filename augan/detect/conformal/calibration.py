"""Turn anomaly scores into decisions at a false-alarm rate that the user chooses.

Split-conformal calibration: the scores of normal images that no part of the detector was fitted
on stand in for all the normal images to come. If those are exchangeable with the calibration
images, the p-value below is valid at any n and for any detector, good or bad: a bad detector
misses defects, but its false alarms keep to the rate. Where images were scored in folds, each by
the detector that had not seen it, about twice the rate is promised, see `crossed` beside this.

In this file `scores` are anomaly scores: **higher = more anomalous** (a detector's
`score_samples` with its sign turned).

References
----------
Vovk, Gammerman, Shafer (2005), Algorithmic Learning in a Random World, chapters 2 and 4.
Laxhammar, Falkman (2010), Conformal prediction for distribution-independent anomaly detection
in streaming vessel data.
Vovk (2012), Conditional validity of inductive conformal predictors, Proposition 2a.
Bates, Candès, Lei, Romano, Sesia (2023), Testing for outliers with conformal p-values, section 2.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta, betabinom

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
    """The sorted anomaly scores of held-out normal images.

    Build it with :meth:`fit`; the constructor expects `scores` sorted already.

    Parameters
    ----------
    scores : ndarray of float64, shape [n]
        Finite and ascending. Kept as a read-only copy.
    num_groups : int
        Number of distinct groups among the images; n when each image stands alone.
    fold_sizes : tuple of int
        Where each image was scored by the detector of its fold, which had not seen it, how many
        images each fold has; empty where one detector scored all.

    Raises
    ------
    DataError
        If the scores are empty, not finite or not sorted, or `num_groups` is not in 1..n.

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
                "There are no calibration scores, at least 1 was expected: hold out some normal "
                "images for calibration."
            )
        if np.any(np.diff(scores) < 0):
            raise DataError(
                "The calibration scores are not in ascending order: build them with "
                "Calibration.fit(scores), which sorts them."
            )
        if not 1 <= self.num_groups <= scores.size:
            raise DataError(
                f"num_groups is {self.num_groups}, a number from 1 to {scores.size} (the "
                "calibration images) was expected: use Calibration.fit(scores, groups)."
            )
        if self.fold_sizes and (sum(self.fold_sizes) != scores.size or min(self.fold_sizes) < 1):
            raise DataError(
                f"The folds have {list(self.fold_sizes)} images, {scores.size} calibration scores "
                "were expected of them together: calibrate the detector again."
            )
        scores.setflags(write=False)
        object.__setattr__(self, "scores", scores)

    @classmethod
    def fit(cls, scores: ArrayLike, groups: Sequence[Any] | np.ndarray | None = None) -> Self:
        """Calibrate on the anomaly scores of held-out normal images.

        Parameters
        ----------
        scores : array-like, shape [n]
            Higher = more anomalous. From images that the detector was **not** fitted on: the
            scores of training images are too low and break the bound.
        groups : sequence of n hashable values, optional
            What each image belongs to, where several images show one thing.

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
                f"groups has {len(groups)} entries for {values.size} calibration scores: give "
                "one group to each image, in the same order."
            )
        return cls(values, len(set(groups)))

    @classmethod
    def from_folds(cls, lines: Sequence[ArrayLike], num_groups: int) -> Self:
        """Calibrate on the scores of each fold's images, by the detector that had not seen them.

        They are compared with scores that a `CrossConformalPool` of the same lines has made one.
        """
        folds = [_as_scores(line, "calibration scores", finite=True) for line in lines]
        sizes = tuple(line.size for line in folds)
        return cls(np.sort(np.concatenate(folds)), num_groups, sizes)

    @property
    def n(self) -> int:
        """Number of calibration images."""
        return int(self.scores.size)

    @property
    def min_rate(self) -> float:
        """The smallest false-alarm rate that n images can support, 1/(n+1)."""
        return 1 / (self.n + 1)

    def p_values(self, scores: ArrayLike) -> np.ndarray:
        """Return the conformal p-value of each score, (1 + #{calibration >= s}) / (n + 1).

        A calibration score equal to s counts as at least as anomalous: ties make p larger,
        never the false alarms more frequent.

        Parameters
        ----------
        scores : array-like, shape [m]
            Anomaly scores; infinite is allowed, NaN raises `DataError`.

        Returns
        -------
        ndarray of float64, shape [m]
            In [1/(n+1), 1]; small = unlike the normal images.
        """
        values = _as_scores(scores, "scores", finite=False)
        at_least = self.n - np.searchsorted(self.scores, values, side="left")
        return (1 + at_least) / (self.n + 1)

    def supports(self, far: float) -> bool:
        """Return whether n is large enough that an image can be flagged at this rate."""
        return self.min_rate <= _check_rate(far)

    def threshold(self, far: float) -> float:
        """Return the k-th largest calibration score, k the largest with k/(n+1) <= far.

        An image is flagged when its score is **strictly** greater, which is p <= far exactly:
        equal to the threshold means k calibration scores at least as large, so p > far.
        """
        return float(self.scores[self.n - self._rank(far)])

    def flags(self, scores: ArrayLike, far: float) -> np.ndarray:
        """Return True, shape [m], where a score is flagged: ``p_values(scores) <= far``.

        Raises `DataError` on NaN and `ConfigError` on a rate that n does not support.
        """
        return _as_scores(scores, "scores", finite=False) > self.threshold(far)

    def choose_rate(
        self, far: float | None, sample_type: str = "image"
    ) -> tuple[float, str | None]:
        """Return the rate to work at, and a warning where it is not the one usually taken.

        A rate that the user gave is returned as it is, or refused (`ConfigError`): it is never
        changed silently. Without one it is 0.05, or the smallest that n supports.
        """
        samples = plural(sample_type)
        if far is not None:
            self._rank(far)
            return float(far), None
        if self.supports(DEFAULT_RATE):
            return DEFAULT_RATE, None
        return self.min_rate, (
            f"The usual false-alarm rate of {DEFAULT_RATE:g} needs "
            f"{min_calibration_size(DEFAULT_RATE)} calibration {samples}, this model has {self.n}: "
            f"the smallest rate that it supports, {rounded_up(self.min_rate)}, is used instead. "
            f"Train with more normal {samples} for fewer false alarms."
        )

    def guarantee(self, far: float, sample_type: str = "image") -> Guarantee:
        """Say what the rate promises about the images to come, or whatever `sample_type` names.

        For continuous scores the realised rate of one calibrated model is a random number,
        Beta(k, n+1-k) over the draw of its calibration set (Vovk 2012, Proposition 2a); with
        ties it is smaller. Of folds only the average is bounded.
        """
        k, n, folds = self._rank(far), self.n, self.fold_sizes
        expected = max_false_alarm_rate(k, folds) if folds else k / (n + 1)
        rate_upper_95 = None if folds else float(beta.ppf(0.95, k, n + 1 - k))
        exact = self.num_groups == n
        if not exact:
            alone = expected if folds else None
            sentence = describe_group_caveat(k / (n + 1), n, self.num_groups, sample_type, alone)
        elif rate_upper_95 is None:
            sentence = describe_fold_guarantee(expected, float(far), n, len(folds), sample_type)
        else:
            sentence = describe_guarantee(expected, rate_upper_95, n, sample_type)
        return Guarantee(float(far), n, self.num_groups, expected, rate_upper_95, exact, sentence)

    def false_alarm_range(self, far: float, num_test: int, level: float = 0.95) -> tuple[int, int]:
        """Return how many false alarms to expect among `num_test` fresh normal images.

        The central interval, both ends included, of the beta-binomial law: a binomial count
        whose rate is itself Beta(k, n+1-k). A count outside says that these images are not like
        the calibration images, or that those had been trained on. It holds where
        ``guarantee(far).exact`` does and scores are continuous. Of folds it is 0 to what the bound
        on their average suggests, as if one detector kept to that.

        Raises
        ------
        ConfigError
            If the rate is unsupported, `num_test` is less than 1, or `level` is not in (0, 1).
        """
        k = self._rank(far)
        if not isinstance(num_test, Integral) or num_test < 1:
            raise ConfigError(f"num_test is {num_test!r}, a whole number of 1 or more is needed.")
        if not 0 < level < 1:
            raise ConfigError(f"level is {level!r}, a number between 0 and 1 (0.95) is needed.")
        if self.fold_sizes:
            k = min(self.n, math.ceil(max_false_alarm_rate(k, self.fold_sizes) * (self.n + 1)))
        low, high = betabinom.interval(level, int(num_test), k, self.n + 1 - k)
        return 0 if self.fold_sizes else int(low), int(high)

    def to_dict(self) -> dict[str, Any]:
        """Return a summary for people; :meth:`to_arrays` is what is saved."""
        return {
            "n": self.n,
            "num_groups": self.num_groups,
            "min_rate": self.min_rate,
            **({"num_folds": len(self.fold_sizes)} if self.fold_sizes else {}),
        }

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that :meth:`from_arrays` takes, for an npz file."""
        folds = {"fold_sizes": np.array(self.fold_sizes, np.int64)} if self.fold_sizes else {}
        return {
            "scores": self.scores.copy(),
            "num_groups": np.array(self.num_groups, np.int64),
            **folds,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Rebuild a calibration from saved arrays, which are checked and not trusted.

        Raises
        ------
        DataError
            If an array is missing, of another type or shape, or its values are impossible.
        """
        missing = sorted({"scores", "num_groups"} - set(arrays))
        if missing:
            raise DataError(
                f"The calibration lacks {', '.join(missing)}, it has "
                f"{', '.join(sorted(arrays)) or 'nothing'}: calibrate the detector again."
            )
        groups = np.asarray(arrays["num_groups"])
        if groups.shape != () or groups.dtype.kind not in "iu":
            raise DataError(
                f"num_groups of the calibration has shape {groups.shape} and type "
                f"{groups.dtype}, one whole number was expected: calibrate the detector again."
            )
        folds = np.asarray(arrays.get("fold_sizes", np.empty(0, np.int64)))
        if folds.ndim != 1 or folds.dtype.kind not in "iu":
            raise DataError(
                f"fold_sizes of the calibration has shape {folds.shape} and type {folds.dtype}, "
                "one whole number for each fold was expected: calibrate the detector again."
            )
        return cls(arrays["scores"], int(groups), tuple(folds.tolist()))

    def _rank(self, far: float) -> int:
        """k = floor(far (n+1)): the largest whole number with k/(n+1) <= far, at least 1."""
        far = _check_rate(far)
        if self.min_rate > far:
            raise ConfigError(
                f"a false-alarm rate of {far!r} needs {min_calibration_size(far)} calibration "
                f"images, this model has {self.n}: a smaller set cannot tell such a rare score "
                f"apart; choose --far {rounded_up(self.min_rate)} or more, or train with more "
                "normal images"
            )
        # 0.29 * 100 is 28.999999999999996 in floating point: the neighbours are compared with the
        # same correctly rounded division as in p_values, so that both always agree.
        guess = math.floor(far * (self.n + 1))
        return max(k for k in (guess - 1, guess, guess + 1) if k / (self.n + 1) <= far)


def min_calibration_size(far: float) -> int:
    """Return the fewest calibration images that support a rate: smallest n with 1/(n+1) <= far.

    Examples
    --------
    >>> min_calibration_size(0.05), min_calibration_size(0.01)
    (19, 99)
    """
    far = _check_rate(far)
    total = math.ceil(1 / Fraction(far))
    # The float 0.01 may lie just below 1/100, while 1/100 rounds to that very float: then one
    # image fewer is enough.
    return total - 2 if 1 / (total - 1) <= far else total - 1


def _check_rate(far: float) -> float:
    if isinstance(far, bool) or not isinstance(far, Real) or not 0 < far < 1:
        raise ConfigError(
            f"The false-alarm rate is {far!r}, a number between 0 and 1 was expected, both "
            "excluded: 0.05 flags about 5 in 100 good images."
        )
    return float(far)


def _as_scores(scores: ArrayLike, name: str, finite: bool) -> np.ndarray:
    array = np.asarray(scores)
    # An empty list has no type of its own, so emptiness is left to the caller.
    if array.ndim != 1 or (array.size and array.dtype.kind not in "fiu"):
        raise DataError(
            f"The {name} have shape {array.shape} and type {array.dtype}, one number per image "
            "was expected, shape [n]."
        )
    values = array.astype(np.float64)
    bad = ~np.isfinite(values) if finite else np.isnan(values)
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} of {values.size} {name} are NaN{' or infinite' * finite}, the "
            f"first at index {int(np.argmax(bad))}: check these images and the detector that "
            "scored them."
        )
    return values
