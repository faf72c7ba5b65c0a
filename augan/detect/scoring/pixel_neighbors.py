"""The samples themselves, without any network: how far from the nearest normal ones.

On small or aligned images this is hard to beat, and it sees what a network may have learned to
ignore. It is a term of `auto`, never a method: alone it would owe nothing to a GAN.
"""

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from augan.detect.scoring.knn_mahalanobis import PCAReferenceSet
from augan.detect.scoring.standardizer import ScoreStandardizer
from augan.gan import tf

Tensor = Any

LEAST = 1e-6  # distance; the logarithm of none would be endless


class PixelNeighbors:
    """Logarithm of the distance of pixels, or of a row's values, to those of normal samples.

    Parameters
    ----------
    weight : float
        Of the term.
    """

    components: tuple[str, ...] = ("input_neighbours",)

    def __init__(self, weight: float = 1.0) -> None:
        self._weight = weight
        self._reference, self._standard = PCAReferenceSet(), ScoreStandardizer()

    def fit(self, reference: np.ndarray, val: np.ndarray) -> Self:
        """Learn from normal samples `[N, S, S, C]` or `[N, F]`: those trained on, and others."""
        self._reference.fit(_flat(reference))
        self._standard.fit(self._raw(val))
        return self

    def score_components(self, samples: np.ndarray) -> np.ndarray:
        """Return the standardised distance, float64 `[N, 1]`, higher = more anomalous."""
        return self._standard(self._raw(samples)) * self._weight

    def call(self, samples: Tensor) -> Tensor:
        """Do what `score_components` does, to a tensor `[B, ...]`."""
        flat = tf.reshape(samples, (-1, math.prod(samples.shape[1:])))
        distances = tf.cast(self._reference.call(flat)[:, :1], tf.float64)
        return self._standard(tf.math.log(distances + LEAST)) * self._weight

    def get_state(self) -> dict[str, np.ndarray]:
        """Return what `fit` learned, for the bundle."""
        return {**self._reference.get_state(), **self._standard.get_state()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Take back what `get_state` returned."""
        self._reference.set_state(state)
        self._standard.set_state(state)
        return self

    def _raw(self, samples: np.ndarray) -> np.ndarray:
        return np.log(self._reference.distances(_flat(samples))[:, :1] + LEAST)


def _flat(samples: np.ndarray) -> np.ndarray:
    return samples.reshape(len(samples), -1)
