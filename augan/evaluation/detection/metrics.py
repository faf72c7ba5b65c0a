"""How well scores separate normal images from anomalies, beyond AUROC: pure functions of scores.

`scores` are anomaly scores: **higher = more anomalous**.

References
----------
Efron, Tibshirani (1993), An introduction to the bootstrap, chapter 13 (percentile interval).
Davison, Hinkley (1997), Bootstrap methods and their application, section 3.8 (groups).
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

RESAMPLES = 1000


def average_precision(normal: np.ndarray, anomaly: np.ndarray) -> float:
    """Return the average precision with anomalies as the positives."""
    labels = np.repeat([0, 1], [len(normal), len(anomaly)])
    return float(average_precision_score(labels, np.concatenate([normal, anomaly])))


def best_f1(normal: np.ndarray, anomaly: np.ndarray) -> tuple[float, float]:
    """Return the largest F1 of any threshold, and that threshold (flagged: score >= threshold).

    The threshold is chosen on the labels, as nobody can who does not have them: an upper bound.
    """
    labels = np.repeat([0, 1], [len(normal), len(anomaly)])
    precision, recall, thresholds = precision_recall_curve(
        labels, np.concatenate([normal, anomaly])
    )
    precision, recall = precision[:-1], recall[:-1]
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    best = int(f1.argmax())
    return float(f1[best]), float(thresholds[best])


def bootstrap_auroc(
    normal: np.ndarray,
    anomaly: np.ndarray,
    rng: np.random.Generator,
    normal_groups: Sequence[Any] | None = None,
    anomaly_groups: Sequence[Any] | None = None,
) -> ConfidenceInterval:
    """Return AUROC with its 95 % percentile interval over resampled images.

    Normals and anomalies are drawn anew with replacement, each side by itself. Where groups are
    given, whole groups are drawn: images of one part are no independent witnesses.

    Parameters
    ----------
    normal, anomaly : ndarray, shapes [n] and [m]
    rng : numpy Generator
    normal_groups, anomaly_groups : sequence of n and of m hashable values, optional
    """
    value = auroc(normal, anomaly)
    _, place = np.unique(np.concatenate([normal, anomaly]), return_inverse=True)
    size = int(place.max()) + 1
    draws = []
    for _ in range(RESAMPLES):
        below = np.bincount(place[: len(normal)], _times(normal_groups, len(normal), rng), size)
        above = np.bincount(place[len(normal) :], _times(anomaly_groups, len(anomaly), rng), size)
        # An anomaly beats all normals of lower scores, and half of those that tie with it.
        beaten = np.cumsum(below) - below / 2
        draws.append(float(above @ beaten / (above.sum() * below.sum())))
    low, high = np.quantile(draws, [(1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2])
    return ConfidenceInterval(value, float(low), float(high))


def _times(groups: Sequence[Any] | None, count: int, rng: np.random.Generator) -> np.ndarray:
    """How many times each of `count` images is drawn."""
    if groups is None:
        return np.bincount(rng.integers(count, size=count), minlength=count)
    distinct, member = np.unique(np.asarray(groups), return_inverse=True)
    drawn = rng.integers(len(distinct), size=len(distinct))
    return np.bincount(drawn, minlength=len(distinct))[member]


@dataclass(frozen=True)
class RateEstimate:
    """A rate seen on `n` images, with its 95 % interval.

    Attributes
    ----------
    rate : float
        count / n.
    low, high : float
        The Clopper-Pearson interval: it covers the true rate with at least 95 %.
    count, n : int
        Images flagged, and all images.
    """

    rate: float
    low: float
    high: float
    count: int
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain Python values, ready for JSON."""
        return asdict(self)


def realised_rate(flags: ArrayLike) -> RateEstimate:
    """Estimate the rate at which images are flagged.

    On normal images this is the realised false-alarm rate, on anomalies the detection rate.

    Parameters
    ----------
    flags : array-like of bool, shape [n]

    Raises
    ------
    DataError
        If it is empty or holds anything but True and False.

    Examples
    --------
    >>> realised_rate([True, False, False, False]).rate
    0.25
    """
    array = np.asarray(flags)
    if array.ndim != 1 or array.size == 0 or array.dtype != np.bool_:
        raise DataError(
            f"The flags have shape {array.shape} and type {array.dtype}, True or False for each "
            "of at least one image was expected, shape [n]."
        )
    n, count = array.size, int(array.sum())
    # Both ends are quantiles of beta laws that do not exist at 0 and n, where the end is known.
    low = float(beta.ppf(0.025, count, n - count + 1)) if count > 0 else 0.0
    high = float(beta.ppf(0.975, count + 1, n - count)) if count < n else 1.0
    return RateEstimate(count / n, low, high, count, n)


def auroc(normal_scores: ArrayLike, anomaly_scores: ArrayLike) -> float:
    """Return the probability that an anomaly scores higher than a normal image.

    Ties count half. 0.5 is chance, 0 is perfect with the sign turned.

    Parameters
    ----------
    normal_scores, anomaly_scores : array-like, shapes [n] and [m]
        Anomaly scores, **higher = more anomalous**: ``-detector.score_samples(X)``.

    Raises
    ------
    DataError
        If one side is empty or holds NaN or infinite scores.

    Examples
    --------
    >>> auroc([0.1, 0.2], [0.2, 0.3])
    0.875
    """
    sides = {"normal": np.asarray(normal_scores), "anomaly": np.asarray(anomaly_scores)}
    for name, scores in sides.items():
        if scores.ndim != 1 or scores.size == 0 or scores.dtype.kind not in "fiu":
            raise DataError(
                f"The {name} scores have shape {scores.shape} and type {scores.dtype}, one number "
                "for each of at least one image was expected: AUROC needs both sides."
            )
        if not np.isfinite(scores).all():
            raise DataError(
                f"{int((~np.isfinite(scores)).sum())} of {scores.size} {name} scores are NaN or "
                "infinite: check the detector that gave them."
            )
    labels = np.repeat([0, 1], [scores.size for scores in sides.values()])
    return float(roc_auc_score(labels, np.concatenate(list(sides.values()))))


