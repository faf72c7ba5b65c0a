"""Test images that the arms have seen: equal ones, and ones that look the same.

A generator that learned a test image by heart would be rewarded for it, and so would every arm that
was trained on the image itself.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from augan.data.cache import load_prepared
from augan.data.dataset import Dataset
from augan.data.duplicates import near_duplicates
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.tables import Table
from augan.data.sequences import ConcatRows
from augan.data.splits import Split
from augan.evaluation.augmentation.subsets import LEAST, LabelPool, SubsetSpec, rows_of
from augan.exceptions import ConfigError, DataError
from augan.seeding import child_rng

MOST_SEEN = 100_000  # images that test images are compared with, evenly spaced ones of more


@dataclass(frozen=True)
class Leakage:
    """What test images have in common with seen ones.

    Attributes
    ----------
    equal : list of (int, int)
        Test image, and a seen image of the same pixels.
    near : list of (int, int, float)
        Test image, the seen image that it resembles most, and their correlation; best first, and
        without those that are equal.
    """

    equal: list[tuple[int, int]]
    near: list[tuple[int, int, float]]


def find_leakage(seen: np.ndarray | ConcatRows, rows: np.ndarray, test: np.ndarray) -> Leakage:
    """Compare test images with those that were seen.

    Parameters
    ----------
    seen : ndarray or ConcatRows [N, S, S, C]
        Stored squares.
    rows : ndarray of int
        Those of them that an arm is given; results name them by their place in `seen`.
    test : ndarray [m, S, S, C]
        Stored squares of the same kind.
    """
    equal = equal_images(seen, rows, test)
    others = np.setdiff1d(np.arange(len(test)), [place for place, _ in equal])
    first = len(seen)
    pairs = near_duplicates(
        ConcatRows(seen, test),
        Split(rows, np.empty(0, np.int64), first + others),
        most_calibrate=len(test),
        most_others=MOST_SEEN,
    )
    near = [(held - first, row, correlation) for row, held, correlation in pairs]
    return Leakage(equal, near)


def equal_images(
    seen: np.ndarray | ConcatRows, rows: np.ndarray, test: np.ndarray
) -> list[tuple[int, int]]:
    """Return `Leakage.equal` alone, which takes a fraction of the time; see `find_leakage`."""
    wanted = set(map(digest, test))
    places: dict[bytes, int] = {}
    for row in rows.tolist():
        key = digest(np.asarray(seen[row]))
        if key in wanted:
            places.setdefault(key, row)
    found = ((place, places.get(digest(image))) for place, image in enumerate(test))
    return [(place, row) for place, row in found if row is not None]


def digest(image: np.ndarray) -> bytes:
    """Return what tells the pixels of an image from all others."""
    return hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).digest()


LEAST_TEST = 2  # test images of a class: of one nobody knows how it varies


@dataclass(frozen=True, eq=False)
class EvaluationData:
    """What an evaluation works on.

    Attributes
    ----------
    name : str
    pool : Pool
    test, labels : ndarray [m, S, S, C] and int64 [m]
        Test images, of every class at least two, and their classes by position in the pool's.
    names, test_names : sequence of str
        Of the pool's images, unlabeled ones behind the others, and of the test images.
    scale : callable
        Stored squares -> float32 in [-1, 1].
    skipped : int
        Files that could not be read.
    groups : ndarray [m] or None
        Which test images show one thing; None: each another.
    """

    name: str
    pool: LabelPool
    test: np.ndarray
    labels: np.ndarray
    names: Sequence[str]
    test_names: Sequence[str]
    scale: Callable[[np.ndarray], np.ndarray]
    skipped: int = 0
    groups: np.ndarray | None = None

    def sha256(self) -> str:
        """Return what tells these images and labels from all others."""
        content = hashlib.sha256(repr(self.pool.class_names).encode())
        more = () if self.pool.unlabeled is None else self.pool.unlabeled
        for images in (self.pool.images, more, self.test):
            for image in images:
                content.update(digest(np.asarray(image)))
        for labels in (self.pool.labels, self.labels):
            content.update(labels.tobytes())
        return content.hexdigest()

    def without(self, places: Sequence[int]) -> "EvaluationData":
        """Return the same without some of the test images."""
        kept = np.setdiff1d(np.arange(len(self.labels)), places)
        names = [self.test_names[place] for place in kept]
        groups = None if self.groups is None else self.groups[kept]
        left = replace(self, test=self.test[kept], labels=self.labels[kept], groups=groups)
        left = replace(left, test_names=names)
        left.check(f" when {len(places)} that equal seen ones are left out")
        return left

    def check(self, when: str = "") -> None:
        """Raise DataError if a class has fewer than 2 test images: one has no spread."""
        counts = np.bincount(self.labels, minlength=len(self.pool.class_names))
        lacking = np.flatnonzero(counts < LEAST_TEST)
        if len(lacking):
            one = len(lacking) == 1
            shown = ", ".join(self.pool.class_names[number] for number in lacking[:5])
            raise DataError(
                f"the test images show {'fewer than 2 of' if counts[lacking].any() else 'no'} "
                f"{shown}{when}, so nothing can be said of "
                f"{'that class' if one else 'those classes'}; add some, or leave "
                f"{'it' if one else 'them'} out of the training images"
            )


def read_material(
    data: str | Path | tuple[Any, ...],
    test_size: float | None,
    size: int | None,
    seed: int,
    groups: str | Path | None = None,
) -> EvaluationData:
    """Read training and test images.

    Parameters
    ----------
    data : str or path
        As `augan.load_dataset` takes it: with a test part or, with `test_size`, without.
    test_size : float or None
        Share of each class that is put aside as the test.
    size : int or None
        Side of the squares; None: chosen from the training images.
    seed : int
        Of what is put aside.
    groups : path or None
        CSV file of which images show one thing; these lie on one side.

    Raises
    ------
    DataError
        It cannot be read, is a table, has no classes, or its parts do not fit each other or share
        a group.
    ConfigError
        `test_size` is no share, or came although there is a test part.
    """
    train = load_dataset(data, groups=groups)
    if isinstance(train.images, Table):
        raise DataError(f"{train.name} is a table; a lift is judged on images")
    if train.labels is None or train.num_classes < 2:
        raise DataError(
            f"{train.name} has {train.num_classes} classes, and a classifier needs at least 2; put "
            "the images into one folder for each class"
        )
    train, test = _parts(data, train, test_size, groups, seed)
    if groups is not None:
        train = _apart(train, test)
    preprocessing = ImagePreprocessing.fit(train, size)
    squares, test_squares = (load_prepared(part, preprocessing) for part in (train, test))
    more, names = None, squares.dataset.names
    skipped = len(squares.dataset.skipped) + len(test_squares.dataset.skipped)
    if train.unlabeled is not None:
        beside = load_prepared(train.unlabeled, preprocessing)
        more, names = beside.pixels, names + beside.dataset.names
        skipped += len(beside.dataset.skipped)
    to_unit, scale = _unit(preprocessing)
    material = EvaluationData(
        name=train.name,
        pool=LabelPool(
            to_unit(squares.pixels),
            np.asarray(squares.dataset.labels),
            train.class_names,
            None if more is None else to_unit(more),
        ),
        test=to_unit(test_squares.pixels),
        labels=_numbered(test_squares.dataset, train.class_names),
        names=names,
        test_names=test_squares.dataset.names,
        scale=scale,
        skipped=skipped,
        groups=test_squares.dataset.groups,
    )
    material.check()
    return material


def _unit(preprocessing: ImagePreprocessing) -> tuple[Callable, Callable]:
    """Return what brings stored squares to what policies take, and that to [-1, 1].

    Integers stay as they are; floating-point images, of whatever range, come to lie in [0, 1].
    """
    if preprocessing.dtype != "float32":
        return (lambda stored: stored), preprocessing.scale
    low, width = preprocessing.low, preprocessing.high - preprocessing.low

    def to_unit(stored: np.ndarray) -> np.ndarray:
        share = (stored.astype(np.float64) - low) / width
        return np.clip(share, 0, 1).astype(np.float32)

    return to_unit, lambda unit: 2 * unit - 1


def _parts(
    data: Any, train: Dataset, test_size: float | None, groups: str | Path | None, seed: int
) -> tuple[Dataset, Dataset]:
    if test_size is None:
        try:
            return train, load_dataset(data, part="test", groups=groups)
        except DataError as error:
            raise DataError(
                f"{error}; or let --test-size 0.3 put aside a share of the images"
            ) from error
    if not 0 < test_size < 1:
        raise ConfigError(f"--test-size must lie between 0 and 1, but is {test_size:g}; try 0.3")
    try:
        load_dataset(data, part="test")
    except DataError:
        pass
    else:
        raise ConfigError(
            f"{train.name} has test images already; leave --test-size out, or move them"
        )
    labels = np.asarray(train.labels)
    there = np.bincount(labels, minlength=train.num_classes)
    wanted = np.maximum(LEAST_TEST, np.round(test_size * there).astype(int))
    held = _held_groups(train, wanted, seed) if groups else _held(train, wanted, seed)
    left = np.bincount(labels[~held], minlength=train.num_classes)
    for name, has, stay in zip(train.class_names, there.tolist(), left.tolist()):
        if stay < LEAST:
            raise DataError(
                f"the class {name} has {has} images, of which --test-size {test_size:g} "
                f"leaves {stay} to learn from; add images of it"
            )
    # What could not be read is counted once, beside the training images.
    return train.subset(~held), replace(train.subset(held), unlabeled=None, skipped=())


def _held(train: Dataset, wanted: np.ndarray, seed: int) -> np.ndarray:
    """Return which images are put aside, bool `[N]`: of each class as many as are wanted."""
    held, labels = np.zeros(len(train), bool), np.asarray(train.labels)
    for number, count in enumerate(wanted.tolist()):
        rows = child_rng(seed, "lift", "test", number).permutation(np.flatnonzero(labels == number))
        held[rows[:count]] = True
    return held


def _held_groups(train: Dataset, wanted: np.ndarray, seed: int) -> np.ndarray:
    """Return the same of whole groups: of no class more than are wanted."""
    held, labels = np.zeros(len(train), bool), np.asarray(train.labels)
    names, of_group = np.unique(np.asarray(train.groups), return_inverse=True)
    for group in child_rng(seed, "lift", "test", "groups").permutation(len(names)):
        own = of_group == group
        counts = np.bincount(labels[held | own], minlength=train.num_classes)
        if (counts <= wanted)[labels[own]].all():
            held |= own
    return held


def _apart(train: Dataset, test: Dataset) -> Dataset:
    """Return what is trained on, without unlabeled images of things that are tested on."""
    shared = np.intersect1d(np.asarray(train.groups), np.asarray(test.groups))
    if len(shared):
        raise DataError(
            f"the training and the test part have {len(shared)} group"
            f"{'s' if len(shared) > 1 else ''} in common, for example {shared[0]}: move each to "
            "one side, or put all images together and let --test-size divide them"
        )
    more = train.unlabeled
    if more is None or more.groups is None:
        return train
    return replace(train, unlabeled=more.subset(~np.isin(more.groups, np.asarray(test.groups))))


def _numbered(test: Dataset, class_names: tuple[str, ...]) -> np.ndarray:
    if test.labels is None:
        raise DataError(
            f"the test images of {test.name} have no classes; put them into one folder for each"
        )
    unknown = [name for name in test.class_names if name not in class_names]
    if unknown:
        raise DataError(
            f"the test images show {', '.join(unknown[:5])}, which no training image does; the "
            f"classes are: {', '.join(class_names)}"
        )
    number = np.array([class_names.index(name) for name in test.class_names])
    return number[test.labels]


def guard(
    material: EvaluationData, recipe: SubsetSpec, draws: int, seed: int, drop: bool
) -> tuple[EvaluationData, Leakage, int]:
    """Refuse test images that equal images of any draw, or drop them.

    Returns
    -------
    material, leaked, dropped
        The material without them, what nearly equals a seen image, and how many were dropped.

    Raises
    ------
    DataError
        There are some, and they are not to be dropped; or a class would have no test image left.
    """
    pool = material.pool
    seen: Any = pool.images
    everything = rows = np.arange(len(pool.images))
    if not recipe.rest_unlabeled:
        rows = np.unique(np.concatenate([rows_of(pool, recipe, seed, d) for d in range(draws)]))
    if pool.unlabeled is not None:
        seen = ConcatRows(pool.images, pool.unlabeled)
        beside = len(pool.images) + np.arange(len(pool.unlabeled))
        rows, everything = (np.concatenate([some, beside]) for some in (rows, everything))
    # What is dropped must not depend on how many draws there are, for more may be added later.
    equal = equal_images(seen, everything if drop else rows, material.test)
    if equal and not drop:
        place, row = equal[0]
        raise DataError(
            f"{len(equal)} of the {len(material.labels)} test images equal images that are "
            f"trained on (for example {material.test_names[place]} and {material.names[row]}): "
            "remove them, or leave them out of the test with --drop-duplicates"
        )
    if equal:
        material = material.without([place for place, _ in equal])
    return material, find_leakage(seen, rows, material.test), len(equal)
