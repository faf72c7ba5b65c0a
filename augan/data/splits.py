"""Training, validation and calibration splits, and folds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from augan.config import Config
from augan.data.dataset import Dataset
from augan.exceptions import DataError
from augan.seeding import child_rng

# With 99 calibration images a false-alarm rate of 1 in 100 can be guaranteed, with fewer it cannot.
MIN_CALIBRATION = 99
MIN_TRAIN = 100
MAX_VAL = 1000
NUM_FOLDS = 5
MIN_FOLD_SIZE = 5  # images, if every image is a group of its own


@dataclass(frozen=True, eq=False)
class Split:
    """Sorted int64 indices of the three splits; every image is in at least one of them.

    Attributes
    ----------
    train
        The networks learn from these images.
    val
        No network learns from these images. The monitor computes its metrics on them, the scores of
        detectors are standardized by them, and the accuracy of the classifier is measured on them.
    calibration
        No network learns from these images either. They set the threshold of a detector; with
        `val` they set the realness limit of the filters of augmentation; an exported model is
        compared with the bundle on them.

    The three have no image in common, with one exception: with cross-conformal folds, `train` and
    `calibration` of the whole dataset are all images, because each image calibrates the detector of
    one fold and trains those of the others. The split of each fold has no overlap.
    """

    train: np.ndarray
    val: np.ndarray
    calibration: np.ndarray


_Rows = TypeVar("_Rows", bound=Any)


def evenly_spaced(rows: _Rows, max_rows: int) -> _Rows:
    """Return all rows, or `max_rows` evenly spaced rows if there are more.

    Parameters
    ----------
    rows : ndarray or RaggedImages
        Anything that an array of indices selects from.
    max_rows
        The largest number of rows to return.

    Examples
    --------
    >>> evenly_spaced(np.arange(10), 4).tolist()
    [0, 3, 6, 9]
    """
    if len(rows) <= max_rows:
        return rows
    selected: _Rows = rows[np.linspace(0, len(rows) - 1, max_rows).astype(np.int64)]
    return selected


def make_split(
    n: int,
    *,
    seed: int,
    groups: Sequence[str] | np.ndarray | None = None,
    labels: np.ndarray | None = None,
    calibrate: bool = True,
) -> Split:
    """Split `n` images at random; the images of one group stay together.

    The calibration split takes a fifth of the images, but at least 99, if 100 are left for
    training; otherwise it takes a third. The validation split takes a tenth of the other images,
    at most 1,000. The training split takes the remaining images. Splits made of groups come as
    close to these sizes as they can without exceeding them. If every group is too large for a
    split, the split takes the smallest group.

    Parameters
    ----------
    n
        Number of images.
    seed
        The same seed gives the same split.
    groups
        One name per image; by default each image is a group of its own.
    labels
        Class numbers `[N]`. If the training split lacks a class, one group of that class moves
        there from another split.
    calibrate
        False if no detector will be calibrated; the calibration split is then empty.

    Raises
    ------
    DataError
        There are too few images or groups.
    """
    _check_count(n, calibrate)
    members = _members(n, groups)
    if calibrate and len(members) < 2:
        raise DataError(
            f"all {n} images are in one group, and the training and the calibration split must "
            "have no group in common; add images of other groups, or turn calibration off"
        )
    order = child_rng(seed, "split").permutation(len(members))
    remaining = [members[i] for i in order]
    calibration, remaining = _take(remaining, _calibration_size(n) if calibrate else 0)
    val, train = _take(remaining, _val_size(sum(map(len, remaining))))
    if labels is not None:
        _move_missing_classes(train, [val, calibration], np.asarray(labels))
    if calibrate and not calibration:
        raise DataError(
            "the training split needs every image, because no class has a second one; add images "
            "to the small classes, or turn calibration off"
        )
    return Split(_concat_sorted(train), _concat_sorted(val), _concat_sorted(calibration))


def make_folds(
    n: int, *, seed: int, groups: Sequence[str] | np.ndarray | None = None
) -> tuple[Split, ...]:
    """Divide `n` images into five folds at random; the images of one group stay together.

    Returns
    -------
    tuple of Split
        One split per fold. The fold is the calibration split; a tenth of the other four folds is
        the validation split, and the remaining images are the training split. So each image
        calibrates exactly once. Folds are as equal in size as groups allow: groups are placed from
        the largest to the smallest, each into the fold that has the fewest images.

    Raises
    ------
    DataError
        There are too few images or groups.
    """
    members = _members(n, groups)
    if n < NUM_FOLDS * MIN_FOLD_SIZE:
        raise DataError(
            f"{n} images are too few for {NUM_FOLDS} folds; at least "
            f"{NUM_FOLDS * MIN_FOLD_SIZE} are needed: add images, or leave --cross-conformal out"
        )
    if len(members) < NUM_FOLDS:
        raise DataError(
            f"{n} images of {len(members)} groups are too few for {NUM_FOLDS} folds, because a "
            f"group stays in one fold; at least {NUM_FOLDS} groups are needed: add images of other "
            "groups, or leave --cross-conformal out"
        )
    order = child_rng(seed, "folds").permutation(len(members))
    fold_of, sizes = np.empty(len(members), np.int64), [0] * NUM_FOLDS
    for i in sorted(order, key=lambda i: -len(members[i])):
        fold_of[i] = sizes.index(min(sizes))
        sizes[fold_of[i]] += len(members[i])
    folds = []
    for fold in range(NUM_FOLDS):
        others = [members[i] for i in order if fold_of[i] != fold]
        val, train = _take(others, _val_size(n - sizes[fold]))
        calibration = [members[i] for i in order if fold_of[i] == fold]
        folds.append(Split(_concat_sorted(train), _concat_sorted(val), _concat_sorted(calibration)))
    return tuple(folds)


def _check_count(n: int, calibrate: bool) -> None:
    min_count = 4 if calibrate else 1
    if n < min_count:
        purpose = "train, validate and calibrate" if calibrate else "train"
        raise DataError(
            f"{n} {'image is' if n == 1 else 'images are'} too few to {purpose}; at least "
            f"{min_count} are needed, and some hundred to learn anything"
        )


def _members(n: int, groups: Sequence[str] | np.ndarray | None) -> list[np.ndarray]:
    """Return the image indices of each group."""
    if groups is None:
        return list(np.arange(n, dtype=np.int64)[:, None])
    if len(groups) != n:
        raise DataError(f"there are {n} images but {len(groups)} groups; give one per image")
    _, inverse = np.unique(np.asarray(groups), return_inverse=True)
    by_group = np.argsort(inverse, kind="stable")
    return np.split(by_group, np.flatnonzero(np.diff(inverse[by_group])) + 1)


def _val_size(remaining: int) -> int:
    return min(MAX_VAL, max(1, remaining // 10)) if remaining >= 2 else 0


def _calibration_size(n: int) -> int:
    size = max(MIN_CALIBRATION, math.ceil(n / 5))
    remaining = n - size
    return size if remaining - _val_size(remaining) >= MIN_TRAIN else n // 3


def _take(groups: list[np.ndarray], target: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Divide groups into those taken, in order and without exceeding `target`, and the others.

    If every group is larger than `target`, the smallest group is taken.
    """
    if target == 0 or len(groups) < 2:
        return [], groups
    taken: list[np.ndarray] = []
    left: list[np.ndarray] = []
    missing = target
    for group in groups:
        if len(group) <= missing:
            taken.append(group)
            missing -= len(group)
        else:
            left.append(group)
    if not taken:
        smallest = min(range(len(left)), key=lambda i: len(left[i]))
        taken.append(left.pop(smallest))
    return taken, left


