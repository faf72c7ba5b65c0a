"""Dividing the training images: to fit the networks, to tune on, and to calibrate the detector."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from augan.config import Config
from augan.data.dataset import Dataset
from augan.exceptions import DataError
from augan.seeding import child_rng

# With 99 calibration images one false alarm in a hundred can be promised, with fewer it cannot.
MIN_CALIBRATE = 99
MIN_FIT = 100
MAX_TUNE = 1000
FOLDS = 5
MIN_FOLD = 5  # images in each fold, where images stand alone


@dataclass(frozen=True, eq=False)
class Split:
    """Which images serve which purpose: sorted int64 indices that together cover all."""

    fit: np.ndarray
    tune: np.ndarray
    calibrate: np.ndarray


_Rows = TypeVar("_Rows", bound=Any)


def evenly(rows: _Rows, most: int) -> _Rows:
    """Return all rows, or `most` of them, evenly spaced, where there are more.

    Parameters
    ----------
    rows : ndarray or Pictures
        Whatever an array of places selects from.

    Examples
    --------
    >>> evenly(np.arange(10), 4).tolist()
    [0, 3, 6, 9]
    """
    if len(rows) <= most:
        return rows
    some: _Rows = rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
    return some


def make_split(
    n: int,
    *,
    seed: int,
    groups: Sequence[str] | np.ndarray | None = None,
    labels: np.ndarray | None = None,
    calibrate: bool = True,
) -> Split:
    """Divide `n` images at random, keeping groups whole.

    A fifth, but at least 99, of the images calibrate where that leaves 100 to fit; otherwise a
    third. A tenth of the others, up to 1,000, tune, and the remainder fits the networks. Parts
    made of groups come as close to these numbers as they can without exceeding them; only when
    every group is too large for a part, it takes the smallest.

    Parameters
    ----------
    n
        How many images there are.
    seed
        The same seed gives the same split.
    groups
        One name per image; by default each image is a group of its own.
    labels
        Class numbers `[N]`. A class without any image to fit is given one group from another part.
    calibrate
        False when no detector will be calibrated; that part is then empty.

    Raises
    ------
    DataError
        There are too few images or groups.
    """
    _check_count(n, calibrate)
    members = _members(n, groups)
    if calibrate and len(members) < 2:
        raise DataError(
            f"all {n} images are in one group, so none can calibrate that has no sibling among "
            "those trained on; add images of other groups, or turn calibration off"
        )
    order = child_rng(seed, "split").permutation(len(members))
    remaining = [members[i] for i in order]
    held, remaining = _take(remaining, _calibrate_target(n) if calibrate else 0)
    rest = sum(map(len, remaining))
    tuning, fitting = _take(remaining, _tune_target(rest))
    if labels is not None:
        _give_every_class(fitting, [tuning, held], np.asarray(labels))
    if calibrate and not held:
        raise DataError(
            "every image is needed to fit, because its class has no other; add images to the "
            "small classes, or turn calibration off"
        )
    return Split(_sorted(fitting), _sorted(tuning), _sorted(held))


def make_folds(
    n: int, *, seed: int, groups: Sequence[str] | np.ndarray | None = None
) -> tuple[Split, ...]:
    """Divide `n` images into five folds at random, keeping groups whole.

    Returns
    -------
    tuple of Split
        Each calibrates with one fold; of the other four, a tenth tunes and the remainder fits. So
        each image calibrates exactly once. Folds are as equal in size as groups allow: the largest
        group is placed first, each into the fold that has fewest images.

    Raises
    ------
    DataError
        There are too few images or groups.
    """
    members = _members(n, groups)
    if n < FOLDS * MIN_FOLD:
        raise DataError(
            f"{n} images are too few for {FOLDS} folds; at least {FOLDS * MIN_FOLD} are needed: "
            "add images, or leave --cross out"
        )
    if len(members) < FOLDS:
        raise DataError(
            f"{n} images of {len(members)} groups are too few for {FOLDS} folds, which never part "
            f"a group; at least {FOLDS} groups are needed: add images of others, or leave --cross "
            "out"
        )
    order = child_rng(seed, "folds").permutation(len(members))
    fold_of, sizes = np.empty(len(members), np.int64), [0] * FOLDS
    for i in sorted(order, key=lambda i: -len(members[i])):
        fold_of[i] = sizes.index(min(sizes))
        sizes[fold_of[i]] += len(members[i])
    folds = []
    for fold in range(FOLDS):
        others = [members[i] for i in order if fold_of[i] != fold]
        tuning, fitting = _take(others, _tune_target(n - sizes[fold]))
        held = [members[i] for i in order if fold_of[i] == fold]
        folds.append(Split(_sorted(fitting), _sorted(tuning), _sorted(held)))
    return tuple(folds)


def _check_count(n: int, calibrate: bool) -> None:
    least = 4 if calibrate else 1
    if n < least:
        purpose = "fit, tune and calibrate" if calibrate else "fit"
        raise DataError(
            f"{n} {'image is' if n == 1 else 'images are'} too few to {purpose}; at least {least} "
            "are needed, and some hundred to learn anything"
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


def _tune_target(rest: int) -> int:
    return min(MAX_TUNE, max(1, rest // 10)) if rest >= 2 else 0


def _calibrate_target(n: int) -> int:
    target = max(MIN_CALIBRATE, math.ceil(n / 5))
    rest = n - target
    return target if rest - _tune_target(rest) >= MIN_FIT else n // 3


def _take(groups: list[np.ndarray], target: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Divide groups into those taken, in order and without exceeding `target`, and the others."""
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


def _give_every_class(
    fitting: list[np.ndarray], others: list[list[np.ndarray]], labels: np.ndarray
) -> None:
    """Move a group to `fitting` for every class that it lacks, from the first part that has one."""
    for label in np.unique(labels):
        if any((labels[group] == label).any() for group in fitting):
            continue
        for part in others:
            having = [i for i, group in enumerate(part) if (labels[group] == label).any()]
            if having:
                fitting.append(part.pop(min(having, key=lambda i: len(part[i]))))
                break


def _sorted(groups: list[np.ndarray]) -> np.ndarray:
    return np.sort(np.concatenate(groups)) if groups else np.empty(0, np.int64)


def divide(config: Config, dataset: Dataset, *, calibrate: bool) -> Split:
    """Return the split of a plain training; see `augan.data.splits.make_split`."""
    return make_split(
        len(dataset),
        seed=config.seed,
        groups=dataset.groups,
        labels=dataset.labels,
        calibrate=calibrate,
    )


def rows_to_learn(config: Config, dataset: Dataset, *, calibrate: bool) -> np.ndarray | None:
    """Return the rows that the scaling of a table may be learned from, None for all.

    Scaled by themselves, calibration rows could never lie beyond what is usual, as new ones do: the
    rate of false alarms would be a multiple of the one promised. With folds all rows calibrate, and
    `augan.detect.fitting.broken_promise` says what that means.
    """
    if dataset.noun != "rows" or config.detect.cross or not calibrate:
        return None
    split = divide(config, dataset, calibrate=True)
    return np.sort(np.concatenate([split.fit, split.tune]))
