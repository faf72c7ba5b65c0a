"""Tests of the GAN arms."""

import numpy as np
import pytest

from augan.config import Config
from augan.evaluation.augmentation.arms import ARMS
from augan.evaluation.augmentation.classifiers import logistic
from augan.evaluation.augmentation.gan_arms import GAN_ARMS
from augan.evaluation.augmentation.subsets import SubsetSpec, sample_subset
from augan.evaluation.augmentation.synthetic import DEFAULT_PER_CLASS
from tests.evaluation.augmentation._helpers import scale


@pytest.mark.parametrize("method", GAN_ARMS)
def test_gan_arms_generate_as_many_images_as_pixel_transfer(method, pool, subset):
    balanced = sample_subset(pool, SubsetSpec(labels_per_class=6), 0, 0)
    for labels, counts in (
        (subset, {2: 12}),
        (balanced, {0: 6 + DEFAULT_PER_CLASS, 1: 6 + DEFAULT_PER_CLASS, 2: 6 + DEFAULT_PER_CLASS}),
    ):
        assert GAN_ARMS[method]().make_sampler(labels).sampling_strategy == counts
        training_set = ARMS["pixel-transfer"].build(labels, "none", logistic(scale))
        control = np.bincount(training_set.labels)
        assert {label: int(control[label]) for label in counts} == counts


@pytest.mark.parametrize("name", GAN_ARMS)
def test_gan_arms_ignore_the_time_limit_of_the_config(name, subset):
    config = Config().override(["training.max_minutes=5", "generator.width=4"])
    settings = GAN_ARMS[name](None, config).make_sampler(subset).config
    assert (settings.training.max_minutes, settings.generator.width) == (None, 4)
    assert GAN_ARMS[name](7, None).make_sampler(subset).config is None
