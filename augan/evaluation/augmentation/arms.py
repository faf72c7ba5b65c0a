"""Arms without a GAN: training sets from a label subset that the GAN arm is compared with.

An arm is one way to make a training set from the labeled images of a subset. All arms except `real`
apply the same classic augmentation to every image. Arms on top of oversampling sample all classes
equally often.

References
----------
Chawla, Bowyer, Hall, Kegelmeyer (2002), SMOTE. Zhang, Cisse, Dauphin, Lopez-Paz (2018), mixup. Lee
(2013), Pseudo-label. Sohn et al. (2020), FixMatch.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from augan.augment.methods.latent import LatentCodes, LatentTransfer
from augan.choices import ARMS, Arm
from augan.data.splits import evenly_spaced
from augan.evaluation.augmentation.subsets import LabelSubset
from augan.evaluation.augmentation.synthetic import missing_counts
from augan.evaluation.augmentation.training_set import (
    Classifier,
    WeightedTrainingSet,
    balanced_probabilities,
)
from augan.exceptions import ConfigError
from augan.seeding import child_seed

GAN, ABLATION = "gan", "ablation"

PSEUDO_LABEL_THRESHOLD = 0.9  # minimum probability of a pseudo-label
PSEUDO_LABEL_FRACTION = 0.5  # pseudo-labeled images in a batch of self-training
MAX_PSEUDO_LABELED = 50_000  # unlabeled images that the teacher classifies
PIXEL_TRANSFER_FRACTION = 0.5  # synthetic images among the samples of a class, as in the GAN arm


BuildTrainingSet = Callable[[LabelSubset, str, Classifier], WeightedTrainingSet]
"""Label subset, name of the classic augmentation, classifier -> training set of an arm.

