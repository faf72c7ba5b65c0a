"""Fidelity of generated images, measured on feature vectors in plain NumPy.

Every function takes features of shape [N, F], of any extractor. Values are comparable only between
runs with the same extractor and about the same N. They cannot be compared with a published FID or
KID, which use the features of one Inception network.

References
----------
Heusel et al. (2017), GANs trained by a two time-scale update rule, section 4.
Binkowski et al. (2018), Demystifying MMD GANs, section 4.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from augan.metrics.distances import (
    check_feature_pair,
    check_features,
    row_blocks,
    squared_distances,
)
from augan.metrics.precision_recall import (
    DENSITY_COVERAGE_K,
    PRECISION_RECALL_K,
    density_coverage,
    precision_recall,
)

MIN_RELIABLE_COUNT = 500
"""Number of images on either side, below which `Fidelity.is_small_sample` is true."""


@dataclass(frozen=True)
class Fidelity:
    """Fidelity metrics of one set of generated images against real images.

    Attributes
    ----------
    n_real, n_generated : int
        Number of images on either side; it biases all metrics but `kernel_distance`.
    extractor : str
        Identifies the features; metrics of different extractors cannot be compared.
    frechet_distance, kernel_distance : float
        0 is best; see the functions of these names.
    precision, recall : float
        0 to 1, 1 is best; see `PrecisionRecall`, with k = 3.
    density, coverage : float
        About 1 is best; see `DensityCoverage`, with k = 5.
    is_small_sample : bool
        Whether either side has fewer than 500 images: the metrics are then rough.
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
    is_small_sample: bool

    def to_dict(self) -> dict[str, Any]:
        """Return all metrics as plain Python values, ready for JSON."""
        return asdict(self)


def _covariance_factor(x: np.ndarray) -> np.ndarray:
    """Return a factor A, `[min(N, F), F]`, of the covariance of features `[N, F]`: A^T A."""
    factor = np.linalg.qr(x - x.mean(axis=0), mode="r")
    return np.asarray(factor / np.sqrt(len(x) - 1))


def frechet_distance(real: ArrayLike, generated: ArrayLike) -> float:
    r"""Return the squared Frechet distance of two Gaussians fitted to the features, >= 0.

    .. math:: |m_r - m_g|^2 + tr(C_r + C_g - 2 (C_r C_g)^{1/2})

    It compares means and covariances only, and is biased upwards: a small sample looks worse than a
    large sample of the same generator. Compare equal numbers of images, ten or more per feature.

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
    values of A B^T. No covariance is formed and no matrix root is taken, so singular covariances
    (fewer images than features, dead units) need no special care.

    Examples
    --------
    >>> frechet_distance(real=[[-1.0], [1.0]], generated=[[2.0], [4.0]])
    9.0
    """
    x, y = check_feature_pair(real, generated, 2, 2)
    shift = x.mean(axis=0) - y.mean(axis=0)
    a, b = _covariance_factor(x), _covariance_factor(y)
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return max(float(shift @ shift + (a * a).sum() + (b * b).sum() - 2 * root), 0.0)


def _kernel_sum(x: np.ndarray, y: np.ndarray) -> float:
    """Return the sum of the kernel (x . y / F + 1)^3 over all pairs of rows of x and y."""
    return sum(float(((x[rows] @ y.T / x.shape[1] + 1) ** 3).sum()) for rows in row_blocks(len(x)))


def _mean_kernel_off_diagonal(x: np.ndarray) -> float:
    """Return the mean of the kernel (x . y / F + 1)^3 over all pairs of different rows of x."""
    diagonal = float(((np.einsum("ij,ij->i", x, x) / x.shape[1] + 1) ** 3).sum())
    return (_kernel_sum(x, x) - diagonal) / (len(x) * (len(x) - 1))


