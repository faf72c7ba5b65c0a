"""Where an image differs: each place of the discriminator's blocks by its own normal spread.

PaDiM (Defard et al. 2021, "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and
Localization") with variances in place of covariances: one deviation for each channel at each place.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from augan.data.splits import evenly_spaced
from augan.features.discriminator import PooledFeatures
from augan.gan import keras, tf
from augan.gan.inference import BatchInference

Tensor = Any

MOST = 2000  # normal images that the spread is learned from
LEAST_SHARE = 0.1  # of the mean deviation: what hardly varies would shout at the least change


class DiagonalPaDiM:
    """Draws maps of how unusual each place of an image looks to the discriminator.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "discriminator", of images; it is read, never changed.
    """

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        self._blocks = PooledFeatures(models["discriminator"])
        self._see = BatchInference(self._blocks, self._blocks.sample_shape)
        self._mean, self._spread = np.zeros(0), np.ones(0)

    def fit(self, reference: np.ndarray) -> Self:
        """Learn from normal images `[N, S, S, C]` in [-1, 1]."""
        some = evenly_spaced(reference, MOST)
        features = self._see(some)[0]
        blocks = np.split(features.std(axis=0), np.cumsum(self._blocks.sizes)[:-1])
        least = [np.full(block.shape, LEAST_SHARE * block.mean() + 1e-12) for block in blocks]
        self._mean = features.mean(axis=0)
        self._spread = np.maximum(np.concatenate(blocks), np.concatenate(least))
        return self

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Return the mean deviation over channels and blocks, float32 `[N, S, S, 1]`.

        It is 1 where an image lies as far from the mean as normal ones usually do.
        """
        return np.concatenate([self._map(features) for (features,) in self._see.batches(images)])

    def _map(self, features: np.ndarray) -> np.ndarray:
        deviations = (((features - self._mean) / self._spread) ** 2).astype(np.float32)
        parts = np.split(deviations, np.cumsum(self._blocks.sizes)[:-1], axis=1)
        side = self._blocks.sample_shape[0]
        total = np.zeros((len(features), side, side, 1), np.float32)
        for part, shape in zip(parts, self._blocks.shapes):
            # A fully connected block is one place, as large as the image.
            block = part.reshape(-1, *(shape if len(shape) == 3 else (1, 1, *shape)))
            block = block.mean(axis=-1, keepdims=True)
            total += tf.image.resize(block, (side, side)).numpy()
        return np.sqrt(total / len(parts))

    def call(self, images: Tensor) -> Tensor:
        """Do what `maps` does, to a tensor `[B, S, S, C]`."""
        deviations = ((self._blocks(images) - self._mean) / self._spread) ** 2
        side, sizes = self._blocks.sample_shape[0], self._blocks.sizes
        parts = []
        for part, shape in zip(tf.split(deviations, sizes, axis=1), self._blocks.shapes):
            block = tf.reshape(part, (-1, *(shape if len(shape) == 3 else (1, 1, *shape))))
            parts.append(tf.image.resize(tf.reduce_mean(block, -1, keepdims=True), (side, side)))
        return tf.sqrt(tf.add_n(parts) / len(parts))

    def get_state(self) -> dict[str, np.ndarray]:
        """Return what `fit` learned, for the bundle."""
        return {"place_mean": self._mean, "place_spread": self._spread}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Take back what `get_state` returned; more than that is left alone."""
        self._mean = np.asarray(state["place_mean"])
        self._spread = np.asarray(state["place_spread"])
        return self
