"""Near-duplicates between the calibration split and the other splits."""

import numpy as np
import pytest

from augan.data import duplicates
from augan.data.duplicates import DistinctImages, find_near_duplicates
from augan.data.splits import Split


def noise(n, side=32, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 200, (n, side, side, channels), np.uint8)


HALVES = Split(np.arange(6), np.arange(6, 10), np.arange(10, 20))


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (32, 3), (64, 1)])
def test_find_near_duplicates_ignores_brightness_and_one_sided_pairs(side, channels):
    pixels = noise(20, side, channels)
    pixels[12] = pixels[3] // 2 + 20  # the same scene, darker
    pixels[11] = pixels[7]
    pixels[1] = pixels[2]  # on one side only
    found = find_near_duplicates(pixels, HALVES)
    assert [pair[:2] for pair in found] == [(7, 11), (3, 12)]
    assert 1.0 >= found[0][2] >= found[1][2] > 0.995


def test_find_near_duplicates_of_unrelated_images_is_empty():
    assert find_near_duplicates(noise(20), HALVES) == []
    assert find_near_duplicates(noise(20), Split(np.arange(20), *[np.empty(0, np.int64)] * 2)) == []


def test_find_near_duplicates_matches_flat_images_only_if_equal():
    pixels = noise(20)
    pixels[0], pixels[10], pixels[11] = 90, 90, 91
    pixels[1, ::2], pixels[1, 1::2] = 90, 92  # stripes that no thumbnail shows
    assert find_near_duplicates(pixels, HALVES) == [(0, 10, 1.0)]
    assert find_near_duplicates(np.zeros((20, 8, 8, 1), np.float32), HALVES)[0][2] == 1.0


def test_area_weights_average_equal_areas():
    weights = duplicates._area_weights(64, 24)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(weights.sum(axis=0), 24 / 64, rtol=1e-6)
    np.testing.assert_array_equal(duplicates._area_weights(8, 8), np.eye(8))


def test_find_near_duplicates_limits_the_compared_images(monkeypatch):
    pixels = noise(20)
    pixels[10:] = pixels[:10]
    expected = [(i, i + 10) for i in range(10)]
    for rows in (500, 3):
        monkeypatch.setattr(duplicates, "_BLOCK_ROWS", rows)
        assert sorted(pair[:2] for pair in find_near_duplicates(pixels, HALVES)) == expected
    monkeypatch.setattr(duplicates, "MAX_CALIBRATION", 4)
    assert sorted(pair[1] for pair in find_near_duplicates(pixels, HALVES)) == [10, 13, 16, 19]
    monkeypatch.setattr(duplicates, "MAX_OTHERS", 2)
    assert sorted(pair[:2] for pair in find_near_duplicates(pixels, HALVES)) == [(0, 10), (9, 19)]


def test_distinct_images_count_frames_of_a_video_once():
    rng = np.random.default_rng(0)
    scenes = rng.uniform(0, 200, (6, 40, 30, 1))
    frames = [scene + rng.normal(0, 1, scene.shape) for scene in scenes for _ in range(5)]
    distinct = DistinctImages()
    distinct.add(frames[:13])
    distinct.add(frames[13:])
    assert distinct.groups.tolist() == [str(number // 5) for number in range(30)]
    flat = DistinctImages()
    flat.add(np.full((3, 8, 8, 1), 7, np.uint8))
    assert len(set(flat.groups)) == 3  # images without contrast are not compared
