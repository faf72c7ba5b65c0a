"""Result of an evaluation of augmentation: comparison of the arms, its sentence and a preview."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augan.evaluation.augmentation.arms import ABLATION, GAN
from augan.evaluation.augmentation.evaluator import classification_metrics
from augan.evaluation.augmentation.experiment import NO_SYNTHETIC, GainExperiment
from augan.evaluation.augmentation.results_log import report_write_errors
from augan.evaluation.augmentation.subsets import LabelSubset
from augan.io.images import image_grid, write_png
from augan.metrics.statistics import BootstrapComparison, ConfidenceInterval, PairedComparison
from augan.seeding import child_rng

IMAGES_PER_CLASS = 6  # real images and synthetic images, each
GAP_RATIO = 20  # width of a half in units of the gap between the halves


@dataclass(frozen=True)
class AugmentationGain:
    """Result of an evaluation of augmentation: the gain of the GAN arm over the baselines.

    Attributes
    ----------
    sentence : str
        The gain with its 95 % interval, in percentage points, or the lack of evidence for a gain.
    arms : list of dict
        Mean metrics of each arm over the repeats, and the difference of the GAN arm to the arm.
    summary : dict
        `gain` in balanced accuracy (a fraction, not percent) with `low` and `high` of its interval,
        `significant`, `best_baseline`, and all settings.
    """

    sentence: str
    arms: list[dict[str, Any]]
    summary: dict[str, Any]

    @property
    def is_significant(self) -> bool:
        """Whether the GAN arm beats every baseline: all 95 % intervals lie above 0."""
        return bool(self.summary["significant"])

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON-able values, as in `evaluation.json`."""
        return {"sentence": self.sentence, "arms": self.arms, "summary": self.summary}


def summarize(
    experiment: GainExperiment, predictions: Mapping[str, np.ndarray], near_duplicates: np.ndarray
) -> AugmentationGain:
    """Compare the GAN arm with the baselines, given the predictions of all arms.

    Parameters
    ----------
    experiment : GainExperiment
    predictions : mapping of str to ndarray of int [R, m]
        Arm -> predicted classes, the result of `run_experiment`.
    near_duplicates : ndarray of int
        Indices of test images that resemble training images. The summary also holds the gain
        without these images, if every class keeps a test image.

    Returns
    -------
    AugmentationGain
        The summary has no settings yet.
    """
    everything = np.ones(len(experiment.test_labels), bool)
    bootstrap = _bootstrap(experiment, predictions, everything)
    comparison = bootstrap.compare(GAN, experiment.baselines)
    labeled_only = [arm for arm in experiment.baselines if not experiment.uses_unlabeled(arm)]
    over_labeled = None
    if 0 < len(labeled_only) < len(experiment.baselines):
        over_labeled = bootstrap.compare(GAN, labeled_only)
    kept = everything.copy()
    kept[near_duplicates] = False
    num_classes = len(experiment.pool.class_names)
    has_all_classes = len(np.unique(experiment.test_labels[kept])) == num_classes
    without = None
    if len(near_duplicates) and has_all_classes:
        without = _bootstrap(experiment, predictions, kept).compare(GAN, experiment.baselines)
    summary = {
        "metric": "balanced accuracy",
        "significant": comparison.is_significant,
        "gain": comparison.interval.value,
        "low": comparison.interval.low,
        "high": comparison.interval.high,
        "best_baseline": comparison.best_baseline,
        "gain_over_labeled_only": None if over_labeled is None else _to_dict(over_labeled),
        "without_near_duplicates": None if without is None else _to_dict(without),
    }
    arms = []
    for arm in experiment.arms:
        difference = bootstrap.difference(GAN, arm) if arm != GAN else None
        arms.append(_summarize_arm(experiment, arm, predictions[arm], difference))
    label = experiment.label(comparison.best_baseline)
    return AugmentationGain(sentence(comparison, label), arms, summary)


def _bootstrap(
    experiment: GainExperiment, predictions: Mapping[str, np.ndarray], kept: np.ndarray
) -> BootstrapComparison:
    """Return the paired bootstrap of all arms over some of the test images.

    Parameters
    ----------
    experiment : GainExperiment
    predictions : mapping of str to ndarray of int [R, m]
        Arm -> predicted classes.
    kept : ndarray of bool [m]
        Test images that count.
    """
    labels = experiment.test_labels[kept]
    correct = {arm: predictions[arm][:, kept] == labels for arm in experiment.arms}
    groups = None if experiment.test_groups is None else experiment.test_groups[kept]
    rng = child_rng(experiment.seed, "lift", "bootstrap")
    return BootstrapComparison(correct, labels, rng, groups=groups)


