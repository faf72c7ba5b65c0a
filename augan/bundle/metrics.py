"""Sections of a bundle that hold the metrics of a training."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from augan.bundle.section import VALIDATION, Count, Flag, Number, Ratio, Section, Text


@dataclass(frozen=True, eq=False, config=VALIDATION)
class GanMetrics(Section):
    """Metrics of one evaluation of the averaged generator and the discriminator.

    Attributes
    ----------
    step : int
        Number of training steps.
    progress : float
        Fraction of the budget that is used.
    kernel_distance : float
        Kernel distance between the features of held-out real images and of generated images.
    diversity : float
        Mean pairwise feature distance of generated images within a class, divided by that of real
        images.
    coverage : float
        Fraction of held-out images with a generated image in their neighborhood.
    r_t : float
        Mean sign of the discriminator's logits of training images, relative to the decision
        boundary of the loss (Karras et al. 2020, "Training Generative Adversarial Networks with
        Limited Data", eq. 1).
    r_v : float
        (train - held out) / (train - generated), of mean logits (Karras et al. 2020, eq. 1).
    """

    step: Count
    progress: Number
    kernel_distance: Number
    diversity: Number
    coverage: Number
    r_t: Number
    r_v: Number


@dataclass(frozen=True, eq=False, config=VALIDATION)
class TrainingFailure(Section):
    """Failure of an adversarial training that the monitor detected.

    Attributes
    ----------
    kind : {"collapse", "overfitting", "divergence"}
        Name of the failure.
    step : int
        Training step at which the failure was detected.
    message : str
        What happened and which settings to change.
    """

    kind: Literal["collapse", "overfitting", "divergence"]
    step: Count
    message: Text


@dataclass(frozen=True, eq=False, config=VALIDATION)
class FidelityMetrics(Section):
    """Fidelity of generated samples, or of a half of the real samples.

    The attributes are those of `augan.metrics.fidelity.Fidelity`.
    """

    n_real: Count
    n_generated: Count
    extractor: Text
    frechet_distance: Number
    kernel_distance: Number
    precision: Number
    recall: Number
    density: Number
    coverage: Number
    is_small_sample: Flag


@dataclass(frozen=True, eq=False, config=VALIDATION)
class GeneratorFidelity(FidelityMetrics):
    """Fidelity of the generator in a bundle, with two references.

    Attributes
    ----------
    floor : FidelityMetrics
        The same metrics of two halves of the real held-out samples.
    untrained_kernel_distance : float
        Kernel distance of the generator before training.
    """

    floor: FidelityMetrics
    untrained_kernel_distance: Number


@dataclass(frozen=True, eq=False, config=VALIDATION)
class PseudoLabelCounts(Section):
    """Number of unlabeled samples on which the GAN trained.

    Attributes
    ----------
    n : int
        Number of unlabeled samples.
    used : int
        Number of them on which the GAN trained.
    class_counts : tuple of float
        Number of used samples of each class; with soft pseudo-labels, sums of probabilities.
    """

    n: Count
    used: Count
    class_counts: tuple[Number, ...]


@dataclass(frozen=True, eq=False, config=VALIDATION)
class ClassifierAccuracy(Section):
    """Accuracy of the classifier on real held-out samples.

    Attributes
    ----------
    accuracy : float
        Fraction of correct classes, 0 to 1.
    n : int
        Number of samples.
    split : str
        Name of the split of the samples.
    by_class : tuple of float or None
        Fraction of correct classes among the samples of each class, in the order of the classes;
        None for a class without samples. Empty (default): unknown.
    """

    accuracy: Ratio
    n: Count
    split: Text
    by_class: tuple[Ratio | None, ...] = ()


@dataclass(frozen=True, eq=False, config=VALIDATION)
class TrainingMetrics(Section):
    """Metrics of one training.

    Attributes
    ----------
    steps : mapping of str to int
        Training stage -> number of steps; empty (default) if an estimator trained in memory.
    failure : TrainingFailure or None
        Why the training of the GAN was stopped; None (default): it was not.
    fidelity : GeneratorFidelity or None
        Fidelity of the selected generator; None (default): not measured.
    gan_metrics : tuple of GanMetrics
        Metrics of every evaluation of the GAN, oldest first.
    """

    steps: Mapping[Text, Count] = Field(default_factory=dict)
    failure: TrainingFailure | None = None
    fidelity: GeneratorFidelity | None = None
    gan_metrics: tuple[GanMetrics, ...] = ()


@dataclass(frozen=True, eq=False, config=VALIDATION)
class BundleMetrics(TrainingMetrics):
    """Metrics of the training of a bundle.

    Attributes
    ----------
    folds : tuple of TrainingMetrics
        Metrics of each fold of a cross-conformal training, in place of the inherited metrics.
    classifier : ClassifierAccuracy or None
        Accuracy of the classifier; None (default) without a classifier.
    pseudo_labels : PseudoLabelCounts or None
        Use of the unlabeled samples; None (default): there were none.
    warnings : tuple of str
        Warnings for the user, in full sentences.
    """

    folds: tuple[TrainingMetrics, ...] = ()
    classifier: ClassifierAccuracy | None = None
    pseudo_labels: PseudoLabelCounts | None = None
    warnings: tuple[Text, ...] = ()


@dataclass(frozen=True, eq=False, config=VALIDATION)
class ClassTranslation(Section):
    """Metrics of the translation of one class of the old camera, on held-out images.

    Attributes
    ----------
    name : str
        Name of the class.
    diversity : float or None
        Mean pairwise feature distance of the translated images of the class, divided by that of the
        real images of the new camera; None (default): a camera has too few images of the class.
    label_flips : float or None
        Fraction of the images of the class that the classifier of the old camera puts into another
        class after a translation to the new camera and back; None (default): not measured.
    """

    name: Text
    diversity: Number | None = None
    label_flips: Ratio | None = None


@dataclass(frozen=True, eq=False, config=VALIDATION)
class TranslationMetrics(Section):
    """Metrics of the translation from the old to the new camera, on held-out images.

    Distances and diversity compare as many images of each common class on both sides; without
    common classes, all images.

    Attributes
    ----------
    num_old, num_new : int
        Number of compared images of each camera.
    two_sample : float
        Kernel distance between the features of translated images and of real images of the new
        camera, see `augan.translate.metrics`; 0 is best.
    two_sample_untranslated : float
        Kernel distance between the images of the old camera as they are and those of the new.
    two_sample_floor : float
        Kernel distance between two halves of the real images of the new camera.
    diversity : float
        Mean pairwise feature distance of translated images, divided by that of real images of the
        new camera; the mean over the common classes, if there are any.
    label_flips : float or None
        Fraction of the held-out images that the classifier of the old camera puts into another
        class after a translation to the new camera and back; None (default): not measured, because
        there is no such classifier or no translator back.
    class_share_gap : float or None
        Total variation distance between the shares of the common classes of the two cameras. For a
        new camera without labels, the shares are those that the classifier of the old camera
        predicts for its images after a translation back. None (default): unknown.
    classes : tuple of ClassTranslation
        Metrics of each class of the old camera; empty (default) without labels.
    """

    num_old: Count
    num_new: Count
    two_sample: Number
    two_sample_untranslated: Number
    two_sample_floor: Number
    diversity: Number
    label_flips: Ratio | None = None
    class_share_gap: Ratio | None = None
    classes: tuple[ClassTranslation, ...] = ()
