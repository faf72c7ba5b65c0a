"""Label subsets: repeated random selections of labeled images.

With few labels, the accuracy of a classifier depends more on which images are labeled than on the
method. Every comparison is therefore repeated over label subsets, and all arms of a repeat train
on the same subset. A subset depends only on the seed and on the number of its repeat.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from augan.data.dataset import resolve_class
from augan.exceptions import ConfigError, DataError
from augan.seeding import child_rng, child_seed

MIN_LABELED = 2  # labeled images of a class: a single image has no neighbor and no variance


@dataclass(frozen=True, eq=False)
class LabelPool:
    """All training images that label subsets are sampled from.

    Attributes
    ----------
    images : ndarray [N, S, S, C]
        Prepared images, possibly a memory map.
    labels : ndarray of int64 [N]
        Class of each image: an index into `class_names`.
    class_names : tuple of str
    unlabeled : ndarray [M, S, S, C] or None
        Prepared images without a label; part of every subset.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    unlabeled: np.ndarray | None = None


@dataclass(frozen=True)
class SubsetSpec:
    """Number of labeled and unlabeled images in a subset.

    Attributes
    ----------
    labels_per_class : int or None
        Labeled images of each class. None: all images of the pool.
    rare : mapping of str to int
        Classes, by name or number, that have this many labeled images instead.
    rest_unlabeled : bool
        Whether the remaining images stay in the subset as unlabeled images.
    max_unlabeled : int or None
        Maximum number of remaining images that stay, resampled in each repeat.
    """

    labels_per_class: int | None = None
    rare: Mapping[str, int] = field(default_factory=dict)
    rest_unlabeled: bool = False
    max_unlabeled: int | None = None

    def class_counts(self, pool: LabelPool) -> np.ndarray:
        """Return the number of labeled images of each class, int `[K]`.

        Raises
        ------
        ConfigError
            A number is below 2.
        DataError
            A class does not exist or has too few images.
        """
        available = np.bincount(pool.labels, minlength=len(pool.class_names))
        counts = available.copy()
        if self.labels_per_class is not None:
            _check_count("--labels-per-class", self.labels_per_class)
            counts = np.full_like(available, self.labels_per_class)
        names: dict[int, str] = {}
        for name, count in self.rare.items():
            _check_count(f"--rare {name}", count)
            label = resolve_class(name, pool.class_names)
            if label in names:
                raise ConfigError(
                    f"--rare {names[label]} and --rare {name} both mean the class "
                    f"{pool.class_names[label]}; keep one of the two"
                )
            names[label] = name
            counts[label] = count
        for name, num, count in zip(pool.class_names, available.tolist(), counts.tolist()):
            required = max(count, MIN_LABELED)
            if num < required:
                fewer = f", or use fewer with --rare '{name}={num}'" if num >= MIN_LABELED else ""
                raise DataError(
                    f"the class {name} has {num} training image{'' if num == 1 else 's'}, but "
                    f"{required} are needed for each repeat; add images{fewer}"
                )
        return counts

    def num_unlabeled(self, pool: LabelPool) -> int:
        """Return the number of unlabeled images in each subset."""
        always = 0 if pool.unlabeled is None else len(pool.unlabeled)
        rest = 0
        if self.rest_unlabeled:
            rest = len(pool.labels) - int(self.class_counts(pool).sum())
        return always + (rest if self.max_unlabeled is None else min(rest, self.max_unlabeled))


@dataclass(frozen=True, eq=False)
class LabelSubset:
    """Training images of one repeat, the same for all arms.

    Attributes
    ----------
    repeat, seed : int
        Number of the repeat, and the seed of all its random numbers.
    indices : ndarray of int
        Indices of the labeled images in the pool.
    images, labels : ndarray [n, S, S, C] and int64 [n]
    num_classes : int
    unlabeled : ndarray [m, S, S, C] or None
    """

    repeat: int
    seed: int
    indices: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    num_classes: int
    unlabeled: np.ndarray | None = None

    @property
    def class_counts(self) -> np.ndarray:
        """Number of labeled images of each class, int `[K]`."""
        return np.bincount(self.labels, minlength=self.num_classes)


def sample_subset(pool: LabelPool, spec: SubsetSpec, seed: int, repeat: int) -> LabelSubset:
    """Return the label subset of a repeat.

    Raises
    ------
    ConfigError, DataError
        The spec does not fit the pool.
    """
    indices = subset_indices(pool, spec, seed, repeat)
    parts = [] if pool.unlabeled is None else [np.asarray(pool.unlabeled)]
    if spec.rest_unlabeled:
        rest = np.setdiff1d(np.arange(len(pool.labels)), indices)
        rest = child_rng(seed, "lift", "rest", repeat).permutation(rest)
        parts.append(pool.images[np.sort(rest[: spec.max_unlabeled])])
    unlabeled = np.concatenate(parts) if sum(map(len, parts)) else None
    return LabelSubset(
        repeat=repeat,
        seed=child_seed(seed, "lift", repeat),
        indices=indices,
        images=np.asarray(pool.images[indices]),
        labels=pool.labels[indices],
        num_classes=len(pool.class_names),
        unlabeled=unlabeled,
    )


def subset_indices(pool: LabelPool, spec: SubsetSpec, seed: int, repeat: int) -> np.ndarray:
    """Return the sorted indices of the images that are labeled in a repeat."""
    rng = child_rng(seed, "lift", "draw", repeat)
    indices = [
        rng.permutation(np.flatnonzero(pool.labels == label))[:count]
        for label, count in enumerate(spec.class_counts(pool))
    ]
    return np.sort(np.concatenate(indices))


def _check_count(option: str, count: int) -> None:
    if count < MIN_LABELED:
        raise ConfigError(
            f"{option} must be {MIN_LABELED} or more labeled images of a class, but is {count}"
        )
