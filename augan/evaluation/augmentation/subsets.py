"""Label subsets: repeated random selections of labeled images.

With few labels, the accuracy of a classifier depends more on which images are labeled than on the
method. Every comparison is therefore repeated over label subsets, and all arms (ways to make a
training set) of a repeat train on the same subset. A subset depends only on the seed and on the
number of its repeat.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from augan.data.dataset import as_class_names, resolve_class
from augan.exceptions import ConfigError, DataError
from augan.seeding import child_rng, child_seed

MIN_LABELED = 2  # labeled images of a class: a single image has no neighbor and no variance


@dataclass(frozen=True, eq=False)
class LabelPool:
    """Pool of all training images, from which label subsets are sampled.

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
    """Specification of a label subset: the number of labeled and unlabeled images.

    Raises ConfigError if a number of labeled images is no whole number or below 2.

    Attributes
    ----------
    labels_per_class : int or None
        Labeled images of each class, at least 2. None: all images of the pool.
    rare : mapping of str to int
        Classes, by name or number, with another number of labeled images than `labels_per_class`.
    rest_unlabeled : bool
        Whether the images of the pool that are not selected stay in the subset without their
        labels.
    max_unlabeled : int or None
        Maximum number of such images, resampled in each repeat. None: no limit.
    """

    labels_per_class: int | None = None
    rare: Mapping[str, int] = field(default_factory=dict)
    rest_unlabeled: bool = False
    max_unlabeled: int | None = None

    def __post_init__(self) -> None:
        if self.labels_per_class is not None:
            number = _check_count("`labels_per_class`", self.labels_per_class)
            object.__setattr__(self, "labels_per_class", number)
        rare = {name: _check_count(f"`rare` {name}", num) for name, num in self.rare.items()}
        names = {as_class_names(name)[0]: number for name, number in rare.items()}
        if len(names) < len(rare):
            raise ConfigError(f"`rare` names a class twice: {list(rare)}; keep one of the two")
        object.__setattr__(self, "rare", names)

    def class_counts(self, pool: LabelPool) -> np.ndarray:
        """Return the number of labeled images of each class in a subset of a pool, int `[K]`.

        Raises
        ------
        ConfigError
            Two entries of `rare` mean the same class.
        DataError
            A class does not exist or has too few images.
        """
        available = np.bincount(pool.labels, minlength=len(pool.class_names))
        counts = available.copy()
        if self.labels_per_class is not None:
            counts = np.full_like(available, self.labels_per_class)
        names: dict[int, str] = {}
        for name, count in self.rare.items():
            label = resolve_class(name, pool.class_names)
            if label in names:
                raise ConfigError(
                    f"`rare` {names[label]} and `rare` {name} both mean the class "
                    f"{pool.class_names[label]}; keep one of the two"
                )
            names[label] = name
            counts[label] = count
        for name, num, count in zip(pool.class_names, available.tolist(), counts.tolist()):
            required = max(count, MIN_LABELED)
            if num < required:
                fewer = f", or use fewer with `rare='{name}={num}'`" if num >= MIN_LABELED else ""
                raise DataError(
                    f"the class {name} has {num} training image{'' if num == 1 else 's'}, but "
                    f"{required} are needed for each repeat; add images{fewer}"
                )
        return counts

    def num_unlabeled(self, pool: LabelPool) -> int:
        """Return the number of unlabeled images in each subset of a pool."""
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
    repeat : int
        Number of the repeat from 0.
    seed : int
        Seed of all random numbers of the repeat, apart from the selection of its images.
    indices : ndarray of int [n]
        Sorted indices of the labeled images in the pool.
    images : ndarray [n, S, S, C]
        Prepared labeled images.
    labels : ndarray of int64 [n]
        Class of each labeled image.
    num_classes : int
    unlabeled : ndarray [m, S, S, C] or None
        Prepared images without a label; None if there are none.
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
        """Number of labeled images of each class in the subset, int `[K]`."""
        return np.bincount(self.labels, minlength=self.num_classes)


def sample_subset(pool: LabelPool, spec: SubsetSpec, seed: int, repeat: int) -> LabelSubset:
    """Sample the labeled and unlabeled images of one repeat from a pool.

    Parameters
    ----------
    pool : LabelPool
    spec : SubsetSpec
    seed : int
        Seed of the evaluation.
    repeat : int
        Number of the repeat from 0.

    Returns
    -------
    LabelSubset

    Raises
    ------
    ConfigError
        Two numbers of the specification are of the same class.
    DataError
        A class does not exist or has too few images.
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
    """Return the sorted indices in a pool of the images that are labeled in a repeat.

    The indices are those of `sample_subset` with the same arguments, without reading any image.
    Errors are those of `SubsetSpec.class_counts`.
    """
    rng = child_rng(seed, "lift", "draw", repeat)
    indices = [
        rng.permutation(np.flatnonzero(pool.labels == label))[:count]
        for label, count in enumerate(spec.class_counts(pool))
    ]
    return np.sort(np.concatenate(indices))


def _check_count(label: str, count: Any) -> int:
    """Return a number of labeled images of a class; ConfigError below 2 or for other types."""
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < MIN_LABELED:
        raise ConfigError(
            f"{label} must be {MIN_LABELED} or more labeled images of a class, but is {count!r}"
        )
    return int(count)
