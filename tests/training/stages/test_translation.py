"""Tests of `augan.training.stages.translation`: the images that each part of a batch has."""

from dataclasses import replace

import numpy as np
import pytest

from augan.config import Config
from augan.data.modalities.images import ImagePreprocessing
from augan.exceptions import ConfigError
from augan.training.budget import TrainingBudget
from augan.training.stages.translation import common_classes, joint_batches
from augan.training.trainer import TrainingData, train_stages

PREPROCESSING = ImagePreprocessing(8, 1, "uint8", 0.0, 255.0, (8, 8))
B = 10


def camera(classes: list[int]) -> TrainingData:
    """Return images whose every pixel is the number of the image."""
    numbers = np.arange(len(classes), dtype=np.uint8)
    images = np.broadcast_to(numbers[:, None, None, None], (len(classes), 8, 8, 1))
    return TrainingData(images, np.array(classes), 4, PREPROCESSING)


def drawn(old: TrainingData, new: TrainingData, steps: int = 40) -> list[np.ndarray]:
    """Return the numbers `[steps, B]` and the one-hot classes of the images of each camera."""
    arrays = joint_batches(old, new, batch_size=B, seed=0).chunk(0, steps)
    return [
        np.rint((array[..., 0, 0, 0] + 1) * 127.5).astype(int) if array.ndim == 5 else array
        for array in arrays
    ]


def test_common_classes_are_equally_frequent_on_both_cameras_and_others_are_left_out():
    old = camera([0] * 20 + [1] * 5 + [2] * 20)
    new = camera([0] * 4 + [1] * 12 + [3] * 5)
    assert common_classes(old, new).tolist() == [0, 1]
    for data, numbers, classes in ((old, *drawn(old, new)[:2]), (new, *drawn(old, new)[2:])):
        labels = data.classes[numbers]
        assert set(labels.flat) == {0, 1}
        assert abs(np.mean(labels == 0) - 0.5) < 0.05
        np.testing.assert_array_equal(classes, np.eye(4)[labels])


def test_unlabeled_images_give_an_unconditional_part_with_images_of_all_kinds():
    old = camera([0] * 20 + [1] * 5 + [2] * 25)
    new = camera([0] * 8 + [1] * 8 + [-1] * 4)
    for data, numbers, classes in ((old, *drawn(old, new)[:2]), (new, *drawn(old, new)[2:])):
        labels = data.classes[numbers]
        is_conditional = classes.any(axis=2)
        assert is_conditional.sum(axis=1).tolist() == [8] * 40  # a fifth of the new images
        assert set(labels[is_conditional]) == {0, 1}
        assert set(labels[~is_conditional]) == set(data.classes)
        np.testing.assert_array_equal(classes[is_conditional], np.eye(4)[labels[is_conditional]])


@pytest.mark.parametrize("classes", [[0] * 9, [-1] * 9])
def test_without_a_common_class_everything_is_unconditional(classes):
    old, new = camera(classes), camera([1] * 8 + [-1])
    numbers, old_classes, new_numbers, new_classes = drawn(old, new)
    assert not old_classes.any()
    assert not new_classes.any()
    assert set(numbers.flat) == set(new_numbers.flat) == set(range(9))


def test_at_most_half_of_a_batch_is_unconditional():
    old, new = camera([0] * 9), camera([0] + [-1] * 99)
    classes = drawn(old, new)[1]
    assert classes.any(axis=2).sum(axis=1).tolist() == [5] * 40


def test_one_camera_is_refused():
    data = replace(camera([0, 1]), new=None)
    with pytest.raises(ConfigError, match=r"requires images of a new camera.*--translate-to NEW"):
        train_stages(Config(), data, ["translation"], TrainingBudget(1))
