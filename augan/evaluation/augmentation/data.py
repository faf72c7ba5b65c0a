"""Data of an evaluation of augmentation: training and test images, checked for leakage.

A test image that also occurs in the training images would reward memorization: the generator may
reproduce the image, and every classifier trains on the image.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from augan.data.cache import load_prepared
from augan.data.dataset import Dataset
from augan.data.duplicates import find_near_duplicates
from augan.data.folders import warn_synthetic
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.data.sequences import ConcatRows
from augan.data.splits import Split
from augan.evaluation.augmentation.subsets import (
    MIN_LABELED,
    LabelPool,
    SubsetSpec,
    subset_indices,
)
from augan.exceptions import ConfigError, DataError
from augan.io.hashing import array_digest, sha256_parts
from augan.io.unicode_forms import find_name
from augan.seeding import child_rng

MIN_TEST_IMAGES = 2  # test images of each class: a single image has no variance
MAX_COMPARED_IMAGES = 100_000  # training images in the search for near-duplicates, evenly spaced


@dataclass(frozen=True, eq=False)
class EvaluationData:
    """Training and test images of an evaluation of augmentation.

    Attributes
    ----------
    name : str
        Name of the dataset.
    pool : LabelPool
        Training images, from which label subsets are sampled.
    test_images : ndarray [m, S, S, C]
        Prepared images, at least two of every class.
    test_labels : ndarray of int64 [m]
        Class of each test image: an index into the class names of the pool.
    names : sequence of str
        Names of the labeled images of the pool, followed by those of the unlabeled images.
    test_names : sequence of str
        Names of the test images.
    scale : callable
        Prepared images -> float32 in [-1, 1], the input of a network.
    num_unreadable : int
        Number of files that could not be read.
    not_looked_at : tuple of (name, reason)
        Files of the folder that are no part of the data.
    warnings : tuple of str
        Sentences on the test images.
    test_groups : ndarray [m] or None
        Group of each test image, such as the object it shows. None: each image is a group of its
        own.
    """

    name: str
    pool: LabelPool
    test_images: np.ndarray
    test_labels: np.ndarray
    names: Sequence[str]
    test_names: Sequence[str]
    scale: Callable[[np.ndarray], np.ndarray]
    num_unreadable: int = 0
    not_looked_at: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    test_groups: np.ndarray | None = None

    def sha256(self) -> str:
        """Return the hexadecimal SHA-256 of all images, labels and class names."""
        unlabeled = () if self.pool.unlabeled is None else self.pool.unlabeled
        parts = [repr(self.pool.class_names).encode()]
        for images in (self.pool.images, unlabeled, self.test_images):
            parts += [array_digest(np.asarray(image)) for image in images]
        return sha256_parts([*parts, self.pool.labels.tobytes(), self.test_labels.tobytes()])

    def without_test_images(self, indices: Sequence[int]) -> "EvaluationData":
        """Return the data without the test images at some indices.

        Raises
        ------
        DataError
            A class has fewer than `MIN_TEST_IMAGES` test images left.
        """
        kept = np.setdiff1d(np.arange(len(self.test_labels)), indices)
        data = replace(
            self,
            test_images=self.test_images[kept],
            test_labels=self.test_labels[kept],
            test_names=[self.test_names[index] for index in kept],
            test_groups=None if self.test_groups is None else self.test_groups[kept],
        )
        data.check(f" after {len(indices)} duplicates of training images were dropped")
        return data

    def check(self, when: str = "") -> None:
        """Check that every class has at least `MIN_TEST_IMAGES` test images.

        Parameters
        ----------
        when : str
            End of the error message that says after which step images are missing; may be empty.

        Raises
        ------
        DataError
            A class has too few test images.
        """
        counts = np.bincount(self.test_labels, minlength=len(self.pool.class_names))
        too_few = np.flatnonzero(counts < MIN_TEST_IMAGES)
        if not len(too_few):
            return
        names = ", ".join(self.pool.class_names[label] for label in too_few[:5])
        number = f"fewer than {MIN_TEST_IMAGES} of" if counts[too_few].any() else "no"
        which, them = ("that class", "it") if len(too_few) == 1 else ("those classes", "them")
        raise DataError(
            f"the test images show {number} {names}{when}, so {which} cannot be evaluated; add "
            f"test images, or remove {them} from the training images"
        )


@dataclass(frozen=True)
class Leakage:
    """Test images of an evaluation that also occur, equal or nearly equal, in the training images.

    Indices are those of the test images, and of the labeled images of the pool followed by the
    unlabeled images.

    Attributes
    ----------
    duplicates : list of (int, int)
        Test image and training image with equal pixels.
    near_duplicates : list of (int, int, float)
        Test image, its most similar training image, and their correlation, in descending order of
        the correlation. Duplicates are not included.
    """

    duplicates: list[tuple[int, int]]
    near_duplicates: list[tuple[int, int, float]]


def load_evaluation_data(
    data: str | Path | tuple[Any, ...] | Dataset,
    test_size: float | None,
    size: int | None,
    seed: int,
    groups: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> EvaluationData:
    """Load the training and the test images of an evaluation, prepared for a network.

    Parameters
    ----------
    data : str, path, tuple or Dataset
        A dataset as `augan.load_dataset` takes it: with a test part, or without a test part and
        with `test_size`. A loaded `Dataset` has no test part.
    test_size : float or None
        Fraction of each class held out for the test, between 0 and 1. None: the dataset has a test
        part.
    size : int or None
        Side of the prepared images in pixels. None: chosen from the training images.
    seed : int
        Seed of the selection of held-out images.
    groups : path or None
        CSV file of the group of each image. All images of a group are on one side of the split.
        None: each image is a group of its own.
    options : mapping or None
        More options of `load_dataset`, such as `labels`. None: none.

    Raises
    ------
    DataError
        The data cannot be read, is a table, has fewer than two classes, or its parts do not fit
        each other or share a group.
    ConfigError
        `test_size` is given, but the dataset has a test part already. For a loaded `Dataset`:
        `test_size` is missing, or options are given.
    """
    options = options or {}
    train = load_dataset(data, groups=groups, **options) if not isinstance(data, Dataset) else data
    if isinstance(data, Dataset):
        check_loaded(test_size, groups, options)
    train.require_images(f"{train.name} is a table; the evaluation of augmentation needs images")
    if train.labels is None or train.num_classes < 2:
        raise DataError(
            f"{train.name} has {train.num_classes} classes, and a classifier needs at least 2; put "
            "the images into one folder for each class"
        )
    train, test = split_dataset(data, train, test_size, groups, seed, options)
    if train.groups is not None:
        train = _exclude_test_groups(train, test)
    preprocessing = ImagePreprocessing.fit(train, size)
    prepared, test_prepared = (load_prepared(part, preprocessing) for part in (train, test))
    unlabeled, names = None, prepared.dataset.names
    num_unreadable = len(prepared.dataset.skipped) + len(test_prepared.dataset.skipped)
    if train.unlabeled is not None:
        prepared_unlabeled = load_prepared(train.unlabeled, preprocessing)
        unlabeled = prepared_unlabeled.pixels
        names += prepared_unlabeled.dataset.names
        num_unreadable += len(prepared_unlabeled.dataset.skipped)
    to_unit, scale = unit_range(preprocessing)
    evaluation_data = EvaluationData(
        name=train.name,
        pool=LabelPool(
            to_unit(prepared.pixels),
            np.asarray(prepared.dataset.labels),
            train.class_names,
            None if unlabeled is None else to_unit(unlabeled),
        ),
        test_images=to_unit(test_prepared.pixels),
        test_labels=labels_in(test_prepared.dataset, train.class_names),
        names=names,
        test_names=test_prepared.dataset.names,
        scale=scale,
        num_unreadable=num_unreadable,
        not_looked_at=tuple(dict.fromkeys((*train.not_looked_at, *test.not_looked_at))),
        warnings=tuple(warn_synthetic(test)),
        test_groups=test_prepared.dataset.groups,
    )
    evaluation_data.check()
    return evaluation_data


def unit_range(preprocessing: ImagePreprocessing) -> tuple[Callable, Callable]:
    """Return two functions that scale prepared images for augmentation and for networks.

    Returns
    -------
    to_unit : callable
        Prepared images -> input of the augmentation: integers of the full range of their type
        unchanged, others as floats in [0, 1].
    scale : callable
        Result of `to_unit` -> float32 in [-1, 1].
    """
    if preprocessing.has_full_range:
        return (lambda images: images), preprocessing.normalize
    low, width = preprocessing.low, preprocessing.high - preprocessing.low

    def to_unit(images: np.ndarray) -> np.ndarray:
        return np.clip((images.astype(np.float64) - low) / width, 0, 1).astype(np.float32)

    return to_unit, lambda images: 2 * images - 1


def check_loaded(
    test_size: float | None,
    groups: str | Path | None,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Raise ConfigError for options that do not go with a loaded `Dataset`."""
    if test_size is None:
        raise ConfigError(
            "a loaded `Dataset` has no test part; hold out a fraction of the images with "
            "`test_size=0.3`, or give the path of the data"
        )
    given = {**({} if groups is None else {"groups": groups}), **(options or {})}
    for name in given:
        raise ConfigError(
            f"`{name}` is for the path of a folder, but the data is a loaded `Dataset`; give it "
            f"its {name} with load_dataset(folder, {name}=...)"
        )


