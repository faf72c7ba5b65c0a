"""Filter bank: every filter on images of all kinds, and the hash that identifies the bank."""

import numpy as np
import pytest

from augan.evaluation.translation.filter_bank import (
    FILTERS,
    apply_filter,
    filter_bank_sha256,
    filter_names,
)

# Recorded before the random cameras of the benchmark were drawn. A change of the bank needs new
# runs of all comparisons with it.
SHA256 = "238bfce260c6d9ae9d96f0ad0f1fbb6b68e216355d145dcda4dd4b88b3d93e33"


def _images(channels: int, size: int = 16) -> np.ndarray:
    rng = np.random.default_rng(0)
    images = np.zeros((3, size, size, channels), np.uint8)
    images[:, 4:12, 3:9] = rng.integers(60, 200, (3, 8, 6, channels))
    return images


def test_bank_is_the_recorded_one():
    assert filter_bank_sha256() == SHA256


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [(b, a, name) for b in (1, 3) for a in (1, 3) for name in filter_names(a)],
)
def test_filter_gives_different_finite_images(name, before, after):
    images = _images(before)
    filtered = apply_filter(name, images, after, seed=1)
    assert filtered.shape == (3, 16, 16, after)
    assert filtered.dtype == np.uint8
    np.testing.assert_array_equal(filtered, apply_filter(name, images, after, seed=1))
    has_no_effect = {"identity", *({"gray", "swap", "hue"} if before == 1 else ())}
    if name not in has_no_effect:
        assert (filtered != apply_filter("identity", images, after)).any()


@pytest.mark.parametrize("name", FILTERS)
def test_filter_of_one_image_equals_its_row_unless_it_has_noise(name):
    images = _images(3)
    alone, together = apply_filter(name, images[:1], 3), apply_filter(name, images, 3)
    np.testing.assert_array_equal(alone[0], together[0])


def test_no_two_filters_are_equal_on_color_images():
    images = _images(3)
    results = {apply_filter(name, images, 3).tobytes() for name in FILTERS}
    assert len(results) == len(FILTERS) > 48


def test_color_filters_are_left_out_for_gray_cameras():
    gray, color = filter_names(1), filter_names(3)
    assert set(gray) < set(color) == set(FILTERS)
    assert "jet" not in gray


def test_known_values():
    images = _images(1)
    np.testing.assert_array_equal(apply_filter("invert", images, 1), 255 - images)
    flat = np.full((1, 16, 16, 1), 100, np.uint8)
    assert not apply_filter("edges", flat, 1).any()
    assert set(np.unique(apply_filter("threshold", images, 1))) <= {0, 255}
