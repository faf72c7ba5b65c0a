"""What is wrong with a candidate: pure functions on arrays, and limits taken from real images.

Each function answers one question for each candidate. Limits come from real images alone, by rules
that are the same for all data.
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
REJECTION_REASONS = (
    LABEL_MISMATCH,
    IMPLAUSIBLE,
    MEMORIZED,
    DUPLICATE,
)  # in the order in which they are looked for

CUTOFF_FRACTION = 0.01  # of real images that a limit cuts off
MAX_SIDE = 32  # pixels to which larger squares shrink before they are compared
# Two kept ones are as near as half of that: how near images lie depends on how many there are, and
# of synthetic ones there may be fifty times as many as of real ones.
DUPLICATE_DISTANCE_RATIO = 0.5
MAX_QUERIES = 1_000  # real images whose nearest neighbours set the limit


def class_probability(logits: np.ndarray, index: int) -> np.ndarray:
    """Return the classifier's probability `[N]` of class `index` from logits `[N, K]`."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted[:, index] / shifted.sum(axis=1)


def label_mismatch(logits: np.ndarray, index: int) -> np.ndarray:
    """Return which candidates `[N]` the classifier takes for another class than `index`.

    Examples
    --------
    >>> disagrees(np.array([[2.0, 1.0], [0.0, 3.0]]), 0).tolist()
    [False, True]
    """
    return logits.argmax(axis=1) != index


def min_realness(scores: np.ndarray) -> float:
    """Return the score below which an image is unlike any real one; -inf of too few to tell.

    It lies twice as far below the median of real images as their first percentile does. The first
    percentile itself would be no measure of generated images, which the discriminator has learned
    to tell from real ones: it lies above a quarter of good digits and 80 % of Fashion-MNIST's bags,
    and a classifier that learns from the rest is no better.

    Parameters
    ----------
    scores : ndarray [N]
        The discriminator's logits of real images that it was not trained on.
    """
    if (
        len(scores) * CUTOFF_FRACTION < 1
    ):  # then the percentile would be the lowest itself, or beyond it
        return -np.inf
    median, low = np.quantile(scores, [0.5, CUTOFF_FRACTION])
    return float(2 * low - median)


def to_feature_vectors(scaled: np.ndarray) -> np.ndarray:
    """Return samples in [-1, 1] as vectors `[N, F]` of which distances are taken.

    Squares of more than 32 pixels shrink to 32 by means of whole blocks.
    """
    if scaled.ndim == 4 and scaled.shape[1] > MAX_SIDE:
        n, side, _, channels = scaled.shape
        step = side // MAX_SIDE
        scaled = scaled.reshape(n, MAX_SIDE, step, MAX_SIDE, step, channels).mean(axis=(2, 4))
    return np.ascontiguousarray(scaled.reshape(len(scaled), -1), np.float32)


def _squares(x: np.ndarray, y: np.ndarray, y_squares: np.ndarray | None = None) -> np.ndarray:
    """Return squared distances `[N, M]`, from one matrix product; see `augan.metrics.distances`."""
    block = x @ y.T
    block *= -2
    block += np.einsum("ij,ij->i", x, x)[:, None]
    block += np.einsum("ij,ij->i", y, y) if y_squares is None else y_squares
    return np.maximum(block, 0, out=block)


class NearestRealIndex:
    """Real samples of one class, to find the nearest of.

    Distances are root mean squares over the F values, so 0 to 2 for images.

    Parameters
    ----------
    real : ndarray [M, F]
    """

    def __init__(self, real: np.ndarray) -> None:
        self.real, self._centre = real, real.mean(axis=0)
        self._centred = real - self._centre
        self._squares = np.einsum("ij,ij->i", self._centred, self._centred)

    def nearest(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the distance to the nearest real sample `[N]`, and which it is."""
        place = _squares(x - self._centre, self._centred, self._squares).argmin(axis=1)
        # Exactly, because the difference of large squares leaves little of a small distance.
        return _rms(x - self.real[place]), place

    def limit(self) -> float:
        """Return the distance below which two different real samples seldom lie.

        It is the first percentile of their distances to the nearest other one. Equal samples count
        as one: a training set with copies in it is no reason to make more.
        """
        distinct = self._centred[_distinct(self.real)]
        if len(distinct) < 2:
            return 0.0
        queries = evenly_spaced(np.arange(len(distinct)), MAX_QUERIES)
        squares = _squares(distinct[queries], distinct)
        squares[np.arange(len(queries)), queries] = np.inf
        place = squares.argmin(axis=1)
        return float(np.quantile(_rms(distinct[queries] - distinct[place]), CUTOFF_FRACTION))


def _rms(differences: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(differences, dtype=np.float64).mean(axis=1))


def _distinct(rows: np.ndarray) -> np.ndarray:
    """Return the first row of each kind of equal ones."""
    first: dict[bytes, int] = {}
    for place, row in enumerate(rows):
        first.setdefault(array_digest(row), place)
    return np.array(list(first.values()))


class AcceptedIndex:
    """The vectors of what was kept, to know a repetition by.

    Parameters
    ----------
    limit : float
        Root mean square below which two are the same.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._rows = np.empty((0, 0), np.float32)
        self._count = 0

    def repeats(self, x: np.ndarray, passed: np.ndarray) -> np.ndarray:
        """Return which of `x` `[N, F]` lie within the limit of a kept one before them.

        Parameters
        ----------
        passed : ndarray of bool [N]
            Which are still in question; only these repeat, or are repeated.
        """
        bound = self.limit**2 * x.shape[1]
        result = np.zeros(len(x), bool)
        if self._count:
            result |= (_squares(x, self._rows[: self._count]) <= bound).any(axis=1)
        near = _squares(x, x) <= bound
        for row in np.flatnonzero(passed & ~result):
            result[row] = (near[row, :row] & passed[:row] & ~result[:row]).any()
        return result & passed

    def remember(self, x: np.ndarray) -> None:
        """Add what was kept."""
        needed = self._count + len(x)
        if needed > len(self._rows):
            grown = np.empty((max(needed, 2 * len(self._rows)), x.shape[1]), np.float32)
            if self._count:
                grown[: self._count] = self._rows[: self._count]
            self._rows = grown
        self._rows[self._count : needed] = x
        self._count = needed
