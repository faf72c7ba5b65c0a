"""Convolutions of stride 2 beside the image, as processors like them.

Where few channels come out (the generator's image, or the gradient by the image that the
discriminator hands it), TensorFlow's transposed convolution is many times slower than its
arithmetic. `grown` computes the same as a convolution whose channels are the four pixels of a block
(Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?"), and `shrunk` is
the usual convolution with that as its gradient.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

Tensor = Any
Gradient = Callable[[Tensor], tuple[Tensor, Tensor]]

KERNEL = 4  # with stride 2 it covers each pixel equally often: no checkerboard
FEW = 8  # channels up to which this is faster


@tf.custom_gradient
def shrunk(images: Tensor, kernel: Tensor) -> tuple[Tensor, Gradient]:
    """Return the convolution of stride 2 of images `[N, H, W, C]` with `[4, 4, C, F]`."""

    def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
        return grown(upstream, kernel), _by_kernel(images, kernel, upstream)

    return tf.nn.conv2d(images, kernel, 2, "SAME"), gradient


@tf.custom_gradient
def grown(maps: Tensor, kernel: Tensor) -> tuple[Tensor, Gradient]:
    """Return what `shrunk` is the gradient of: maps `[N, H, W, F]` -> images `[N, 2 H, 2 W, C]`."""

    def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
        return shrunk(upstream, kernel), _by_kernel(upstream, kernel, maps)

    # Row 2 i + k of the image, one row of padding included, takes row k of the kernel at row i of
    # the maps: so row k = 2 a + p is what each block's pixel p takes from the map a blocks above.
    channels, features = kernel.shape[2:]
    taps = tf.reshape(kernel, (2, 2, 2, 2, channels, features))
    taps = tf.transpose(tf.reverse(taps, (0, 2)), (0, 2, 5, 1, 3, 4))
    taps = tf.reshape(taps, (2, 2, features, 4 * channels))
    padded = tf.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    blocks = tf.nn.conv2d(padded, taps, 1, "VALID")
    return tf.nn.depth_to_space(blocks, 2)[:, 1:-1, 1:-1], gradient


def _by_kernel(images: Tensor, kernel: Tensor, maps: Tensor) -> Tensor:
    return tf.raw_ops.Conv2DBackpropFilter(
        input=images,
        filter_sizes=kernel.shape,
        out_backprop=maps,
        strides=(1, 2, 2, 1),
        padding="SAME",
    )


def convolved(images: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """Return the convolution, of padding "same", the fastest way there is."""
    if stride == 2 and kernel.shape[0] == KERNEL and kernel.shape[2] <= FEW:
        return shrunk(images, kernel)
    return tf.nn.conv2d(images, kernel, stride, "SAME")


class Conv2D(keras.layers.Conv2D):
    """A convolution, of padding "same"."""

    def convolution_op(self, inputs: Tensor, kernel: Any) -> Tensor:
        return convolved(inputs, tf.convert_to_tensor(kernel), self.strides[0])


class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """A transposed convolution with a kernel of 4 x 4, stride 2 and padding "same"."""

    def call(self, inputs: Tensor) -> Tensor:
        if self.filters > FEW:
            return super().call(inputs)
        outputs = grown(inputs, tf.convert_to_tensor(self.kernel))
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias))
        return self.activation(outputs)
