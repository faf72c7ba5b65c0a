"""Batches as a pure function of the step, so that nothing about the data position needs saving."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from augan.data.sequences import ConcatRows, SlidingWindows
from augan.seeding import child_rng


def one_hot(classes: np.ndarray | None, rows: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the classes of `rows` as float32 `[len(rows), num_classes]`; unknown ones are 0.

    Parameters
    ----------
    classes : ndarray [N] of int, ndarray [N, num_classes], or None
        Indices, below 0 where unknown; or weights, which are returned as they are.
    """
    if classes is not None and classes.ndim == 2:
        return classes[rows]
    weights = np.zeros((len(rows), num_classes), np.float32)
    if num_classes and classes is not None:
        known = np.flatnonzero(classes[rows] >= 0)
        weights[known, classes[rows[known]]] = 1.0
    return weights


class Batches:
    """An endless stream of shuffled batches, one permutation an epoch.

    Parameters
    ----------
    images : ndarray [N, S, S, C], ConcatRows or SlidingWindows
        Stored pixels; only the rows of a batch are read, so a memory map does.
    classes : ndarray [N] of int
        Indices below `num_classes`, -1 for an unknown class; ignored if `num_classes` is 0.
    rows : ndarray of int or None
        Which of the N images to use, so that nothing need be copied; None: all.
    scale : callable
        Stored pixels -> float32 in [-1, 1].
    """

    def __init__(
        self,
        images: np.ndarray | ConcatRows | SlidingWindows,
        classes: np.ndarray | None,
        *,
        num_classes: int,
        batch_size: int,
        scale: Callable[[np.ndarray], np.ndarray],
        seed: int,
        rows: np.ndarray | None = None,
    ) -> None:
        self.images, self.classes = images, classes
        self.num_classes, self.batch_size = num_classes, batch_size
        self.scale, self.seed = scale, seed
        self.rows = np.arange(len(images)) if rows is None else rows
        # Two, because a chunk may reach from one epoch into the next.
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def indices(self, step: int) -> np.ndarray:
        """Return which of the N images make batch number `step`, int64 `[batch_size]`."""
        position = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = position // len(self.rows), position % len(self.rows)
        rows = np.empty_like(position)
        for epoch in np.unique(epochs):
            rows[epochs == epoch] = self._order(int(epoch))[places[epochs == epoch]]
        return rows

    def _shuffled(self, epoch: int) -> np.ndarray:
        return self.rows[child_rng(self.seed, "epoch", epoch).permutation(len(self.rows))]

    def chunk(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return steps `first` to `first + count - 1`.

        Images are float32 `[count, B, S, S, C]`, classes one-hot float32 `[count, B, K]`, of which
        unknown ones are all 0.
        """
        rows = np.concatenate([self.indices(step) for step in range(first, first + count)])
        images = self.scale(self.images[rows])
        classes = one_hot(self.classes, rows, self.num_classes)
        lead = (count, self.batch_size)
        return images.reshape(lead + images.shape[1:]), classes.reshape((*lead, self.num_classes))
