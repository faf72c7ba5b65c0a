"""Features as every figure wants them: checked, and compared a block of rows at a time."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from augan.exceptions import DataError

# Rows of a distance matrix held at once: 80 MB against 20,000 others.
_CHUNK_ROWS = 512


def checked(values: ArrayLike, name: str, least: int) -> np.ndarray:
    """Return `values` as finite float64 [N, F] with N >= `least`, or say what is wrong."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or array.ndim != 2 or array.shape[1] == 0:
        raise DataError(
            f"The {name} features have shape {array.shape} and type {array.dtype}, numbers of "
            "shape [N, F] were expected: one row of features per image."
        )
    if len(array) < least:
        raise DataError(
            f"There are {len(array)} {name} images, at least {least} are needed for this figure: "
            "give more images."
        )
    array = array.astype(np.float64)
    bad = int((~np.isfinite(array)).any(axis=1).sum())
    if bad:
        raise DataError(
            f"{bad} of {len(array)} {name} images have NaN or infinite features: check the images "
            "and the extractor, or leave these images out."
        )
    return array


def checked_pair(
    real: ArrayLike, generated: ArrayLike, least_real: int, least_generated: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return both sides as of `checked`, of equally many features."""
    x = checked(real, "real", least_real)
    y = checked(generated, "generated", least_generated)
    if x.shape[1] != y.shape[1]:
        raise DataError(
            f"Real images have {x.shape[1]} features and generated ones {y.shape[1]}: compute "
            "both with the same extractor."
        )
    return x, y


def row_blocks(n: int) -> Iterator[slice]:
    """Yield the slices that cut `n` rows into blocks."""
    for start in range(0, n, _CHUNK_ROWS):
        yield slice(start, min(start + _CHUNK_ROWS, n))


def squared_distances(x: np.ndarray, y: np.ndarray, slack: float = 0.0) -> Iterator[np.ndarray]:
    """Yield squared distances [rows, len(y)] for successive blocks of rows of `x`, never < 0.

    They come from a matrix product, |x|^2 + |y|^2 - 2 xy. Centre both first: far from the origin
    the squares cancel. A `slack` makes each smaller by that share of |x|^2 + |y|^2.
    """
    x_squares, y_squares = (np.einsum("ij,ij->i", a, a) for a in (x, y))
    for rows in row_blocks(len(x)):
        block = x[rows] @ y.T
        block *= -2
        block += (1 - slack) * x_squares[rows, None]
        block += (1 - slack) * y_squares
        yield np.maximum(block, 0, out=block)
