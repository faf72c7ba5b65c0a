"""Spectral normalisation (Miyato et al. 2018, "Spectral Normalization for GANs", algorithm 1)."""

from typing import Any

import keras
import tensorflow as tf

from augan.seeding import child_seed

Tensor = Any


class SpectralConv2D(keras.layers.Conv2D):
    """A convolution whose kernel is divided by its largest singular value.

    One power iteration a training pass keeps the estimate; the gradient flows through the
    division, as in the paper (Keras' own wrapper overwrites the kernel instead).
    """

    def __init__(self, *args: Any, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seed = seed

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        self.direction = self.add_weight(
            name="direction",
            shape=(1, self.filters),
            trainable=False,
            initializer=keras.initializers.RandomNormal(
                seed=child_seed(self._seed, "weights", f"{self.name}/direction")
            ),
        )

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        matrix = tf.reshape(self.kernel, (-1, self.filters))
        right = tf.convert_to_tensor(self.direction)
        left = tf.math.l2_normalize(tf.matmul(right, matrix, transpose_b=True))
        if training:
            right = tf.math.l2_normalize(tf.matmul(left, matrix))
            left = tf.math.l2_normalize(tf.matmul(right, matrix, transpose_b=True))
            left, right = tf.stop_gradient(left), tf.stop_gradient(right)
            self.direction.assign(right)
        norm = tf.reduce_sum(tf.matmul(left, matrix) * right)
        outputs = tf.nn.conv2d(inputs, self.kernel / norm, self.strides, self.padding.upper())
        return self.activation(tf.nn.bias_add(outputs, self.bias))
