"""Tests of `augan.training.pseudo_labels`."""

import numpy as np
import pytest

from augan.data.modalities.images import ImagePreprocessing
from augan.data.sequences import ConcatRows
from augan.gan import keras
from augan.training.pseudo_labels import assign_pseudo_labels


def by_brightness():
    """A classifier whose class probabilities are 1 - b and b, where b is how bright a pixel is."""
    images = keras.Input((1, 1, 1))
    bright = (keras.layers.Flatten()(images) + 1.0) / 2.0
    return keras.Model(images, keras.ops.log(keras.ops.concatenate([1 - bright, bright], axis=1)))


@pytest.mark.parametrize(
    ("mode", "indices", "classes"),
    [
        ("hard", [0, 1, 2, 3, 4], [1, 0, 1, 0, 1]),
        ("thresholded", [0, 1, 3, 4], [1, 0, 1, 0, 1]),
        ("soft", [0, 1, 2, 3, 4], [[0, 1], [1, 0], [0.4, 0.6], [0.95, 0.05], [0.05, 0.95]]),
    ],
)
def test_assign_pseudo_labels(mode, indices, classes):
    # The two labeled images look like the other class: known classes are not predicted.
    pixels = np.array([2, 98, 60, 5, 95], np.uint8).reshape(5, 1, 1, 1)
    preprocessing = ImagePreprocessing(8, 1, "float32", 0.0, 100.0)
    known = np.array([1, 0, -1, -1, -1])
    labels = assign_pseudo_labels(
        by_brightness(),
        ConcatRows(pixels[:2], pixels[2:]),
        known,
        preprocessing,
        labeled=np.array([0, 1]),
        unlabeled=np.array([2, 3, 4]),
        mode=mode,
    )
    assert labels.indices.tolist() == indices
    used = np.asarray(indices)
    np.testing.assert_allclose(labels.classes[used], np.asarray(classes)[used], atol=1e-5)
    described = labels.describe(np.array([2, 3, 4]))
    assert (described.n, described.used) == (3, len(indices) - 2)
    assert sum(described.class_counts) == pytest.approx(len(indices) - 2, abs=1e-2)
    assert known.tolist() == [1, 0, -1, -1, -1]
