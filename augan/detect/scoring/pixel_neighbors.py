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
from augan.gan.inference import BatchInference

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
        self._reference, self._standardizer = PCAReferenceSet(), ScoreStandardizer()

    def fit(self, train: np.ndarray, val: np.ndarray) -> Self:
        """Fit the reference set and the standardization on normal samples; return self.

        Parameters
        ----------
        train : ndarray [N, S, S, C] or [N, F]
            Samples of the training split; the reference set.
        val : ndarray [N, S, S, C] or [N, F]
            Samples of the validation split, on which the component is standardized.
        """
        self._reference.fit(train.reshape(len(train), -1))
        self._standardizer.fit(BatchInference(self._raw, val.shape[1:])(val)[0])
        return self

    def call(self, samples: Tensor) -> Tensor:
        """Return the standardized, weighted log distance of samples `[B, ...]`, float64 `[B, 1]`.

        Higher = more anomalous.
        """
        return self._standardizer(self._raw(samples)) * self._weight

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays by name, for the bundle."""
        return {**self._reference.get_state(), **self._standardizer.get_state()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays that `get_state` returned, and return self."""
        self._reference.set_state(state)
        self._standardizer.set_state(state)
        return self

    def _raw(self, samples: Tensor) -> Tensor:
        """Return the log distance of samples before standardization, float64 `[B, 1]`."""
        flat = tf.reshape(samples, (-1, math.prod(samples.shape[1:])))
        distances = tf.cast(self._reference(flat)[:, :1], tf.float64)
        return tf.math.log(distances + _MIN_DISTANCE)
