"""How close generated images are to real ones, measured on feature vectors; NumPy only.

Every function takes features of shape [N, F], of any extractor. The numbers are comparable only
between runs with the same extractor and about the same N: they are never to be set beside a
published FID or KID, which stand for features of one Inception network.

References
----------
Heusel et al. (2017), GANs trained by a two time-scale update rule, section 4.
Binkowski et al. (2018), Demystifying MMD GANs, section 4.
Kynkaanniemi et al. (2019), Improved precision and recall metric, section 2.
Naeem et al. (2020), Reliable fidelity and diversity metrics for generative models, section 3.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from augan.exceptions import ConfigError, DataError

FEW = 500
"""Below so many images on either side, `Fidelity.few` marks the figures as rough."""

PRECISION_RECALL_K = 3
DENSITY_COVERAGE_K = 5

# Rows of a distance matrix held at once: 80 MB against 20,000 others.
_CHUNK_ROWS = 512

# Relative rounding error allowed in a squared distance, so that a point on the edge of a ball, or
# equal to its centre, is inside whatever the order of the sums.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PrecisionRecall:
    """Shares of each side that lie within the other's neighbourhoods.

    Attributes
    ----------
    precision : float
        Share of generated images near a real one, 0 to 1: are they credible?
    recall : float
        Share of real images near a generated one, 0 to 1: is all that is real being generated?
    k : int
        The neighbour that sets the radius of each neighbourhood.
    """

    precision: float
    recall: float
    k: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain Python values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class DensityCoverage:
    """How densely, and how completely, generated images fill the neighbourhoods of real ones.

    Attributes
    ----------
    density : float
        Real neighbourhoods that a generated image lies in, on average, over k. About 1 for a
        perfect generator; may exceed 1, when it keeps to the middle of many neighbourhoods.
    coverage : float
        Share of real images with a generated one in their neighbourhood, 0 to 1. For a perfect
        generator and equal, large numbers it is expected at 1 - 2^-k.
    k : int
        The neighbour that sets the radius of each neighbourhood.
    """

    density: float
    coverage: float
    k: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain Python values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Fidelity:
    """All figures of one comparison, with the protocol they were taken under.

    Attributes
    ----------
    n_real, n_generated : int
        Images on either side; all figures but `kernel_distance` are biased by them.
    extractor : str
        Identifies the features; figures of different extractors cannot be compared.
    frechet_distance, kernel_distance : float
        0 is best; see the functions of these names.
    precision, recall : float
        See `PrecisionRecall`, with k = 3.
    density, coverage : float
        See `DensityCoverage`, with k = 5.
    few : bool
        Whether either side has fewer than 500 images: the figures are then rough.
    """

    n_real: int
    n_generated: int
    extractor: str
    frechet_distance: float
    kernel_distance: float
    precision: float
    recall: float
    density: float
    coverage: float
    few: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain Python values, ready for JSON."""
        return asdict(self)


def _features(values: ArrayLike, name: str, least: int) -> np.ndarray:
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


def _pair(
    real: ArrayLike, generated: ArrayLike, least_real: int, least_generated: int
) -> tuple[np.ndarray, np.ndarray]:
    x = _features(real, "real", least_real)
    y = _features(generated, "generated", least_generated)
    if x.shape[1] != y.shape[1]:
        raise DataError(
            f"Real images have {x.shape[1]} features and generated ones {y.shape[1]}: compute "
            "both with the same extractor."
        )
    return x, y


def _check_k(k: int) -> None:
    if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
        raise ConfigError(f"k = {k!r} neighbours were asked for, a whole number >= 1 is expected.")


def _row_blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, _CHUNK_ROWS):
        yield slice(start, min(start + _CHUNK_ROWS, n))


def _squared_distances(x: np.ndarray, y: np.ndarray, slack: float = 0.0) -> Iterator[np.ndarray]:
    """Yield squared distances [rows, len(y)] for successive blocks of rows of `x`, never < 0.

    They come from a matrix product, |x|^2 + |y|^2 - 2 xy. Centre both first: far from the origin
    the squares cancel. A `slack` makes each smaller by that share of |x|^2 + |y|^2.
    """
    x_squares, y_squares = (np.einsum("ij,ij->i", a, a) for a in (x, y))
    for rows in _row_blocks(len(x)):
        block = x[rows] @ y.T
        block *= -2
        block += (1 - slack) * x_squares[rows, None]
        block += (1 - slack) * y_squares
        yield np.maximum(block, 0, out=block)


