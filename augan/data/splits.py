"""Random partition of a dataset into training, validation and calibration splits, or folds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from augan.config import Config
from augan.data.dataset import Dataset
from augan.data.modalities.registry import preprocessing_class
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
    """Sorted int64 indices of the three splits; every sample is in at least one of them.

    Attributes
    ----------
    train : ndarray
        The networks learn from these samples.
    val : ndarray
        No network learns from these samples. They serve the metrics of the monitor, the
        standardization of detector scores, and the accuracy of the classifier. May be empty.
    calibration : ndarray
        No network learns from these samples either. They set the threshold of a detector; with
        `val` they set the realness limit of the filters of augmentation; an exported model is
        compared with the bundle on them. Empty if no detector is calibrated.

    Notes
    -----
    The three splits have no sample in common, with one exception: with cross-conformal folds,
    `train` and `calibration` of the whole dataset are all samples, because each sample calibrates
    the detector of one fold and trains those of the others. The split of each fold has no overlap.
    """

    train: np.ndarray
    val: np.ndarray
    calibration: np.ndarray


_Rows = TypeVar("_Rows", bound=Any)


def evenly_spaced(rows: _Rows, max_rows: int) -> _Rows:
    """Return all rows, or `max_rows` evenly spaced rows if there are more.

    Unlike a random choice, the subset is the same in every run; the first and the last row belong
    to it.

    Parameters
    ----------
    rows : ndarray or RaggedImages
        A sequence that an array of indices selects from.
    max_rows : int
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
    """Split `n` samples at random into training, validation and calibration; groups stay together.

    The calibration split takes a fifth of the samples, but at least 99, if 100 are left for
    training; otherwise it takes a third. The validation split takes a tenth of the other samples,
    at least 1 and at most 1,000. The training split takes the remaining samples. Splits made of
    groups come as close to these sizes as they can without exceeding them. If every group is too
    large for a split, the split takes the smallest group.

    Parameters
    ----------
    n : int
        Number of samples.
    seed : int
        The same seed gives the same split.
    groups : sequence of str, ndarray or None
        One name per sample; None (default): each sample is a group of its own.
    labels : ndarray or None
        Class numbers `[n]`. If the training split lacks a class, one group of that class moves
        there from another split. None (default): classes do not count.
    calibrate : bool
        False if no detector will be calibrated; the calibration split is then empty. Default: True.

    Returns
    -------
    Split
        Sorted indices of the samples of each split.

    Raises
    ------
    DataError
        There are too few samples or groups, or `groups` has another length than `n`.
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
    """Divide `n` samples at random into five folds for cross-conformal detection.

    Parameters
    ----------
    n : int
        Number of samples, at least 25.
    seed : int
        The same seed gives the same folds.
    groups : sequence of str, ndarray or None
        One name per sample; samples of one group stay in one fold, and five groups are needed. None
        (default): each sample is a group of its own.

    Returns
    -------
    tuple of Split
        One split per fold. The fold is the calibration split; a tenth of the other four folds is
        the validation split, and the remaining samples are the training split. So each sample
        calibrates exactly once. Folds are as equal in size as groups allow: groups are placed from
        the largest to the smallest, each into the fold that has the fewest samples.

    Raises
    ------
    DataError
        There are too few samples or groups, or `groups` has another length than `n`.
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
    """Raise DataError for fewer than 4 samples with calibration, or fewer than 1 without."""
    min_count = 4 if calibrate else 1
    if n < min_count:
        purpose = "train, validate and calibrate" if calibrate else "train"
        raise DataError(
            f"{n} {'image is' if n == 1 else 'images are'} too few to {purpose}; at least "
            f"{min_count} are needed, and some hundred to learn anything"
        )


def _members(n: int, groups: Sequence[str] | np.ndarray | None) -> list[np.ndarray]:
    """Return one array of sample indices per group; without groups, one per sample."""
    if groups is None:
        return list(np.arange(n, dtype=np.int64)[:, None])
    if len(groups) != n:
        raise DataError(f"there are {n} images but {len(groups)} groups; give one per image")
    _, inverse = np.unique(np.asarray(groups), return_inverse=True)
    by_group = np.argsort(inverse, kind="stable")
    return np.split(by_group, np.flatnonzero(np.diff(inverse[by_group])) + 1)


def _val_size(remaining: int) -> int:
    """Return the size of the validation split: a tenth of the samples, from 1 to 1,000.

    `remaining` counts the samples outside of the calibration split. Of fewer than 2, none
    validates.
    """
    return min(MAX_VAL, max(1, remaining // 10)) if remaining >= 2 else 0


def _calibration_size(n: int) -> int:
    """Return the size of the calibration split of `n` samples, see `make_split`."""
    size = max(MIN_CALIBRATION, math.ceil(n / 5))
    remaining = n - size
    return size if remaining - _val_size(remaining) >= MIN_TRAIN else n // 3


def _take(groups: list[np.ndarray], target: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Take whole groups for one split, in their order, without exceeding `target` samples.

    If every group is larger than `target`, the smallest group is taken. With one group or target 0,
    nothing is taken.

    Returns
    -------
    taken, left : list of ndarray
        The groups of the split, and the other groups.
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
    """Move one group into the training split for every class that the training split lacks.

    The group is the smallest group with that class in the first of `others` that has the class. The
    lists are changed in place.

    Parameters
    ----------
    train : list of ndarray
        Groups of the training split, as indices of samples.
    others : list of list of ndarray
        Groups of the validation and of the calibration split.
    labels : ndarray
        Class of every sample.
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
    """Return the sorted sample indices of several groups, int64; empty without groups."""
    return np.sort(np.concatenate(groups)) if groups else np.empty(0, np.int64)


def split_dataset(config: Config, dataset: Dataset, *, calibrate: bool) -> Split:
    """Return the split of a dataset by the seed of a configuration, for training without folds.

    Groups and labels of the dataset are respected; unlabeled samples are in no split.

    Parameters
    ----------
    config : Config
        Its `seed` is used.
    dataset : Dataset
        The training data.
    calibrate : bool
        Whether to set a calibration split aside, see `make_split`.

    Raises
    ------
    DataError
        There are too few samples or groups.
    """
    return make_split(
        len(dataset),
        seed=config.seed,
        groups=dataset.groups,
        labels=dataset.labels,
        calibrate=calibrate,
    )


def preprocessing_rows(config: Config, dataset: Dataset, *, calibrate: bool) -> np.ndarray | None:
    """Return the rows of a table on which its preprocessing is fitted.

    Calibration rows are excluded. If they took part in the scaling, none of them could lie outside
    the range, as new rows do, and the rate of false alarms would be a multiple of the guaranteed
    rate. With folds every row calibrates and all rows are used, so the guarantee is void, see
    `augan.detect.conformal.guarantee.guarantee_void_reason`.

    Returns
    -------
    ndarray or None
        Sorted indices of the training and validation rows. None: all rows, for images, with folds,
        or without calibration.
    """
    fits_values = preprocessing_class(dataset.sample_type).fits_values
    if not fits_values or config.detect.cross_conformal or not calibrate:
        return None
    split = split_dataset(config, dataset, calibrate=True)
    return np.sort(np.concatenate([split.train, split.val]))