The training set begins with the labeled images of the subset, in their order.
"""


@ARMS.register(Arm("real", "the real images alone", "the real images alone"))
def _real(subset: LabelSubset, transform: str, classifier: Classifier) -> WeightedTrainingSet:
    """Build the arm `real`: the labeled images as they are, without any augmentation."""
    n = len(subset.labels)
    return WeightedTrainingSet(
        subset.images, subset.labels, subset.num_classes, n, np.full(n, 1.0 / n), np.ones(n)
    )


@ARMS.register(
    Arm(
        "classic",
        "classic augmentation",
        "classic augmentation (--transform), which all following arms apply too",
        is_redundant_if_balanced=True,
    )
)
def _classic(subset: LabelSubset, transform: str, classifier: Classifier) -> WeightedTrainingSet:
    """Build the arm `classic`: the labeled images with classic augmentation."""
    return replace(_real(subset, transform, classifier), transform=transform)


@ARMS.register(Arm("oversampling", "oversampling + classic", "every class sampled equally often"))
def _oversampling(
    subset: LabelSubset, transform: str, classifier: Classifier
) -> WeightedTrainingSet:
    """Build the arm `oversampling`: classic augmentation, every class sampled equally often."""
    probabilities = balanced_probabilities(subset.labels, subset.num_classes)
    return replace(_classic(subset, transform, classifier), probabilities=probabilities)


@ARMS.register(
    Arm(
        "class-weights",
        "class weights + classic",
        "every class equal in the loss",
        is_redundant_if_balanced=True,
    )
)
def _class_weights(
    subset: LabelSubset, transform: str, classifier: Classifier
) -> WeightedTrainingSet:
    """Build the arm `class-weights`: classic augmentation, every class equal in the loss."""
    weights = balanced_probabilities(subset.labels, subset.num_classes) * len(subset.labels)
    return replace(_classic(subset, transform, classifier), weights=weights)


@ARMS.register(
    Arm(
        "smote",
        "SMOTE + classic",
        "interpolated images of minority classes (Chawla et al. 2002)",
        is_redundant_if_balanced=True,
    )
)
def _smote(subset: LabelSubset, transform: str, classifier: Classifier) -> WeightedTrainingSet:
    """Build the arm `smote`: oversampling with interpolated images of minority classes (SMOTE).

    A balanced subset has no minority class, so the training set is that of `oversampling`.
    """
    from imblearn.over_sampling import SMOTE

    counts = subset.class_counts
    training_set = _oversampling(subset, transform, classifier)
    if counts.min() == counts.max():
        return training_set  # a balanced subset has no minority class
    smote = SMOTE(
        k_neighbors=min(5, int(counts.min()) - 1), random_state=child_seed(subset.seed, "smote")
    )
    rows = subset.images.reshape(len(subset.images), -1).astype(np.float64)
    rows, labels = smote.fit_resample(rows, subset.labels)
    if np.issubdtype(subset.images.dtype, np.integer):
        rows = np.rint(rows)
    return replace(
        training_set,
        images=rows.reshape(-1, *subset.images.shape[1:]).astype(subset.images.dtype),
        labels=labels,
        probabilities=balanced_probabilities(labels, subset.num_classes),
        weights=np.ones(len(labels)),
    )


@ARMS.register(
    Arm(
        "pixel-transfer",
        "oversampling + classic + transfer in pixels",
        "differences between two images, added in pixels to an image of another class",
    )
)
def _pixel_transfer(
    subset: LabelSubset, transform: str, classifier: Classifier
) -> WeightedTrainingSet:
    """Build the arm `pixel-transfer`: the GAN arm `transfer` with pixels instead of latent codes.

    The arm shows how much of the gain of `transfer` needs no GAN.
    """
    return _add_pixel_transfer(_oversampling(subset, transform, classifier), subset)


def _add_pixel_transfer(
    training_set: WeightedTrainingSet, subset: LabelSubset
) -> WeightedTrainingSet:
    """Add images that `LatentTransfer` makes from pixels, used as latent codes, to a training set.

    Half of the samples of each class that gets new images are synthetic; see `missing_counts`.
    """
    labels, counts = subset.labels, missing_counts(subset)
    rows = subset.images.reshape(len(labels), -1).astype(np.float32)
    transfer = LatentTransfer(LatentCodes(rows, labels, [""] * len(labels)))
    seed = child_seed(subset.seed, "pixels")
    values = np.concatenate([transfer.sample(c, n, seed, 0).latents for c, n in counts.items()])
    if np.issubdtype(subset.images.dtype, np.integer):
        values = np.rint(values)
    values = np.clip(values, rows.min(), rows.max()).astype(subset.images.dtype)
    images = values.reshape(-1, *subset.images.shape[1:])
    classes = np.repeat(list(counts), list(counts.values()))
    return add_synthetic(training_set, images, classes, PIXEL_TRANSFER_FRACTION)


@ARMS.register(
    Arm(
        "mixup",
        "oversampling + classic + mixup",
        "mixed images with mixed labels (Zhang et al. 2018)",
    )
)
def _mixup(subset: LabelSubset, transform: str, classifier: Classifier) -> WeightedTrainingSet:
    """Build the arm `mixup`: oversampling, and batches of mixed images."""
    return replace(_oversampling(subset, transform, classifier), mixup=True)


@ARMS.register(
    Arm(
        "self-training",
        "oversampling + classic + self-training",
        "unlabeled images with pseudo-labels (Lee 2013)",
        uses_unlabeled=True,
    )
)
def _self_training(
    subset: LabelSubset, transform: str, classifier: Classifier
) -> WeightedTrainingSet:
    """Build the arm `self-training`: oversampling plus unlabeled images with pseudo-labels.

    A teacher trained on the labeled images assigns the pseudo-labels; those with a probability of
    at least 0.9 are kept. Without confident pseudo-labels, the training set is that of
    `oversampling`.
    """
    training_set = _oversampling(subset, transform, classifier)
    if subset.unlabeled is None:
        return training_set
    unlabeled = evenly_spaced(subset.unlabeled, MAX_PSEUDO_LABELED)
    teacher = classifier.train(training_set, child_seed(subset.seed, "teacher"))
    probabilities = teacher(unlabeled)
    confident = probabilities.max(axis=1) >= PSEUDO_LABEL_THRESHOLD
    if not confident.any():
        return training_set
    pseudo_labels = probabilities.argmax(axis=1)[confident].astype(np.int64)
    return replace(
        training_set,
        images=np.concatenate([training_set.images, unlabeled[confident]]),
        labels=np.concatenate([training_set.labels, pseudo_labels]),
        probabilities=np.concatenate(
            [
                (1 - PSEUDO_LABEL_FRACTION) * training_set.probabilities,
                PSEUDO_LABEL_FRACTION * balanced_probabilities(pseudo_labels, subset.num_classes),
            ]
        ),
        weights=np.ones(len(training_set.labels) + len(pseudo_labels)),
    )


@ARMS.register(
    Arm(
        "consistency",
        "oversampling + classic + consistency",
        "unlabeled images by consistency training (FixMatch, Sohn et al. 2020)",
        uses_unlabeled=True,
        needs_consistency=True,
    )
)
def _consistency(
    subset: LabelSubset, transform: str, classifier: Classifier
) -> WeightedTrainingSet:
    """Build the arm `consistency`: oversampling plus consistency training on unlabeled images."""
    return replace(_oversampling(subset, transform, classifier), unlabeled=subset.unlabeled)


@ARMS.register(
    Arm(
        "consistency-transfer",
        "oversampling + classic + consistency + transfer in pixels",
        "consistency and pixel-transfer together",
        uses_unlabeled=True,
        needs_consistency=True,
    )
)
def _consistency_transfer(
    subset: LabelSubset, transform: str, classifier: Classifier
) -> WeightedTrainingSet:
    """Build the arm `consistency-transfer`: the arm `consistency` plus transfer in pixels."""
    return _add_pixel_transfer(_consistency(subset, transform, classifier), subset)


def default_base(has_unlabeled: bool, supports_consistency: bool) -> str:
    """Return the name of the arm that synthetic images are added to by default.

    The base is usually the best arm without a GAN: "consistency" if there are unlabeled images and
    the classifier supports consistency training, else "oversampling".
    """
    return "consistency" if has_unlabeled and supports_consistency else "oversampling"


def select_arms(
    names: Sequence[str] | None,
    has_unlabeled: bool,
    supports_consistency: bool,
    is_imbalanced: bool = True,
) -> tuple[str, ...]:
    """Return the names of the arms of an evaluation, followed by the GAN arm and its ablation.

    The ablation is the arm that the synthetic images are added to, without the synthetic images.

    Parameters
    ----------
    names : sequence of str or None
        Requested arms without a GAN; the GAN arm and the ablation may be named too. None: all arms
        that the data and the classifier allow.
    has_unlabeled : bool
        Whether the label subsets have unlabeled images.
    supports_consistency : bool
        Whether the classifier supports consistency training.
    is_imbalanced : bool
        Whether some class has fewer labels than another. Without imbalance, the arms that equal
        oversampling run only on request.

    Raises
    ------
    ConfigError
        An arm does not exist or cannot run, or no arm without a GAN remains.
    """
    eligible = [
        arm.name
        for arm in ARMS
        if (has_unlabeled or not arm.uses_unlabeled)
        and (supports_consistency or not arm.needs_consistency)
    ]
    if names is None:
        requested = [
            name
            for name in eligible
            if is_imbalanced or not ARMS.get(name).is_redundant_if_balanced
        ]
    else:
        requested = requested_baselines(names)
    for name in requested:
        if name not in eligible:
            needs = " and `classifier='cnn'`" if ARMS.get(name).needs_consistency else ""
            raise ConfigError(
                f"the arm {name} needs unlabeled images{needs}; choose from {', '.join(eligible)}"
            )
    return (*(name for name in eligible if name in requested), GAN, ABLATION)


def requested_baselines(names: Sequence[str]) -> list[str]:
    """Return the arms without a GAN among requested names, which may contain `GAN` and `ABLATION`.

    Raises
    ------
    ConfigError
        An arm does not exist, or no arm without a GAN remains.
    """
    requested = [name for name in names if name not in (GAN, ABLATION)]
    for name in requested:
        ARMS.get(name)
    if not requested:
        raise ConfigError(
            "the GAN arm needs an arm to be compared with; name at least one arm of "
            f"{', '.join(ARMS.names())}"
        )
    return requested


def add_synthetic(
    training_set: WeightedTrainingSet, images: np.ndarray, labels: np.ndarray, fraction: float
) -> WeightedTrainingSet:
    """Return a training set in which a fraction of the samples of a class is synthetic.

    The sampling probability and the mean loss weight of each class stay the same. Classes without
    synthetic images do not change.

    Parameters
    ----------
    training_set : WeightedTrainingSet
        Training set that every class with synthetic images already occurs in.
    images : ndarray [m, S, S, C]
        Synthetic images, of the type of the training images.
    labels : ndarray of int [m]
        Classes of the synthetic images.
    fraction : float
        Fraction of synthetic images in the samples of each class that has synthetic images, 0 to 1.
        0: the training set is returned unchanged.
    """
    if not len(labels) or not fraction:
        return training_set
    num_classes, old_labels = training_set.num_classes, training_set.labels
    old_probabilities = training_set.probabilities
    num_synthetic = np.bincount(labels, minlength=num_classes)
    of_class = np.bincount(old_labels, old_probabilities, minlength=num_classes)
    weight_of_class = np.bincount(
        old_labels, old_probabilities * training_set.weights, minlength=num_classes
    )
    real_fraction = np.where(num_synthetic > 0, 1.0 - fraction, 1.0)
    return replace(
        training_set,
        images=np.concatenate([training_set.images, images]),
        labels=np.concatenate([old_labels, labels]),
        probabilities=np.concatenate(
            [
                old_probabilities * real_fraction[old_labels],
                fraction * of_class[labels] / num_synthetic[labels],
            ]
        ),
        weights=np.concatenate([training_set.weights, (weight_of_class / of_class)[labels]]),
    )
