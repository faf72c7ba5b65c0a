"""Tests of the fast layers against those of TensorFlow and Keras."""

import numpy as np
import pytest

from augan.gan import keras, tf
from augan.gan.networks.fast_conv import strided_conv, transposed_conv, upsampled_conv
from augan.gan.networks.layers import BatchNormalization

N = 3


def random_tensor(*shape):
    return tf.constant(np.random.default_rng(0).normal(size=shape).astype(np.float32))


def tf_transposed_conv(maps, kernel):
    size = [N, 2 * maps.shape[1], 2 * maps.shape[2], kernel.shape[2]]
    return tf.nn.conv2d_transpose(maps, kernel, size, 2, "SAME")


def tf_strided_conv(images, kernel):
    return tf.nn.conv2d(images, kernel, 2, "SAME")


def with_gradients(function, inputs, kernel):
    """Return the value, its gradients, and the gradients of the norm of the first gradient."""
    with tf.GradientTape(persistent=True) as outer:
        outer.watch([inputs, kernel])
        with tf.GradientTape(persistent=True) as inner:
            inner.watch([inputs, kernel])
            value = function(inputs, kernel)
            loss = tf.reduce_sum(tf.sin(value))
        first = inner.gradient(loss, [inputs, kernel])
        norm = sum(tf.reduce_sum(gradient**2) for gradient in first)
    return [value, *first, *outer.gradient(norm, [inputs, kernel])]


def tf_upsampled_conv(maps, kernel):
    return tf.nn.conv2d(keras.layers.UpSampling2D()(maps), kernel, 1, "SAME")


@pytest.mark.parametrize("side", [(4, 4), (2, 6)])
def test_upsampling_and_convolution_at_once_equal_both_in_turn(side):
    inputs, kernel = random_tensor(N, *side, 5), random_tensor(3, 3, 5, 4) * 0.2
    ours, expected_result = (
        with_gradients(function, inputs, kernel) for function in (upsampled_conv, tf_upsampled_conv)
    )
    for actual, expected in zip(ours, expected_result):
        np.testing.assert_allclose(actual, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [(4, 4), (2, 6)])
@pytest.mark.parametrize(
    "both", [(transposed_conv, tf_transposed_conv), (strided_conv, tf_strided_conv)]
)
def test_fast_conv_equals_tensorflow_in_values_and_gradients(channels, side, both):
    times, features = (1, 5) if both[0] is transposed_conv else (2, channels)
    inputs = random_tensor(N, times * side[0], times * side[1], features)
    kernel = random_tensor(4, 4, channels, 5) * 0.2
    ours, expected_result = (with_gradients(function, inputs, kernel) for function in both)
    for actual, expected in zip(ours, expected_result):
        np.testing.assert_allclose(
            actual, expected, rtol=1e-4, atol=1e-4 * float(tf.norm(expected))
        )


@pytest.mark.parametrize("plain", [True, False])
def test_batch_normalization_equals_that_of_keras(plain):
    ours, expected = (
        kind(center=plain, scale=plain)
        for kind in (BatchNormalization, keras.layers.BatchNormalization)
    )
    x = random_tensor(4, 5, 5, 3) * 3 + 2
    results = []
    for layer in (ours, expected):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.sin(y))
        results.append([y, tape.gradient(loss, x), layer(x, training=False)])
    for actual, expected_result in zip(*results):
        np.testing.assert_allclose(actual, expected_result, rtol=1e-3, atol=1e-4)
    assert [w.name for w in ours.weights] == [w.name for w in expected.weights]
    np.testing.assert_allclose(ours.moving_mean, expected.moving_mean, rtol=1e-5)
    # Unbiased: 100 values are n / (n - 1) times as far apart as in the mean of their squares.
    added = [np.asarray(layer.moving_variance) - 0.99 for layer in (ours, expected)]
    np.testing.assert_allclose(added[0], added[1] * 100 / 99, rtol=1e-4)
