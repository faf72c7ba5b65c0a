"""The arms of the comparison: what one can do with few labeled images, with and without a GAN.

All but the first augment every image by the same classic policy; what is compared is what comes on
top. Arms on top of oversampling draw all classes equally often.

References
----------
Chawla, Bowyer, Hall, Kegelmeyer (2002), SMOTE. Zhang, Cisse, Dauphin, Lopez-Paz (2018), mixup.
Lee (2013), Pseudo-label. Sohn et al. (2020), FixMatch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from augan.augment.methods.latent import LatentCodes, LatentTransfer
from augan.data.splits import evenly_spaced
from augan.evaluation.augmentation.subsets import LabelSubset
from augan.evaluation.augmentation.synthetic import lacking
from augan.evaluation.augmentation.training_set import (
    Classifier,
    WeightedTrainingSet,
    evenly_by_class,
)
from augan.exceptions import ConfigError
from augan.seeding import child_seed

CONFIDENT = 0.9  # probability from which self-training believes its teacher
PSEUDO_SHARE = 0.5  # of the batches of self-training, as in balanced co-training of both parts
TRANSFERRED = 0.5  # of the draws of a class that are varied in pixels, as in the GAN arm
MOST_PSEUDO = 50_000  # unlabeled images that a teacher looks at


@dataclass(frozen=True)
class Arm:
    """One way to use a draw.

    Attributes
    ----------
    said : str
        What it is called in sentences.
    make : callable
        The draw, the policy and the classifier -> the lesson.
    unlabeled : bool
        Whether it learns from unlabeled images.
    """

    said: str
    make: Callable[[LabelSubset, str, Classifier], WeightedTrainingSet]
    unlabeled: bool = False


def _real(draw: LabelSubset, policy: str, classifier: Classifier) -> WeightedTrainingSet:
    n = len(draw.labels)
    return WeightedTrainingSet(
        draw.images, draw.labels, draw.num_classes, n, np.full(n, 1.0 / n), np.ones(n)
    )


def _classic(draw: LabelSubset, policy: str, classifier: Classifier) -> WeightedTrainingSet:
    return replace(_real(draw, policy, classifier), policy=policy)


def _oversampling(draw: LabelSubset, policy: str, classifier: Classifier) -> WeightedTrainingSet:
    shares = evenly_by_class(draw.labels, draw.num_classes)
    return replace(_classic(draw, policy, classifier), shares=shares)


def _class_weights(draw: LabelSubset, policy: str, classifier: Classifier) -> WeightedTrainingSet:
    weights = evenly_by_class(draw.labels, draw.num_classes) * len(draw.labels)
    return replace(_classic(draw, policy, classifier), weights=weights)


def _smote(draw: LabelSubset, policy: str, classifier: Classifier) -> WeightedTrainingSet:
    from imblearn.over_sampling import SMOTE

    counts = np.bincount(draw.labels, minlength=draw.num_classes)
    lesson = _oversampling(draw, policy, classifier)
    if counts.min() == counts.max():
        return lesson  # nothing is rare
    smote = SMOTE(
        k_neighbors=min(5, int(counts.min()) - 1), random_state=child_seed(draw.seed, "smote")
    )
    flat = draw.images.reshape(len(draw.images), -1).astype(np.float64)
    made, labels = smote.fit_resample(flat, draw.labels)
    if np.issubdtype(draw.images.dtype, np.integer):
        made = np.rint(made)
    images = made.reshape(-1, *draw.images.shape[1:]).astype(draw.images.dtype)
    n = len(labels)
    return replace(
        lesson,
        images=images,
        labels=labels,
        shares=evenly_by_class(labels, draw.num_classes),
        weights=np.ones(n),
    )


def _pixel_transfer(draw: LabelSubset, policy: str, classifier: Classifier) -> WeightedTrainingSet:
    """What the GAN arm does with codes, done with pixels: is it the GAN that helps?"""
    return _transferred(_oversampling(draw, policy, classifier), draw)


def _transferred(lesson: WeightedTrainingSet, draw: LabelSubset) -> WeightedTrainingSet:
    labels, wanted = draw.labels, lacking(draw)
    flat = draw.images.reshape(len(labels), -1).astype(np.float32)
    law, seed = (
        LatentTransfer(LatentCodes(flat, labels, [""] * len(labels))),
        child_seed(draw.seed, "pixels"),
    )
    moved = np.concatenate([law.draw(c, count, seed, 0).noise for c, count in wanted.items()])
    if np.issubdtype(draw.images.dtype, np.integer):
        moved = np.rint(moved)
    made = np.clip(moved, flat.min(), flat.max()).astype(draw.images.dtype)
    made_of = np.repeat(list(wanted), list(wanted.values()))
    return with_synthetic(lesson, made.reshape(-1, *draw.images.shape[1:]), made_of, TRANSFERRED)


def _mixup(draw: LabelSubset, policy: str, classifier: Classifier) -> WeightedTrainingSet:
    return replace(_oversampling(draw, policy, classifier), mixup=True)


def _self_training(draw: LabelSubset, policy: str, classifier: Classifier) -> WeightedTrainingSet:
    """A teacher labels what it is sure of; the student learns from that and from the labels."""
    lesson = _oversampling(draw, policy, classifier)
    if draw.unlabeled is None:
        return lesson
    unlabeled = evenly_spaced(draw.unlabeled, MOST_PSEUDO)
    shares = classifier.train(lesson, child_seed(draw.seed, "teacher"))(unlabeled)
    sure = shares.max(axis=1) >= CONFIDENT
    if not sure.any():
        return lesson
    guessed = shares.argmax(axis=1)[sure].astype(np.int64)
    return replace(
        lesson,
        images=np.concatenate([lesson.images, unlabeled[sure]]),
        labels=np.concatenate([lesson.labels, guessed]),
        shares=np.concatenate(
            [
                (1 - PSEUDO_SHARE) * lesson.shares,
                PSEUDO_SHARE * evenly_by_class(guessed, draw.num_classes),
            ]
        ),
        weights=np.ones(len(lesson.labels) + len(guessed)),
    )


def _consistency(draw: LabelSubset, policy: str, classifier: Classifier) -> WeightedTrainingSet:
    return replace(_oversampling(draw, policy, classifier), unlabeled=draw.unlabeled)


def _consistency_transfer(
    draw: LabelSubset, policy: str, classifier: Classifier
) -> WeightedTrainingSet:
    return _transferred(_consistency(draw, policy, classifier), draw)


ARMS: dict[str, Arm] = {
    "real": Arm("the real images alone", _real),
    "classic": Arm("classic augmentation", _classic),
    "oversampling": Arm("oversampling + classic", _oversampling),
    "class-weights": Arm("class weights + classic", _class_weights),
    "smote": Arm("SMOTE + classic", _smote),
    "pixel-transfer": Arm("oversampling + classic + transfer in pixels", _pixel_transfer),
    "mixup": Arm("oversampling + classic + mixup", _mixup),
    "self-training": Arm("oversampling + classic + self-training", _self_training, True),
    "consistency": Arm("oversampling + classic + consistency", _consistency, True),
    "consistency-transfer": Arm(
        "oversampling + classic + consistency + transfer in pixels", _consistency_transfer, True
    ),
}
"""Name -> arm without a GAN."""

LIKE_OVERSAMPLING = ("classic", "class-weights", "smote")
"""Arms that are the same as oversampling where no class is rarer than another."""

CONSISTENT = ("consistency", "consistency-transfer")
"""Arms of classifiers that can learn to be consistent on unlabeled images."""

GAN, ABLATION = "gan", "ablation"


def usual_base(has_unlabeled: bool, can_be_consistent: bool) -> str:
    """Return the arm that synthetic images are added to: the best of those without, usually."""
    return "consistency" if has_unlabeled and can_be_consistent else "oversampling"


def choose_arms(
    names: Sequence[str] | None,
    has_unlabeled: bool,
    can_be_consistent: bool,
    has_rare: bool = True,
) -> tuple[str, ...]:
    """Return the arms to compare, the GAN arm and its ablation last.

    Parameters
    ----------
    names : sequence of str or None
        Those without a GAN that the user asked for; None: all that fit.
    has_unlabeled : bool
        Whether draws have unlabeled images.
    can_be_consistent : bool
        Whether the classifier can learn to be consistent on them.
    has_rare : bool
        Whether some class has fewer labels than another; without, arms that would be the same as
        oversampling are only made if they are asked for.

    Raises
    ------
    ConfigError
        There is no such arm, it does not fit, or none is left to compare with.
    """
    fit = [
        arm
        for arm, of in ARMS.items()
        if (has_unlabeled or not of.unlabeled) and (can_be_consistent or arm not in CONSISTENT)
    ]
    usual = [arm for arm in fit if has_rare or arm not in LIKE_OVERSAMPLING]
    asked = usual if names is None else [arm for arm in names if arm not in (GAN, ABLATION)]
    unknown = [arm for arm in asked if arm not in ARMS]
    if unknown:
        raise ConfigError(f"there is no arm '{unknown[0]}'; choose from {', '.join(ARMS)}")
    impossible = [arm for arm in asked if arm not in fit]
    if impossible:
        raise ConfigError(
            f"the arm {impossible[0]} needs unlabeled images"
            f"{' and --classifier cnn' if impossible[0] in CONSISTENT else ''}; the arms that "
            f"fit are {', '.join(fit)}"
        )
    if not asked:
        raise ConfigError(
            f"a lift is one over something: name at least one arm of {', '.join(fit)}"
        )
    return (*(arm for arm in fit if arm in asked), GAN, ABLATION)


def with_synthetic(
    lesson: WeightedTrainingSet, images: np.ndarray, labels: np.ndarray, share: float
) -> WeightedTrainingSet:
    """Return a lesson in which synthetic images take `share` of each of their classes' draws.

    How often a class is drawn does not change, nor does what it counts; classes without synthetic
    images stay as they are.
    """
    if not len(labels) or not share:
        return lesson
    num = lesson.num_classes
    made = np.bincount(labels, minlength=num)
    mass = np.bincount(lesson.labels, lesson.shares, minlength=num)
    counted = np.bincount(lesson.labels, lesson.shares * lesson.weights, minlength=num)
    kept = np.where(made > 0, 1.0 - share, 1.0)
    return replace(
        lesson,
        images=np.concatenate([lesson.images, images]),
        labels=np.concatenate([lesson.labels, labels]),
        shares=np.concatenate(
            [lesson.shares * kept[lesson.labels], share * mass[labels] / made[labels]]
        ),
        weights=np.concatenate([lesson.weights, (counted / mass)[labels]]),
    )
