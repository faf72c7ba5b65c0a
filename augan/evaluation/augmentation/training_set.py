"""Training sets of the classifiers, and the interface of a classifier."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

MIXUP_ALPHA = 0.2  # parameter of the beta distribution of the mixing coefficients

PredictProba = Callable[[np.ndarray], np.ndarray]
"""Prepared images `[m, S, S, C]` -> class probabilities `[m, K]`."""


@dataclass(frozen=True, eq=False)
class WeightedTrainingSet:
    """Images with sampling probabilities and loss weights.

    Attributes
    ----------
    images, labels : ndarray [n, S, S, C] and int64 [n]
        Prepared images and their classes.
    num_classes : int
    num_real : int
        Labeled real images of the subset. The total weight of every training set of a subset is
        proportional to this number, whatever the number of images in the training set.
    probabilities : ndarray of float [n]
        Probability that each image is sampled into a batch; the sum is 1.
    weights : ndarray of float [n]
        Weight of each sampled image in the loss.
    transform : str
        Name of the classic augmentation of every sampled image.
    mixup : bool
        Whether images and their labels are mixed with other images.
    unlabeled : ndarray [m, S, S, C] or None
        Images for consistency training, see `augan.evaluation.augmentation.cnn`.
    """

    images: np.ndarray
    labels: np.ndarray
    num_classes: int
    num_real: int
    probabilities: np.ndarray
    weights: np.ndarray
    transform: str = "none"
    mixup: bool = False
    unlabeled: np.ndarray | None = None


class Classifier(Protocol):
    """A classifier that takes the same number of training steps on every training set."""

    name: str
    supports_consistency: bool  # whether it uses `WeightedTrainingSet.unlabeled`

    def train(self, training_set: WeightedTrainingSet, seed: int) -> PredictProba:
        """Train a new model and return its function from images to class probabilities."""


def balanced_probabilities(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return sampling probabilities by which every class is sampled equally often.

    Examples
    --------
    >>> balanced_probabilities(np.array([0, 0, 1]), 2).tolist()
    [0.25, 0.25, 0.5]
    """
    counts = np.bincount(labels, minlength=num_classes)
    return 1.0 / (counts[labels] * np.count_nonzero(counts))
