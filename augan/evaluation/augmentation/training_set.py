"""What an arm trains a classifier on, and what the classifiers look like from outside."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

MIXUP = 0.2  # alpha of the beta law that mixup draws its shares from
Predict = Callable[[np.ndarray], np.ndarray]  # stored squares [m, S, S, C] -> shares [m, K]


@dataclass(frozen=True, eq=False)
class WeightedTrainingSet:
    """Everything that a classifier is taught.

    Attributes
    ----------
    images, labels : ndarray [n, S, S, C] stored, and int64 [n]
    num_classes, num_real : int
        Classes, and the labeled real images that the arm was given: all arms of a draw count as
        much as these, however many images they made of them.
    shares : ndarray of float [n]
        How often each image is drawn into a batch; they sum to 1.
    weights : ndarray of float [n]
        What each image counts in the loss when it is drawn.
    policy : str
        Classic augmentation of every image that is drawn, by its name.
    mixup : bool
        Whether images are blended with others, and their labels too.
    unlabeled : ndarray [m, S, S, C] or None
        Images to be consistent on: see `augan.evaluation.augmentation.cnn`.
    """

    images: np.ndarray
    labels: np.ndarray
    num_classes: int
    num_real: int
    shares: np.ndarray
    weights: np.ndarray
    policy: str = "none"
    mixup: bool = False
    unlabeled: np.ndarray | None = None


class Classifier(Protocol):
    """A way to learn a lesson: as many updates whatever the lesson is."""

    name: str
    can_be_consistent: bool  # whether it uses `WeightedTrainingSet.unlabeled`

    def train(self, lesson: WeightedTrainingSet, seed: int) -> Predict:
        """Learn from scratch, and return a function that gives each image's shares of classes."""


def evenly_by_class(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return shares by which every class is drawn equally often.

    Examples
    --------
    >>> evenly_by_class(np.array([0, 0, 1]), 2).tolist()
    [0.25, 0.25, 0.5]
    """
    counts = np.bincount(labels, minlength=num_classes)
    return 1.0 / (counts[labels] * np.count_nonzero(counts))
