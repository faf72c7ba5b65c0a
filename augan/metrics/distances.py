"""Checks of feature arrays, and pairwise squared distances in blocks of rows."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from augan.exceptions import DataError

# Rows of a distance matrix in memory at once: 80 MB with 20,000 columns.
_BLOCK_ROWS = 512


def check_features(values: ArrayLike, name: str, min_rows: int) -> np.ndarray:
    """Return feature vectors of images as a finite float64 array `[N, F]`.

    Parameters
    ----------
    values : array-like
        Numbers `[N, F]`, F at least 1: one row of features per image.
    name : str
        The images in error messages, such as "real".
    min_rows : int
        The smallest allowed N.

    Raises
    ------
    DataError
        The array has another shape or type, too few rows, or NaN or infinite values.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or array.ndim != 2 or array.shape[1] == 0:
        raise DataError(
            f"The {name} features have shape {array.shape} and type {array.dtype}, numbers of "
            "shape [N, F] were expected: one row of features per image."
        )
    if len(array) < min_rows:
        raise DataError(
            f"There are {len(array)} {name} images, at least {min_rows} are needed: give "
            "more images."
        )
    array = array.astype(np.float64)
    bad = int((~np.isfinite(array)).any(axis=1).sum())
    if bad:
        raise DataError(
            f"{bad} of {len(array)} {name} images have NaN or infinite features: check the images "
            "and the extractor, or leave these images out."
        )
    return array


def check_feature_pair(
    real: ArrayLike, generated: ArrayLike, min_real: int, min_generated: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of real and of generated images as finite float64 arrays of equal F.

    Parameters
    ----------
    real, generated : array-like
        Features `[N, F]` and `[M, F]`.
    min_real, min_generated : int
        The smallest allowed N and M.

    Raises
    ------
    DataError
        As for `check_features`, or the numbers of features differ.
    """
    x = check_features(real, "real", min_real)
    y = check_features(generated, "generated", min_generated)
    if x.shape[1] != y.shape[1]:
        raise DataError(
            f"Real images have {x.shape[1]} features and generated ones {y.shape[1]}: compute "
            "both with the same extractor."
        )
    return x, y


def row_blocks(n: int) -> Iterator[slice]:
    """Yield the slices that divide `n` rows of a distance matrix into blocks of at most 512."""
    for start in range(0, n, _BLOCK_ROWS):
        yield slice(start, min(start + _BLOCK_ROWS, n))


def squared_distances(x: np.ndarray, y: np.ndarray, slack: float = 0.0) -> Iterator[np.ndarray]:
    """Yield the squared Euclidean distances between two sets of features, block by block.

    The distances are computed by a matrix product, |x|^2 + |y|^2 - 2 xy. Center both arrays first:
    far from the origin the squares cancel.

    Parameters
    ----------
    x, y : ndarray
        Features `[N, F]` and `[M, F]`, centered.
    slack : float
        Each distance is reduced by this fraction of |x|^2 + |y|^2, to allow for rounding. Default:
        0.

    Yields
    ------
    ndarray
        Distances >= 0, `[rows, M]`, for the successive blocks of rows of `x` by `row_blocks`.
    """
    x_squares, y_squares = (np.einsum("ij,ij->i", a, a) for a in (x, y))
    for rows in row_blocks(len(x)):
        block = x[rows] @ y.T
        block *= -2
        block += (1 - slack) * x_squares[rows, None]
        block += (1 - slack) * y_squares
        yield np.maximum(block, 0, out=block)
