"""Logistic regression and random forests on pixels, as judges that need no TensorFlow.

What a network is shown anew in each batch, these are given at once: every image and `COPIES`
augmented copies of it, weighted so that each class and arm counts as a lesson says.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from augan.augment.transforms import get_transform
from augan.evaluation.augmentation.training_set import MIXUP, Predict, WeightedTrainingSet
from augan.seeding import child_rng, child_seed

COPIES = 4  # augmented copies of each image
TREES = 200
ITERATIONS = 500


class PixelClassifier:
    """A classifier of scikit-learn on the pixels, scaled to [-1, 1].

    Parameters
    ----------
    name : str
    make : callable
        A seed -> an unfitted classifier that takes `sample_weight` and gives `predict_proba`.
    scale : callable
        Stored squares -> float32 in [-1, 1].
    """

    can_be_consistent = False

    def __init__(
        self, name: str, make: Callable[[int], Any], scale: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        self.name = name
        self._make, self._scale = make, scale

    def train(self, lesson: WeightedTrainingSet, seed: int) -> Predict:
        """Fit on the lesson's images and augmented copies of them."""
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits

        rows, labels, weights = self._material(lesson, seed)
        # All arms weigh the same, or those with more images would be regularised less.
        weights = weights * (lesson.num_real * (1 + COPIES) / weights.sum())
        model = self._make(child_seed(seed, self.name))
        # Threads that wait for small products take the cores from each other: seven times slower.
        with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # equal iterations for all arms
            model.fit(rows, labels, sample_weight=weights)

        def predict(images: np.ndarray) -> np.ndarray:
            shares = np.zeros((len(images), lesson.num_classes))
            shares[:, model.classes_] = model.predict_proba(self._flat(images))
            return shares

        return predict

    def _flat(self, images: np.ndarray) -> np.ndarray:
        return self._scale(images).reshape(len(images), -1)

    def _material(
        self, lesson: WeightedTrainingSet, seed: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rows `[n, D]`, labels and weights."""
        parts = [lesson.images]
        if lesson.policy != "none":
            augment = get_transform(lesson.policy, child_seed(seed, "policy"))
            parts += [augment(lesson.images) for _ in range(COPIES)]
        rows = self._flat(np.concatenate(parts))
        labels = np.tile(lesson.labels, len(parts))
        weights = np.tile(lesson.shares * lesson.weights, len(parts))
        if not lesson.mixup:
            return rows, labels, weights
        # A row of two labels becomes two rows of one label each. Both partners count as often as
        # their weights say: the one because the pair is weighed so, the other by being chosen so.
        rng = child_rng(seed, "mixup")
        partners = rng.choice(len(rows), len(rows), p=weights / weights.sum())
        share = rng.beta(MIXUP, MIXUP, len(rows)).astype(np.float32)
        mixed = share[:, None] * rows + (1 - share[:, None]) * rows[partners]
        return (
            np.concatenate([mixed, mixed]),
            np.concatenate([labels, labels[partners]]),
            np.concatenate([weights * share, weights * (1 - share)]),
        )


def logistic(scale: Callable[[np.ndarray], np.ndarray]) -> PixelClassifier:
    """Return a logistic regression with scikit-learn's own settings."""

    def make(seed: int) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=ITERATIONS)

    return PixelClassifier("logistic", make, scale)


def forest(scale: Callable[[np.ndarray], np.ndarray]) -> PixelClassifier:
    """Return a random forest of 200 trees."""

    def make(seed: int) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(TREES, random_state=seed, n_jobs=-1)

    return PixelClassifier("forest", make, scale)
