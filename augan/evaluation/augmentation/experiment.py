"""Gain experiment: training and test of all arms over repeated label subsets.

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

from augan.choices import ARMS
from augan.evaluation.augmentation.arms import ABLATION, GAN, add_synthetic
from augan.evaluation.augmentation.evaluator import (
    ArmEvaluator,
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
from augan.seeding import child_seed

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
    evaluator : ArmEvaluator
        Classifier, GAN arm and test images.
    test_labels : ndarray of int [m]
        Classes of the test images; every class occurs.
    arms : tuple of str
        `GAN` and at least one other arm.
    num_repeats : int
        Number of label subsets, at least 2.
    seed : int
    candidates : tuple of GanArm
        GAN arms to select from within each repeat. Empty: `evaluator.gan_arm` without selection.
    test_groups : ndarray [m] or None
        Group of each test image, such as the object it shows. None: each image is a group of its
        own.
    """

    pool: LabelPool
    spec: SubsetSpec
    evaluator: ArmEvaluator
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
        is_copy = self.evaluator.gan_arm.base in self.arms and not self.candidates
        return [arm for arm in self.arms if arm in ARMS or (arm == ABLATION and not is_copy)]

    @property
    def has_unlabeled(self) -> bool:
        """Whether the label subsets have unlabeled images."""
        return self.spec.num_unlabeled(self.pool) > 0

    def uses_unlabeled(self, arm: str) -> bool:
        """Return whether an arm trains its classifier on unlabeled images.

        For the GAN arm and the ablation, the base arm decides.
        """
        bases = [gan_arm.base for gan_arm in self.candidates] or [self.evaluator.gan_arm.base]
        return any(ARMS.get(base).uses_unlabeled for base in ([arm] if arm in ARMS else bases))

    def label(self, arm: str) -> str:
        """Return the description of an arm in sentences and tables, such as "SMOTE + classic"."""
        if arm in ARMS:
            return ARMS.get(arm).label
        if arm == GAN:
            return "with synthetic images"
        if self.candidates:
            return NO_SYNTHETIC
        return ARMS.get(self.evaluator.gan_arm.base).label


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
        evaluator, metadata = experiment.evaluator, {}
        if arm in (GAN, ABLATION) and experiment.candidates:
            gan_arm = _selected_gan_arm(experiment, subset, log)
            evaluator = replace(evaluator, gan_arm=gan_arm)
            metadata = {
                "gan": gan_arm.name,
                "synthetic_fraction": gan_arm.synthetic_fraction,
            }
        # The ablation equals its base arm: reuse the predictions of the base arm.
        predicted = log.get(repeat, evaluator.gan_arm.base) if arm == ABLATION else None
        if predicted is None:
            training_set, synthetic = evaluator.training_set(arm, subset)
            if synthetic is not None and repeat == 0:
                on_synthetic(subset, synthetic)
            predicted = evaluator.predict(training_set, subset)
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
    return select_synthetic_fraction(experiment.evaluator, experiment.candidates, subset)


def select_synthetic_fraction(
    evaluator: ArmEvaluator, candidates: Sequence[GanArm], subset: LabelSubset
) -> GanArm:
    """Select the GAN arm and the synthetic fraction by cross-validation within a label subset.

    The criterion is balanced accuracy. Options are the fractions 0, 0.25, 0.5 and 0.75 of each
    candidate. Ties go to the smaller fraction.

    Parameters
    ----------
    evaluator : ArmEvaluator
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
            f"`tune_fraction` splits the labels of each class into folds, but a class has "
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
        inner_evaluator = replace(evaluator, test_images=subset.images[validation])
        for number, candidate in enumerate(candidates):
            by_fraction = _score_fractions(
                inner_evaluator, candidate, inner, subset.labels[validation]
            )
            for fraction, score in by_fraction.items():
                scores.setdefault((number, fraction), []).append(score)
    # `max` returns the first of equal options: sort small fractions first.
    options = sorted(scores, key=lambda option: (option[1], option[0]))
    best, fraction = max(options, key=lambda option: float(np.mean(scores[option])))
    return replace(candidates[best], synthetic_fraction=fraction)


def _score_fractions(
    evaluator: ArmEvaluator, arm: GanArm, subset: LabelSubset, test_labels: np.ndarray
) -> dict[float, float]:
    """Return the balanced accuracy of a GAN arm for each synthetic fraction, 0 included.

    The GAN is trained once for all fractions.

    Parameters
    ----------
    evaluator : ArmEvaluator
        Classifier, and the images to classify as `test_images`.
    arm : GanArm
    subset : LabelSubset
        Training images.
    test_labels : ndarray of int [m]
        Classes of the images to classify.
    """
    base = ARMS.load(arm.base)(subset, evaluator.transform, evaluator.classifier)
    images, labels = generate_synthetic(arm, subset)
    training_sets = {0.0: base}
    training_sets |= {
        fraction: add_synthetic(base, images, labels, fraction) for fraction in FRACTIONS
    }
    scores = {}
    for fraction, training_set in training_sets.items():
        predicted = evaluator.predict(training_set, subset)
        metrics = classification_metrics(predicted, test_labels, subset.num_classes)
        scores[fraction] = metrics["balanced_accuracy"]
    return scores
