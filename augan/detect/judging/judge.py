"""The figures of one evaluation, from the scores and labels of test samples."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from augan.detect.conformal.calibration import Calibration
from augan.detect.judging.evaluation import auroc, realised_rate
from augan.detect.judging.labels import Labels
from augan.detect.judging.separation import average_precision, best_f1, bootstrap_auroc
from augan.exceptions import DataError
from augan.metrics.statistics import Interval
from augan.seeding import child_rng


@dataclass
class LabelledScores:
    """The labelled samples that could be read, with everybody's scores."""

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
                f"of the labelled in {images}, {normal} normal and {len(self.names) - normal} "
                f"anomalous can be read, and both are needed: {reasons}"
            )


class Judge:
    """The figures of one evaluation."""

    def __init__(
        self,
        scored: LabelledScores,
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

    def summary(self, noun: str) -> dict[str, Any]:
        """Return what holds for all anomalies together."""
        normal, anomaly = self.sides("")
        f1, threshold = best_f1(normal, anomaly)
        return {
            "noun": noun,
            "normal": self.labels.normal,
            "num_normal": len(normal),
            "num_anomalies": len(anomaly),
            "num_groups": None if self.groups is None else len(set(self.groups)),
            "auroc": self._auroc("").to_dict(),
            "average_precision": average_precision(normal, anomaly),
            "best_f1": {"value": f1, "threshold": threshold, "oracle": True},
            "far": self.rate,
            "threshold": self.calibration.threshold(self.rate),
            "false_alarms": self._false_alarms(noun),
            "detected": realised_rate(self.flags[~self.is_normal]).to_dict(),
            "unlabelled": self.labels.unlabelled,
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

    def _false_alarms(self, noun: str) -> dict[str, Any]:
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
            and self.calibration.guarantee(self.rate, noun).exact,
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

    def _auroc(self, method: str, kind: str | None = None) -> Interval:
        groups = self.groups
        members = (
            (None, None)
            if groups is None
            else (groups[self.is_normal].tolist(), groups[self._of(kind)].tolist())
        )
        # The same resamples for every method, so that intervals differ by the scores alone.
        rng = child_rng(self.seed, "bootstrap")
        return bootstrap_auroc(*self.sides(method, kind), rng, *members)
