"""Shuffled batches as a function of the step, so that checkpoints need no position in the data."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from augan.data.sequences import ConcatRows, SlidingWindows
from augan.seeding import child_rng


def one_hot(classes: np.ndarray | None, indices: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the classes of some samples as float32 vectors, `[len(indices), num_classes]`.

    Parameters
    ----------
    classes : ndarray [N] of int, ndarray [N, num_classes], or None
        Class indices, below 0 where unknown; or class probabilities, which are returned unchanged;
        None: no class is known.
    indices : ndarray of int
        Indices of the samples.
    num_classes : int
        May be 0; the result then has no columns.

    Returns
    -------
    ndarray
        1 in the column of the class and 0 elsewhere; all 0 for an unknown class.
    """
    if classes is not None and classes.ndim == 2:
        return classes[indices]
    weights = np.zeros((len(indices), num_classes), np.float32)
    if num_classes and classes is not None:
        labeled = np.flatnonzero(classes[indices] >= 0)
        weights[labeled, classes[indices[labeled]]] = 1.0
    return weights


class Batches:
    """Endless sequence of shuffled batches for one stage of a training.

    Every epoch has a new permutation, a function of the seed. A batch may span two epochs, so every
    batch has the same size.

    Parameters
    ----------
    samples : ndarray [N, ...], ConcatRows or SlidingWindows
        Prepared samples. Only the rows of a batch are read, so a memory map works.
    classes : ndarray [N] of int, ndarray [N, num_classes], or None
        Class indices, -1 for an unknown class, or class probabilities; ignored if `num_classes` is
        0.
    num_classes, batch_size : int
        Number of classes, and of samples in a batch.
    normalize : callable
        Prepared samples -> float32 in [-1, 1].
    seed : int
        Seed of the permutations.
    indices : ndarray of int or None
        Samples of the stage; a repeated index is used more often. None: all samples.
    """

    def __init__(
        self,
        samples: np.ndarray | ConcatRows | SlidingWindows,
        classes: np.ndarray | None,
        *,
        num_classes: int,
        batch_size: int,
        normalize: Callable[[np.ndarray], np.ndarray],
        seed: int,
        indices: np.ndarray | None = None,
    ) -> None:
        self.samples, self.classes = samples, classes
        self.num_classes, self.batch_size = num_classes, batch_size
        self.normalize, self.seed = normalize, seed
        self.indices = np.arange(len(samples)) if indices is None else indices
        # Two epochs, because a chunk may end in the epoch after the one it starts in.
        self._cached_permutation = lru_cache(maxsize=2)(self._permutation)

    def batch_indices(self, step: int) -> np.ndarray:
        """Return the indices of the samples in the batch of a step, int64 `[batch_size]`.

        `step` counts from 0.
        """
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, offsets = positions // len(self.indices), positions % len(self.indices)
        indices = np.empty_like(positions)
        for epoch in np.unique(epochs):
            permutation = self._cached_permutation(int(epoch))
            indices[epochs == epoch] = permutation[offsets[epochs == epoch]]
        return indices

    def _permutation(self, epoch: int) -> np.ndarray:
        """Return the sample indices in the random order of one epoch."""
        return self.indices[child_rng(self.seed, "epoch", epoch).permutation(len(self.indices))]

    def chunk(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the batches of `count` consecutive steps, from the step `first` on.

        Returns
        -------
        samples : ndarray [count, B, ...] of float32
            Normalized samples; B is the batch size.
        classes : ndarray [count, B, K] of float32
            One-hot, or class probabilities; all 0 for an unknown class.
        """
        steps = range(first, first + count)
        indices = np.concatenate([self.batch_indices(step) for step in steps])
        samples = self.normalize(self.samples[indices])
        classes = one_hot(self.classes, indices, self.num_classes)
        lead = (count, self.batch_size)
        return samples.reshape(lead + samples.shape[1:]), classes.reshape((*lead, self.num_classes))