def _has_test_part(data: str | Path | tuple[Any, ...], options: Mapping[str, Any]) -> bool:
    """Return whether the dataset has test images."""
    try:
        load_dataset(data, subset="test", **options)
    except DataError:
        return False
    return True


def split_dataset(
    data: Any,
    train: Dataset,
    test_size: float | None,
    groups: str | Path | None,
    seed: int,
    options: Mapping[str, Any] | None = None,
) -> tuple[Dataset, Dataset]:
    """Return the training and the test part of a dataset.

    Parameters
    ----------
    data : str, path or tuple
        The dataset, as `augan.load_dataset` takes it.
    train : Dataset
        The loaded training part, or all images if the dataset has no test part.
    test_size : float or None
        Fraction of each class to hold out. None: the test part of the dataset is loaded.
    groups : path or None
        CSV file of groups, which are never split.
    seed : int
    options : mapping or None
        More options of `load_dataset`. None: none.

    Raises
    ------
    DataError
        There is no test part, or a class keeps too few training images.
    ConfigError
        `test_size` is given, but there is a test part already.
    """
    if test_size is None:
        try:
            return train, load_dataset(data, subset="test", groups=groups, **(options or {}))
        except DataError as error:
            raise DataError(
                f"{error}; or hold out a fraction of the images with `test_size=0.3`"
            ) from error
    if not isinstance(data, Dataset) and _has_test_part(data, options or {}):
        raise ConfigError(
            f"{train.name} has test images already; leave out `test_size`, or move the test images"
        )
    labels = np.asarray(train.labels)
    counts = np.bincount(labels, minlength=train.num_classes)
    num_test = np.maximum(MIN_TEST_IMAGES, np.round(test_size * counts).astype(int))
    hold_out = _hold_out if train.groups is None else _hold_out_groups
    is_test = hold_out(train, num_test, seed)
    num_train = np.bincount(labels[~is_test], minlength=train.num_classes)
    for name, count, rest in zip(train.class_names, counts.tolist(), num_train.tolist()):
        if rest < MIN_LABELED:
            raise DataError(
                f"the class {name} has {count} images, of which `test_size={test_size:g}` leaves "
                f"{rest} for training, but {MIN_LABELED} are needed; add images of the class"
            )
    # The training part counts the unreadable files of both parts.
    return train.subset(~is_test), replace(train.subset(is_test), unlabeled=None, skipped=())


