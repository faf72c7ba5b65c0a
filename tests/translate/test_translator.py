"""Tests of `augan.translate.translator`: training and translation of arrays in memory."""

import numpy as np
import pytest

from augan.config import Config
from augan.exceptions import ConfigError, DataError
from augan.translate.translator import train_translator

N, K = 24, 3
CONFIG = Config().replace(
    training__batch_size=8,
    training__steps=3,
    translation__width=2,
    translation__blocks=1,
    translation__discriminator_width=2,
)


def images(channels: int = 1, size: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (N, size, size, channels), np.uint8)


CLASSES = np.arange(N) % K


def test_gray_becomes_color_and_back():
    translator = train_translator(images(), CLASSES, images(3), CLASSES, K, config=CONFIG)
    there = translator.translate(images())
    assert (there.shape, there.dtype) == ((N, 8, 8, 3), np.uint8)
    back = translator.translate(there, direction="new-to-old")
    assert (back.shape, back.dtype) == ((N, 8, 8, 1), np.uint8)


def test_equal_seeds_give_equal_bits_and_noise_depends_on_seed_and_index():
    one, other, third = (
        train_translator(images(), CLASSES, images(3), CLASSES, K, config=CONFIG, seed=seed)
        for seed in (1, 1, 2)
    )
    expected = one.translate(images(), seed=5)
    np.testing.assert_array_equal(other.translate(images(), seed=5), expected)
    assert not np.array_equal(third.translate(images(), seed=5), expected)
    assert not np.array_equal(one.translate(images(), seed=6), expected)
    np.testing.assert_array_equal(one.translate(images()[:3], seed=5), expected[:3])


def test_labels_may_be_missing():
    some = np.where(np.arange(N) < 12, -1, CLASSES)
    for old, new, classes in ((None, None, 0), (CLASSES, None, K), (some, CLASSES, K)):
        translator = train_translator(images(), old, images(1), new, classes, config=CONFIG)
        assert translator.translate(images()).shape == (N, 8, 8, 1)


def test_cameras_of_two_sizes_are_refused():
    with pytest.raises(ConfigError, match=r"one size, got 8 pixels \(old\) and 16 pixels \(new\)"):
        train_translator(images(), None, images(size=16), None, 0, config=CONFIG)


def test_a_direction_that_was_not_trained_is_refused():
    config = CONFIG.replace(translation__cycle="none")
    translator = train_translator(images(), None, images(), None, 0, config=config)
    translator.translate(images())
    with pytest.raises(DataError, match=r"no direction 'new-to-old'.*translation\.cycle=one-sided"):
        translator.translate(images(), direction="new-to-old")


@pytest.mark.parametrize(
    "settings",
    [
        {"cycle": "two-sided", "identity_weight": 1.0, "history": 8},
        {"cycle": "none", "contrastive_weight": 1.0},
        {"class_weight": 0.1},
    ],
    ids=["CycleGAN", "CUT", "class"],
)
@pytest.mark.parametrize("channels", [(1, 3), (3, 1)], ids=["gray-to-color", "color-to-gray"])
def test_other_losses_train(settings, channels):
    config = CONFIG.replace(**{f"translation__{key}": value for key, value in settings.items()})
    old, new = (images(count, seed=count) for count in channels)
    translator = train_translator(old, CLASSES, new, CLASSES, K, config=config)
    assert translator.translate(old).shape == new.shape


@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_all_sizes_train(size, channels):
    old, new = (images(count, size=size)[:9] for count in (1, channels))
    translator = train_translator(old, CLASSES[:9], new, CLASSES[:9], K, config=CONFIG)
    assert translator.translate(old).shape == new.shape
    assert translator.translate(new, direction="new-to-old").shape == old.shape
