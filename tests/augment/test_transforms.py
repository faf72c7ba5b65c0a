"""Image transforms keep the shape, the type and the range of images."""

import numpy as np
import pytest

from augan import get_transform
from augan.augment.transforms import TRANSFORMS, get_seeded_transform
from augan.exceptions import ConfigError


def random_images(dtype: str, channels: int, n: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.random((n, 16, 12, channels))
    max_value = {"uint8": 255, "uint16": 65535, "float32": 1.0}[dtype]
    return (values * max_value).astype(dtype)


class TestGetTransform:
    @pytest.mark.parametrize("transform", TRANSFORMS)
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
    def test_shape_and_type_are_kept(self, transform: str, dtype: str, channels: int) -> None:
        images = random_images(dtype, channels)
        before = images.copy()
        changed = get_transform(transform)(images)
        assert changed.shape == images.shape
        assert changed.dtype == images.dtype
        np.testing.assert_array_equal(images, before)
        assert np.array_equal(changed, before) == (transform == "none")
        if dtype == "float32":
            assert changed.min() >= 0
            assert changed.max() <= 1

    def test_flip_keeps_the_depth_of_uint16_images(self) -> None:
        images = random_images("uint16", 1, n=20)
        flipped = get_transform("flip")(images)
        mirrored = images[:, :, ::-1]
        is_same = (flipped == images).all(axis=(1, 2, 3))
        is_mirrored = (flipped == mirrored).all(axis=(1, 2, 3))
        assert (is_same ^ is_mirrored).all()
        assert 0 < is_mirrored.sum() < 20

    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
    def test_mean_brightness_stays_near(self, dtype: str) -> None:
        flat = np.full((8, 16, 16, 1), {"uint8": 128, "uint16": 32768, "float32": 0.5}[dtype])
        changed = get_transform("shift-flip-light")(flat.astype(dtype)).astype(np.float64)
        mean = changed.mean() / {"uint8": 255, "uint16": 65535, "float32": 1.0}[dtype]
        assert 0.3 < mean < 0.7

    def test_results_depend_on_the_seed(self) -> None:
        images = random_images("uint8", 1)
        first = get_transform("shift", 5)(images)
        np.testing.assert_array_equal(get_transform("shift", 5)(images), first)
        assert not np.array_equal(get_transform("shift", 6)(images), first)

    def test_results_depend_neither_on_blocks_nor_on_global_random_state(self) -> None:
        images = random_images("uint8", 3)
        whole = get_transform("shift-flip-light", 5)(images)
        transform = get_transform("shift-flip-light", 5)
        np.random.seed(1)  # noqa: NPY002
        parts = [transform(images[:2]), transform(images[2:])]
        np.testing.assert_array_equal(np.concatenate(parts), whole)

    def test_no_images_are_returned_unchanged(self) -> None:
        assert get_transform("shift")(random_images("uint8", 1)[:0]).shape == (0, 16, 12, 1)

    def test_an_unknown_transform_is_refused_by_naming_the_known(self) -> None:
        with pytest.raises(ConfigError, match=r"'swirl'.*none or shift or flip"):
            get_transform("swirl")


@pytest.mark.parametrize(("dtype", "high"), [("uint16", 4000), ("uint8", 16)])
def test_integers_of_a_smaller_range_stay_within_it(dtype: str, high: int) -> None:
    images = np.random.default_rng(0).integers(0, high + 1, (8, 16, 16, 1)).astype(dtype)
    transform = get_seeded_transform("shift-flip-light", 3, (0.0, float(high)))
    changed = transform(images, np.zeros(8, int), np.arange(8))
    assert changed.dtype == images.dtype
    assert high // 2 < changed.max() <= high
