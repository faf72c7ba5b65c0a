"""Convolutions of stride 2 beside the image, and batch normalisation, as processors like them.

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

from augan.gan import replicas

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


class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation; of images in training by TensorFlow's one operation for it.

    What Keras composes of a dozen takes twice as long. The variance that is kept for inference is
    the unbiased one, as in the paper (Ioffe and Szegedy 2015, algorithm 2).

    The statistics are those of the whole batch, also where several replicas share it: a replica's
    rows may be few, and then the network would be another than that of one replica.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> Tensor:
        several = replicas.count() > 1
        if not training or (len(inputs.shape) != 4 and not several):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        scale = tf.ones(channels) if self.gamma is None else tf.convert_to_tensor(self.gamma)
        shift = tf.zeros(channels) if self.beta is None else tf.convert_to_tensor(self.beta)
        if several:
            outputs, mean, variance = self._over_replicas(inputs, scale, shift)
        else:
            outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                inputs, scale, shift, epsilon=self.epsilon, is_training=True
            )
        for kept, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            kept.assign(kept * self.momentum + now * (1.0 - self.momentum))
        return outputs

    def _over_replicas(
        self, inputs: Tensor, scale: Tensor, shift: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Do what one replica does with the whole batch; of rows it keeps the biased variance."""
        values, axes = tf.cast(inputs, tf.float32), list(range(len(inputs.shape) - 1))
        moments = tf.stack([tf.reduce_mean(x, axes) for x in (values, tf.square(values))])
        mean, square = tf.unstack(replicas.mean(moments))
        variance = tf.maximum(square - tf.square(mean), 0.0)
        outputs = tf.nn.batch_normalization(values, mean, variance, shift, scale, self.epsilon)
        if len(inputs.shape) == 4:
            size = tf.cast(tf.size(inputs) // inputs.shape[-1] * replicas.count(), tf.float32)
            return tf.cast(outputs, inputs.dtype), mean, variance * size / (size - 1.0)
        return tf.cast(outputs, inputs.dtype), mean, variance
