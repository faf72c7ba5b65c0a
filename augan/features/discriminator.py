"""What the discriminator's blocks say of a sample, in fewer numbers."""

import math
from typing import Any

from augan.gan import keras, tf
from augan.gan.networks.registry import feature_blocks

Tensor = Any

POOL = 2


class PooledFeatures:
    """Samples -> the activations of all blocks side by side, of images averaged over 2 x 2 places.

    Parameters
    ----------
    discriminator : keras.Model
        It is read, never changed.

    Attributes
    ----------
    sample_shape : tuple
        Of one sample.
    shapes : list of tuple
        Of each block, as pooled.
    sizes : list of int
        Values of each.
    """

    def __init__(self, discriminator: keras.Model) -> None:
        self.blocks = feature_blocks(discriminator)
        self.sample_shape: tuple[int, ...] = self.blocks.input_shape[1:]
        self.shapes = [_pooled_shape(shape[1:]) for shape in self.blocks.output_shape]
        self.sizes = [math.prod(shape) for shape in self.shapes]

    def __call__(self, samples: Tensor) -> Tensor:
        """Return the features of samples `[B, ...]`, `[B, F]`."""
        blocks = self.blocks(samples, training=False)
        parts = zip(blocks, self.sizes)
        return tf.concat([tf.reshape(_pooled(b), (-1, size)) for b, size in parts], axis=1)


def _pooled(block: Tensor) -> Tensor:
    return tf.nn.avg_pool2d(block, POOL, POOL, "VALID") if len(block.shape) == 4 else block


def _pooled_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0] // POOL, shape[1] // POOL, shape[2]) if len(shape) == 3 else shape