def _move_missing_classes(
    train: list[np.ndarray], others: list[list[np.ndarray]], labels: np.ndarray
) -> None:
    """Move one group to `train` for every class that `train` lacks.

    The group comes from the first of `others` that has the class, and is the smallest there.
    """
    for label in np.unique(labels):
        if any((labels[group] == label).any() for group in train):
            continue
        for groups in others:
            having = [i for i, group in enumerate(groups) if (labels[group] == label).any()]
            if having:
                train.append(groups.pop(min(having, key=lambda i: len(groups[i]))))
                break


def _concat_sorted(groups: list[np.ndarray]) -> np.ndarray:
    return np.sort(np.concatenate(groups)) if groups else np.empty(0, np.int64)


def split_dataset(config: Config, dataset: Dataset, *, calibrate: bool) -> Split:
    """Return the split of a training without folds; see `make_split`."""
    return make_split(
        len(dataset),
        seed=config.seed,
        groups=dataset.groups,
        labels=dataset.labels,
        calibrate=calibrate,
    )


def preprocessing_rows(config: Config, dataset: Dataset, *, calibrate: bool) -> np.ndarray | None:
    """Return the rows from which the preprocessing of a table learns; None: all rows.

    Calibration rows are excluded. If they took part in the scaling, none of them could lie outside
    the range, as new rows do, and the rate of false alarms would be a multiple of the guaranteed
    rate. With folds every row calibrates and all rows are used, so the guarantee is void, see
    `augan.detect.conformal.guarantee.guarantee_void_reason`.
    """
    if dataset.sample_type != "row" or config.detect.cross_conformal or not calibrate:
        return None
    split = split_dataset(config, dataset, calibrate=True)
    return np.sort(np.concatenate([split.train, split.val]))
