"""Batches as a pure function of the step, so that nothing about the data position needs saving."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from augan.seeding import child_rng


class Batches:
    """An endless stream of shuffled batches, one permutation an epoch.

    Parameters
    ----------
    images : ndarray [N, S, S, C]
        Stored pixels; only the rows of a batch are read, so a memory map does.
    classes : ndarray [N] of int
        Indices below `num_classes`; ignored if `num_classes` is 0.
    rows : ndarray of int or None
        Which of the N images to use, so that nothing need be copied; None: all.
    scale : callable
        Stored pixels -> float32 in [-1, 1].
    """

    def __init__(
        self,
        images: np.ndarray,
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

        Images are float32 `[count, B, S, S, C]`, classes one-hot float32 `[count, B, K]`.
        """
        rows = np.concatenate([self.indices(step) for step in range(first, first + count)])
        images = self.scale(self.images[rows])
        classes = np.zeros((len(rows), self.num_classes), np.float32)
        if self.num_classes and self.classes is not None:
            classes[np.arange(len(rows)), self.classes[rows]] = 1.0
        lead = (count, self.batch_size)
        return images.reshape(lead + images.shape[1:]), classes.reshape((*lead, self.num_classes))
