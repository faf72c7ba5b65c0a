"""Training, validation and calibration splits, and folds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augan.data.splits import NUM_FOLDS, make_folds, make_split
from augan.exceptions import DataError


def sizes(split):
    return len(split.train), len(split.val), len(split.calibration)


def assert_partition(split, n):
    parts = (split.train, split.val, split.calibration)
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in parts)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(n))


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (4, (2, 1, 1)),
        (10, (6, 1, 3)),
        (209, (126, 14, 69)),  # 99 to calibrate would leave 99 to fit
        (210, (100, 11, 99)),
        (381, (254, 28, 99)),
        (1438, (1035, 115, 288)),
        (60000, (47000, 1000, 12000)),
    ],
)
def test_sizes_without_groups_are_exact(n, expected):
    assert sizes(make_split(n, seed=0)) == expected


@pytest.mark.parametrize(("n", "expected"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (50, (45, 5, 0))])
def test_sizes_without_calibration(n, expected):
    assert sizes(make_split(n, seed=0, calibrate=False)) == expected


def test_make_split_depends_on_the_seed_only():
    a, b, c = (make_split(60, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.calibration, b.calibration)
    np.testing.assert_array_equal(a.val, b.val)
    assert not np.array_equal(a.calibration, c.calibration)


@pytest.mark.parametrize(
    ("n", "arguments", "message"),
    [
        (3, {}, "3 images are too few"),
        (0, {"calibrate": False}, "0 images are too few"),
        (5, {"groups": ["a"] * 5}, "one group"),
        (5, {"groups": ["a"] * 4}, "4 groups"),
        (4, {"labels": np.arange(4)}, "no class has a second one"),
    ],
)
def test_impossible_splits_are_refused(n, arguments, message):
    with pytest.raises(DataError, match=message):
        make_split(n, seed=0, **arguments)


def test_large_groups_leave_images_for_every_split():
    groups = ["big"] * 90 + ["b"] * 5 + ["c"] * 5
    for seed in range(5):
        split = make_split(100, seed=seed, groups=groups)
        assert sizes(split) == (90, 0, 10)


def test_smallest_group_is_taken_if_all_are_too_large():
    assert sizes(make_split(30, seed=0, groups=["a"] * 18 + ["b"] * 12)) == (18, 0, 12)
    tens = [f"g{i // 10}" for i in range(100)]
    assert sizes(make_split(100, seed=0, groups=tens)) == (60, 10, 30)


@settings(max_examples=80, deadline=None)
@given(
    group_sizes=st.lists(st.integers(1, 30), min_size=2, max_size=40),
    seed=st.integers(0, 2**31),
    calibrate=st.booleans(),
)
def test_groups_stay_together_and_sizes_are_kept(group_sizes, seed, calibrate):
    groups = np.repeat([f"g{i}" for i in range(len(group_sizes))], group_sizes)
    groups = np.random.default_rng(seed).permutation(groups)
    n = len(groups)
    if n < 4:
        return
    split = make_split(n, seed=seed, groups=groups, calibrate=calibrate)
    assert_partition(split, n)
    places = [set(groups[part]) for part in (split.train, split.val, split.calibration)]
    assert sum(map(len, places)) == len(group_sizes)
    assert len(split.train) >= (2 if calibrate else 1)  # one alone has no neighbours
    assert (len(split.calibration) > 0) == calibrate
    target = max(99, math.ceil(n / 5))
    rest = n - target
    if rest - rest // 10 < 100:
        target = n // 3
    assert len(split.calibration) <= target or len(places[2]) == 1
    rest = n - len(split.calibration)
    assert len(split.val) <= max(1, rest // 10) or len(places[1]) == 1


@settings(max_examples=80, deadline=None)
@given(labels=st.lists(st.integers(0, 4), min_size=12, max_size=60), seed=st.integers(0, 2**31))
def test_every_class_is_in_the_training_split(labels, seed):
    labels = np.array(labels)
    split = make_split(len(labels), seed=seed, labels=labels, calibrate=False)
    assert_partition(split, len(labels))
    assert set(labels[split.train]) == set(labels)


def test_missing_class_moves_with_its_group():
    labels = np.array([0] * 38 + [1, 1])
    groups = [f"g{i}" for i in range(38)] + ["pair"] * 2
    for seed in range(10):
        split = make_split(40, seed=seed, groups=groups, labels=labels)
        assert_partition(split, 40)
        assert {38, 39} <= set(split.train.tolist())
        assert len(split.calibration) in (11, 12, 13)


# Folds


@settings(max_examples=80, deadline=None)
@given(
    group_sizes=st.lists(st.integers(1, 30), min_size=NUM_FOLDS, max_size=40),
    seed=st.integers(0, 2**31),
)
def test_every_image_calibrates_in_one_fold(group_sizes, seed):
    groups = np.repeat([f"g{i}" for i in range(len(group_sizes))], group_sizes)
    groups = np.random.default_rng(seed).permutation(groups)
    n = len(groups)
    if n < 25:
        return
    folds = make_folds(n, seed=seed, groups=groups)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([fold.calibration for fold in folds])), np.arange(n)
    )
    for fold in folds:
        assert_partition(fold, n)
        places = [set(groups[part]) for part in (fold.train, fold.val, fold.calibration)]
        assert sum(map(len, places)) == len(group_sizes)
        assert min(sizes(fold)) > 0
    held = sorted(len(fold.calibration) for fold in folds)
    assert held[-1] - held[0] <= max(group_sizes)


def test_folds_without_groups_are_equal_and_the_seed_decides():
    folds, again, other = (make_folds(102, seed=seed) for seed in (1, 1, 2))
    assert [sizes(fold) for fold in folds] == [(73, 8, 21)] * 2 + [(74, 8, 20)] * 3
    for one, two in zip(folds, again):
        np.testing.assert_array_equal(one.calibration, two.calibration)
        np.testing.assert_array_equal(one.val, two.val)
    assert not np.array_equal(folds[0].calibration, other[0].calibration)


@pytest.mark.parametrize(
    ("n", "groups", "message"),
    [
        (24, None, "24 images are too few for 5 folds; at least 25"),
        (40, [str(i % 4) for i in range(40)], "40 images of 4 groups are too few for 5 folds"),
        (30, ["a"] * 29, "30 images but 29 groups"),
    ],
)
def test_make_folds_of_too_few_images_is_refused(n, groups, message):
    with pytest.raises(DataError, match=message):
        make_folds(n, seed=0, groups=groups)
