"""Training sets of the classifiers in an evaluation, and the interface of a classifier."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

MIXUP_ALPHA = 0.2  # parameter of the beta distribution of the mixing coefficients

PredictProba = Callable[[np.ndarray], np.ndarray]
"""Prepared images `[m, S, S, C]` -> class probabilities `[m, K]`."""


@dataclass(frozen=True, eq=False)
class WeightedTrainingSet:
    """Training images with sampling probabilities and loss weights: what one arm trains on.

    Attributes
    ----------
    images : ndarray [n, S, S, C]
        Prepared images, real and synthetic.
    labels : ndarray of int64 [n]
        Class of each image.
    num_classes : int
    num_real : int
        Number of labeled real images in the subset. A pixel classifier gives all training sets of a
        subset a total weight proportional to this number, whatever n.
    probabilities : ndarray of float [n]
        Probability that each image is sampled into a batch; the sum is 1.
    weights : ndarray of float [n]
        Weight of each sampled image in the loss.
    transform : str
        Classic augmentation of every sampled image, a key of `augan.augment.transforms.TRANSFORMS`.
    mixup : bool
        Whether images and their labels are mixed with other images (mixup).
    unlabeled : ndarray [u, S, S, C] or None
        Prepared images for consistency training, see `augan.evaluation.augmentation.cnn`. None: no
        consistency training.
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
    """Interface of a classifier that is trained equally long on every training set.

    Attributes
    ----------
    name : str
        Name in settings and messages.
    supports_consistency : bool
        Whether the classifier trains on `WeightedTrainingSet.unlabeled`.
    """

    name: str
    supports_consistency: bool  # whether it uses `WeightedTrainingSet.unlabeled`

    def train(self, training_set: WeightedTrainingSet, seed: int) -> PredictProba:
        """Train a new model and return its function from images to class probabilities.

        Parameters
        ----------
        training_set : WeightedTrainingSet
        seed : int
            Seed of the initial weights and the batches.

        Returns
        -------
        PredictProba
            Prepared images `[m, S, S, C]` -> class probabilities `[m, K]`.
        """


def balanced_probabilities(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return sampling probabilities `[n]` by which every class is sampled equally often.

    Parameters
    ----------
    labels : ndarray of int [n]
        Class of each image. Classes that do not occur get no probability.
    num_classes : int

    Examples
    --------
    >>> balanced_probabilities(np.array([0, 0, 1]), 2).tolist()
    [0.25, 0.25, 0.5]
    """
    counts = np.bincount(labels, minlength=num_classes)
    return 1.0 / (counts[labels] * np.count_nonzero(counts))
