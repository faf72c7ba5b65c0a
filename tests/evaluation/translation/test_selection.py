"""Tests of the selection of an arm by hidden classes."""

import numpy as np
import pytest

from augan.evaluation.translation.camera_shift import CameraShift
from augan.evaluation.translation.selection import (
    ArmOption,
    arm_options,
    choose,
    hidden_groups,
    hide_classes,
    mean_recall,
)
from augan.exceptions import ConfigError

GAN, POOLED, STRONG = ArmOption("gan", 0.5), ArmOption("pooled"), ArmOption("strong")


def shift(missing=(2,), unlabeled=None):
    """Ten images of each of five classes on both cameras, without the missing ones on the new."""
    labels = np.repeat(np.arange(5), 10)
    images = np.arange(50, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    seen = ~np.isin(labels, missing)
    return CameraShift(images, labels, images[seen], labels[seen], 5, missing, unlabeled, 3)


def test_hidden_groups_are_common_classes_as_many_as_missing_ones():
    for missing in ((2,), (1, 3), (0, 1, 2)):
        groups = hidden_groups(shift(missing))
        hidden = [label for group in groups for label in group]
        assert len(groups) == 2
        assert len(set(hidden)) == len(hidden)
        assert not set(hidden) & set(missing)
        assert all(len(group) == min(len(missing), (5 - len(missing)) // 2) for group in groups)
    assert hidden_groups(shift((0, 1, 2, 3))) == ()


@pytest.mark.parametrize("num_labels", [0, 3])
def test_arms_do_not_see_the_images_that_measure_them(num_labels):
    given = shift()
    (hidden,) = hidden_groups(given)[0]
    seen, images, labels = hide_classes(given, (hidden,), num_labels)
    assert seen.missing == (2, hidden)
    assert hidden not in seen.common
    assert (seen.new_labels == hidden).sum() == num_labels
    assert not set(np.unique(images)) & set(np.unique(seen.new_images))
    counts = np.bincount(labels, minlength=5)
    assert counts[hidden] == 10 - num_labels
    assert counts[2] == 0
    assert all(counts[label] == 2 for label in seen.common)
    assert len(images) + len(seen.new_labels) == len(given.new_labels)


def test_options_are_the_arms_that_the_images_allow():
    keys = [option.key for option in arm_options(shift())]
    assert {"pooled", "gan:0.5", "gan:0.75", "ablation:0.5"} <= set(keys)
    assert "dann" not in keys
    given = shift(unlabeled=np.zeros((3, 4, 4, 1), np.uint8))
    assert "dann" in [option.key for option in arm_options(given)]
    with pytest.raises(ConfigError, match="dann needs unlabeled images"):
        arm_options(shift(), ["dann"])
    with pytest.raises(ConfigError, match="no arm 'magic'"):
        arm_options(shift(), ["magic"])


def test_the_best_option_is_chosen_and_ties_need_no_translator():
    scores = {GAN: [0.5, 0.7], POOLED: [0.6, 0.6], STRONG: [0.1, 0.9]}
    assert choose(scores) == POOLED
    assert choose(scores, True) == GAN
    assert choose({**scores, GAN: [0.5, 0.8]}) == GAN
    assert choose({POOLED: [0.1]}, True) is None


def test_mean_recall_counts_every_class_equally():
    assert mean_recall(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 2])) == 0.5
