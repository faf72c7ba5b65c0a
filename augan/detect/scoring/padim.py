"""Diagonal PaDiM: anomaly maps from the deviation of discriminator features at each location.

PaDiM (Defard et al. 2021, "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and
Localization") with variances instead of covariances: one mean and one standard deviation for each
channel at each location.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np

from augan.features.discriminator import PooledFeatures
from augan.gan import Tensor, tf

MAX_TRAINING_IMAGES = 2000  # on which a detector fits the maps
# Lower bound of a standard deviation, as a share of the block's mean: features that hardly vary
# would otherwise dominate the map.
MIN_RELATIVE_STD = 0.1


class DiagonalPaDiM:
    """Anomaly maps of images: deviation of discriminator features from normal images.

    Parameters
    ----------
    pooled : PooledFeatures
        The features of a discriminator of images.
    """

    def __init__(self, pooled: PooledFeatures) -> None:
        self._side, self._sizes = pooled.sample_shape[0], pooled.sizes
        # A fully connected block has one location, as large as the image.
        self._shapes = [shape if len(shape) == 3 else (1, 1, *shape) for shape in pooled.shapes]
        self._mean, self._std = np.zeros(0), np.ones(0)

    def fit(self, features: np.ndarray) -> Self:
        """Fit mean and standard deviation of every feature `[N, F]` on normal images; return self.

        Memory is that of one copy of the features, so callers pass at most `MAX_TRAINING_IMAGES`.
        """
        stds = np.split(features.std(axis=0), np.cumsum(self._sizes)[:-1])
        minima = [np.full(std.shape, MIN_RELATIVE_STD * std.mean() + 1e-12) for std in stds]
        self._mean = features.mean(axis=0)
        self._std = np.maximum(np.concatenate(stds), np.concatenate(minima))
        return self

    def __call__(self, features: Tensor) -> Tensor:
        """Return anomaly maps: the root mean squared deviation of features, float32 `[B, S, S, 1]`.

        The mean is taken over the channels and blocks of the discriminator. The value is 1 where an
        image deviates from the mean as much as normal images do on average.

        Parameters
        ----------
        features : Tensor [B, F]
            Pooled features of images.
        """
        deviations = ((features - self._mean) / self._std) ** 2
        blocks = []
        for values, shape in zip(tf.split(deviations, self._sizes, axis=1), self._shapes):
            block = tf.reduce_mean(tf.reshape(values, (-1, *shape)), axis=-1, keepdims=True)
            blocks.append(tf.image.resize(block, (self._side, self._side)))
        return tf.sqrt(tf.add_n(blocks) / len(blocks))

    def get_state(self) -> dict[str, np.ndarray]:
        """Return mean and standard deviation of every feature by name, for the bundle."""
        return {"mean": self._mean, "std": self._std}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays that `get_state` returned, and return self."""
        self._mean, self._std = np.asarray(state["mean"]), np.asarray(state["std"])
        return self
