"""Draws of labels: what a person would have had who labeled only so many images, again and again.

Few labels make a classifier's accuracy depend on which ones they are, more than on anything that is
done with them. So every comparison is repeated over draws, and all arms of a draw see the same
images. A draw is a function of the seed and its number alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from augan.data.dataset import resolve_class
from augan.exceptions import ConfigError, DataError
from augan.seeding import child_rng, child_seed

LEAST = 2  # labeled images of a class: one has no neighbour, and nothing varies in it


@dataclass(frozen=True, eq=False)
class LabelPool:
    """All images that draws are made from.

    Attributes
    ----------
    images : ndarray [N, S, S, C]
        Stored squares, perhaps a memory map.
    labels : ndarray of int64 [N]
        Positions in `class_names`.
    class_names : tuple of str
    unlabeled : ndarray [M, S, S, C] or None
        Squares whose classes nobody has named; every draw sees them.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    unlabeled: np.ndarray | None = None


@dataclass(frozen=True)
class SubsetSpec:
    """How many labels a draw has.

    Attributes
    ----------
    labels : int or None
        Labeled images of each class; None: all that there are.
    rare : mapping of str to int
        Classes, by name or number, of which a draw has this many instead.
    rest_unlabeled : bool
        Whether the images that were not drawn stay, without their labels.
    most_unlabeled : int or None
        At most so many of these stay, chosen anew in each draw.
    """

    labels: int | None = None
    rare: Mapping[str, int] = field(default_factory=dict)
    rest_unlabeled: bool = False
    most_unlabeled: int | None = None

    def counts(self, pool: LabelPool) -> np.ndarray:
        """Return the number of labeled images of each class, int `[K]`.

        Raises
        ------
        ConfigError
            A number below 2.
        DataError
            A class that there is not, or that has too few images.
        """
        there = np.bincount(pool.labels, minlength=len(pool.class_names))
        wanted = there.copy() if self.labels is None else np.full_like(there, self.labels)
        if self.labels is not None:
            _check_count("--labels", self.labels)
        meant: dict[int, str] = {}
        for name, count in self.rare.items():
            _check_count(f"--rare {name}", count)
            number = resolve_class(name, pool.class_names)
            if number in meant:
                raise ConfigError(
                    f"--rare {meant[number]} and --rare {name} both mean the class "
                    f"{pool.class_names[number]}; keep one of the two"
                )
            meant[number] = name
            wanted[number] = count
        for name, has, want in zip(pool.class_names, there.tolist(), wanted.tolist()):
            if has < max(want, LEAST):
                fewer = f", or take fewer with --rare '{name}={has}'" if has >= LEAST else ""
                raise DataError(
                    f"the class {name} has {has} training image{'' if has == 1 else 's'}, but "
                    f"{max(want, LEAST)} are needed for each draw; add images{fewer}"
                )
        return wanted

    def num_unlabeled(self, pool: LabelPool) -> int:
        """Return how many images without a label each draw has."""
        beside = 0 if pool.unlabeled is None else len(pool.unlabeled)
        rest = len(pool.labels) - int(self.counts(pool).sum()) if self.rest_unlabeled else 0
        return beside + (rest if self.most_unlabeled is None else min(rest, self.most_unlabeled))


@dataclass(frozen=True, eq=False)
class LabelSubset:
    """What all arms of one comparison are given.

    Attributes
    ----------
    number, seed : int
        Which draw it is, and the seed of everything random in it.
    rows : ndarray of int
        Rows of the pool that have labels here.
    images, labels : ndarray [n, S, S, C] and int64 [n]
    num_classes : int
    unlabeled : ndarray [m, S, S, C] or None
    """

    number: int
    seed: int
    rows: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    num_classes: int
    unlabeled: np.ndarray | None = None


def make_draw(pool: LabelPool, recipe: SubsetSpec, seed: int, number: int) -> LabelSubset:
    """Return draw `number` of a pool.

    Raises
    ------
    ConfigError, DataError
        The recipe does not fit the pool.
    """
    rows = rows_of(pool, recipe, seed, number)
    parts = [] if pool.unlabeled is None else [np.asarray(pool.unlabeled)]
    if recipe.rest_unlabeled:
        rest = np.setdiff1d(np.arange(len(pool.labels)), rows)
        rest = child_rng(seed, "lift", "rest", number).permutation(rest)
        parts.append(pool.images[np.sort(rest[: recipe.most_unlabeled])])
    unlabeled = np.concatenate(parts) if sum(map(len, parts)) else None
    return LabelSubset(
        number=number,
        seed=child_seed(seed, "lift", number),
        rows=rows,
        images=np.asarray(pool.images[rows]),
        labels=pool.labels[rows],
        num_classes=len(pool.class_names),
        unlabeled=unlabeled,
    )


def rows_of(pool: LabelPool, recipe: SubsetSpec, seed: int, number: int) -> np.ndarray:
    """Return the rows of the pool that have labels in draw `number`, sorted."""
    rng = child_rng(seed, "lift", "draw", number)
    chosen = [
        rng.permutation(np.flatnonzero(pool.labels == label))[:count]
        for label, count in enumerate(recipe.counts(pool))
    ]
    return np.sort(np.concatenate(chosen))


def _check_count(option: str, count: int) -> None:
    if count < LEAST:
        raise ConfigError(
            f"{option}: {count} labeled images of a class were asked for; at least {LEAST} are "
            "needed to compare anything"
        )
