"""Diagonal PaDiM: anomaly maps from the deviation of discriminator features at each location.

PaDiM (Defard et al. 2021, "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and
Localization") with variances instead of covariances: one mean and one standard deviation for each
channel at each location.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np

from augan.data.splits import evenly_spaced
from augan.features.discriminator import PooledFeatures
from augan.gan import Tensor, keras, tf
from augan.gan.inference import BatchInference

_MAX_TRAINING_IMAGES = 2000
# Lower bound of a standard deviation, as a share of the block's mean: features that hardly vary
# would otherwise dominate the map.
MIN_RELATIVE_STD = 0.1


class DiagonalPaDiM:
    """Anomaly maps of images: deviation of discriminator features from normal images.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "discriminator", of images; its weights are not changed.
    """

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        self._features = PooledFeatures(models["discriminator"])
        self._infer = BatchInference(self._features, self._features.sample_shape)
        self._mean, self._std = np.zeros(0), np.ones(0)

    def fit(self, reference: np.ndarray) -> Self:
        """Fit mean and standard deviation of every feature on normal images; return self.

        Parameters
        ----------
        reference : ndarray [N, S, S, C]
            Images in [-1, 1]; at most 2,000 of them, evenly spaced, are used.
        """
        features = self._infer(evenly_spaced(reference, _MAX_TRAINING_IMAGES))[0]
        stds = np.split(features.std(axis=0), np.cumsum(self._features.sizes)[:-1])
        minima = [np.full(std.shape, MIN_RELATIVE_STD * std.mean() + 1e-12) for std in stds]
        self._mean = features.mean(axis=0)
        self._std = np.maximum(np.concatenate(stds), np.concatenate(minima))
        return self

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Return anomaly maps: the root mean squared deviation of features, float32 `[N, S, S, 1]`.

        The mean is taken over the channels and blocks of the discriminator. The value is 1 where an
        image deviates from the mean as much as normal images do on average.

        Parameters
        ----------
        images : ndarray [N, S, S, C]
            Images in [-1, 1].
        """
        return np.concatenate([self._map(features) for (features,) in self._infer.batches(images)])

    def _map(self, features: np.ndarray) -> np.ndarray:
        """Return the anomaly maps `[B, S, S, 1]` of images from their features `[B, F]`."""
        deviations = (((features - self._mean) / self._std) ** 2).astype(np.float32)
        blocks = np.split(deviations, np.cumsum(self._features.sizes)[:-1], axis=1)
        side = self._features.sample_shape[0]
        total = np.zeros((len(features), side, side, 1), np.float32)
        for values, shape in zip(blocks, self._features.shapes):
            # A fully connected block has one location, as large as the image.
            block = values.reshape(-1, *(shape if len(shape) == 3 else (1, 1, *shape)))
            block = block.mean(axis=-1, keepdims=True)
            total += tf.image.resize(block, (side, side)).numpy()
        return np.sqrt(total / len(blocks))

    def call(self, images: Tensor) -> Tensor:
        """Tensor version of `maps`: images `[B, S, S, C]` to float32 `[B, S, S, 1]`."""
        deviations = ((self._features(images) - self._mean) / self._std) ** 2
        side, sizes = self._features.sample_shape[0], self._features.sizes
        blocks = []
        for values, shape in zip(tf.split(deviations, sizes, axis=1), self._features.shapes):
            block = tf.reshape(values, (-1, *(shape if len(shape) == 3 else (1, 1, *shape))))
            blocks.append(tf.image.resize(tf.reduce_mean(block, -1, keepdims=True), (side, side)))
        return tf.sqrt(tf.add_n(blocks) / len(blocks))

    def get_state(self) -> dict[str, np.ndarray]:
        """Return mean and standard deviation of every feature by name, for the bundle."""
        return {"padim_mean": self._mean, "padim_std": self._std}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays, and return self; other keys of `state` are ignored."""
        self._mean = np.asarray(state["padim_mean"])
        self._std = np.asarray(state["padim_std"])
        return self
