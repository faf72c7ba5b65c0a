"""Pixel classifiers without TensorFlow: logistic regression and random forest.

A neural network sees new augmented images in every batch. A pixel classifier instead gets every
image and `NUM_AUGMENTED_COPIES` augmented copies at once, with sample weights that match the
sampling probabilities and loss weights of the training set.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from augan.augment.transforms import get_transform
from augan.evaluation.augmentation.training_set import (
    MIXUP_ALPHA,
    PredictProba,
    WeightedTrainingSet,
)
from augan.seeding import child_rng, child_seed

NUM_AUGMENTED_COPIES = 4  # of each training image
NUM_TREES = 200  # of the random forest
MAX_ITERATIONS = 500  # of the logistic regression


class PixelClassifier:
    """Classifier of scikit-learn on pixels that are scaled to [-1, 1].

    Parameters
    ----------
    name : str
        Name in settings and messages.
    build : callable
        Seed -> unfitted classifier with `predict_proba` and support for `sample_weight`.
    scale : callable
        Prepared images -> float32 in [-1, 1].
    """

    supports_consistency = False

    def __init__(
        self, name: str, build: Callable[[int], Any], scale: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        self.name = name
        self._build, self._scale = build, scale

    def train(self, training_set: WeightedTrainingSet, seed: int) -> PredictProba:
        """Fit a new model to the images and their augmented copies; see `Classifier.train`."""
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits

        rows, labels, weights = self._weighted_rows(training_set, seed)
        # Equal total weight in all arms: otherwise more images would mean less regularization.
        total = training_set.num_real * (1 + NUM_AUGMENTED_COPIES)
        weights = weights * (total / weights.sum())
        model = self._build(child_seed(seed, self.name))
        # BLAS threads compete for the cores on small products: seven times slower.
        with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # equal iterations in all arms
            model.fit(rows, labels, sample_weight=weights)

        def predict(images: np.ndarray) -> np.ndarray:
            probabilities = np.zeros((len(images), training_set.num_classes))
            probabilities[:, model.classes_] = model.predict_proba(self._flatten(images))
            return probabilities

        return predict

    def _flatten(self, images: np.ndarray) -> np.ndarray:
        """Return images `[n, S, S, C]` as float32 rows `[n, S * S * C]` in [-1, 1]."""
        return self._scale(images).reshape(len(images), -1)

    def _weighted_rows(
        self, training_set: WeightedTrainingSet, seed: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the rows to fit, with augmented copies and mixup.

        Returns
        -------
        rows : ndarray of float32 [n, D]
        labels : ndarray of int [n]
        weights : ndarray of float [n]
            Sample weights, not normalized.
        """
        parts = [training_set.images]
        if training_set.transform != "none":
            augment = get_transform(training_set.transform, child_seed(seed, "policy"))
            parts += [augment(training_set.images) for _ in range(NUM_AUGMENTED_COPIES)]
        rows = self._flatten(np.concatenate(parts))
        labels = np.tile(training_set.labels, len(parts))
        weights = np.tile(training_set.probabilities * training_set.weights, len(parts))
        if not training_set.mixup:
            return rows, labels, weights
        # A row with two labels becomes two rows with one label each. Both images of a pair count
        # by their weight: the first in the weight of the pair, the second in its probability.
        rng = child_rng(seed, "mixup")
        partners = rng.choice(len(rows), len(rows), p=weights / weights.sum())
        mixing = rng.beta(MIXUP_ALPHA, MIXUP_ALPHA, len(rows)).astype(np.float32)
        mixed = mixing[:, None] * rows + (1 - mixing[:, None]) * rows[partners]
        return (
            np.concatenate([mixed, mixed]),
            np.concatenate([labels, labels[partners]]),
            np.concatenate([weights * mixing, weights * (1 - mixing)]),
        )


def logistic(scale: Callable[[np.ndarray], np.ndarray]) -> PixelClassifier:
    """Return the classifier `logistic`: logistic regression on pixels, scikit-learn's defaults.

    At most 500 iterations. `scale` maps prepared images to float32 in [-1, 1].
    """

    def build(seed: int) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=MAX_ITERATIONS)

    return PixelClassifier("logistic", build, scale)


def forest(scale: Callable[[np.ndarray], np.ndarray]) -> PixelClassifier:
    """Return the classifier `forest`: a random forest of `NUM_TREES` trees on pixels.

    `scale` maps prepared images to float32 in [-1, 1].
    """

    def build(seed: int) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(NUM_TREES, random_state=seed, n_jobs=-1)

    return PixelClassifier("forest", build, scale)
