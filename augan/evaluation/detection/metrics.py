"""Detection metrics: AUROC, average precision, F1, and rates, with confidence intervals.

All scores are anomaly scores: **higher = more anomalous**.

References
----------
Clopper, Pearson (1934), The use of confidence or fiducial limits illustrated in the case of the
binomial. Efron, Tibshirani (1993), An introduction to the bootstrap, chapter 13 (percentile
interval). Davison, Hinkley (1997), Bootstrap methods and their application, section 3.8 (groups).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from augan.detect.conformal.calibration import Calibration
from augan.evaluation.detection.labels import Labels
from augan.exceptions import DataError
from augan.metrics.statistics import CONFIDENCE_LEVEL, ConfidenceInterval
from augan.seeding import child_rng

_NUM_RESAMPLES = 1000  # bootstrap resamples of an interval
DETECTOR = ""  # key of the bundle's detector among the scores of the baselines


def auroc(normal_scores: ArrayLike, anomaly_scores: ArrayLike) -> float:
    """Return the AUROC: the probability that an anomaly scores higher than a normal image.

    Ties count half. 0.5 is chance; 0 is a perfect detector with the wrong sign.

    Parameters
    ----------
    normal_scores, anomaly_scores : array-like, shapes [n] and [m]
        Anomaly scores, **higher = more anomalous**: ``-detector.score_samples(X)``.

    Raises
    ------
    DataError
        One side is empty, is not one-dimensional numbers, or holds NaN or infinite scores.

    Examples
    --------
    >>> auroc([0.1, 0.2], [0.2, 0.3])
    0.875
    """
    both = {"normal": np.asarray(normal_scores), "anomaly": np.asarray(anomaly_scores)}
    for name, scores in both.items():
        if scores.ndim != 1 or scores.size == 0 or scores.dtype.kind not in "fiu":
            raise DataError(
                f"the {name} scores have shape {scores.shape} and type {scores.dtype}, but AUROC "
                "needs one number for each image, and at least one normal image and one anomaly"
            )
        if not np.isfinite(scores).all():
            raise DataError(
                f"{int((~np.isfinite(scores)).sum())} of {scores.size} {name} scores are NaN or "
                "infinite; check the detector that returned the scores"
            )
    labels = np.repeat([0, 1], [scores.size for scores in both.values()])
    return float(roc_auc_score(labels, np.concatenate(list(both.values()))))


def average_precision(normal_scores: np.ndarray, anomaly_scores: np.ndarray) -> float:
    """Return the average precision of anomaly scores, from 0 to 1, with the anomalies as positives.

    Parameters
    ----------
    normal_scores, anomaly_scores : ndarray [n] and [m]
        Anomaly scores, **higher = more anomalous**.
    """
    labels = np.repeat([0, 1], [len(normal_scores), len(anomaly_scores)])
    scores = np.concatenate([normal_scores, anomaly_scores])
    return float(average_precision_score(labels, scores))


def best_f1(normal_scores: np.ndarray, anomaly_scores: np.ndarray) -> tuple[float, float]:
    """Return the maximum F1 score over all thresholds, and the threshold that reaches it.

    The threshold is chosen on the labels, so the F1 score is an upper bound (oracle). Scores at or
    above the threshold count as flagged.

    Parameters
    ----------
    normal_scores, anomaly_scores : ndarray [n] and [m]
        Anomaly scores, **higher = more anomalous**.

    Returns
    -------
    f1, threshold : float
    """
    labels = np.repeat([0, 1], [len(normal_scores), len(anomaly_scores)])
    precision, recall, thresholds = precision_recall_curve(
        labels, np.concatenate([normal_scores, anomaly_scores])
    )
    precision, recall = precision[:-1], recall[:-1]
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    best = int(f1.argmax())
    return float(f1[best]), float(thresholds[best])


def bootstrap_auroc(
    normal_scores: np.ndarray,
    anomaly_scores: np.ndarray,
    rng: np.random.Generator,
    normal_groups: Sequence[Any] | None = None,
    anomaly_groups: Sequence[Any] | None = None,
) -> ConfidenceInterval:
    """Return AUROC with its 95 % percentile interval over 1,000 bootstrap resamples.

    Normal images and anomalies are resampled with replacement, separately. With groups, whole
    groups are resampled, because the images of a group are not independent.

    Parameters
    ----------
    normal_scores, anomaly_scores : ndarray [n] and [m]
        Anomaly scores, **higher = more anomalous**.
    rng : numpy Generator
        Source of the resamples.
    normal_groups, anomaly_groups : sequence of n and of m sortable values, or None
        Group of each image. None: each image is a group of its own.

    Raises
    ------
    DataError
        One side is empty, or holds NaN or infinite scores.
    """
    value = auroc(normal_scores, anomaly_scores)
    num_normal, num_anomalies = len(normal_scores), len(anomaly_scores)
    scores = np.concatenate([normal_scores, anomaly_scores])
    _, rank = np.unique(scores, return_inverse=True)
    num_ranks = int(rank.max()) + 1
    resampled = []
    for _ in range(_NUM_RESAMPLES):
        normal_times = _resample(normal_groups, num_normal, rng)
        anomaly_times = _resample(anomaly_groups, num_anomalies, rng)
        normal = np.bincount(rank[:num_normal], normal_times, num_ranks)
        anomaly = np.bincount(rank[num_normal:], anomaly_times, num_ranks)
        # For each rank: normal images of lower scores, and half of those with an equal score.
        lower = np.cumsum(normal) - normal / 2
        resampled.append(float(anomaly @ lower / (anomaly.sum() * normal.sum())))
    tails = [(1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2]
    low, high = np.quantile(resampled, tails)
    return ConfidenceInterval(value, float(low), float(high))


def _resample(groups: Sequence[Any] | None, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return how many times each of `count` images is in a bootstrap resample, int `[count]`.

    With `groups`, the group of each image, whole groups are sampled. None: images are sampled one
    by one.
    """
    if groups is None:
        return np.bincount(rng.integers(count, size=count), minlength=count)
    distinct, group_of = np.unique(np.asarray(groups), return_inverse=True)
    sampled = rng.integers(len(distinct), size=len(distinct))
    return np.bincount(sampled, minlength=len(distinct))[group_of]