def kernel_distance(real: ArrayLike, generated: ArrayLike) -> float:
    """Return the squared maximum mean discrepancy with a cubic kernel, unbiased (the KID).

    The kernel is (x . y / F + 1)^3. The expectation does not depend on N and M, so that small
    samples can be compared; the expectation is 0 for a perfect generator, and single values may be
    slightly negative. The distance depends on the scale and origin of the features.

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
    x, y = check_feature_pair(real, generated, 2, 2)
    between = _kernel_sum(x, y) / (len(x) * len(y))
    return _mean_kernel_off_diagonal(x) + _mean_kernel_off_diagonal(y) - 2 * between


def diversity(features: ArrayLike) -> float:
    """Return the mean Euclidean distance between the features of two different images of a set.

    A value far below that of real images means that the generator repeats itself; 0 is full mode
    collapse.

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
    x = check_features(features, "input", 2)
    x = x - x.mean(axis=0)
    total = 0.0
    for rows, block in zip(row_blocks(len(x)), squared_distances(x, x)):
        diagonal = np.arange(rows.start, rows.stop)
        block[diagonal - rows.start, diagonal] = 0  # the distance to itself is a rounding error
        total += float(np.sqrt(block, out=block).sum())
    return total / (len(x) * (len(x) - 1))


def fidelity(*, real: ArrayLike, generated: ArrayLike, extractor: str) -> Fidelity:
    """Compute all fidelity metrics of generated images against real images.

    Parameters
    ----------
    real, generated : array-like of float, shapes [N, F] and [M, F]
        Features of the same extractor; at least 6 real and 4 generated rows. Take real images that
        the generator was not trained on.
    extractor : str
        Identifies the extractor; stored with the metrics.

    Raises
    ------
    DataError
        If the features are not finite, of different F, or of too few rows.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> real, generated = rng.normal(size=(2, 600, 4))
    >>> result = fidelity(real=real, generated=generated, extractor="raw")
    >>> result.is_small_sample, result.frechet_distance < 0.1
    (False, True)
    """
    min_real = max(PRECISION_RECALL_K, DENSITY_COVERAGE_K) + 1
    x, y = check_feature_pair(real, generated, min_real, PRECISION_RECALL_K + 1)
    pr = precision_recall(x, y)
    dc = density_coverage(x, y)
    return Fidelity(
        n_real=len(x),
        n_generated=len(y),
        extractor=extractor,
        frechet_distance=frechet_distance(x, y),
        kernel_distance=kernel_distance(x, y),
        precision=pr.precision,
        recall=pr.recall,
        density=dc.density,
        coverage=dc.coverage,
        is_small_sample=min(len(x), len(y)) < MIN_RELIABLE_COUNT,
    )


def real_vs_real(real: ArrayLike, extractor: str, rng: np.random.Generator) -> Fidelity:
    """Compute the fidelity of real images against real images, which a perfect generator reaches.

    The images are split at random into two halves; the second half takes the place of generated
    images. Most metrics depend on the number of images, so compare with a `fidelity` of as many
    images as a half has; with more images, a perfect generator would reach lower distances.

    Parameters
    ----------
    real : array-like of float, shape [N, F]
        Features; at least 12 rows. With an odd number, the second half has one row more.
    extractor : str
        Identifies the extractor; stored with the metrics.
    rng : numpy.random.Generator
        Splits the images.

    Raises
    ------
    DataError
        If the features are not finite, or of fewer than 12 rows.

    Examples
    --------
    >>> real = np.random.default_rng(0).normal(size=(41, 4))
    >>> result = real_vs_real(real, "raw", np.random.default_rng(1))
    >>> result.n_real, result.n_generated, result.is_small_sample
    (20, 21, True)
    """
    x = check_features(real, "real", 2 * (max(PRECISION_RECALL_K, DENSITY_COVERAGE_K) + 1))
    order = rng.permutation(len(x))
    half = len(x) // 2
    return fidelity(real=x[order[:half]], generated=x[order[half:]], extractor=extractor)
