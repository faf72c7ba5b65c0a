"""Tests of the GAN arms."""

import numpy as np
import pytest

from augan.augment.methods.registry import generator_method_names
from augan.choices import ARMS
from augan.config import Config
from augan.evaluation.augmentation.classifiers import logistic
from augan.evaluation.augmentation.gan_arms import (
    AUTOENCODER_BATCH_SIZE,
    AUTOENCODER_STEPS,
    gan_arm,
    gan_arms,
)
from augan.evaluation.augmentation.subsets import SubsetSpec, sample_subset
from augan.evaluation.augmentation.synthetic import DEFAULT_PER_CLASS
from augan.training.defaults import native_dtype
from tests.evaluation.augmentation._helpers import scale


@pytest.mark.parametrize("method", generator_method_names())
def test_gan_arms_generate_as_many_images_as_pixel_transfer(method, pool, subset):
    balanced = sample_subset(pool, SubsetSpec(labels_per_class=6), 0, 0)
    for labels, counts in (
        (subset, {2: 12}),
        (balanced, {0: 6 + DEFAULT_PER_CLASS, 1: 6 + DEFAULT_PER_CLASS, 2: 6 + DEFAULT_PER_CLASS}),
    ):
        assert gan_arm(method).make_sampler(labels).sampling_strategy == counts
        training_set = ARMS.load("pixel-transfer")(labels, "none", logistic(scale))
        control = np.bincount(training_set.labels)
        assert {label: int(control[label]) for label in counts} == counts


@pytest.mark.parametrize("method", generator_method_names())
def test_gan_arms_ignore_the_time_limit_of_the_config(method, subset):
    config = Config().override(["training.max_minutes=5", "generator.width=4"])
    settings = gan_arm(method, None, config).make_sampler(subset).config
    assert (settings.training.max_minutes, settings.generator.width) == (None, 4)


@pytest.mark.parametrize("method", generator_method_names())
def test_default_config_is_fast_and_the_steps_of_the_user_win(method, subset):
    sampler = gan_arm(method, 7).make_sampler(subset)
    assert (sampler.steps, sampler.verbose) == (7, 0)
    training = sampler.config.training
    assert training.dtype == native_dtype()
    is_autoencoder = method in ("interpolate", "transfer")
    assert (training.steps, training.batch_size) == (
        (AUTOENCODER_STEPS, AUTOENCODER_BATCH_SIZE)
        if is_autoencoder
        else (None, Config().training.batch_size)
    )


def test_there_is_a_gan_arm_for_every_augmentation_method():
    arms = gan_arms(7, base="consistency")
    assert [arm.name for arm in arms] == list(generator_method_names())
    assert {arm.base for arm in arms} == {"consistency"}
