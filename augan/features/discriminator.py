"""Features of samples from the discriminator's blocks, averaged over neighboring locations."""

import math
from collections.abc import Sequence

from augan.gan import Tensor, keras, tf
from augan.gan.networks.build import feature_blocks

POOL_SIZE = 2


class PooledFeatures:
    """Function from samples `[B, ...]` to features `[B, F]` for detectors.

    The features are the concatenated activations of all blocks of the discriminator; activations of
    images are averaged over squares of 2 x 2 locations.

    Parameters
    ----------
    discriminator : keras.Model
        Trained discriminator; its weights are shared and not changed.

    Attributes
    ----------
    blocks : keras.Model
        Samples -> activations of each block.
    sample_shape : tuple
        Shape of one sample, without the batch.
    shapes : list of tuple
        Shape of each pooled block, without the batch.
    sizes : list of int
        Number of features of each pooled block; their sum is F.
    """

    def __init__(self, discriminator: keras.Model) -> None:
        self.blocks = feature_blocks(discriminator)
        self.sample_shape: tuple[int, ...] = self.blocks.input_shape[1:]
        self.shapes = [_pooled_shape(block.shape[1:]) for block in self.blocks.outputs]
        self.sizes = [math.prod(shape) for shape in self.shapes]

    def __call__(self, samples: Tensor) -> Tensor:
        """Return the features `[B, F]` of samples `[B, ...]` in [-1, 1]."""
        return self.pool(self.blocks(samples, training=False))

    def pool(self, blocks: Sequence[Tensor]) -> Tensor:
        """Return the features `[B, F]` of samples from the activations of each block."""
        return tf.concat(
            [tf.reshape(_pool(b), (-1, size)) for b, size in zip(blocks, self.sizes)], axis=1
        )


def _pool(block: Tensor) -> Tensor:
    """Average image activations `[B, H, W, C]` over 2 x 2 locations; leave others unchanged."""
    if len(block.shape) != 4:
        return block
    return tf.nn.avg_pool2d(block, POOL_SIZE, POOL_SIZE, "VALID")


def _pooled_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of one sample's activations after `_pool`."""
    if len(shape) != 3:
        return shape
    return (shape[0] // POOL_SIZE, shape[1] // POOL_SIZE, shape[2])
