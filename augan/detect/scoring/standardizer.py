"""Standardization of score components and of anomaly maps, fitted on normal samples."""

from collections.abc import Iterable, Mapping
from typing import Self

import numpy as np

from augan.exceptions import DataError
from augan.gan import Tensor, tf

MIN_SCORE_STD = 1e-12
MIN_MAP_STD = 1e-9
BORDER_WIDTH = 6  # distances (in map cells) from a border with their own statistics
PRIOR_COUNT = 20.0  # weight of the overall statistics in the statistics of each border cell


class ScoreStandardizer:
    """Standardization of score components to mean 0 and standard deviation 1 on normal samples.

    Standardized components have comparable weights in the sum that is the anomaly score.
    """

    def __init__(self) -> None:
        self._center, self._spread = np.zeros(0), np.ones(0)

    def fit(self, components: np.ndarray) -> Self:
        """Fit mean and standard deviation of each raw component on normal samples; return self.

        Parameters
        ----------
        components : ndarray [N, T]
            Raw components of samples of the validation split.

        Raises
        ------
        DataError
            If a value is not finite.
        """
        if not np.isfinite(components).all():
            raise DataError(
                "the scores of the validation samples are not finite: the networks have diverged; "
                "train again with a lower learning rate"
            )
        values = components.astype(np.float64)
        self._center = values.mean(axis=0)
        self._spread = np.maximum(values.std(axis=0), MIN_SCORE_STD)
        return self

    def __call__(self, components: Tensor) -> Tensor:
        """Return standardized components, float64 `[B, T]`, of raw components of any float type."""
        return (tf.cast(components, tf.float64) - self._center) / self._spread

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the means ("center") and standard deviations ("spread"), for the bundle."""
        return {"center": self._center, "spread": self._spread}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays, and return self; other keys of `state` are ignored."""
        self._center, self._spread = np.asarray(state["center"]), np.asarray(state["spread"])
        return self


class BorderNormalizer:
    """Standardization of anomaly maps by each location's distance from the image borders.

    Padding makes features near the borders unusual even in normal images. Locations with the same
    distances, up to `BORDER_WIDTH`, from the nearest borders form a cell and share mean and
    standard deviation.
    """

    def __init__(self) -> None:
        self._mean, self._spread = np.zeros(0), np.ones(0)

    def fit(self, maps: Iterable[np.ndarray]) -> Self:
        """Fit mean and standard deviation of border cells on maps of normal images; return self.

        Cells with few locations are shrunk toward the overall statistics.

        Parameters
        ----------
        maps : iterable of ndarray [H, W, T]
            Maps of any size with T components.
        """
        count, total, squares = np.zeros(0), np.zeros(0), np.zeros(0)
        for values in maps:
            cells, flat = _border_cells(*values.shape[:2]).numpy().ravel(), _flatten(values)
            size = (2 * BORDER_WIDTH + 1) ** 2
            sums = [_cell_sums(cells, powers, size) for powers in (flat**0, flat, flat**2)]
            if not len(count):
                count, total, squares = sums
            else:
                count, total, squares = count + sums[0], total + sums[1], squares + sums[2]
        mean = total.sum(axis=0) / count.sum(axis=0)
        variance = squares.sum(axis=0) / count.sum(axis=0) - mean**2
        self._mean = (total + PRIOR_COUNT * mean) / (count + PRIOR_COUNT)
        within = squares - 2 * self._mean * total + count * self._mean**2
        self._spread = np.sqrt(
            np.maximum(
                (within + PRIOR_COUNT * variance) / (count + PRIOR_COUNT),
                MIN_MAP_STD**2,
            )
        )
        return self

    def __call__(self, values: Tensor) -> Tensor:
        """Standardize a map by the mean and standard deviation of each location's border cell.

        Parameters
        ----------
        values : Tensor [H, W, T]
            Raw map of one image with T components; H and W may be unknown.

        Returns
        -------
        Tensor of float64 [H, W, T]
        """
        cells = _border_cells(*(tf.shape(values)[axis] for axis in (0, 1)))
        mean, spread = (
            tf.gather(tf.constant(x, tf.float64), cells) for x in (self._mean, self._spread)
        )
        return (tf.cast(values, tf.float64) - mean) / spread

    def get_state(self) -> dict[str, np.ndarray]:
        """Return means and standard deviations of all border cells by name, for the bundle."""
        return {"border_mean": self._mean, "border_spread": self._spread}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays, and return self; other keys of `state` are ignored."""
        self._mean = np.asarray(state["border_mean"])
        self._spread = np.asarray(state["border_spread"])
        return self


def _flatten(values: np.ndarray) -> np.ndarray:
    """Return a map `[H, W, T]` as one row for each location, `[H * W, T]`."""
    return values.reshape(-1, values.shape[-1])


def _border_cells(height: Tensor | int, width: Tensor | int) -> Tensor:
    """Return the index of the border cell of each location of a map, int32 `[H, W]`."""
    rows, columns = (_border_distances(length) for length in (height, width))
    return rows[:, None] * (2 * BORDER_WIDTH + 1) + columns


def _border_distances(length: Tensor | int) -> Tensor:
    """Return the border index of each position along an axis of this length, int32 `[length]`.

    The index is the distance from the first border up to `BORDER_WIDTH`, or, in the second half of
    the axis, 2 * `BORDER_WIDTH` minus the distance from the last border, likewise limited.
    """
    first = tf.range(length)
    last = length - 1 - first
    from_end = 2 * BORDER_WIDTH - tf.minimum(last, BORDER_WIDTH)
    return tf.where(first <= last, tf.minimum(first, BORDER_WIDTH), from_end)


def _cell_sums(cells: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """Return the sums of values over the locations of each border cell, `[size, T]`.

    Parameters
    ----------
    cells : ndarray of int [L]
        Border cell of each location.
    values : ndarray [L, T]
    size : int
        Number of border cells.
    """
    return np.stack([np.bincount(cells, column, size) for column in values.T], axis=1)
