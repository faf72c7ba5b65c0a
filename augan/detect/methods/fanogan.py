"""f-AnoGAN (Schlegl et al. 2019): reconstruction of a sample by encoder and generator.

An encoder maps the sample to a latent code, and the generator maps the code back. The GAN cannot
reproduce what it was not trained on: pixels differ, and so do the features of the discriminator.
The paper adds both residuals with a fixed weight; here each residual is first standardized on
normal samples of the validation split, so that the residual with the larger spread does not
dominate.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np

from augan.detect.scoring.component import ScoreComponent
from augan.detect.scoring.standardizer import ScoreStandardizer
from augan.gan import Tensor, keras, tf
from augan.gan.inference import BatchInference
from augan.gan.networks.registry import feature_blocks


class FAnoGAN:
    """Detection method f-AnoGAN: residuals of a sample's reconstruction by encoder and generator.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "generator", "discriminator" and "encoder"; their weights are not changed.
    """

    name = "fanogan"
    components: tuple[ScoreComponent, ...] = (
        ScoreComponent(
            "image_residual", "difference between the sample and its reconstruction by the GAN"
        ),
        ScoreComponent(
            "feature_residual",
            "difference between the two in the features of the discriminator",
        ),
    )

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        generator, encoder = models["generator"], models["encoder"]
        features = feature_blocks(models["discriminator"])

        def compare(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            reconstruction = generator(encoder(images, training=False), training=False)
            image_residual = _mean_square(images - reconstruction)
            difference = features(images, training=False)[-1]
            difference -= features(reconstruction, training=False)[-1]
            return reconstruction, image_residual, _mean_square(difference)

        self._compare = compare
        self._infer = BatchInference(compare, generator.output_shape[1:])
        self._standardize = ScoreStandardizer()

    def fit(self, train: np.ndarray, val: np.ndarray) -> Self:
        """Fit mean and standard deviation of both residuals on normal samples; return self.

        Parameters
        ----------
        train : ndarray
            Not used, because the networks were trained on these samples.
        val : ndarray [N, S, S, C] or [N, F]
            Normal samples in [-1, 1] of the validation split.
        """
        self._standardize.fit(self._residuals(val))
        return self

    def score_components(self, images: np.ndarray) -> np.ndarray:
        """Return the standardized image and feature residual of each sample, float64 `[N, 2]`.

        Higher = more anomalous.
        """
        return self._standardize(self._residuals(images))

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Return the reconstructions G(E(x)) of samples, float32, in the samples' shape."""
        return self._infer(images)[0]

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Return anomaly maps |x - G(E(x))|, the mean over channels, float32 `[N, S, S, 1]`.

        Higher = more anomalous.
        """
        return np.abs(images - self.reconstruct(images)).mean(axis=-1, keepdims=True)

    def call(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return components `[B, 2]` and maps `[B, S, S, 1]` of images as tensors, for export.

        See `OnnxExportable`.
        """
        reconstruction, *residuals = self._compare(images)
        components = self._standardize(tf.cast(tf.stack(residuals, axis=1), tf.float64))
        return components, tf.reduce_mean(tf.abs(images - reconstruction), axis=-1, keepdims=True)

    def get_state(self) -> dict[str, np.ndarray]:
        """Return mean and standard deviation of both residuals by name, for the bundle."""
        return self._standardize.get_state()

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays that `get_state` returned, and return self."""
        self._standardize.set_state(state)
        return self

    def _residuals(self, images: np.ndarray) -> np.ndarray:
        """Return the raw image and feature residual of each sample, float64 `[N, 2]`."""
        batches = [np.stack(batch[1:], axis=1) for batch in self._infer.batches(images)]
        return np.concatenate(batches).astype(np.float64)


def _mean_square(difference: Tensor) -> Tensor:
    """Return the mean square over each sample of a batch, `[B, ...]` to `[B]`."""
    return tf.reduce_mean(tf.square(difference), axis=range(1, len(difference.shape)))
