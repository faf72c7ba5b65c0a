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
    """Score component: log distance of pixels, or column values, to the nearest normal samples.

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
        """Fit the reference set and the standardization on normal samples; return self.

        Parameters
        ----------
        train : ndarray [N, S, S, C] or [N, F]
            Samples of the training split; the reference set.
        val : ndarray [N, S, S, C] or [N, F]
            Samples of the validation split, on which the component is standardized.
        """
        self._reference.fit(_flatten(train))
        self._standardize.fit(self._raw(val))
        return self

    def score_components(self, samples: np.ndarray) -> np.ndarray:
        """Return the standardized, weighted log distance of samples, float64 `[N, 1]`.

        Higher = more anomalous.
        """
        return self._standardize(self._raw(samples)) * self._weight

    def call(self, samples: Tensor) -> Tensor:
        """Tensor version of `score_components`: samples `[B, ...]` to float64 `[B, 1]`."""
        flat = tf.reshape(samples, (-1, math.prod(samples.shape[1:])))
        distances = tf.cast(self._reference.call(flat)[:, :1], tf.float64)
        return self._standardize(tf.math.log(distances + _MIN_DISTANCE)) * self._weight

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays by name, for the bundle."""
        return {**self._reference.get_state(), **self._standardize.get_state()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays that `get_state` returned, and return self."""
        self._reference.set_state(state)
        self._standardize.set_state(state)
        return self

    def _raw(self, samples: np.ndarray) -> np.ndarray:
        """Return the log distance of samples before standardization, `[N, 1]`."""
        return np.log(self._reference.distances(_flatten(samples))[:, :1] + _MIN_DISTANCE)


def _flatten(samples: np.ndarray) -> np.ndarray:
    """Return samples `[N, ...]` as rows `[N, F]`."""
    return samples.reshape(len(samples), -1)
