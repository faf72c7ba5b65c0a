"""Evaluation protocol: the classifier, the GAN arm and the test images that all repeats share."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import f1_score

from augan.evaluation.augmentation.arms import ABLATION, ARMS, GAN, add_synthetic
from augan.evaluation.augmentation.subsets import LabelSubset
from augan.evaluation.augmentation.synthetic import GanArm, generate_synthetic
from augan.evaluation.augmentation.training_set import Classifier, WeightedTrainingSet
from augan.exceptions import ConfigError
from augan.seeding import child_seed

Synthetic = tuple[np.ndarray, np.ndarray]
"""Synthetic images `[m, S, S, C]` and their classes `[m]`."""


@dataclass(frozen=True, eq=False)
class EvaluationProtocol:
    """Settings that are the same for all arms and repeats.

    Attributes
    ----------
    classifier : Classifier
    transform : str
        Classic augmentation of all arms except `real`.
    gan_arm : GanArm
    test_images : ndarray [m, S, S, C]
        Real images that no arm trains on.
    """

    classifier: Classifier
    transform: str
    gan_arm: GanArm
    test_images: np.ndarray

    def training_set(
        self, arm: str, subset: LabelSubset
    ) -> tuple[WeightedTrainingSet, Synthetic | None]:
        """Return the training set of an arm, and the synthetic images of the GAN arm.

        Raises
        ------
        ConfigError
            The arm does not exist.
        """
        if arm not in (*ARMS, GAN, ABLATION):
            names = ", ".join((*ARMS, GAN, ABLATION))
            raise ConfigError(f"unknown arm '{arm}'; choose from {names}")
        base = arm if arm in ARMS else self.gan_arm.base
        training_set = ARMS[base].build(subset, self.transform, self.classifier)
        if arm != GAN or not self.gan_arm.synthetic_fraction:
            return training_set, None  # a fraction of 0 needs no synthetic images
        images, labels = generate_synthetic(self.gan_arm, subset)
        fraction = self.gan_arm.synthetic_fraction
        return add_synthetic(training_set, images, labels, fraction), (images, labels)

    def predict(self, training_set: WeightedTrainingSet, subset: LabelSubset) -> np.ndarray:
        """Train a classifier and return its predicted class of each test image, int64 `[m]`.

        The seed depends on the subset only, so that arms differ by their training sets alone.
        """
        predict = self.classifier.train(training_set, child_seed(subset.seed, "classifier"))
        return predict(self.test_images).argmax(axis=1).astype(np.int64)


def default_transform(side: int) -> str:
    """Return the classic augmentation for images of this side in pixels.

    Images of up to 8 pixels usually show characters, whose class a horizontal flip may change:
    they are only shifted.
    """
    return "shift" if side <= 8 else "shift-flip"


def classification_metrics(
    predicted: np.ndarray, labels: np.ndarray, num_classes: int
) -> dict[str, Any]:
    """Return balanced accuracy, accuracy, macro-F1 and the recall of each class, from 0 to 1.

    Every class must occur in `labels`.
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
