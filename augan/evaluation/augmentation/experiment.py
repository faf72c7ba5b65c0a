"""Gain experiment: training and comparison of all arms over repeated label subsets.

An arm is one way to make a training set from labeled images; the GAN arm adds synthetic images. The
GAN arm and its fraction of synthetic images may be selected within each repeat by nested
cross-validation. The selection sees only the labels of the subset, so it needs no additional labels
and no test images. A fraction of 0 is one of the options.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold

from augan.evaluation.augmentation.arms import ABLATION, ARMS, GAN, add_synthetic
from augan.evaluation.augmentation.protocol import (
    EvaluationProtocol,
    Synthetic,
    classification_metrics,
)
from augan.evaluation.augmentation.results_log import PredictionLog
from augan.evaluation.augmentation.subsets import (
    LabelPool,
    LabelSubset,
    SubsetSpec,
    sample_subset,
)
from augan.evaluation.augmentation.synthetic import GanArm, generate_synthetic
from augan.exceptions import ConfigError, RunInterruptedError
from augan.metrics.statistics import BootstrapComparison, ConfidenceInterval, PairedComparison
from augan.seeding import child_rng, child_seed

FRACTIONS = (0.25, 0.5, 0.75)  # synthetic fractions to select from, in addition to 0
_NUM_FOLDS = 3  # folds of the selection, fewer for classes of few labels
NO_SYNTHETIC = "the same without synthetic images"


@dataclass(frozen=True, eq=False)
class GainExperiment:
    """Data, arms and settings of an evaluation of augmentation.

    Attributes
    ----------
    pool : LabelPool
        Training images.
    spec : SubsetSpec
        Number of labeled images in a subset.
    protocol : EvaluationProtocol
        Classifier, GAN arm and test images.
    test_labels : ndarray of int [m]
        Classes of the test images; every class occurs.
    arms : tuple of str
        `GAN` and at least one other arm.
    num_repeats : int
        Number of label subsets, at least 2.
    seed : int
    candidates : tuple of GanArm
        GAN arms to select from within each repeat. Empty: `protocol.gan_arm` without selection.
    test_groups : ndarray [m] or None
        Group of each test image, such as the object it shows. None: each image is a group of its
        own.
    """

    pool: LabelPool
    spec: SubsetSpec
    protocol: EvaluationProtocol
    test_labels: np.ndarray
    arms: tuple[str, ...]
    num_repeats: int
    seed: int
    candidates: tuple[GanArm, ...] = ()
    test_groups: np.ndarray | None = None

    @property
    def baselines(self) -> list[str]:
        """Arms of the experiment without synthetic images, which the GAN arm is compared with.

        The ablation (the base arm alone) is a baseline unless it equals another arm: an advantage
        that the GAN arm owes to its base arm is not a gain of the synthetic images.
        """
        is_copy = self.protocol.gan_arm.base in self.arms and not self.candidates
        return [arm for arm in self.arms if arm in ARMS or (arm == ABLATION and not is_copy)]

    @property
    def has_unlabeled(self) -> bool:
        """Whether the label subsets have unlabeled images."""
        return self.spec.num_unlabeled(self.pool) > 0

    def uses_unlabeled(self, arm: str) -> bool:
        """Return whether an arm trains its classifier on unlabeled images.

        For the GAN arm and the ablation, the base arm decides.
        """
        bases = [gan_arm.base for gan_arm in self.candidates] or [self.protocol.gan_arm.base]
        return any(ARMS[base].uses_unlabeled for base in ([arm] if arm in ARMS else bases))

    def label(self, arm: str) -> str:
        """Return the description of an arm in sentences and tables, such as "SMOTE + classic"."""
        if arm in ARMS:
            return ARMS[arm].label
        if arm == GAN:
            return "with synthetic images"
        if self.candidates:
            return NO_SYNTHETIC
        return ARMS[self.protocol.gan_arm.base].label


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


def run_experiment(
    experiment: GainExperiment,
    log: PredictionLog,
    on_arm: Callable[[int, str, Mapping[str, Any]], None] = lambda repeat, arm, metadata: None,
    on_synthetic: Callable[[LabelSubset, Synthetic], None] = lambda subset, synthetic: None,
) -> dict[str, np.ndarray]:
    """Train and test all arms in all repeats, except for arms that the log already has.

    Parameters
    ----------
    experiment : GainExperiment
    log : PredictionLog
        Log that keeps each finished arm.
    on_arm : callable
        Called after each newly finished arm with the number of the repeat, the arm, and its
        metadata: the metrics, and the selected GAN arm and fraction if there was a selection.
    on_synthetic : callable
        Called with the subset of the first repeat and the synthetic images of the GAN arm, if any.

    Returns
    -------
    dict of str to ndarray of int [R, m]
        Arm -> predicted classes of the m test images in each of R repeats.

    Raises
    ------
    RunInterruptedError
        The user stopped the experiment. Finished arms are kept in the log.
    """
    repeats = range(experiment.num_repeats)
    try:
        for repeat in repeats:
            _run_repeat(experiment, repeat, log, on_arm, on_synthetic)
    except KeyboardInterrupt:
        # The log may also hold other arms and repeats of an earlier call.
        requested = [(repeat, arm) for repeat in repeats for arm in experiment.arms]
        finished = sum(log.get(repeat, arm) is not None for repeat, arm in requested)
        raise RunInterruptedError(
            f"interrupted: {finished} of {len(requested)} arms are finished and kept in "
            f"{log.folder}; the same command continues from there"
        ) from None
    return {
        arm: np.stack([np.asarray(log.get(repeat, arm)) for repeat in repeats])
        for arm in experiment.arms
    }


def _run_repeat(
    experiment: GainExperiment,
    repeat: int,
    log: PredictionLog,
    on_arm: Callable,
    on_synthetic: Callable,
) -> None:
    """Train and test the arms of a repeat that the log lacks; see `run_experiment`."""
    missing = [arm for arm in experiment.arms if log.get(repeat, arm) is None]
    if not missing:
        return
    subset = sample_subset(experiment.pool, experiment.spec, experiment.seed, repeat)
    for arm in missing:
        protocol, metadata = experiment.protocol, {}
        if arm in (GAN, ABLATION) and experiment.candidates:
            gan_arm = _selected_gan_arm(experiment, subset, log)
            protocol = replace(protocol, gan_arm=gan_arm)
            metadata = {
                "gan": gan_arm.name,
                "synthetic_fraction": gan_arm.synthetic_fraction,
            }
        # The ablation equals its base arm: reuse the predictions of the base arm.
        predicted = log.get(repeat, protocol.gan_arm.base) if arm == ABLATION else None
        if predicted is None:
            training_set, synthetic = protocol.training_set(arm, subset)
            if synthetic is not None and repeat == 0:
                on_synthetic(subset, synthetic)
            predicted = protocol.predict(training_set, subset)
        num_classes = len(experiment.pool.class_names)
        metadata |= classification_metrics(predicted, experiment.test_labels, num_classes)
        log.add(repeat, arm, predicted, metadata)
        on_arm(repeat, arm, metadata)


def _selected_gan_arm(
    experiment: GainExperiment, subset: LabelSubset, log: PredictionLog
) -> GanArm:
    """Return the GAN arm that a repeat has selected, with its fraction of synthetic images.

    The selection comes from the log if the GAN arm or the ablation of the repeat is finished.
    """
    for arm in (GAN, ABLATION):
        if log.get(subset.repeat, arm) is not None:
            metadata = log.metadata(subset.repeat, arm)
            gan_arm = next(c for c in experiment.candidates if c.name == metadata["gan"])
            return replace(gan_arm, synthetic_fraction=metadata["synthetic_fraction"])
    return select_synthetic_fraction(experiment.protocol, experiment.candidates, subset)


def select_synthetic_fraction(
    protocol: EvaluationProtocol, candidates: Sequence[GanArm], subset: LabelSubset
) -> GanArm:
    """Select the GAN arm and the synthetic fraction by cross-validation within a label subset.

    The criterion is balanced accuracy. Options are the fractions 0, 0.25, 0.5 and 0.75 of each
    candidate. Ties go to the smaller fraction.

    Parameters
    ----------
    protocol : EvaluationProtocol
        Classifier and classic augmentation. The test images have no influence.
    candidates : sequence of GanArm
    subset : LabelSubset
        Labeled images, which are split into up to 3 folds.

    Returns
    -------
    GanArm
        The selected candidate with the selected fraction.

    Raises
    ------
    ConfigError
        A class has fewer than 4 labels, too few for two folds.
    """
    smallest = int(subset.class_counts.min())
    num_folds = min(_NUM_FOLDS, smallest // 2)
    if num_folds < 2:
        raise ConfigError(
            f"--tune-fraction splits the labels of each class into folds, but a class has "
            f"{smallest} label{'' if smallest == 1 else 's'} in a repeat; give it 4 or more"
        )
    splitter = StratifiedKFold(
        num_folds, shuffle=True, random_state=child_seed(subset.seed, "select")
    )
    scores: dict[tuple[int, float], list[float]] = {}
    for fold, (train, validation) in enumerate(splitter.split(subset.images, subset.labels)):
        inner = replace(
            subset,
            seed=child_seed(subset.seed, "select", fold),
            indices=subset.indices[train],
            images=subset.images[train],
            labels=subset.labels[train],
        )
        inner_protocol = replace(protocol, test_images=subset.images[validation])
        for number, candidate in enumerate(candidates):
            by_fraction = _score_fractions(
                inner_protocol, candidate, inner, subset.labels[validation]
            )
            for fraction, score in by_fraction.items():
                scores.setdefault((number, fraction), []).append(score)
    # `max` returns the first of equal options: sort small fractions first.
    options = sorted(scores, key=lambda option: (option[1], option[0]))
    best, fraction = max(options, key=lambda option: float(np.mean(scores[option])))
    return replace(candidates[best], synthetic_fraction=fraction)


def _score_fractions(
    protocol: EvaluationProtocol, arm: GanArm, subset: LabelSubset, test_labels: np.ndarray
) -> dict[float, float]:
    """Return the balanced accuracy of a GAN arm for each synthetic fraction, 0 included.

    The GAN is trained once for all fractions.

    Parameters
    ----------
    protocol : EvaluationProtocol
        Classifier, and the images to classify as `test_images`.
    arm : GanArm
    subset : LabelSubset
        Training images.
    test_labels : ndarray of int [m]
        Classes of the images to classify.
    """
    base = ARMS[arm.base].build(subset, protocol.transform, protocol.classifier)
    images, labels = generate_synthetic(arm, subset)
    training_sets = {0.0: base}
    training_sets |= {
        fraction: add_synthetic(base, images, labels, fraction) for fraction in FRACTIONS
    }
    scores = {}
    for fraction, training_set in training_sets.items():
        predicted = protocol.predict(training_set, subset)
        metrics = classification_metrics(predicted, test_labels, subset.num_classes)
        scores[fraction] = metrics["balanced_accuracy"]
    return scores


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
    interval = comparison.interval
    points = f"{format_points(interval.value)} points"
    points += f" [{_format_bound(interval.low)}, {_format_bound(interval.high)}]"
    if comparison.is_significant:
        return f"gain of {points} over {label}, on new images like these"
    return f"no evidence of benefit: {points} against {label}, on new images like these"


def format_points(fraction: float) -> str:
    """Return a difference of fractions in percentage points with a sign: 0.012 becomes "+1.2"."""
    return f"{100 * fraction:+.1f}"


def _format_bound(fraction: float) -> str:
    """Return a bound of an interval in percentage points, with more digits if close to 0."""
    # A bound just above 0 must not be printed as 0, because the significance depends on it.
    digits = 1 if abs(fraction) >= 0.0005 else 3
    return f"{100 * fraction:.{digits}f}"
