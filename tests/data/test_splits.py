"""Splits and the images that stand on both of their sides."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augan.data import duplicates
from augan.data.duplicates import find_near_duplicates
from augan.data.splits import NUM_FOLDS, Split, make_folds, make_split
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


def test_seed_decides():
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


def test_large_groups_do_not_swallow_the_data():
    groups = ["big"] * 90 + ["b"] * 5 + ["c"] * 5
    for seed in range(5):
        split = make_split(100, seed=seed, groups=groups)
        assert sizes(split) == (90, 0, 10)


def test_smallest_group_serves_where_all_are_too_large():
    assert sizes(make_split(30, seed=0, groups=["a"] * 18 + ["b"] * 12)) == (18, 0, 12)
    tens = [f"g{i // 10}" for i in range(100)]
    assert sizes(make_split(100, seed=0, groups=tens)) == (60, 10, 30)


@settings(max_examples=80, deadline=None)
@given(
    group_sizes=st.lists(st.integers(1, 30), min_size=2, max_size=40),
    seed=st.integers(0, 2**31),
    calibrate=st.booleans(),
)
def test_groups_stay_whole_and_targets_are_kept(group_sizes, seed, calibrate):
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
def test_every_class_can_be_fitted(labels, seed):
    labels = np.array(labels)
    split = make_split(len(labels), seed=seed, labels=labels, calibrate=False)
    assert_partition(split, len(labels))
    assert set(labels[split.train]) == set(labels)


def test_rescued_class_brings_its_whole_group():
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
def test_every_image_calibrates_in_one_fold_and_groups_stay_whole(group_sizes, seed):
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
def test_folds_of_too_little_are_refused(n, groups, message):
    with pytest.raises(DataError, match=message):
        make_folds(n, seed=0, groups=groups)


# Near duplicates


def pictures(n, side=32, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 200, (n, side, side, channels), np.uint8)


HALVES = Split(np.arange(6), np.arange(6, 10), np.arange(10, 20))


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (32, 3), (64, 1)])
def test_near_duplicates_across_the_split_are_found(side, channels):
    pixels = pictures(20, side, channels)
    pixels[12] = pixels[3] // 2 + 20  # the same scene, darker
    pixels[11] = pixels[7]
    pixels[1] = pixels[2]  # on one side only
    found = find_near_duplicates(pixels, HALVES)
    assert [pair[:2] for pair in found] == [(7, 11), (3, 12)]
    assert 1.0 >= found[0][2] >= found[1][2] > 0.995


def test_unrelated_images_are_no_duplicates():
    assert find_near_duplicates(pictures(20), HALVES) == []
    assert (
        find_near_duplicates(pictures(20), Split(np.arange(20), *[np.empty(0, np.int64)] * 2)) == []
    )


def test_flat_images_match_only_their_equals():
    pixels = pictures(20)
    pixels[0], pixels[10], pixels[11] = 90, 90, 91
    pixels[1, ::2], pixels[1, 1::2] = 90, 92  # stripes that no thumbnail shows
    assert find_near_duplicates(pixels, HALVES) == [(0, 10, 1.0)]
    assert find_near_duplicates(np.zeros((20, 8, 8, 1), np.float32), HALVES)[0][2] == 1.0


def test_thumbnails_average_equal_areas():
    weights = duplicates._area_weights(64, 24)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(weights.sum(axis=0), 24 / 64, rtol=1e-6)
    np.testing.assert_array_equal(duplicates._area_weights(8, 8), np.eye(8))


def test_work_is_capped_and_chunks_do_not_matter(monkeypatch):
    pixels = pictures(20)
    pixels[10:] = pixels[:10]
    twins = [(i, i + 10) for i in range(10)]
    for chunk in (500, 3):
        monkeypatch.setattr(duplicates, "_BLOCK_ROWS", chunk)
        assert sorted(pair[:2] for pair in find_near_duplicates(pixels, HALVES)) == twins
    monkeypatch.setattr(duplicates, "MAX_CALIBRATION", 4)
    assert sorted(pair[1] for pair in find_near_duplicates(pixels, HALVES)) == [10, 13, 16, 19]
    monkeypatch.setattr(duplicates, "MAX_OTHERS", 2)
    assert sorted(pair[:2] for pair in find_near_duplicates(pixels, HALVES)) == [(0, 10), (9, 19)]
