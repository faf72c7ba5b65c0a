"""Pooled features of the discriminator's blocks."""

import math

from augan.gan import Tensor, keras, tf
from augan.gan.networks.registry import feature_blocks

POOL_SIZE = 2


class PooledFeatures:
    """Concatenated activations of all blocks; those of images are averaged over 2 x 2 locations.

    Parameters
    ----------
    discriminator : keras.Model
        Its weights are not changed.

    Attributes
    ----------
    blocks : keras.Model
        Samples -> activations of each block.
    sample_shape : tuple
        Shape of one sample.
    shapes : list of tuple
        Shape of each pooled block.
    sizes : list of int
        Number of features of each pooled block.
    """

    def __init__(self, discriminator: keras.Model) -> None:
        self.blocks = feature_blocks(discriminator)
        self.sample_shape: tuple[int, ...] = self.blocks.input_shape[1:]
        self.shapes = [_pooled_shape(shape[1:]) for shape in self.blocks.output_shape]
        self.sizes = [math.prod(shape) for shape in self.shapes]

    def __call__(self, samples: Tensor) -> Tensor:
        """Return the features of samples `[B, ...]`, `[B, F]`."""
        blocks = zip(self.blocks(samples, training=False), self.sizes)
        return tf.concat([tf.reshape(_pool(b), (-1, size)) for b, size in blocks], axis=1)


def _pool(block: Tensor) -> Tensor:
    if len(block.shape) != 4:
        return block
    return tf.nn.avg_pool2d(block, POOL_SIZE, POOL_SIZE, "VALID")


def _pooled_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 3:
        return shape
    return (shape[0] // POOL_SIZE, shape[1] // POOL_SIZE, shape[2])
