"""Decoded images to what networks take, as operations on tensors: what `scale` does, and more.

Of squares that is a factor and a shift. Of large images brightness is compared with that of the
surroundings first (`augan.data.modalities.tiles`); the Gaussian is a product with a matrix for
each axis, so
that height and width may be unknown.
"""

from typing import Any

import numpy as np

from augan.data.modalities.images import FARTHEST, ImagePreprocessing
from augan.data.modalities.tiles import CONTRAST, DARK, SURROUNDINGS, TiledPreprocessing
from augan.gan import tf

Tensor = Any

RADIUS = int(4 * SURROUNDINGS + 0.5)  # pixels, where SciPy cuts the Gaussian off
LEAST_SIDE = -(-RADIUS // 2)  # pixels; the mirrors of `_blur` reach two sides far


def scaled(preprocessing: ImagePreprocessing, images: Tensor) -> Tensor:
    """Return decoded images in [-1, 1], float32 `[B, S, S, C]`; tiled: one image `[1, H, W, C]`."""
    if isinstance(preprocessing, TiledPreprocessing):
        return _beside_surroundings(preprocessing, images)
    low, high = preprocessing.low, preprocessing.high
    if preprocessing.dtype != "float32":
        return (tf.cast(images, tf.float32) - low) * (2 / (high - low)) - 1
    x = (tf.cast(images, tf.float64) - low) * (2 / (high - low)) - 1
    return tf.cast(tf.clip_by_value(x, -FARTHEST, FARTHEST), tf.float32)


def unscaled(preprocessing: ImagePreprocessing, images: Tensor) -> Tensor:
    """Return images in [-1, 1] as stored values: what `denormalize` does."""
    if isinstance(preprocessing, TiledPreprocessing):
        return tf.cast(tf.round((tf.clip_by_value(images, -1, 1) + 1) * 127.5), tf.uint8)
    low, high = preprocessing.low, preprocessing.high
    if preprocessing.dtype != "float32":
        values = (tf.clip_by_value(images, -1, 1) + 1) * ((high - low) / 2) + low
        return tf.cast(tf.round(values), preprocessing.dtype)
    x = tf.clip_by_value(tf.cast(images, tf.float64), -1, 1)
    return tf.cast((x + 1) * ((high - low) / 2) + low, tf.float32)


def _beside_surroundings(patches: TiledPreprocessing, images: Tensor) -> Tensor:
    values = (tf.cast(images[0], tf.float64) - patches.low) / (patches.high - patches.low)
    # A sum, because what is a mean here becomes a pooling there, which takes float32 only.
    gray = tf.reduce_sum(values, axis=-1) / patches.channels
    down, across = (_blur(tf.shape(gray)[axis]) for axis in (0, 1))
    around = tf.matmul(tf.matmul(down, gray), across)[..., None]
    ratio = tf.math.log((tf.nn.relu(values) + DARK) / (tf.nn.relu(around) + DARK))
    flat = tf.round(127.5 + tf.clip_by_value(CONTRAST * ratio, -1, 1) * 127.5)
    for axis in (0, 1):  # what is smaller than a window is filled up by its edge
        length = tf.shape(flat)[axis]
        places = tf.range(tf.maximum(length, patches.window))
        flat = tf.gather(flat, tf.minimum(places, length - 1), axis=axis)
    return (tf.cast(flat, tf.float32) / 127.5 - 1)[None]


def _blur(length: Tensor) -> Tensor:
    """Return the matrix `[L, L]` of SciPy's Gaussian filter along an axis, L >= `LEAST_SIDE`.

    What lies outside is mirrored, so each place counts as itself and as its mirror images. It does
    so for any other as that does for it: the matrix is symmetric.
    """
    weights = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SURROUNDINGS) ** 2)
    place = tf.range(length)
    matrix = tf.zeros((length, length), tf.float64)
    for turn in (-1, 0, 1):
        for source in (2 * turn * length + place, 2 * turn * length - 1 - place):
            apart = tf.cast(place[:, None] - source, tf.float64)
            found = tf.exp(-0.5 * (apart / SURROUNDINGS) ** 2)
            matrix += tf.where(tf.abs(apart) <= RADIUS, found, tf.zeros_like(found))
    return matrix / weights.sum()
