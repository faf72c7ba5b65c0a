"""Precision and recall, density and coverage, from nearest-neighbor balls around images.

References
----------
Kynkaanniemi et al. (2019), Improved precision and recall metric, section 2.
Naeem et al. (2020), Reliable fidelity and diversity metrics for generative models, section 3.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from augan.exceptions import ConfigError
from augan.metrics.distances import check_feature_pair, row_blocks, squared_distances

PRECISION_RECALL_K = 3
DENSITY_COVERAGE_K = 5

# Relative rounding error allowed in a squared distance, so that a point on the edge of a ball, or
# equal to its center, is inside for any order of the sums.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PrecisionRecall:
    """Improved precision and recall of generated images (Kynkaanniemi et al. 2019).

    An image is near an image of the other side if it lies in the ball around that image, see
    `precision_recall`.

    Attributes
    ----------
    precision : float
        Fraction of generated images near a real image, 0 to 1: fidelity.
    recall : float
        Fraction of real images near a generated image, 0 to 1: diversity.
    """

    precision: float
    recall: float


@dataclass(frozen=True)
class DensityCoverage:
    """Density and coverage of generated images in the balls around real images (Naeem et al. 2020).

    Attributes
    ----------
    density : float
        Mean number of balls around real images that contain a generated image, divided by k. About
        1 for a perfect generator; above 1 if images lie in the middle of many balls.
    coverage : float
        Fraction of real images with a generated image in their ball, 0 to 1. For a perfect
        generator and equal, large numbers of images, 1 - 2^-k is expected.
    """

    density: float
    coverage: float


def _check_k(k: int) -> None:
    """Raise ConfigError unless the number of neighbors is a whole number >= 1."""
    if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
        raise ConfigError(f"k = {k!r} neighbors were requested, a whole number >= 1 is expected.")


def _squared_radii(x: np.ndarray, k: int) -> np.ndarray:
    """Return the squared distance of each row to its k-th nearest other row, `[N]` for `[N, F]`."""
    radii = np.empty(len(x))
    for rows, block in zip(row_blocks(len(x)), squared_distances(x, x)):
        diagonal = np.arange(rows.start, rows.stop)
        block[diagonal - rows.start, diagonal] = np.inf
        block.partition(k - 1, axis=1)
        radii[rows] = block[:, k - 1]
    return radii


def _count_inside(
    points: np.ndarray, centers: np.ndarray, squared_radii: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Count the memberships of points in balls.

    Parameters
    ----------
    points, centers : ndarray
        `[N, F]` and `[M, F]`, centered.
    squared_radii : ndarray
        `[M]`, squared radius of the ball around each center; the edge is inside.

    Returns
    -------
    balls : ndarray of int
        `[N]`, number of balls around each point.
    held : ndarray of int
        `[M]`, number of points in each ball.
    """
    balls = np.empty(len(points), np.int64)
    held = np.zeros(len(centers), np.int64)
    blocks = squared_distances(points, centers, slack=_ROUNDING)
    for rows, block in zip(row_blocks(len(points)), blocks):
        inside = block <= squared_radii
        balls[rows] = inside.sum(axis=1)
        held += inside.sum(axis=0)
    return balls, held


def precision_recall(
    real: ArrayLike, generated: ArrayLike, k: int = PRECISION_RECALL_K
) -> PrecisionRecall:
    """Compute improved precision and recall from balls around the images of each side.

    The ball around an image reaches to its k-th nearest other image of the same side, edge
    included. One real outlier makes a large ball and so increases precision; it hardly
    increases density.

    Parameters
    ----------
    real, generated : array-like of float, shapes [N, F] and [M, F]
        Features; at least k + 1 rows each.
    k : int
        Number of the neighbor that sets the radius; default: 3.

    Raises
    ------
    DataError
        If the features are not finite, of different F, or of fewer than k + 1 rows.
    ConfigError
        If k is not a whole number >= 1.

    Examples
    --------
    >>> result = precision_recall(real=[[0], [1], [9]], generated=[[0], [1], [2]], k=1)
    >>> result.precision, round(result.recall, 3)
    (1.0, 0.667)
    """
    _check_k(k)
    x, y = check_feature_pair(real, generated, k + 1, k + 1)
    x, y = x - x.mean(axis=0), y - x.mean(axis=0)
    real_balls, _ = _count_inside(y, x, _squared_radii(x, k))
    generated_balls, _ = _count_inside(x, y, _squared_radii(y, k))
    return PrecisionRecall(
        precision=float((real_balls > 0).mean()), recall=float((generated_balls > 0).mean())
    )


def density_coverage(
    real: ArrayLike, generated: ArrayLike, k: int = DENSITY_COVERAGE_K
) -> DensityCoverage:
    """Compute density and coverage of generated images from balls around the real images.

    The ball around a real image reaches to its k-th nearest other real image, edge included.

    Parameters
    ----------
    real, generated : array-like of float, shapes [N, F] and [M, F]
        Features; at least k + 1 real rows, and 1 generated.
    k : int
        Number of the neighbor that sets the radius; default: 5.

    Raises
    ------
    DataError
        If the features are not finite, of different F, or of too few rows.
    ConfigError
        If k is not a whole number >= 1.

    Examples
    --------
    >>> density_coverage(real=[[0], [1], [3], [7]], generated=[[0], [1]], k=1)
    DensityCoverage(density=2.5, coverage=0.75)
    """
    _check_k(k)
    x, y = check_feature_pair(real, generated, k + 1, 1)
    x, y = x - x.mean(axis=0), y - x.mean(axis=0)
    balls, held = _count_inside(y, x, _squared_radii(x, k))
    return DensityCoverage(density=float(balls.mean() / k), coverage=float((held > 0).mean()))
