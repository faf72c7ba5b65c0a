"""Evaluator of arms: the classifier, the GAN arm and the test images that all repeats share.

An arm is one way to make a training set from labeled images: with or without synthetic images. A
repeat is one random selection of labeled images, on which all arms train.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import f1_score

from augan.choices import ARMS
from augan.evaluation.augmentation.arms import ABLATION, GAN, add_synthetic
from augan.evaluation.augmentation.subsets import LabelSubset
from augan.evaluation.augmentation.synthetic import GanArm, generate_synthetic
from augan.evaluation.augmentation.training_set import Classifier, WeightedTrainingSet
from augan.seeding import child_seed

Synthetic = tuple[np.ndarray, np.ndarray]
"""Synthetic images `[m, S, S, C]` and their classes `[m]`."""


@dataclass(frozen=True, eq=False)
class ArmEvaluator:
    """Builder of the training set of any arm, which also trains and tests the classifier on it.

    Attributes
    ----------
    classifier : Classifier
        The classifier that every arm trains.
    transform : str
        Classic augmentation of all arms except `real`, a key of
        `augan.augment.transforms.TRANSFORMS`.
    gan_arm : GanArm
        The source of synthetic images and their fraction in the training set.
    test_images : ndarray [m, S, S, C]
        Prepared real images that no arm trains on.
    """

    classifier: Classifier
    transform: str
    gan_arm: GanArm
    test_images: np.ndarray

    def training_set(
        self, arm: str, subset: LabelSubset
    ) -> tuple[WeightedTrainingSet, Synthetic | None]:
        """Build the training set of an arm, and the synthetic images if the arm uses some.

        The GAN arm trains its GAN here.

        Parameters
        ----------
        arm : str
            A name in `ARMS`, "gan" or "ablation".
        subset : LabelSubset
            Labeled images of the repeat.

        Returns
        -------
        training_set : WeightedTrainingSet
        synthetic : tuple of ndarray, or None
            Synthetic images `[k, S, S, C]` and their classes `[k]`. None: the arm uses no synthetic
            images.

        Raises
        ------
        ConfigError
            The arm does not exist.
        DataError
            The sampler of the GAN arm returned unsuitable images.
        """
        base = self.gan_arm.base if arm in (GAN, ABLATION) else arm
        training_set = ARMS.load(base)(subset, self.transform, self.classifier)
        if arm != GAN or not self.gan_arm.synthetic_fraction:
            return training_set, None  # a fraction of 0 needs no synthetic images
        images, labels = generate_synthetic(self.gan_arm, subset)
        fraction = self.gan_arm.synthetic_fraction
        return add_synthetic(training_set, images, labels, fraction), (images, labels)

    def predict(self, training_set: WeightedTrainingSet, subset: LabelSubset) -> np.ndarray:
        """Train a classifier and return its predicted class of each test image, int64 `[m]`.

        The seed depends on the subset only, so that arms differ by their training sets alone.

        Parameters
        ----------
        training_set : WeightedTrainingSet
            Training set of one arm.
        subset : LabelSubset
            Subset that the training set was built from.
        """
        predict = self.classifier.train(training_set, child_seed(subset.seed, "classifier"))
        return predict(self.test_images).argmax(axis=1).astype(np.int64)


def default_transform(side: int) -> str:
    """Return the name of the default classic augmentation for images of a side in pixels.

    Images of up to 8 pixels usually show characters, whose class a horizontal flip may change: the
    default is "shift", and "shift-flip" for larger images.
    """
    return "shift" if side <= 8 else "shift-flip"


def classification_metrics(
    predicted: np.ndarray, labels: np.ndarray, num_classes: int
) -> dict[str, Any]:
    """Compute the metrics of predicted classes, each from 0 to 1.

    Parameters
    ----------
    predicted, labels : ndarray of int [m]
        Predicted and true classes of the test images. Every class must occur in `labels`.
    num_classes : int

    Returns
    -------
    dict
        `balanced_accuracy` (the mean recall), `accuracy`, `macro_f1`, and `recall`, a list with the
        recall of each class.
    """
    correct = predicted == labels
    recall = [float(correct[labels == label].mean()) for label in range(num_classes)]
    f1 = f1_score(
        labels, predicted, labels=np.arange(num_classes), average="macro", zero_division=0
    )
    return {
        "balanced_accuracy": float(np.mean(recall)),
        "accuracy": float(correct.mean()),
        "macro_f1": float(f1),
        "recall": recall,
    }
