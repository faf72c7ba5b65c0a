"""Residuals of reconstructions: differences in pixels and in features, and their maps."""

from augan.gan import Tensor, keras, tf
from augan.gan.networks.build import feature_blocks


class DeepestFeatures:
    """Function from samples `[B, ...]` to the discriminator's deepest features `[B, ...]`.

    Parameters
    ----------
    discriminator : keras.Model
        Trained discriminator; its weights are shared and not changed.
    """

    def __init__(self, discriminator: keras.Model) -> None:
        self._blocks = feature_blocks(discriminator)

    def __call__(self, samples: Tensor) -> Tensor:
        """Return the activations of the last block for samples in [-1, 1]."""
        return self._blocks(samples, training=False)[-1]


def mean_square(difference: Tensor) -> Tensor:
    """Return the mean square over each sample of a batch, `[B, ...]` to `[B]`."""
    return tf.reduce_mean(tf.square(difference), axis=range(1, len(difference.shape)))


def sum_absolute(difference: Tensor) -> Tensor:
    """Return the sum of absolute values over each sample of a batch, `[B, ...]` to `[B]`."""
    return tf.reduce_sum(tf.abs(difference), axis=range(1, len(difference.shape)))


def residual_map(samples: Tensor, reconstructions: Tensor) -> Tensor | None:
    """Return the anomaly maps |x - r| of images, the mean over the channels; None for rows.

    Images and reconstructions are `[B, S, S, C]`, maps `[B, S, S, 1]`.
    """
    if len(samples.shape) == 2:
        return None
    return tf.reduce_mean(tf.abs(samples - reconstructions), axis=-1, keepdims=True)