def _hold_out(train: Dataset, num_test: np.ndarray, seed: int) -> np.ndarray:
    """Select random test images, and return which images are test images, bool `[N]`.

    Parameters
    ----------
    train : Dataset
        All N images.
    num_test : ndarray of int [K]
        Number of test images of each class.
    seed : int
    """
    is_test, labels = np.zeros(len(train), bool), np.asarray(train.labels)
    for label, count in enumerate(num_test.tolist()):
        indices = np.flatnonzero(labels == label)
        is_test[child_rng(seed, "lift", "test", label).permutation(indices)[:count]] = True
    return is_test


def _hold_out_groups(train: Dataset, num_test: np.ndarray, seed: int) -> np.ndarray:
    """Select random groups as test images, and return which images are test images, bool `[N]`.

    Parameters
    ----------
    train : Dataset
        All N images with their groups.
    num_test : ndarray of int [K]
        Maximum number of test images of each class. A group that would exceed the maximum of one of
        its classes stays in the training part.
    seed : int
    """
    is_test, labels = np.zeros(len(train), bool), np.asarray(train.labels)
    names, group_of = np.unique(np.asarray(train.groups), return_inverse=True)
    for group in child_rng(seed, "lift", "test", "groups").permutation(len(names)):
        in_group = group_of == group
        counts = np.bincount(labels[is_test | in_group], minlength=train.num_classes)
        if (counts <= num_test)[labels[in_group]].all():
            is_test |= in_group
    return is_test


def _exclude_test_groups(train: Dataset, test: Dataset) -> Dataset:
    """Return the training part without unlabeled images of the groups in the test part.

    Raises
    ------
    DataError
        Labeled training images and test images share a group.
    """
    shared = np.intersect1d(np.asarray(train.groups), np.asarray(test.groups))
    if len(shared):
        raise DataError(
            f"the training and the test part have {len(shared)} group"
            f"{'s' if len(shared) > 1 else ''} in common, for example {shared[0]}; move each group "
            "to one part, or put all images together and split them with `test_size`"
        )
    unlabeled = train.unlabeled
    if unlabeled is None or unlabeled.groups is None:
        return train
    is_shared = np.isin(unlabeled.groups, np.asarray(test.groups))
    return replace(train, unlabeled=unlabeled.subset(~is_shared))


