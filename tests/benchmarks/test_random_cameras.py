"""Random cameras of the translation benchmark."""

import numpy as np
import pytest

from benchmarks.augmentation.random_cameras import (
    BACKGROUNDS,
    FINISHES,
    STRUCTURES,
    TONES,
    RandomCamera,
    random_cameras,
)

CAMERAS = (*random_cameras("dev"), *random_cameras("test"))


@pytest.fixture(scope="module")
def objects() -> np.ndarray:
    """Twelve gray images with a bright rectangle of random texture on black."""
    rng = np.random.default_rng(0)
    images = np.zeros((12, 32, 32), np.uint8)
    images[:, 8:24, 10:22] = rng.integers(90, 256, (12, 16, 12))
    return images


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), np.uint8)


def test_cameras_cover_the_grammar_and_do_not_repeat() -> None:
    assert {camera.structure for camera in CAMERAS} == set(STRUCTURES)
    assert {camera.tone for camera in CAMERAS} == set(TONES)
    assert {camera.background for camera in CAMERAS} == set(BACKGROUNDS)
    assert {camera.finish for camera in CAMERAS} == set(FINISHES)
    combinations = {(c.structure, c.tone, c.background) for c in CAMERAS}
    assert len(combinations) == len(CAMERAS) == 12


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.name)
def test_an_image_depends_on_seed_and_position_alone(
    camera: RandomCamera, objects: np.ndarray, photographs: np.ndarray
) -> None:
    images = camera.render(objects, 3, photographs)
    assert images.shape == (12, 32, 32, 3)
    assert images.dtype == np.uint8
    few = camera.render(objects[:5], 3, photographs)
    np.testing.assert_array_equal(images[:5], few)
    other = camera.render(objects, 4, photographs)
    assert (other != images).any(axis=(1, 2, 3)).all()


def test_photographs_are_required_where_the_camera_has_them(objects: np.ndarray) -> None:
    camera = next(camera for camera in CAMERAS if camera.background == "photographs")
    with pytest.raises(ValueError, match="needs photographs"):
        camera.render(objects, 0, None)


def test_a_split_is_dev_or_test() -> None:
    with pytest.raises(ValueError, match="'dev' or 'test'"):
        random_cameras("validation")