def _summarize_arm(
    experiment: GainExperiment,
    arm: str,
    predictions: np.ndarray,
    difference: ConfidenceInterval | None,
) -> dict[str, Any]:
    """Return the JSON-able entry of an arm in the result: its metrics as means over the repeats.

    Parameters
    ----------
    experiment : GainExperiment
    arm : str
    predictions : ndarray of int [R, m]
        Predicted classes of the arm.
    difference : ConfidenceInterval or None
        Balanced accuracy of the GAN arm minus that of the arm; None for the GAN arm.
    """
    class_names = experiment.pool.class_names
    metrics = [
        classification_metrics(predicted, experiment.test_labels, len(class_names))
        for predicted in predictions
    ]
    values = np.array([of_repeat["balanced_accuracy"] for of_repeat in metrics])
    recall = np.mean([of_repeat["recall"] for of_repeat in metrics], axis=0)
    return {
        "arm": arm,
        "label": _row_label(experiment, arm),
        "balanced_accuracy": float(values.mean()),
        "std": float(values.std(ddof=1)),
        "by_repeat": values.tolist(),
        "accuracy": float(np.mean([of_repeat["accuracy"] for of_repeat in metrics])),
        "macro_f1": float(np.mean([of_repeat["macro_f1"] for of_repeat in metrics])),
        "recall": dict(zip(class_names, recall.tolist())),
        "uses_unlabeled": experiment.has_unlabeled
        if arm == GAN
        else experiment.uses_unlabeled(arm),
        "gan_minus_arm": None if difference is None else difference.to_dict(),
    }


def _row_label(experiment: GainExperiment, arm: str) -> str:
    """Return the description of an arm in a table, in which all arms differ."""
    # In a table, the ablation needs a label different from that of its base arm.
    label = experiment.label(arm)
    return label if arm != ABLATION or label == NO_SYNTHETIC else f"{label}, {NO_SYNTHETIC}"


def _to_dict(comparison: PairedComparison) -> dict[str, Any]:
    """Return a comparison with baselines as JSON-able values."""
    return {
        **comparison.interval.to_dict(),
        "best_baseline": comparison.best_baseline,
        "significant": comparison.is_significant,
    }


def sentence(comparison: PairedComparison, label: str) -> str:
    """Return the gain in one sentence, in percentage points of balanced accuracy.

    Parameters
    ----------
    comparison : PairedComparison
        Difference of the GAN arm to the baselines.
    label : str
        Description of the best baseline.
    """
    points = format_interval(comparison.interval)
    if comparison.is_significant:
        return f"gain of {points} over {label}, on new images like these"
    return f"no evidence of benefit: {points} against {label}, on new images like these"


def format_interval(interval: ConfidenceInterval) -> str:
    """Return a difference with its interval in percentage points: "+1.2 points [0.3, 2.1]"."""
    low, high = _format_bound(interval.low), _format_bound(interval.high)
    return f"{format_points(interval.value)} points [{low}, {high}]"


def format_points(fraction: float) -> str:
    """Return a difference of fractions in percentage points with a sign: 0.012 becomes "+1.2"."""
    return f"{100 * fraction:+.1f}"


def _format_bound(fraction: float) -> str:
    """Return a bound of an interval in percentage points, with more digits if close to 0."""
    # A bound just above 0 must not be printed as 0, because the significance depends on it.
    digits = 1 if abs(fraction) >= 0.0005 else 3
    return f"{100 * fraction:.{digits}f}"


def write_preview(path: Path, subset: LabelSubset, images: np.ndarray, labels: np.ndarray) -> None:
    """Write a PNG image with one row for each class: real images, a gap, synthetic images.

    A row has up to 6 real and 6 synthetic images; missing images are white.

    Parameters
    ----------
    path : path
        PNG file.
    subset : LabelSubset
        The real images.
    images : ndarray [m, S, S, C]
        Synthetic images: uint8, uint16, or floats in [0, 1].
    labels : ndarray of int [m]
        Classes of the synthetic images.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    halves = []
    for half_images, half_labels in ((subset.images, subset.labels), (images, labels)):
        rows = []
        for label in range(subset.num_classes):
            shown = as_bytes(half_images[half_labels == label][:IMAGES_PER_CLASS])
            blank = np.full((IMAGES_PER_CLASS - len(shown), *images.shape[1:]), 255, np.uint8)
            rows.append(np.concatenate([shown, blank]))
        halves.append(image_grid(np.concatenate(rows), IMAGES_PER_CLASS))
    height, width, channels = halves[0].shape
    gap = np.full((height, max(2, width // GAP_RATIO), channels), 255, np.uint8)
    with report_write_errors(path):
        write_png(path, np.concatenate([halves[0], gap, halves[1]], axis=1))


def as_bytes(images: np.ndarray) -> np.ndarray:
    """Return images as uint8; uint16 and floats in [0, 1] are scaled to 0 to 255."""
    if images.dtype == np.uint8:
        return images
    white = 65535 if images.dtype == np.uint16 else 1.0
    return np.rint(images.astype(np.float64) * (255 / white)).astype(np.uint8)
