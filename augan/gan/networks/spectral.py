"""Spectral normalisation (Miyato et al. 2018, "Spectral Normalization for GANs", algorithm 1).

The kernel is divided by its largest singular value. One power iteration a training pass keeps the
estimate, and the gradient flows through the division, as in the paper (Keras' own wrapper
overwrites the kernel instead).
"""

from typing import Any

import keras
import tensorflow as tf

from augan.gan.networks.strided import convolved
from augan.seeding import child_seed

Tensor = Any


class _Spectral:
    """What both layers share: the singular vector, and the division."""

    name: str
    kernel: Any
    bias: Any

    def add_weight(self, *args: Any, **kwargs: Any) -> Any:
        """Add a weight that stays float32 in whatever the layer computes, for the iteration."""
        return super().add_weight(*args, autocast=False, **kwargs)  # type: ignore[misc]

    def _add_direction(self, units: int, seed: int) -> None:
        initializer = keras.initializers.RandomNormal(
            seed=child_seed(seed, "weights", f"{self.name}/direction")
        )
        self.direction = self.add_weight(
            name="direction", shape=(1, units), trainable=False, initializer=initializer
        )

    def _divided_kernel(self, training: bool) -> Tensor:
        matrix = tf.reshape(self.kernel, (-1, self.direction.shape[1]))
        right = tf.math.l2_normalize(tf.convert_to_tensor(self.direction))
        left = tf.math.l2_normalize(tf.matmul(right, matrix, transpose_b=True))
        if training:
            right = tf.math.l2_normalize(tf.matmul(left, matrix))
            left = tf.math.l2_normalize(tf.matmul(right, matrix, transpose_b=True))
            left, right = tf.stop_gradient(left), tf.stop_gradient(right)
            self.direction.assign(right)
        return self.kernel / tf.reduce_sum(tf.matmul(left, matrix) * right)


class SpectralConv2D(_Spectral, keras.layers.Conv2D):
    """A convolution with a spectrally normalised kernel."""

    def __init__(self, *args: Any, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seed = seed

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        self._add_direction(self.filters, self._seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        kernel = tf.cast(self._divided_kernel(training), inputs.dtype)
        outputs = convolved(inputs, kernel, self.strides[0])
        return self.activation(tf.nn.bias_add(outputs, tf.cast(self.bias, inputs.dtype)))


class SpectralDense(_Spectral, keras.layers.Dense):
    """A dense layer with a spectrally normalised kernel."""

    def __init__(self, *args: Any, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seed = seed

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        self._add_direction(self.units, self._seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        kernel = tf.cast(self._divided_kernel(training), inputs.dtype)
        outputs = tf.matmul(inputs, kernel)
        return self.activation(tf.nn.bias_add(outputs, tf.cast(self.bias, inputs.dtype)))
