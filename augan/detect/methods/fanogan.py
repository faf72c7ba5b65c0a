"""f-AnoGAN (Schlegl et al. 2019): how badly the GAN can reproduce an image, or a row.

An encoder maps the image to a code and the generator maps the code back. What the GAN never saw, it
cannot draw: pixels differ, and so does what the discriminator sees in them. The paper adds both
residuals with a fixed weight; here each is first standardised on normal images held out from
training (the validation split), so that neither wins by its spread alone.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from augan.detect.scoring.standardizer import ScoreStandardizer
from augan.gan import keras, tf
from augan.gan.inference import BatchInference
from augan.gan.networks.registry import feature_blocks

Tensor = Any


class FAnoGAN:
    """Scores images by image residual and discriminator-feature residual.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "generator", "discriminator" and "encoder"; they are read, never changed.
    """

    name = "fanogan"
    input_types: tuple[str, ...] = ("images", "rows")
    required_networks: tuple[str, ...] = ("generator", "discriminator", "encoder")
    optional_networks: tuple[str, ...] = ()
    is_iterative: bool = False
    components: tuple[str, ...] = ("image_residual", "feature_residual")

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        generator, encoder = models["generator"], models["encoder"]
        features = feature_blocks(models["discriminator"])

        def compare(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            again = generator(encoder(images, training=False), training=False)
            image_residual = _mean_square(images - again)
            deep = features(images, training=False)[-1] - features(again, training=False)[-1]
            return again, image_residual, _mean_square(deep)

        self._compared = compare
        self._compare = BatchInference(compare, generator.output_shape[1:])
        self._standard = ScoreStandardizer()

    def fit(self, reference: np.ndarray, val: np.ndarray) -> Self:
        """Learn centre and spread of each residual from normal images `[N, S, S, C]` in [-1, 1].

        Only those of `val`, which the networks did not see in training, are looked at.
        """
        self._standard.fit(self._residuals(val))
        return self

    def score_components(self, images: np.ndarray) -> np.ndarray:
        """Return the standardised residuals, float64 `[N, 2]`, higher = more anomalous."""
        return self._standard(self._residuals(images))

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Return G(E(x)), float32 `[N, S, S, C]` in [-1, 1]."""
        return self._compare(images)[0]

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Return |x - G(E(x))|, the mean over channels, float32 `[N, S, S, 1]`."""
        return np.abs(images - self.reconstruct(images)).mean(axis=-1, keepdims=True)

    def call(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return terms and maps of a tensor `[B, S, S, C]`; see `OnnxExportable`."""
        again, *residuals = self._compared(images)
        components = self._standard(tf.cast(tf.stack(residuals, axis=1), tf.float64))
        return components, tf.reduce_mean(tf.abs(images - again), axis=-1, keepdims=True)

    def get_state(self) -> dict[str, np.ndarray]:
        """Return what `fit` learned, for the bundle."""
        return self._standard.get_state()

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Take back what `get_state` returned."""
        self._standard.set_state(state)
        return self

    def _residuals(self, images: np.ndarray) -> np.ndarray:
        parts = [np.stack(batch[1:], axis=1) for batch in self._compare.batches(images)]
        return np.concatenate(parts).astype(np.float64)


def _mean_square(difference: Tensor) -> Tensor:
    return tf.reduce_mean(tf.square(difference), axis=range(1, len(difference.shape)))
