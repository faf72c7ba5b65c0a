"""Fixtures of the evaluation of translation: two cameras with four classes of bright squares."""

import numpy as np
import pytest

from augan.data.dataset import from_arrays

CLASSES = ("corner", "left", "low", "middle")
_PLACES = ((1, 1), (5, 1), (10, 5), (5, 5))


def camera_images(per_class, seed, inverted=False):
    """Images `[n, 16, 16, 3]` with a bright square, whose place is the class; class names."""
    rng = np.random.default_rng(seed)
    labels = np.arange(4 * per_class) % 4
    images = rng.integers(0, 80, (len(labels), 16, 16, 3), np.uint8)
    for image, label in zip(images, labels):
        top, left = _PLACES[label] + rng.integers(-1, 2, 2)
        image[max(top, 0) : top + 5, max(left, 0) : left + 5] += 150
    return (255 - images if inverted else images), [CLASSES[label] for label in labels]


@pytest.fixture(scope="session")
def old_camera():
    return from_arrays(*camera_images(10, 0), name="old")


@pytest.fixture(scope="session")
def new_camera():
    return from_arrays(*camera_images(20, 1, inverted=True), name="new")
