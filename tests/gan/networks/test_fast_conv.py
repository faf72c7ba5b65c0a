"""The faster layers compute what TensorFlow's and Keras' own compute, with the same gradients."""

import numpy as np
import pytest

from augan.gan import keras, tf
from augan.gan.networks.fast_conv import strided_conv, transposed_conv
from augan.gan.networks.layers import BatchNormalization

N = 3


def draw(*shape):
    return tf.constant(np.random.default_rng(0).normal(size=shape).astype(np.float32))


def plainly_grown(maps, kernel):
    size = [N, 2 * maps.shape[1], 2 * maps.shape[2], kernel.shape[2]]
    return tf.nn.conv2d_transpose(maps, kernel, size, 2, "SAME")


def plainly_shrunk(images, kernel):
    return tf.nn.conv2d(images, kernel, 2, "SAME")


def with_gradients(function, inputs, kernel):
    """The value, its gradients, and gradients of the norm of the first gradient."""
    with tf.GradientTape(persistent=True) as outer:
        outer.watch([inputs, kernel])
        with tf.GradientTape(persistent=True) as inner:
            inner.watch([inputs, kernel])
            value = function(inputs, kernel)
            loss = tf.reduce_sum(tf.sin(value))
        first = inner.gradient(loss, [inputs, kernel])
        norm = sum(tf.reduce_sum(gradient**2) for gradient in first)
    return [value, *first, *outer.gradient(norm, [inputs, kernel])]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [(4, 4), (2, 6)])
@pytest.mark.parametrize("both", [(transposed_conv, plainly_grown), (strided_conv, plainly_shrunk)])
def test_the_same_values_and_gradients_of_first_and_second_order(channels, side, both):
    times, features = (1, 5) if both[0] is transposed_conv else (2, channels)
    inputs = draw(N, times * side[0], times * side[1], features)
    kernel = draw(4, 4, channels, 5) * 0.2
    ours, theirs = (with_gradients(function, inputs, kernel) for function in both)
    for mine, its in zip(ours, theirs):
        np.testing.assert_allclose(mine, its, rtol=1e-4, atol=1e-4 * float(tf.norm(its)))


@pytest.mark.parametrize("plain", [True, False])
def test_batch_normalisation_is_that_of_keras(plain):
    ours, its = (
        kind(center=plain, scale=plain)
        for kind in (BatchNormalization, keras.layers.BatchNormalization)
    )
    x = draw(4, 5, 5, 3) * 3 + 2
    results = []
    for layer in (ours, its):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.sin(y))
        results.append([y, tape.gradient(loss, x), layer(x, training=False)])
    for mine, theirs in zip(*results):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)
    assert [w.name for w in ours.weights] == [w.name for w in its.weights]
    np.testing.assert_allclose(ours.moving_mean, its.moving_mean, rtol=1e-5)
    # Unbiased: 100 values are n / (n - 1) times as far apart as in the mean of their squares.
    added = [np.asarray(layer.moving_variance) - 0.99 for layer in (ours, its)]
    np.testing.assert_allclose(added[0], added[1] * 100 / 99, rtol=1e-4)
