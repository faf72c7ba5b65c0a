"""Nearest-neighbor distance of raw samples: pixels or column values, without any network.

On small or aligned images this baseline is strong, and it detects differences that a network may
have learned to ignore. It is a component of the method `auto` and not a method, because it does not
use the GAN.
"""

import math
from collections.abc import Mapping
from typing import Self

import numpy as np

from augan.detect.scoring.component import ScoreComponent
from augan.detect.scoring.knn_mahalanobis import PCAReferenceSet
from augan.detect.scoring.standardizer import ScoreStandardizer
from augan.gan import Tensor, tf

_MIN_DISTANCE = 1e-6  # added to distances, so that the logarithm of 0 is finite


class PixelNeighbors:
    """Logarithm of the distance of pixels, or of column values, to the nearest normal samples.

    Parameters
    ----------
    weight : float
        Factor of the component in the score.
    """

    components: tuple[ScoreComponent, ...] = (
        ScoreComponent(
            "input_neighbors",
            "distance to the nearest training samples, compared value by value",
        ),
    )

    def __init__(self, weight: float = 1.0) -> None:
        self._weight = weight
        self._reference, self._standardize = PCAReferenceSet(), ScoreStandardizer()

    def fit(self, train: np.ndarray, val: np.ndarray) -> Self:
        """Fit on normal samples `[N, S, S, C]` or `[N, F]` of the training and validation split."""
        self._reference.fit(_flatten(train))
        self._standardize.fit(self._raw(val))
        return self

    def score_components(self, samples: np.ndarray) -> np.ndarray:
        """Return the standardized log distance, float64 `[N, 1]`; higher = more anomalous."""
        return self._standardize(self._raw(samples)) * self._weight

    def call(self, samples: Tensor) -> Tensor:
        """Return the `score_components` of samples `[B, ...]` as a tensor."""
        flat = tf.reshape(samples, (-1, math.prod(samples.shape[1:])))
        distances = tf.cast(self._reference.call(flat)[:, :1], tf.float64)
        return self._standardize(tf.math.log(distances + _MIN_DISTANCE)) * self._weight

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays, for the bundle."""
        return {**self._reference.get_state(), **self._standardize.get_state()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays."""
        self._reference.set_state(state)
        self._standardize.set_state(state)
        return self

    def _raw(self, samples: np.ndarray) -> np.ndarray:
        return np.log(self._reference.distances(_flatten(samples))[:, :1] + _MIN_DISTANCE)


def _flatten(samples: np.ndarray) -> np.ndarray:
    return samples.reshape(len(samples), -1)
