"""Tests of `augan.translate.translator`: training and translation of arrays in memory."""

import numpy as np
import pytest

from augan.config import Config
from augan.exceptions import ConfigError, DataError
from augan.io.images import write_png
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


@pytest.fixture(scope="module")
def translator():
    return train_translator(images(), CLASSES, images(3), CLASSES, K, config=CONFIG)


class TestSizes:
    def test_images_keep_their_size_and_do_not_depend_on_others(self, translator):
        rng = np.random.default_rng(1)
        several = [
            rng.integers(0, 256, (h, w, 1), np.uint8) for h, w in [(8, 8), (5, 8), (20, 13), (9, 9)]
        ]
        translated = translator.translate(several, seed=3)
        assert [image.shape for image in translated] == [(*x.shape[:2], 3) for x in several]
        others = [several[0], rng.integers(0, 256, (30, 8, 1), np.uint8), *several[2:]]
        again = translator.translate(others, seed=3)
        for index in (0, 2, 3):
            np.testing.assert_array_equal(again[index], translated[index])

    def test_large_images_have_no_seams(self, translator):
        large, small = (
            translator.translate(np.full((1, side, side, 3), 100, np.uint8), direction="new-to-old")
            for side in (40, 8)
        )
        assert large.shape == (1, 40, 40, 1)
        inner = large[0, 8:-8, 8:-8, 0].astype(int)
        steps = max(np.abs(np.diff(inner, axis=axis)).max() for axis in (0, 1))
        assert steps <= np.ptp(small.astype(int))

    def test_prepared_images_are_translated_as_original_images(self, translator):
        prepared = translator.translate_prepared(images(), range(N), seed=2)
        np.testing.assert_array_equal(prepared, translator.translate(images(), seed=2))


class TestInputs:
    def test_folder_and_paths(self, translator, tmp_path):
        (tmp_path / "a").mkdir()
        for row, name in enumerate(("a/1.png", "a/2.png", "3.png")):
            write_png(tmp_path / name, images()[row])
        names = [name for name, _ in translator.iterate(tmp_path, seed=1)]
        assert names == ["3.png", "a/1.png", "a/2.png"]
        translated = translator.translate(tmp_path, seed=1)
        (tmp_path / "3.png").unlink()
        np.testing.assert_array_equal(translator.translate(str(tmp_path), seed=1), translated[1:])
        paths = [tmp_path / "a/1.png", tmp_path / "a/2.png"]
        expected = translator.translate(images()[:2], seed=1)
        np.testing.assert_array_equal(translator.translate(paths, seed=1), expected)

    def test_what_cannot_be_translated_is_refused(self, translator, tmp_path):
        for wrong, message in (
            (images(3), r"image 0 cannot be used.*channel count \(3\)"),
            (np.zeros((2, 8, 8, 1)), "multiply by 255"),
            ([], "list of images is empty"),
            (iter([]), "iterator of images is empty"),
            (tmp_path, "no image below"),
            (None, "in place of images"),
        ):
            with pytest.raises(DataError, match=message):
                translator.translate(wrong)
        with pytest.raises(ConfigError, match="direction"):
            translator.translate(images(), direction="sideways")
        with pytest.raises(ConfigError, match="seed"):
            translator.translate(images(), seed=-1)


def test_images_of_another_range_warn(tmp_path):
    dark = images().astype(np.uint16) * 4
    translator = train_translator(dark, CLASSES, images(3), CLASSES, K, config=CONFIG)
    bright = (dark * 60).astype(np.uint16)
    with pytest.warns(UserWarning, match="the pixels reach from .* but those of the training"):
        translator.translate(bright)
    notes: list[str] = []
    list(translator.iterate(dark, notes=notes))
    assert notes == []
