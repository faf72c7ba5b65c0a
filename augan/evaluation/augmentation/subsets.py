"""Draws of labels: what a person would have had who labelled only so many images, again and again.

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

LEAST = 2  # labelled images of a class: one has no neighbour, and nothing varies in it


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
    unlabelled : ndarray [M, S, S, C] or None
        Squares whose classes nobody has named; every draw sees them.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    unlabelled: np.ndarray | None = None


@dataclass(frozen=True)
class SubsetSpec:
    """How many labels a draw has.

    Attributes
    ----------
    labels : int or None
        Labelled images of each class; None: all that there are.
    rare : mapping of str to int
        Classes, by name or number, of which a draw has this many instead.
    rest_unlabelled : bool
        Whether the images that were not drawn stay, without their labels.
    most_unlabelled : int or None
        At most so many of these stay, chosen anew in each draw.
    """

    labels: int | None = None
    rare: Mapping[str, int] = field(default_factory=dict)
    rest_unlabelled: bool = False
    most_unlabelled: int | None = None

    def counts(self, pool: LabelPool) -> np.ndarray:
        """Return the number of labelled images of each class, int `[K]`.

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

    def num_unlabelled(self, pool: LabelPool) -> int:
        """Return how many images without a label each draw has."""
        beside = 0 if pool.unlabelled is None else len(pool.unlabelled)
        rest = len(pool.labels) - int(self.counts(pool).sum()) if self.rest_unlabelled else 0
        return beside + (rest if self.most_unlabelled is None else min(rest, self.most_unlabelled))


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
    unlabelled : ndarray [m, S, S, C] or None
    """

    number: int
    seed: int
    rows: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    num_classes: int
    unlabelled: np.ndarray | None = None


def make_draw(pool: LabelPool, recipe: SubsetSpec, seed: int, number: int) -> LabelSubset:
    """Return draw `number` of a pool.

    Raises
    ------
    ConfigError, DataError
        The recipe does not fit the pool.
    """
    rows = rows_of(pool, recipe, seed, number)
    parts = [] if pool.unlabelled is None else [np.asarray(pool.unlabelled)]
    if recipe.rest_unlabelled:
        rest = np.setdiff1d(np.arange(len(pool.labels)), rows)
        rest = child_rng(seed, "lift", "rest", number).permutation(rest)
        parts.append(pool.images[np.sort(rest[: recipe.most_unlabelled])])
    unlabelled = np.concatenate(parts) if sum(map(len, parts)) else None
    return LabelSubset(
        number=number,
        seed=child_seed(seed, "lift", number),
        rows=rows,
        images=np.asarray(pool.images[rows]),
        labels=pool.labels[rows],
        num_classes=len(pool.class_names),
        unlabelled=unlabelled,
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
            f"{option}: {count} labelled images of a class were asked for; at least {LEAST} are "
            "needed to compare anything"
        )