@dataclass
class LabeledScores:
    """The labeled samples that could be read, with everybody's scores."""

    names: list[str] = field(default_factory=list)
    scores: dict[str, np.ndarray] = field(default_factory=dict)  # "" is the bundle's detector
    unreadable: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def check(self, images: str | Path, labels: Labels) -> None:
        """Raise DataError unless normal samples and anomalies are left."""
        normal = sum(labels.kinds[name] == labels.normal for name in self.names)
        if normal in (0, len(self.names)):
            few = list(self.unreadable.items())[:3]
            reasons = "; ".join(f"{path}: {reason}" for path, reason in few)
            raise DataError(
                f"of the labeled in {images}, {normal} normal and {len(self.names) - normal} "
                f"anomalous can be read, and both are needed: {reasons}"
            )


class DetectionMetrics:
    """The figures of one evaluation."""

    def __init__(
        self,
        scored: LabeledScores,
        labels: Labels,
        calibration: Calibration,
        rate: float,
        seed: int,
        is_promised: bool = True,
    ) -> None:
        self.scored, self.labels, self.seed = scored, labels, seed
        self.calibration, self.rate, self.is_promised = calibration, rate, is_promised
        self.kind_of = np.array([labels.kinds[name] for name in scored.names])
        self.is_normal = self.kind_of == labels.normal
        self.flags = calibration.flags(scored.scores[""], rate)
        groups = labels.groups
        # A number for each that stands alone, which no named group can be.
        alone = [f"\0{row}" for row in range(len(scored.names))]
        self.groups = (
            None
            if groups is None
            else np.array([groups.get(name, own) for name, own in zip(scored.names, alone)])
        )

    def summary(self, sample_type: str) -> dict[str, Any]:
        """Return what holds for all anomalies together."""
        normal, anomaly = self.sides("")
        f1, threshold = best_f1(normal, anomaly)
        return {
            "sample_type": sample_type,
            "normal": self.labels.normal,
            "num_normal": len(normal),
            "num_anomalies": len(anomaly),
            "num_groups": None if self.groups is None else len(set(self.groups)),
            "auroc": self._auroc("").to_dict(),
            "average_precision": average_precision(normal, anomaly),
            "best_f1": {"value": f1, "threshold": threshold, "oracle": True},
            "far": self.rate,
            "threshold": self.calibration.threshold(self.rate),
            "false_alarms": self._false_alarms(sample_type),
            "detected": realised_rate(self.flags[~self.is_normal]).to_dict(),
            "unlabeled": self.labels.unlabeled,
            "unreadable": [
                {"path": path, "reason": reason} for path, reason in self.scored.unreadable.items()
            ],
            "warnings": self.scored.warnings,
        }

    def kinds(self) -> list[dict[str, Any]]:
        """Return the figures of each kind of anomaly by itself."""
        return [
            {
                "kind": kind,
                "count": int((self.kind_of == kind).sum()),
                "auroc": self._auroc("", kind).to_dict(),
                "detected": realised_rate(self.flags[self.kind_of == kind]).to_dict(),
            }
            for kind in self._names_of_kinds()
        ]

    def baseline(self, method: str) -> dict[str, Any]:
        """Return the figures of a baseline, over the same resamples."""
        return {
            "method": method,
            "auroc": self._auroc(method).to_dict(),
            "average_precision": average_precision(*self.sides(method)),
            "kinds": {kind: auroc(*self.sides(method, kind)) for kind in self._names_of_kinds()},
        }

    def _false_alarms(self, sample_type: str) -> dict[str, Any]:
        flags, folds = self.flags[self.is_normal], self.calibration.fold_sizes
        low, high = self.calibration.false_alarm_range(self.rate, len(flags))
        independent = self.groups is None or len(set(self.groups[self.is_normal])) == len(flags)
        return {
            **realised_rate(flags).to_dict(),
            "expected_low": low,
            "expected_high": high,
            "as_expected": low <= int(flags.sum()) <= high,
            # The range supposes one detector, and that no two images show one thing.
            "exact": independent
            and self.is_promised
            and not folds
            and self.calibration.guarantee(self.rate, sample_type).exact,
            "promised": self.is_promised,
            "num_folds": len(folds) or None,
        }

    def _names_of_kinds(self) -> list[str]:
        return sorted({str(kind) for kind in self.kind_of[~self.is_normal]})

    def _of(self, kind: str | None) -> np.ndarray:
        return ~self.is_normal if kind is None else self.kind_of == kind

    def sides(self, method: str = "", kind: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return scores of the normal samples and of the anomalies, or of one kind of them."""
        scores = self.scored.scores[method]
        return scores[self.is_normal], scores[self._of(kind)]

    def _auroc(self, method: str, kind: str | None = None) -> ConfidenceInterval:
        groups = self.groups
        members = (
            (None, None)
            if groups is None
            else (groups[self.is_normal].tolist(), groups[self._of(kind)].tolist())
        )
        # The same resamples for every method, so that intervals differ by the scores alone.
        rng = child_rng(self.seed, "bootstrap")
        return bootstrap_auroc(*self.sides(method, kind), rng, *members)
