"""Rejection criteria of generated candidates, as functions on arrays.

Each criterion answers one question about each candidate. The thresholds are computed from real
samples only, by rules that are the same for all data sets.
"""

import numpy as np

from augan.data.splits import evenly_spaced
from augan.io.hashing import array_digest

ACCEPTED = "accepted"
UNCHECKED = "unchecked"
LABEL_MISMATCH = "label_mismatch"
IMPLAUSIBLE = "implausible"
MEMORIZED = "memorized"
DUPLICATE = "duplicate"
REJECTION_REASONS = (LABEL_MISMATCH, IMPLAUSIBLE, MEMORIZED, DUPLICATE)  # in order of the checks

CUTOFF_FRACTION = 0.01  # fraction of the real samples that a threshold cuts off
MAX_SIDE = 32  # pixels; larger images are reduced to this side before they are compared
# Distances between images shrink as their number grows, and there may be fifty times as many
# synthetic as real images. So two accepted candidates may be as near as half the threshold.
DUPLICATE_DISTANCE_RATIO = 0.5
MAX_QUERIES = 1_000  # real samples whose nearest neighbors set the threshold


def class_probability(logits: np.ndarray, class_index: int) -> np.ndarray:
    """Return the classifier's probability `[N]` of one class: the softmax of logits `[N, K]`."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted[:, class_index] / shifted.sum(axis=1)


def label_mismatch(logits: np.ndarray, class_index: int) -> np.ndarray:
    """Return which candidates the classifier assigns to another class, bool `[N]`.

    Parameters
    ----------
    logits : ndarray [N, K]
        The classifier's logits of the K classes.
    class_index : int
        The class that the candidates must be of.

    Examples
    --------
    >>> label_mismatch(np.array([[2.0, 1.0], [0.0, 3.0]]), 0).tolist()
    [False, True]
    """
    return logits.argmax(axis=1) != class_index


def min_realness(logits: np.ndarray) -> float:
    """Return the discriminator logit below which a candidate is implausible.

    The threshold lies twice as far below the median of real samples as their first percentile. The
    first percentile itself would be too strict, because the discriminator has learned to
    distinguish generated images from real ones: the percentile lies above a quarter of good digits
    and above 80 % of Fashion-MNIST's bags, and a classifier that learns from the rest is no better.

    Parameters
    ----------
    logits : ndarray [N]
        The discriminator's logits of real samples that it was not trained on.

    Returns
    -------
    float
        The threshold; -inf if there are too few samples for a first percentile.
    """
    if (
        len(logits) * CUTOFF_FRACTION < 1
    ):  # the percentile would be the minimum, or an extrapolation
        return -np.inf
    median, low = np.quantile(logits, [0.5, CUTOFF_FRACTION])
    return float(2 * low - median)


def to_feature_vectors(scaled: np.ndarray) -> np.ndarray:
    """Return samples in [-1, 1] as float32 vectors `[N, F]`, for distances between samples.

    Parameters
    ----------
    scaled : ndarray
        Square images `[N, S, S, C]` or rows `[N, F]`. Images of more than 32 x 32 pixels are
        reduced to that size by averaging blocks of pixels; S must then be a multiple of 32.
    """
    if scaled.ndim == 4 and scaled.shape[1] > MAX_SIDE:
        n, side, _, channels = scaled.shape
        step = side // MAX_SIDE
        scaled = scaled.reshape(n, MAX_SIDE, step, MAX_SIDE, step, channels).mean(axis=(2, 4))
    return np.ascontiguousarray(scaled.reshape(len(scaled), -1), np.float32)


class NearestRealIndex:
    """Nearest-neighbor index of the real samples of one class, which finds memorized candidates.

    Distances are root mean squares over the F values: from 0 to 2 for images.

    Parameters
    ----------
    real : ndarray of float32 [M, F]
        Real samples as `to_feature_vectors` returns them, at least one.
    """

    def __init__(self, real: np.ndarray) -> None:
        self.real, self._mean = real, real.mean(axis=0)
        self._centered = real - self._mean
        self._squared_norms = np.einsum("ij,ij->i", self._centered, self._centered)

    def query(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest real sample of each candidate.

        Parameters
        ----------
        x : ndarray [N, F]
            Candidates as feature vectors.

        Returns
        -------
        distance : ndarray [N]
            Root mean square difference to the nearest real sample.
        nearest : ndarray of int [N]
            Row of this sample in `real`.
        """
        squared = _squared_distances(x - self._mean, self._centered, self._squared_norms)
        nearest = squared.argmin(axis=1)
        # Recomputed, because a small difference of large squares is inexact.
        return _rms(x - self.real[nearest]), nearest

    def memorization_threshold(self) -> float:
        """Return the distance to a real sample up to which a candidate counts as memorized.

        The threshold is the first percentile of the distances between each real sample and its
        nearest neighbor, so two different real samples seldom lie that close. Equal samples count
        once: copies in a training set do not justify memorization. 0.0: fewer than two distinct
        samples.
        """
        distinct = self._centered[_distinct_rows(self.real)]
        if len(distinct) < 2:
            return 0.0
        queries = evenly_spaced(np.arange(len(distinct)), MAX_QUERIES)
        squared = _squared_distances(distinct[queries], distinct)
        squared[np.arange(len(queries)), queries] = np.inf
        nearest = squared.argmin(axis=1)
        return float(np.quantile(_rms(distinct[queries] - distinct[nearest]), CUTOFF_FRACTION))


