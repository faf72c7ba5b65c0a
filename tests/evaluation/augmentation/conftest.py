"""Fixtures of the evaluation of augmentation."""

import numpy as np
import pytest

from augan.evaluation.augmentation.subsets import LabelPool, SubsetSpec, sample_subset


@pytest.fixture
def pool():
    """30 images of each of three classes; the brightness depends on the class."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 30)
    images = rng.integers(0, 60, (90, 8, 8, 1)) + 80 * labels[:, None, None, None]
    return LabelPool(images.astype(np.uint8), labels, ("cat", "dog", "emu"))


@pytest.fixture
def subset(pool):
    """12, 12 and 3 labels of the classes of the pool."""
    return sample_subset(pool, SubsetSpec(labels_per_class=12, rare={"emu": 3}), seed=0, repeat=0)
