"""Tensor versions of the operations of `PatchFeatures`, for exported graphs.

`augan.detect.methods.tiles` and `augan.detect.scoring.standardizer` compute the same in NumPy,
image by image. An exported detector needs operations on tensors with unknown height and width.
"""

import numpy as np

from augan.gan import Tensor, tf


def pad_symmetric(images: Tensor, multiple: int) -> Tensor:
    """Return images `[1, H, W, C]`, mirrored below and right until `multiple` divides the sides.

    Like `np.pad` with mode "symmetric"; each side must be at least as long as its padding.
    """
    for axis in (1, 2):
        length = tf.shape(images)[axis]
        indices = tf.range(multiple * ceil_div(length, multiple))
        images = tf.gather(images, tf.minimum(indices, 2 * length - 1 - indices), axis=axis)
    return images


def ceil_div(length: Tensor, divisor: int) -> Tensor:
    """Return the quotient of two positive integers, rounded up, as an integer tensor."""
    return (length + divisor - 1) // divisor  # ONNX rounds integer division toward zero


def tensor_comparison_grid(
    height: Tensor, width: Tensor, max_count: int, min_distance: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Tensor version of `augan.detect.methods.tiles.comparison_grid`.

    Parameters
    ----------
    height, width : Tensor of int32
        Number of locations of the feature map.
    max_count : int
        Approximate maximum of the number of compared locations.
    min_distance : int
        Locations nearer than this, in rows and in columns, are not compared.

    Returns
    -------
    others : Tensor of int32 [M]
    near_rows : Tensor of bool [H, M]
    near_columns : Tensor of bool [W, M]
    """
    ratio = tf.sqrt(tf.cast(height * width, tf.float64) / max_count)
    step = tf.maximum(2, tf.cast(tf.math.ceil(ratio), tf.int32))
    grid_rows, grid_columns = tf.range(0, height, step), tf.range(0, width, step)
    rows = tf.reshape(grid_rows[:, None] + tf.zeros_like(grid_columns), (-1,))
    columns = tf.reshape(tf.zeros_like(grid_rows)[:, None] + grid_columns, (-1,))
    half = (tf.maximum(grid_rows[-1], grid_columns[-1]) + 1) // 2
    distance = tf.minimum(min_distance, half)
    near = [
        tf.abs(tf.range(length)[:, None] - positions) < distance
        for length, positions in ((height, rows), (width, columns))
    ]
    return rows * width + columns, near[0], near[1]


def normalize_borders(
    values: Tensor, mean: np.ndarray, spread: np.ndarray, border_width: int
) -> Tensor:
    """Tensor version of `BorderNormalizer`: a map `[H, W, T]` in standard deviations, float64.

    Parameters
    ----------
    values : Tensor [H, W, T]
    mean, spread : ndarray [cells, T]
        Mean and standard deviation of each border cell.
    border_width : int
        Distance from the borders up to which locations have their own statistics.
    """
    rows, columns = (_border_distances(tf.shape(values)[axis], border_width) for axis in (0, 1))
    cells = rows[:, None] * (2 * border_width + 1) + columns
    means, spreads = (tf.gather(tf.constant(x, tf.float64), cells) for x in (mean, spread))
    return (tf.cast(values, tf.float64) - means) / spreads


def _border_distances(length: Tensor, border_width: int) -> Tensor:
    """Tensor version of `augan.detect.scoring.standardizer._border_distances`, `[length]`."""
    first = tf.range(length)
    last = length - 1 - first
    from_end = 2 * border_width - tf.minimum(last, border_width)
    return tf.where(first <= last, tf.minimum(first, border_width), from_end)


def tensor_top_fraction_mean(values: Tensor, fraction: float) -> Tensor:
    """Tensor version of `augan.detect.methods.tiles.top_fraction_mean`, `[H, W, T]` to `[T]`.

    `fraction` is the share of the locations, those with the highest sum of all maps, over which
    each map is averaged.
    """
    flat = tf.reshape(values, (-1, values.shape[-1]))
    size = tf.cast(tf.shape(flat)[0], tf.float64)
    count = tf.maximum(1, tf.cast(tf.round(fraction * size), tf.int32))
    highest = tf.math.top_k(tf.reduce_sum(flat, axis=1), count).indices
    return tf.reduce_mean(tf.gather(flat, highest), axis=0)