@dataclass(frozen=True)
class RateEstimate:
    """Observed rate at which images are flagged, with its 95 % confidence interval.

    Attributes
    ----------
    rate : float
        count / n, from 0 to 1.
    low, high : float
        Bounds of the Clopper-Pearson interval, with a coverage of at least 95 %.
    count : int
        Number of flagged images.
    n : int
        Number of all images, at least 1.
    """

    rate: float
    low: float
    high: float
    count: int
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as JSON-able values by name."""
        return asdict(self)


def estimate_rate(flags: ArrayLike) -> RateEstimate:
    """Estimate the rate at which images are flagged, with a 95 % confidence interval.

    On normal images the rate is the false-alarm rate, on anomalies the detection rate.

    Parameters
    ----------
    flags : array-like of bool, shape [n]
        Whether each image is flagged; n >= 1.

    Returns
    -------
    RateEstimate

    Raises
    ------
    DataError
        `flags` is empty or holds values other than True and False.

    Examples
    --------
    >>> estimate_rate([True, False, False, False]).rate
    0.25
    """
    array = np.asarray(flags)
    if array.ndim != 1 or array.size == 0 or array.dtype != np.bool_:
        raise DataError(
            f"the flags have shape {array.shape} and type {array.dtype}, but one True or False "
            "for each of at least one image is needed, shape [n]"
        )
    n, count = array.size, int(array.sum())
    # The beta quantiles are undefined at counts of 0 and n, where the bounds are 0 and 1.
    low = float(beta.ppf(0.025, count, n - count + 1)) if count > 0 else 0.0
    high = float(beta.ppf(0.975, count + 1, n - count)) if count < n else 1.0
    return RateEstimate(count / n, low, high, count, n)


@dataclass
class LabeledScores:
    """Anomaly scores of the labeled test samples, by the detector and by every baseline.

    Attributes
    ----------
    names : list of str
        Names of the n samples that could be read.
    scores : dict of str to ndarray [n]
        Name of the baseline -> anomaly scores, higher = more anomalous. The scores of the bundle's
        detector have the key `DETECTOR`.
    unreadable : dict of str to str
        Name of a sample that could not be read -> reason.
    warnings : list of str
        Sentences that limit what the metrics say.
    """

    names: list[str] = field(default_factory=list)
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def check(self, images: str | Path, labels: Labels) -> None:
        """Check that both normal samples and anomalies could be read.

        Parameters
        ----------
        images : path
            Folder or table of the samples, for the message.
        labels : Labels

        Raises
        ------
        DataError
            Only samples of one kind, or no samples, could be read.
        """
        num_normal = sum(labels.by_name[name] == labels.normal for name in self.names)
        if num_normal in (0, len(self.names)):
            first = list(self.unreadable.items())[:3]
            reasons = "; ".join(f"{path}: {reason}" for path, reason in first)
            raise DataError(
                f"{num_normal} normal and {len(self.names) - num_normal} anomalous samples in "
                f"{images} can be read, and both are needed: {reasons}"
            )


class DetectionMetrics:
    """Computation of all metrics of a detector and its baselines from scores and labels.

    Parameters
    ----------
    scored : LabeledScores
        Scores of the detector and the baselines, with normal samples and anomalies.
    labels : Labels
        Labels of the samples.
    calibration : Calibration
        Calibration of the detector, which sets the threshold.
    rate : float
        False-alarm rate of the threshold.
    seed : int
        Seed of the bootstrap resamples.
    is_guaranteed : bool
        Whether the calibration guarantees the false-alarm rate.

    Attributes
    ----------
    label_of : ndarray of str [n]
        Label of each readable sample.
    is_normal, flags : ndarray of bool [n]
        Whether each sample is normal, and whether the detector flags the sample.
    groups : ndarray of str [n] or None
        Group of each sample; None without groups.
    """

    def __init__(
        self,
        scored: LabeledScores,
        labels: Labels,
        calibration: Calibration,
        rate: float,
        seed: int,
        is_guaranteed: bool = True,
    ) -> None:
        self.scored, self.labels, self.seed = scored, labels, seed
        self.calibration, self.rate, self.is_guaranteed = calibration, rate, is_guaranteed
        self.label_of = np.array([labels.by_name[name] for name in scored.names])
        self.is_normal = self.label_of == labels.normal
        self.flags = calibration.flags(scored.scores[DETECTOR], rate)
        self.groups: np.ndarray | None = None
        if labels.groups is not None:
            # A sample without a group is a group of its own. No named group contains a NUL.
            self.groups = np.array(
                [labels.groups.get(name, f"\0{row}") for row, name in enumerate(scored.names)]
            )

    def summary(self, sample_type: str) -> dict[str, Any]:
        """Return the metrics of the detector over all anomalies, as JSON-able values.

        Parameters
        ----------
        sample_type : {"image", "row"}

        Returns
        -------
        dict
            The entries of `DetectionEvaluation.summary`, except those that `evaluate_detection`
            adds.
        """
        normal, anomalous = self.normal_and_anomalous()
        f1, threshold = best_f1(normal, anomalous)
        return {
            "sample_type": sample_type,
            "normal": self.labels.normal,
            "num_normal": len(normal),
            "num_anomalies": len(anomalous),
            "num_groups": None if self.groups is None else len(set(self.groups)),
            "auroc": self._auroc(DETECTOR).to_dict(),
            "average_precision": average_precision(normal, anomalous),
            "best_f1": {"value": f1, "threshold": threshold, "oracle": True},
            "far": self.rate,
            "threshold": self.calibration.threshold(self.rate),
            "false_alarms": self._false_alarms(sample_type),
            "detected": estimate_rate(self.flags[~self.is_normal]).to_dict(),
            "unlabeled": self.labels.unlabeled,
            "unreadable": [
                {"path": path, "reason": reason} for path, reason in self.scored.unreadable.items()
            ],
            "warnings": self.scored.warnings,
        }

    def per_anomaly_type(self) -> list[dict[str, Any]]:
        """Return the metrics of the detector for each type of anomaly, as JSON-able values.

        Returns
        -------
        list of dict
            `type`, `count`, `auroc` against all normal samples, and `detected` (detection rate),
            sorted by type.
        """
        return [
            {
                "type": anomaly_type,
                "count": int((self.label_of == anomaly_type).sum()),
                "auroc": self._auroc(DETECTOR, anomaly_type).to_dict(),
                "detected": estimate_rate(self.flags[self.label_of == anomaly_type]).to_dict(),
            }
            for anomaly_type in self._anomaly_types()
        ]

    def baseline(self, method: str) -> dict[str, Any]:
        """Return the metrics of a baseline, over the same bootstrap resamples as the detector.

        Parameters
        ----------
        method : str
            A key of `LabeledScores.scores`.

        Returns
        -------
        dict
            `method`, `auroc`, `average_precision`, and `anomaly_types`: type of anomaly -> AUROC.
        """
        return {
            "method": method,
            "auroc": self._auroc(method).to_dict(),
            "average_precision": average_precision(*self.normal_and_anomalous(method)),
            "anomaly_types": {
                anomaly_type: auroc(*self.normal_and_anomalous(method, anomaly_type))
                for anomaly_type in self._anomaly_types()
            },
        }

    def normal_and_anomalous(
        self, method: str = DETECTOR, anomaly_type: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores of the normal samples and of the anomalies.

        Parameters
        ----------
        method : str
            A baseline, or `DETECTOR` for the detector of the bundle.
        anomaly_type : str or None
            Label of the anomalies to return. None: all anomalies.

        Returns
        -------
        normal, anomalous : ndarray [N], [A]
            Anomaly scores, higher = more anomalous.
        """
        scores = self.scored.scores[method]
        return scores[self.is_normal], scores[self._is_anomaly(anomaly_type)]

    def _false_alarms(self, sample_type: str) -> dict[str, Any]:
        """Return the false-alarm rate on normal samples, and the range that is expected.

        `exact` is True only if the predicted range is exact: one detector, independent samples, and
        a guarantee that holds.
        """
        flags, folds = self.flags[self.is_normal], self.calibration.fold_sizes
        low, high = self.calibration.false_alarm_range(self.rate, len(flags))
        independent = self.groups is None or len(set(self.groups[self.is_normal])) == len(flags)
        return {
            **estimate_rate(flags).to_dict(),
            "expected_low": low,
            "expected_high": high,
            "as_expected": low <= int(flags.sum()) <= high,
            # The expected range assumes a single detector and independent samples.
            "exact": independent
            and self.is_guaranteed
            and not folds
            and self.calibration.guarantee(self.rate, sample_type).exact,
            "guaranteed": self.is_guaranteed,
            "num_folds": len(folds) or None,
        }

    def _anomaly_types(self) -> list[str]:
        """Return the sorted labels of the anomalies."""
        return sorted({str(label) for label in self.label_of[~self.is_normal]})

    def _is_anomaly(self, anomaly_type: str | None) -> np.ndarray:
        """Return which samples are anomalies of one type, bool `[n]`; None: of any type."""
        return ~self.is_normal if anomaly_type is None else self.label_of == anomaly_type

    def _auroc(self, method: str, anomaly_type: str | None = None) -> ConfidenceInterval:
        """Return the AUROC of a method with its interval, over all anomalies or over one type."""
        normal_groups = anomaly_groups = None
        if self.groups is not None:
            normal_groups = self.groups[self.is_normal].tolist()
            anomaly_groups = self.groups[self._is_anomaly(anomaly_type)].tolist()
        # The same resamples for every method, so that intervals differ by the scores alone.
        rng = child_rng(self.seed, "bootstrap")
        scores = self.normal_and_anomalous(method, anomaly_type)
        return bootstrap_auroc(*scores, rng, normal_groups, anomaly_groups)
