"""Fast convolutions of stride 2 for layers with few output channels.

TensorFlow's transposed convolution is many times slower than its arithmetic where few channels come
out: for the generator's image, and for the gradient of the discriminator with respect to the image.
`transposed_conv` computes the same result as a convolution with four output channels per channel,
one for each pixel of a 2 x 2 block (Shi et al. 2016, "Is the deconvolution layer the same as a
convolutional layer?"). `strided_conv` is the usual convolution with `transposed_conv` as its
gradient.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from augan.gan.tensorflow import Tensor

Gradient = Callable[[Tensor], tuple[Tensor, Tensor]]

# A kernel of 4 with stride 2 covers each pixel equally often, which avoids checkerboard artifacts.
KERNEL_SIZE = 4
MAX_CHANNELS = 8  # the fast path is faster up to this number of channels


@tf.custom_gradient
def strided_conv(images: Tensor, kernel: Tensor) -> tuple[Tensor, Gradient]:
    """Return the convolution of stride 2 and padding "same", with a fast gradient.

    Images `[N, H, W, C]` and a kernel `[4, 4, C, F]` give feature maps `[N, H / 2, W / 2, F]`.
    """

    def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
        return transposed_conv(upstream, kernel), _kernel_gradient(images, kernel, upstream)

    return tf.nn.conv2d(images, kernel, 2, "SAME"), gradient


@tf.custom_gradient
def transposed_conv(maps: Tensor, kernel: Tensor) -> tuple[Tensor, Gradient]:
    """Return the transposed convolution of stride 2, the gradient of `strided_conv` by its images.

    Feature maps `[N, H, W, F]` and a kernel `[4, 4, C, F]` give images `[N, 2 H, 2 W, C]`.
    """

    def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
        return strided_conv(upstream, kernel), _kernel_gradient(upstream, kernel, maps)

    # Row 2 i + k of the image, padded by one row, receives kernel row k times map row i. With
    # k = 2 a + p, kernel row k is the weight of pixel p of a block for the map a blocks above.
    channels, features = kernel.shape[2:]
    taps = tf.reshape(kernel, (2, 2, 2, 2, channels, features))
    taps = tf.transpose(tf.reverse(taps, (0, 2)), (0, 2, 5, 1, 3, 4))
    taps = tf.reshape(taps, (2, 2, features, 4 * channels))
    padded = tf.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    blocks = tf.nn.conv2d(padded, taps, 1, "VALID")
    return tf.nn.depth_to_space(blocks, 2)[:, 1:-1, 1:-1], gradient


def _kernel_gradient(images: Tensor, kernel: Tensor, maps: Tensor) -> Tensor:
    """Return the gradient `[4, 4, C, F]` of `strided_conv` by its kernel."""
    return tf.raw_ops.Conv2DBackpropFilter(
        input=images,
        filter_sizes=kernel.shape,
        out_backprop=maps,
        strides=(1, 2, 2, 1),
        padding="SAME",
    )


def conv_same(images: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """Return the convolution with padding "same" by the faster of two implementations.

    `strided_conv` is used for stride 2, a 4 x 4 kernel and at most `MAX_CHANNELS` input channels,
    else TensorFlow's convolution. Both give the same result up to rounding.
    """
    if stride == 2 and kernel.shape[0] == KERNEL_SIZE and kernel.shape[2] <= MAX_CHANNELS:
        return strided_conv(images, kernel)
    return tf.nn.conv2d(images, kernel, stride, "SAME")


class Conv2D(keras.layers.Conv2D):
    """Keras convolution with padding "same" and a faster gradient for images of few channels."""

    def convolution_op(self, inputs: Tensor, kernel: Any) -> Tensor:
        return conv_same(inputs, tf.convert_to_tensor(kernel), self.strides[0])


class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras transposed convolution of 4 x 4, stride 2 and padding "same", fast for few channels."""

    def call(self, inputs: Tensor) -> Tensor:
        if self.filters > MAX_CHANNELS:
            return super().call(inputs)
        outputs = transposed_conv(inputs, tf.convert_to_tensor(self.kernel))
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias))
        return self.activation(outputs)


def upsampled_conv(maps: Tensor, kernel: Tensor) -> Tensor:
    """Return nearest-neighbor upsampling by 2 and a 3 x 3 convolution with padding "same", at once.

    Equal pixels of the doubled maps share one product, so four sums of a 2 x 2 convolution need
    less than half of the arithmetic. Feature maps `[N, H, W, F]` and a kernel `[3, 3, F, C]` give
    `[N, 2 H, 2 W, C]`.
    """
    taps = _sums_of_taps(_sums_of_taps(kernel, 0), 2)  # q, a, p, b, F, C
    taps = tf.transpose(taps, (1, 3, 4, 0, 2, 5))
    taps = tf.reshape(taps, (2, 2, kernel.shape[2], 4 * kernel.shape[3]))
    padded = tf.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    blocks = tf.nn.conv2d(padded, tf.cast(taps, maps.dtype), 1, "VALID")
    doubled = tf.nn.depth_to_space(blocks, 2)
    # The gradient of `tf.slice` is a padding; that of [1:-1] is many times slower in bfloat16.
    size = [-1, 2 * tf.shape(maps)[1], 2 * tf.shape(maps)[2], -1]
    if None not in maps.shape[1:3]:
        size = [-1, 2 * maps.shape[1], 2 * maps.shape[2], -1]
    return tf.slice(doubled, [0, 1, 1, 0], size)


def _sums_of_taps(kernel: Tensor, axis: int) -> Tensor:
    """Replace an axis of three taps by two axes: phase of the doubled pixel, neighbor above, below.

    The lower half of a pixel meets the pixel with two taps, and its neighbor below with one.
    """
    first, second, third = tf.unstack(kernel, axis=axis)
    lower_half = tf.stack([first + second, third], axis=axis)
    upper_half = tf.stack([first, second + third], axis=axis)
    return tf.stack([lower_half, upper_half], axis=axis)


class UpsampledConv2D(keras.layers.Conv2D):
    """Keras 3 x 3 convolution with padding "same" after nearest-neighbor upsampling by 2."""

    def call(self, inputs: Tensor) -> Tensor:
        outputs = upsampled_conv(inputs, tf.convert_to_tensor(self.kernel))
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias))
        return self.activation(outputs)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        count, height, width, _ = input_shape
        sides = (None if side is None else 2 * side for side in (height, width))
        return (count, *sides, self.filters)
