"""One arm of one draw: what it makes of the labels, and what its classifier says of test images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import f1_score

from augan.evaluation.augmentation.arms import ABLATION, ARMS, GAN, with_synthetic
from augan.evaluation.augmentation.subsets import LabelSubset
from augan.evaluation.augmentation.synthetic import GanArm, synthetic_images
from augan.evaluation.augmentation.training_set import Classifier, WeightedTrainingSet
from augan.exceptions import ConfigError
from augan.seeding import child_seed


def usual_policy(side: int) -> str:
    """Return the classic policy for squares of that side: at 8 pixels `shift`, else `shift-flip`.

    A mirror image keeps the class of most pictures, but not of what is written, which is what so
    few pixels usually show.
    """
    return "shift" if side <= 8 else "shift-flip"


@dataclass(frozen=True, eq=False)
class EvaluationProtocol:
    """What is the same for all arms and draws.

    Attributes
    ----------
    classifier : Classifier
    policy : str
        Classic augmentation of all arms but `real`.
    gan : GanArm
    test : ndarray [m, S, S, C]
        Real images that no arm sees.
    """

    classifier: Classifier
    policy: str
    gan: GanArm
    test: np.ndarray

    def lesson(
        self, arm: str, draw: LabelSubset
    ) -> tuple[WeightedTrainingSet, tuple[np.ndarray, np.ndarray] | None]:
        """Return what an arm trains on, and of the GAN arm the synthetic images and classes.

        Raises
        ------
        ConfigError
            There is no such arm.
        """
        if arm not in (*ARMS, GAN, ABLATION):
            known = ", ".join((*ARMS, GAN, ABLATION))
            raise ConfigError(f"there is no arm '{arm}'; choose from {known}")
        base = arm if arm in ARMS else self.gan.base
        lesson = ARMS[base].make(draw, self.policy, self.classifier)
        if arm != GAN or not self.gan.share:
            return lesson, None  # images of which none would be drawn are not made
        images, labels = synthetic_images(self.gan, draw)
        return with_synthetic(lesson, images, labels, self.gan.share), (images, labels)

    def predict(self, lesson: WeightedTrainingSet, draw: LabelSubset) -> np.ndarray:
        """Return the class that a classifier trained on the lesson gives each test image, `[m]`.

        The seed is the draw's, the same for all arms: what differs is the lesson.
        """
        predict = self.classifier.train(lesson, child_seed(draw.seed, "classifier"))
        return predict(self.test).argmax(axis=1).astype(np.int64)


def figures(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> dict[str, Any]:
    """Return how well classes were recognised: shares of 1, `recall` one for each class.

    Every class must occur among `labels`.
    """
    right = predicted == labels
    recall = [float(right[labels == label].mean()) for label in range(num_classes)]
    f1 = f1_score(
        labels, predicted, labels=np.arange(num_classes), average="macro", zero_division=0
    )
    return {
        "balanced_accuracy": float(np.mean(recall)),
        "accuracy": float(right.mean()),
        "macro_f1": float(f1),
        "recall": recall,
    }
