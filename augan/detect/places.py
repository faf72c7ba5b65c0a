"""Where an image differs: each place of the discriminator's blocks by its own normal spread.

PaDiM (Defard et al. 2021, "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and
Localization") with variances in place of covariances: one deviation for each channel at each place.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from augan.gan import tf

LEAST_SHARE = 0.1  # of the mean deviation: what hardly varies would shout at the least change


class Places:
    """Mean and spread of every feature of normal images.

    Parameters
    ----------
    shapes : sequence of tuple (H, W, C)
        Of each block, as pooled; features are the blocks, flattened and joined.
    side : int
        Of the maps, in pixels.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], side: int) -> None:
        self._shapes, self._side = shapes, side
        self._mean, self._spread = np.zeros(0), np.ones(0)

    def fit(self, features: np.ndarray) -> Self:
        """Learn from the features of normal images, `[N, F]`."""
        self._mean, spread = features.mean(axis=0), features.std(axis=0)
        start = 0
        for shape in self._shapes:
            block = spread[start : start + math.prod(shape)]
            np.maximum(block, max(LEAST_SHARE * float(block.mean()), 1e-12), out=block)
            start += len(block)
        self._spread = spread
        return self

    def maps(self, features: np.ndarray) -> np.ndarray:
        """Return the mean deviation over channels and blocks, float32 `[N, side, side, 1]`.

        It is 1 where an image lies as far from the mean as normal ones usually do.
        """
        deviations = (((features - self._mean) / self._spread) ** 2).astype(np.float32)
        ends = np.cumsum([math.prod(shape) for shape in self._shapes])[:-1]
        total = np.zeros((len(features), self._side, self._side, 1), np.float32)
        for part, shape in zip(np.split(deviations, ends, axis=1), self._shapes):
            block = part.reshape(-1, *shape).mean(axis=-1, keepdims=True)
            total += tf.image.resize(block, total.shape[1:3]).numpy()
        return np.sqrt(total / len(self._shapes))

    def state(self) -> dict[str, np.ndarray]:
        """Return what `fit` learned, for the bundle."""
        return {"place_mean": self._mean, "place_spread": self._spread}

    def restore(self, state: Mapping[str, np.ndarray]) -> Self:
        """Take back what `state` returned; more than that is left alone."""
        self._mean = np.asarray(state["place_mean"])
        self._spread = np.asarray(state["place_spread"])
        return self
