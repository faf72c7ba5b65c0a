"""Checks of feature arrays, and pairwise distances in blocks of rows."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from augan.exceptions import DataError

# Rows of a distance matrix in memory at once: 80 MB with 20,000 columns.
_BLOCK_ROWS = 512


def check_features(values: ArrayLike, name: str, min_rows: int) -> np.ndarray:
    """Return `values` as finite float64 [N, F] with N >= `min_rows`; DataError otherwise."""
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
    """Return both arrays checked by `check_features`; they must have equally many features."""
    x = check_features(real, "real", min_real)
    y = check_features(generated, "generated", min_generated)
    if x.shape[1] != y.shape[1]:
        raise DataError(
            f"Real images have {x.shape[1]} features and generated ones {y.shape[1]}: compute "
            "both with the same extractor."
        )
    return x, y


def row_blocks(n: int) -> Iterator[slice]:
    """Yield the slices that divide `n` rows into blocks."""
    for start in range(0, n, _BLOCK_ROWS):
        yield slice(start, min(start + _BLOCK_ROWS, n))


def squared_distances(x: np.ndarray, y: np.ndarray, slack: float = 0.0) -> Iterator[np.ndarray]:
    """Yield squared distances [rows, len(y)] >= 0 for successive blocks of rows of `x`.

    They are computed by a matrix product, |x|^2 + |y|^2 - 2 xy. Center both arrays first: far from
    the origin the squares cancel. `slack` reduces each distance by that fraction of |x|^2 + |y|^2.
    """
    x_squares, y_squares = (np.einsum("ij,ij->i", a, a) for a in (x, y))
    for rows in row_blocks(len(x)):
        block = x[rows] @ y.T
        block *= -2
        block += (1 - slack) * x_squares[rows, None]
        block += (1 - slack) * y_squares
        yield np.maximum(block, 0, out=block)