class AcceptedIndex:
    """Index of the accepted candidates of one class, which finds duplicates among new candidates.

    Parameters
    ----------
    threshold : float
        Root mean square difference up to which two candidates are duplicates.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._rows = np.empty((0, 0), np.float32)
        self._count = 0

    def find_duplicates(self, x: np.ndarray, eligible: np.ndarray) -> np.ndarray:
        """Return which new candidates are duplicates, bool `[N]`.

        A duplicate lies near an accepted candidate, or near an earlier new candidate that is no
        duplicate.

        Parameters
        ----------
        x : ndarray [N, F]
            New candidates as feature vectors.
        eligible : ndarray of bool [N]
            Candidates that no other criterion has rejected; only eligible candidates are compared
            with each other, and only an eligible candidate can be a duplicate.
        """
        bound = self.threshold**2 * x.shape[1]
        result = np.zeros(len(x), bool)
        if self._count:
            result |= (_squared_distances(x, self._rows[: self._count]) <= bound).any(axis=1)
        near = _squared_distances(x, x) <= bound
        for row in np.flatnonzero(eligible & ~result):
            result[row] = (near[row, :row] & eligible[:row] & ~result[:row]).any()
        return result & eligible

    def add(self, x: np.ndarray) -> None:
        """Add accepted candidates `[N, F]`, so that later duplicates of them are found."""
        needed = self._count + len(x)
        if needed > len(self._rows):
            grown = np.empty((max(needed, 2 * len(self._rows)), x.shape[1]), np.float32)
            if self._count:
                grown[: self._count] = self._rows[: self._count]
            self._rows = grown
        self._rows[self._count : needed] = x
        self._count = needed


def _squared_distances(
    x: np.ndarray, y: np.ndarray, y_squared_norms: np.ndarray | None = None
) -> np.ndarray:
    """Return squared Euclidean distances `[N, M]` between rows of `x` `[N, F]` and `y` `[M, F]`.

    The distances come from one matrix product, so small distances are inexact; see
    `augan.metrics.distances`. `y_squared_norms` `[M]`: computed before, to save time.
    """
    block = x @ y.T
    block *= -2
    block += np.einsum("ij,ij->i", x, x)[:, None]
    block += np.einsum("ij,ij->i", y, y) if y_squared_norms is None else y_squared_norms
    return np.maximum(block, 0, out=block)


def _rms(differences: np.ndarray) -> np.ndarray:
    """Return the root mean square `[N]` of each row of differences `[N, F]`."""
    return np.sqrt(np.square(differences, dtype=np.float64).mean(axis=1))


def _distinct_rows(rows: np.ndarray) -> np.ndarray:
    """Return the indices of the first occurrence of each distinct row."""
    first: dict[bytes, int] = {}
    for index, row in enumerate(rows):
        first.setdefault(array_digest(row), index)
    return np.array(list(first.values()))
