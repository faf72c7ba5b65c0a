"""Shuffled batches as a function of the step, so that checkpoints need no position in the data."""

from collections.abc import Callable, Sequence
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


def balanced_indices(classes: np.ndarray | None, indices: np.ndarray) -> np.ndarray:
    """Return indices of samples, repeated for rare classes until classes are about equally large.

    Parameters
    ----------
    classes : ndarray [N] of int, or None
        Class indices, below 0 for unlabeled samples, which occur once; None: no class is known.
    indices : ndarray of int
        Indices of the samples.
    """
    if classes is None or not len(indices):
        return indices
    classes = np.asarray(classes)[indices]
    is_labeled = classes >= 0
    sizes = np.bincount(classes[is_labeled])
    repeats = np.ones(len(indices), np.int64)
    if is_labeled.any():
        repeats[is_labeled] = np.rint(sizes.max() / sizes[classes[is_labeled]])
    return np.repeat(indices, repeats)


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

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the arrays of one step: samples `[B, ...]` and classes `[B, K]`."""
        return (self.batch_size, *self.samples.shape[1:]), (self.batch_size, self.num_classes)

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


class JointBatches:
    """Batches of the old and of the new camera, side by side.

    A step gets `(old, old_classes, new, new_classes)`. The batch of a camera is the concatenation
    of parts, such as labeled and unlabeled images.

    Parameters
    ----------
    old, new : sequence of Batches
        Parts of the batch of each camera. The samples of all parts of a camera have one shape.
    """

    def __init__(self, old: Sequence[Batches], new: Sequence[Batches]) -> None:
        self.cameras = (tuple(old), tuple(new))

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the arrays of one step, in the order of `chunk`."""
        shapes = []
        for parts in self.cameras:
            size = sum(part.batch_size for part in parts)
            shapes += [(size, *shape[1:]) for shape in parts[0].shapes]
        return tuple(shapes)

    def chunk(self, first: int, count: int) -> tuple[np.ndarray, ...]:
        """Return the batches of `count` consecutive steps, from the step `first` on.

        Returns
        -------
        tuple of ndarray
            Samples `[count, B, ...]` and classes `[count, B, K]` of the old camera, then those of
            the new one, float32; see `Batches.chunk`.
        """
        arrays: list[np.ndarray] = []
        for parts in self.cameras:
            chunks = zip(*(part.chunk(first, count) for part in parts))
            arrays += [np.concatenate(values, axis=1) for values in chunks]
        return tuple(arrays)
