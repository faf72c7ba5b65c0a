"""Tensor versions of `ImagePreprocessing.normalize` and `denormalize`, for exported graphs.

Images of a fixed size are scaled and shifted. In large images, brightness is compared with that of
the surroundings first (`augan.data.modalities.tiles`); the Gaussian filter is a matrix product for
each axis, so that height and width may be unknown.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from augan.data.modalities.images import MAX_NORMALIZED, ImagePreprocessing
from augan.data.modalities.tiles import (
    BRIGHTNESS_OFFSET,
    CONTRAST,
    SURROUNDINGS_SIGMA,
    TiledPreprocessing,
)
from augan.gan import Tensor, tf

RADIUS = int(4 * SURROUNDINGS_SIGMA + 0.5)  # pixels, at which SciPy truncates the Gaussian
MIN_SIDE = -(-RADIUS // 2)  # pixels; `_blur_matrix` mirrors an image twice


def normalize(preprocessing: ImagePreprocessing, images: Tensor) -> Tensor:
    """Scale decoded images to the range [-1, 1] that the networks expect.

    Parameters
    ----------
    preprocessing : ImagePreprocessing
    images : Tensor [B, S, S, C]
        Pixels in the type and range of the training images; for `TiledPreprocessing`, one image
        `[1, H, W, C]` whose sides have at least `MIN_SIDE` pixels.

    Returns
    -------
    Tensor of float32 [B, S, S, C]
        For `TiledPreprocessing` `[1, H, W, C]`, with sides of at least one tile. Pixels beyond
        the training range lie outside of [-1, 1] and are clipped at `MAX_NORMALIZED` in absolute
        value.
    """
    return _NORMALIZATIONS[preprocessing.modality](preprocessing, images)


def _normalize_images(preprocessing: ImagePreprocessing, images: Tensor) -> Tensor:
    """Scale and shift images of a fixed size `[B, S, S, C]` to [-1, 1]."""
    low, high = preprocessing.low, preprocessing.high
    if preprocessing.dtype != "float32":
        scaled = (tf.cast(images, tf.float32) - low) * (2 / (high - low)) - 1
        if preprocessing.has_full_range:
            return scaled
        return tf.clip_by_value(scaled, -MAX_NORMALIZED, MAX_NORMALIZED)
    x = (tf.cast(images, tf.float64) - low) * (2 / (high - low)) - 1
    return tf.cast(tf.clip_by_value(x, -MAX_NORMALIZED, MAX_NORMALIZED), tf.float32)


def denormalize(preprocessing: ImagePreprocessing, images: Tensor) -> Tensor:
    """Convert a generator's output in [-1, 1] to prepared pixel values.

    Parameters
    ----------
    preprocessing : ImagePreprocessing
    images : Tensor of float [B, S, S, C]
        Values outside of [-1, 1] are clipped.

    Returns
    -------
    Tensor [B, S, S, C]
        Pixels in the type and range of the training images; for `TiledPreprocessing` uint8, the
        local contrast.
    """
    return _DENORMALIZATIONS[preprocessing.modality](preprocessing, images)


def _denormalize_images(preprocessing: ImagePreprocessing, images: Tensor) -> Tensor:
    """Convert images in [-1, 1] to the range of images of a fixed size."""
    low, high = preprocessing.low, preprocessing.high
    if preprocessing.dtype != "float32":
        values = (tf.clip_by_value(images, -1, 1) + 1) * ((high - low) / 2) + low
        return tf.cast(tf.round(values), preprocessing.dtype)
    x = tf.clip_by_value(tf.cast(images, tf.float64), -1, 1)
    return tf.cast((x + 1) * ((high - low) / 2) + low, tf.float32)


def _denormalize_tiles(preprocessing: TiledPreprocessing, images: Tensor) -> Tensor:
    """Convert windows in [-1, 1] to local contrast, uint8."""
    return tf.cast(tf.round((tf.clip_by_value(images, -1, 1) + 1) * 127.5), tf.uint8)


def _normalize_tiles(preprocessing: TiledPreprocessing, images: Tensor) -> Tensor:
    """Return the local contrast of one large image in [-1, 1], `[1, H, W, C]`.

    Contrast is the log ratio of brightness to the Gaussian-blurred surroundings. Sides shorter than
    one tile are extended by repeating the last row or column.
    """
    span = preprocessing.high - preprocessing.low
    values = (tf.cast(images[0], tf.float64) - preprocessing.low) / span
    # A sum, because tf2onnx converts a mean to a pooling, which takes float32 only.
    gray = tf.reduce_sum(values, axis=-1) / preprocessing.channels
    blur_rows, blur_columns = (_blur_matrix(tf.shape(gray)[axis]) for axis in (0, 1))
    surroundings = tf.matmul(tf.matmul(blur_rows, gray), blur_columns)[..., None]
    ratio = tf.math.log(
        (tf.nn.relu(values) + BRIGHTNESS_OFFSET) / (tf.nn.relu(surroundings) + BRIGHTNESS_OFFSET)
    )
    contrast = tf.round(127.5 + tf.clip_by_value(CONTRAST * ratio, -1, 1) * 127.5)
    for axis in (0, 1):  # repeat the edge of images smaller than a tile
        length = tf.shape(contrast)[axis]
        indices = tf.range(tf.maximum(length, preprocessing.window))
        contrast = tf.gather(contrast, tf.minimum(indices, length - 1), axis=axis)
    return (tf.cast(contrast, tf.float32) / 127.5 - 1)[None]


def _blur_matrix(length: Tensor) -> Tensor:
    """Return the matrix of SciPy's Gaussian filter along an axis, float64 `[length, length]`.

    The length must be at least `MIN_SIDE`. Pixels outside of the image are mirror images of pixels
    inside, so each pixel contributes once itself and once through each of its mirror images. The
    matrix is symmetric.
    """
    weights = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SURROUNDINGS_SIGMA) ** 2)
    position = tf.range(length)
    matrix = tf.zeros((length, length), tf.float64)
    for period in (-1, 0, 1):
        for source in (2 * period * length + position, 2 * period * length - 1 - position):
            distance = tf.cast(position[:, None] - source, tf.float64)
            weight = tf.exp(-0.5 * (distance / SURROUNDINGS_SIGMA) ** 2)
            matrix += tf.where(tf.abs(distance) <= RADIUS, weight, tf.zeros_like(weight))
    return matrix / weights.sum()


_NORMALIZATIONS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "images": _normalize_images,
    "tiles": _normalize_tiles,
}
_DENORMALIZATIONS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "images": _denormalize_images,
    "tiles": _denormalize_tiles,
}
