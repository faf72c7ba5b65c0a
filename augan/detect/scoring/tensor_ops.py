"""What `augan.detect.methods.tiles` does around its networks, in graphs of any size.

There it is done in NumPy, image by image; where a detector leaves augan it must be operations on
tensors whose height and width are unknown beforehand.
"""

from typing import Any

import numpy as np

from augan.gan import tf

Tensor = Any


def mirrored(images: Tensor, multiple: int) -> Tensor:
    """Return images `[1, H, W, C]` with sides that `multiple` divides, mirrored below and right."""
    for axis in (1, 2):
        length = tf.shape(images)[axis]
        places = tf.range(multiple * shares(length, multiple))
        images = tf.gather(images, tf.minimum(places, 2 * length - 1 - places), axis=axis)
    return images


def shares(length: Tensor, part: int) -> Tensor:
    """Return how many parts a length takes, the last one perhaps not full."""
    return (length + part - 1) // part  # of numbers above 0: ONNX rounds towards it


def others(height: Tensor, width: Tensor, most: int, apart: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `augan.detect.methods.tiles.comparison_grid` does."""
    share = tf.sqrt(tf.cast(height * width, tf.float64) / most)
    step = tf.maximum(2, tf.cast(tf.math.ceil(share), tf.int32))
    rows, columns = tf.range(0, height, step), tf.range(0, width, step)
    down = tf.reshape(rows[:, None] + tf.zeros_like(columns), (-1,))
    across = tf.reshape(tf.zeros_like(rows)[:, None] + columns, (-1,))
    least = tf.minimum(apart, (tf.maximum(rows[-1], columns[-1]) + 1) // 2)
    near = [
        tf.abs(tf.range(length)[:, None] - places) < least
        for length, places in ((height, down), (width, across))
    ]
    return down * width + across, near[0], near[1]


def by_borders(heat: Tensor, mean: np.ndarray, spread: np.ndarray, near: int) -> Tensor:
    """Return a map `[H, W, T]` in deviations, float64, as `BorderNormalizer` does."""
    down, across = (_distances(tf.shape(heat)[axis], near) for axis in (0, 1))
    cells = down[:, None] * (2 * near + 1) + across
    usual, wide = (tf.gather(tf.constant(x, tf.float64), cells) for x in (mean, spread))
    return (tf.cast(heat, tf.float64) - usual) / wide


def _distances(length: Tensor, near: int) -> Tensor:
    first = tf.range(length)
    last = length - 1 - first
    inner = 2 * near - tf.minimum(last, near)
    return tf.where(first <= last, tf.minimum(first, near), inner)


def top_fraction_mean(heat: Tensor, share: float) -> Tensor:
    """Return the means of maps `[H, W, T]` over the places where their sum is highest, `[T]`."""
    values = tf.reshape(heat, (-1, heat.shape[-1]))
    places = tf.cast(tf.shape(values)[0], tf.float64)
    count = tf.maximum(1, tf.cast(tf.round(share * places), tf.int32))
    highest = tf.math.top_k(tf.reduce_sum(values, axis=1), count).indices
    return tf.reduce_mean(tf.gather(values, highest), axis=0)
