"""Distances between the locations of one large image, and to the locations of normal images.

Operations are on tensors with unknown height and width, so that an exported graph contains them.
"""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from augan.gan import Tensor, tf

_SHRINKAGE = 0.01  # weight of the mean variance in the variance of each axis
NUM_AXES = 48  # principal axes in which the locations of one image are compared
MIN_DISTANCE = 8  # locations nearer than this are always similar and are not compared
MAX_COMPARED = 1500  # locations of an image with which each location is compared
_STATE = ("scales", "mean", "axes", "variances")


class LocationDistances:
    """Two distances of each location of an image: to similar locations, and to normal images.

    Parameters
    ----------
    channels : sequence of int
        Number of channels of each block of features; their sum is F.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        self._channels = list(channels)
        self._state: dict[str, np.ndarray] = {}

    def fit(self, locations: np.ndarray) -> Self:
        """Fit mean and covariance of the features `[L, F]` of normal locations; return self."""
        values = locations.astype(np.float64)
        scales = self._scales(values)
        values *= scales
        variances, axes = np.linalg.eigh(np.cov(values.T))
        order = np.argsort(-variances)
        variances = np.maximum(variances[order], 0)
        variances = (1 - _SHRINKAGE) * variances + _SHRINKAGE * max(variances.mean(), 1e-12)
        mean = values.mean(axis=0)
        fitted = (scales, mean, axes[:, order], variances)
        return self.set_state(dict(zip(_STATE, fitted)))

    def __call__(self, features: Tensor) -> Tensor:
        """Return both distances of each location, `[h, w, 2]`, from features `[h, w, F]`.

        The first distance is that to the most similar other location of the same image, the second
        the Mahalanobis distance to the locations of normal images.
        """
        shape = tf.shape(features)
        others, near_rows, near_columns = comparison_grid(shape[0], shape[1])
        values = tf.reshape(features, (-1, features.shape[-1])) * self._state["scales"]
        coordinates = tf.matmul(values - self._state["mean"], self._state["axes"])
        mahalanobis = tf.sqrt(tf.reduce_sum(coordinates**2 / self._state["variances"], axis=1))
        coordinates = coordinates[:, :NUM_AXES]
        compared = tf.gather(coordinates, others)
        squares = tf.reduce_sum(compared**2, axis=1) - 2 * tf.matmul(
            coordinates, compared, transpose_b=True
        )
        near = tf.reshape(near_rows[:, None] & near_columns, tf.shape(squares))
        nearest = tf.reduce_min(tf.where(near, np.float32(np.inf), squares), axis=1)
        nearest += tf.reduce_sum(coordinates**2, axis=1)
        dissimilarity = tf.sqrt(tf.nn.relu(nearest))
        return tf.reshape(tf.stack([dissimilarity, mahalanobis], axis=1), (shape[0], shape[1], 2))

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays by name, for the bundle."""
        return self._state

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays that `get_state` returned, and return self."""
        self._state = {name: np.asarray(state[name], np.float32) for name in _STATE}
        return self

    def _scales(self, values: np.ndarray) -> np.ndarray:
        """Return a factor for each feature, `[F]`, that equalizes the blocks' total variances."""
        blocks = np.split(values.var(axis=0), np.cumsum(self._channels)[:-1])
        totals = [max(float(block.sum()), 1e-12) for block in blocks]
        return np.repeat(1 / np.sqrt(totals), self._channels)


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


def comparison_grid(height: Tensor | int, width: Tensor | int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the locations with which each location is compared, and which are too near.

    Parameters
    ----------
    height, width : Tensor of int32 or int
        Number of locations of the feature map, H and W.

    Returns
    -------
    others : Tensor of int32 [M]
        Evenly spaced locations, as flat indices; M is about `MAX_COMPARED` at most.
    near_rows : Tensor of bool [H, M]
    near_columns : Tensor of bool [W, M]
        True if rows or columns are less than `MIN_DISTANCE` (in small images, less) apart; a
        location is too near if both are.
    """
    ratio = tf.sqrt(tf.cast(height * width, tf.float64) / MAX_COMPARED)
    step = tf.maximum(2, tf.cast(tf.math.ceil(ratio), tf.int32))
    grid_rows, grid_columns = tf.range(0, height, step), tf.range(0, width, step)
    rows = tf.reshape(grid_rows[:, None] + tf.zeros_like(grid_columns), (-1,))
    columns = tf.reshape(tf.zeros_like(grid_rows)[:, None] + grid_columns, (-1,))
    # In a small image, even the central location needs locations that are not too near.
    half = (tf.maximum(grid_rows[-1], grid_columns[-1]) + 1) // 2
    distance = tf.minimum(MIN_DISTANCE, half)
    near = [
        tf.abs(tf.range(length)[:, None] - positions) < distance
        for length, positions in ((height, rows), (width, columns))
    ]
    return rows * width + columns, near[0], near[1]


def top_fraction_mean(values: Tensor, fraction: float) -> Tensor:
    """Return the mean of each map over the locations with the highest sum of all maps, `[T]`.

    `values` are the T maps of one image, `[H, W, T]`; `fraction` is the share of the locations, at
    least one location.
    """
    flat = tf.reshape(values, (-1, values.shape[-1]))
    size = tf.cast(tf.shape(flat)[0], tf.float64)
    count = tf.maximum(1, tf.cast(tf.round(fraction * size), tf.int32))
    highest = tf.math.top_k(tf.reduce_sum(flat, axis=1), count).indices
    return tf.reduce_mean(tf.gather(flat, highest), axis=0)
