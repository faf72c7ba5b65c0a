"""Tests of `augan.gan.corruptions`."""

import numpy as np
import pytest

from augan.choices import CORRUPTIONS
from augan.gan import tf
from augan.gan.corruptions import corrupt, cut_paste, jigsaw, scar

SEED = (5, 6)


def seed(*values):
    return tf.constant(values or SEED, tf.int32)


def make_images(n=16, side=16, channels=1):
    """Return images whose values all differ, so that each value identifies its source pixel."""
    values = np.linspace(-1, 1, n * side * side * channels, dtype=np.float32)
    return np.random.default_rng(0).permutation(values).reshape(n, side, side, channels)


@pytest.mark.parametrize("kind", CORRUPTIONS.names())
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (32, 3)])
def test_corruptions_are_functions_of_the_seed(kind, side, channels):
    images = make_images(side=side, channels=channels)
    corrupted = CORRUPTIONS.load(kind)(tf.constant(images), seed()).numpy()
    assert corrupted.shape == images.shape
    assert np.isfinite(corrupted).all()
    assert np.abs(corrupted).max() <= 1
    changed = (corrupted != images).any(axis=(1, 2, 3))
    assert changed.mean() >= 0.8
    repeated, other = (
        CORRUPTIONS.load(kind)(tf.constant(images), s).numpy() for s in (seed(), seed(5, 7))
    )
    np.testing.assert_array_equal(corrupted, repeated)
    assert (corrupted != other).any()


def test_cut_paste_takes_a_rectangle_from_the_neighbor():
    images = make_images()
    corrupted = cut_paste(tf.constant(images), seed()).numpy()[..., 0]
    for i, image in enumerate(corrupted):
        changed = image != images[i, ..., 0]
        rows, columns = changed.any(axis=1), changed.any(axis=0)
        np.testing.assert_array_equal(changed, rows[:, None] & columns[None, :])
        assert np.isin(image[changed], images[i - 1]).all()


def test_jigsaw_swaps_halves_and_keeps_all_pixels():
    images = make_images(32)
    corrupted = jigsaw(tf.constant(images), seed()).numpy()
    flat, upright = (np.roll(images, 8, axis=axis) for axis in (1, 2))
    is_flat = (corrupted == flat).all(axis=(1, 2, 3))
    is_upright = (corrupted == upright).all(axis=(1, 2, 3))
    assert (is_flat ^ is_upright).all()
    assert 4 < is_flat.sum() < 28


def test_a_scar_is_thin():
    images = np.zeros((64, 32, 32, 1), np.float32)
    changed = scar(tf.constant(images), seed()).numpy()[..., 0] != 0
    shares = changed.mean(axis=(1, 2))
    assert shares.min() > 0.002
    assert shares.max() < 0.12


def test_corrupt_splits_the_batch_equally_among_kinds():
    images = make_images(10)
    corrupted = corrupt(tf.constant(images), ("jigsaw", "scar", "cut_paste"), seed()).numpy()
    ends = (3, 6, 10)
    same = np.sort(corrupted[: ends[0]].ravel()) == np.sort(images[: ends[0]].ravel())
    assert same.all()  # the first third is only rearranged
    untouched = (corrupted[ends[0] : ends[1]] == images[ends[0] : ends[1]]).mean()
    assert 0.7 < untouched < 1  # the second has a thin line