def _squared_radii(x: np.ndarray, k: int) -> np.ndarray:
    """Return the squared distance of each row to its k-th nearest other row, shape [len(x)]."""
    radii = np.empty(len(x))
    for rows, block in zip(_row_blocks(len(x)), _squared_distances(x, x)):
        own = np.arange(rows.start, rows.stop)
        block[own - rows.start, own] = np.inf
        block.partition(k - 1, axis=1)
        radii[rows] = block[:, k - 1]
    return radii


def _count_inside(
    points: np.ndarray, centres: np.ndarray, squared_radii: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how many balls hold each point, and how many points each ball holds."""
    balls = np.empty(len(points), np.int64)
    held = np.zeros(len(centres), np.int64)
    blocks = _squared_distances(points, centres, slack=_ROUNDING)
    for rows, block in zip(_row_blocks(len(points)), blocks):
        inside = block <= squared_radii
        balls[rows] = inside.sum(axis=1)
        held += inside.sum(axis=0)
    return balls, held


def _covariance_factor(x: np.ndarray) -> np.ndarray:
    """Return A with A^T A the covariance of `x`, shape [min(N, F), F]."""
    return np.linalg.qr(x - x.mean(axis=0), mode="r") / np.sqrt(len(x) - 1)


def frechet_distance(real: ArrayLike, generated: ArrayLike) -> float:
    r"""Return the squared Frechet distance of two Gaussians fitted to the features, >= 0.

    .. math:: |m_r - m_g|^2 + tr(C_r + C_g - 2 (C_r C_g)^{1/2})

    Means and covariances only, and biased upwards: a small sample looks worse than a large one
    of the same generator. Compare at equal numbers, of ten or more images per feature.

    Parameters
    ----------
    real, generated : array-like of float, shapes [N, F] and [M, F]
        Features; at least 2 rows each. Covariances are divided by N - 1.

    Raises
    ------
    DataError
        If the features are not finite, of different F, or of fewer than 2 rows.

    Notes
    -----
    For any factors C_r = A^T A and C_g = B^T B, the trace of the root is the sum of the singular
    values of A B^T. No covariance is formed and no matrix root taken, so that singular ones (fewer
    images than features, dead units) need no care.

    Examples
    --------
    >>> frechet_distance(real=[[-1.0], [1.0]], generated=[[2.0], [4.0]])
    9.0
    """
    x, y = _pair(real, generated, 2, 2)
    shift = x.mean(axis=0) - y.mean(axis=0)
    a, b = _covariance_factor(x), _covariance_factor(y)
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return max(float(shift @ shift + (a * a).sum() + (b * b).sum() - 2 * root), 0.0)


def _kernel_sum(x: np.ndarray, y: np.ndarray) -> float:
    return sum(float(((x[rows] @ y.T / x.shape[1] + 1) ** 3).sum()) for rows in _row_blocks(len(x)))


def _kernel_mean_of_others(x: np.ndarray) -> float:
    own = float(((np.einsum("ij,ij->i", x, x) / x.shape[1] + 1) ** 3).sum())
    return (_kernel_sum(x, x) - own) / (len(x) * (len(x) - 1))


def kernel_distance(real: ArrayLike, generated: ArrayLike) -> float:
    """Return the squared maximum mean discrepancy with a cubic kernel, unbiased.

    The kernel is (x . y / F + 1)^3. The expectation does not depend on N and M, so that small
    samples can be compared; it is 0 for a perfect generator, and single values may be slightly
    negative. It depends on the scale and origin of the features.

    Parameters
    ----------
    real, generated : array-like of float, shapes [N, F] and [M, F]
        Features; at least 2 rows each.

    Raises
    ------
    DataError
        If the features are not finite, of different F, or of fewer than 2 rows.

    Examples
    --------
    >>> kernel_distance(real=[[0.0], [0.0]], generated=[[1.0], [1.0]])
    7.0
    """
    x, y = _pair(real, generated, 2, 2)
    between = _kernel_sum(x, y) / (len(x) * len(y))
    return _kernel_mean_of_others(x) + _kernel_mean_of_others(y) - 2 * between


def precision_recall(
    real: ArrayLike, generated: ArrayLike, k: int = PRECISION_RECALL_K
) -> PrecisionRecall:
    """Return improved precision and recall, from balls around each side's images.

    The ball around an image reaches to its k-th nearest other image of the same side, edge
    included. One real outlier makes a large ball and so flatters precision; density does not
    suffer from that.

    Parameters
    ----------
    real, generated : array-like of float, shapes [N, F] and [M, F]
        Features; at least k + 1 rows each.
    k : int
        Neighbour that sets the radius.

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
    x, y = _pair(real, generated, k + 1, k + 1)
    x, y = x - x.mean(axis=0), y - x.mean(axis=0)
    real_balls, _ = _count_inside(y, x, _squared_radii(x, k))
    generated_balls, _ = _count_inside(x, y, _squared_radii(y, k))
    return PrecisionRecall(
        precision=float((real_balls > 0).mean()), recall=float((generated_balls > 0).mean()), k=k
    )


def density_coverage(
    real: ArrayLike, generated: ArrayLike, k: int = DENSITY_COVERAGE_K
) -> DensityCoverage:
    """Return density and coverage, from balls around the real images only.

    The ball around a real image reaches to its k-th nearest other real image, edge included.

    Parameters
    ----------
    real, generated : array-like of float, shapes [N, F] and [M, F]
        Features; at least k + 1 real rows, and 1 generated.
    k : int
        Neighbour that sets the radius.

    Raises
    ------
    DataError
        If the features are not finite, of different F, or of too few rows.
    ConfigError
        If k is not a whole number >= 1.

    Examples
    --------
    >>> density_coverage(real=[[0], [1], [3], [7]], generated=[[0], [1]], k=1)
    DensityCoverage(density=2.5, coverage=0.75, k=1)
    """
    _check_k(k)
    x, y = _pair(real, generated, k + 1, 1)
    x, y = x - x.mean(axis=0), y - x.mean(axis=0)
    balls, held = _count_inside(y, x, _squared_radii(x, k))
    return DensityCoverage(density=float(balls.mean() / k), coverage=float((held > 0).mean()), k=k)


def diversity(features: ArrayLike) -> float:
    """Return the mean Euclidean distance between two different rows.

    A generator far below the value of real images repeats itself; 0 is full collapse.

    Parameters
    ----------
    features : array-like of float, shape [N, F]
        Features of one set; at least 2 rows.

    Raises
    ------
    DataError
        If the features are not finite, or of fewer than 2 rows.

    Examples
    --------
    >>> diversity([[0.0, 0.0], [3.0, 4.0]])
    5.0
    """
    x = _features(features, "given", 2)
    x = x - x.mean(axis=0)
    total = 0.0
    for rows, block in zip(_row_blocks(len(x)), _squared_distances(x, x)):
        own = np.arange(rows.start, rows.stop)
        block[own - rows.start, own] = 0  # a distance to itself is rounding error only
        total += float(np.sqrt(block, out=block).sum())
    return total / (len(x) * (len(x) - 1))


def fidelity(*, real: ArrayLike, generated: ArrayLike, extractor: str) -> Fidelity:
    """Compare generated with real images in every figure of this module.

    Parameters
    ----------
    real, generated : array-like of float, shapes [N, F] and [M, F]
        Features of the same extractor; at least 6 real rows and 4 generated. Take real images
        that the generator was not trained on.
    extractor : str
        Identifies the extractor; stays with the figures.

    Raises
    ------
    DataError
        If the features are not finite, of different F, or of too few rows.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> real, generated = rng.normal(size=(2, 600, 4))
    >>> result = fidelity(real=real, generated=generated, extractor="raw")
    >>> result.few, result.frechet_distance < 0.1
    (False, True)
    """
    least_real = max(PRECISION_RECALL_K, DENSITY_COVERAGE_K) + 1
    x, y = _pair(real, generated, least_real, PRECISION_RECALL_K + 1)
    near = precision_recall(x, y)
    dense = density_coverage(x, y)
    return Fidelity(
        n_real=len(x),
        n_generated=len(y),
        extractor=extractor,
        frechet_distance=frechet_distance(x, y),
        kernel_distance=kernel_distance(x, y),
        precision=near.precision,
        recall=near.recall,
        density=dense.density,
        coverage=dense.coverage,
        few=min(len(x), len(y)) < FEW,
    )


def floor(real: ArrayLike, extractor: str, rng: np.random.Generator) -> Fidelity:
    """Compare real images with real images: what a perfect generator would get.

    The images are split at random into two halves, the second stands for the generated ones.
    Most figures depend on the number of images, so compare with a `fidelity` of as many on
    either side as the halves have; with more, the true floor lies lower.

    Parameters
    ----------
    real : array-like of float, shape [N, F]
        Features; at least 12 rows. Of an odd number, one more is in the second half.
    extractor : str
        Identifies the extractor.
    rng : numpy.random.Generator
        Draws the halves.

    Raises
    ------
    DataError
        If the features are not finite, or of fewer than 12 rows.

    Examples
    --------
    >>> real = np.random.default_rng(0).normal(size=(41, 4))
    >>> result = floor(real, "raw", np.random.default_rng(1))
    >>> result.n_real, result.n_generated, result.few
    (20, 21, True)
    """
    x = _features(real, "real", 2 * (max(PRECISION_RECALL_K, DENSITY_COVERAGE_K) + 1))
    order = rng.permutation(len(x))
    half = len(x) // 2
    return fidelity(real=x[order[:half]], generated=x[order[half:]], extractor=extractor)