def labels_in(test: Dataset, class_names: tuple[str, ...]) -> np.ndarray:
    """Return the test labels, int `[m]`, as indices into the class names of the training part.

    Raises
    ------
    DataError
        The test images have no classes, or a class that no training image has.
    """
    if test.labels is None:
        raise DataError(
            f"the test images of {test.name} have no classes; put the test images into one folder "
            "for each class"
        )
    known = [find_name(name, class_names) for name in test.class_names]
    unknown = [name for name, found in zip(test.class_names, known) if found is None]
    if unknown:
        raise DataError(
            f"the test images show {', '.join(unknown[:5])}, but no training image does; the "
            f"classes are: {', '.join(class_names)}"
        )
    index = np.array([class_names.index(name) for name in known if name is not None])
    return index[test.labels]


def check_leakage(
    data: EvaluationData, spec: SubsetSpec, repeats: int, seed: int, drop_duplicates: bool
) -> tuple[EvaluationData, Leakage, int]:
    """Refuse or drop test images that equal a training image of any label subset.

    Parameters
    ----------
    data : EvaluationData
    spec : SubsetSpec
        Number of labeled and unlabeled images in a subset.
    repeats : int
        Number of label subsets.
    seed : int
        Seed of the label subsets.
    drop_duplicates : bool
        Whether to drop test images that equal any image of the pool, instead of refusing test
        images that equal an image of a subset.

    Returns
    -------
    data : EvaluationData
        The data without the dropped test images.
    leakage : Leakage
        Near-duplicates among the remaining test images.
    num_dropped : int
        Number of dropped test images.

    Raises
    ------
    DataError
        There are duplicates and `drop_duplicates` is False, or a class has too few test images
        left.
    """
    pool = data.pool
    images: Any = pool.images
    every_index = indices = np.arange(len(pool.images))
    if not spec.rest_unlabeled:
        subsets = [subset_indices(pool, spec, seed, repeat) for repeat in range(repeats)]
        indices = np.unique(np.concatenate(subsets))
    if pool.unlabeled is not None:
        images = ConcatRows(pool.images, pool.unlabeled)
        unlabeled = len(pool.images) + np.arange(len(pool.unlabeled))
        every_index = np.concatenate([every_index, unlabeled])
        indices = np.concatenate([indices, unlabeled])
    # The dropped images must not depend on the number of repeats: repeats may be added later.
    compared = every_index if drop_duplicates else indices
    duplicates = find_duplicates(images, compared, data.test_images)
    if duplicates and not drop_duplicates:
        test_index, index = duplicates[0]
        raise DataError(
            f"{len(duplicates)} of the {len(data.test_labels)} test images equal training images "
            f"(for example {data.test_names[test_index]} and {data.names[index]}); remove them, or "
            "leave them out of the test with `drop_duplicates`"
        )
    if duplicates:
        data = data.without_test_images([test_index for test_index, _ in duplicates])
    return data, find_leakage(images, indices, data.test_images), len(duplicates)


def find_leakage(
    images: np.ndarray | ConcatRows, indices: np.ndarray, test_images: np.ndarray
) -> Leakage:
    """Find the test images that equal or nearly equal a training image.

    Parameters
    ----------
    images : ndarray or ConcatRows [N, S, S, C]
        Prepared images.
    indices : ndarray of int
        Indices of the training images in `images`.
    test_images : ndarray [m, S, S, C]
        Prepared images of the same type.

    Returns
    -------
    Leakage
        Training images are indices into `images`.
    """
    duplicates = find_duplicates(images, indices, test_images)
    others = np.setdiff1d(np.arange(len(test_images)), [index for index, _ in duplicates])
    offset = len(images)
    pairs = find_near_duplicates(
        ConcatRows(images, test_images),
        Split(indices, np.empty(0, np.int64), offset + others),
        max_calibration=len(test_images),
        max_others=MAX_COMPARED_IMAGES,
    )
    near = [(test_index - offset, index, correlation) for index, test_index, correlation in pairs]
    return Leakage(duplicates, near)


def find_duplicates(
    images: np.ndarray | ConcatRows, indices: np.ndarray, test_images: np.ndarray
) -> list[tuple[int, int]]:
    """Find the test images that equal a training image; much faster than `find_leakage`.

    Parameters are those of `find_leakage`.

    Returns
    -------
    list of (int, int)
        Index of a test image, and the first equal training image of `indices`.
    """
    test_digests = [array_digest(image) for image in test_images]
    wanted = set(test_digests)
    first_index: dict[bytes, int] = {}
    for index in indices.tolist():
        digest = array_digest(np.asarray(images[index]))
        if digest in wanted:
            first_index.setdefault(digest, index)
    return [
        (test_index, first_index[digest])
        for test_index, digest in enumerate(test_digests)
        if digest in first_index
    ]
