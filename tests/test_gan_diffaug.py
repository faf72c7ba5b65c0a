"""Translation moves by whole pixels, fills with gray, and lets the gradient through."""

import numpy as np
import pytest

from augan.gan import tf
from augan.gan.diffaug import POLICIES, augment, translation

SEED = (3, 4)


def seed(*values):
    return tf.constant(values or SEED, tf.int32)


def images(n, height, width, channels, start=0):
    rng = np.random.default_rng(start)
    # Away from 0, so that what enters (0) is never mistaken for what was there.
    return rng.uniform(0.2, 1.0, (n, height, width, channels)).astype(np.float32)


def shifted(image, down, right):
    """Move one image `[H, W, C]`, with zeros where nothing came from."""
    height, width, _ = image.shape
    moved = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                moved[row, column] = image[row - down, column - right]
    return moved


def shifts_of(n, height, width, ratio=0.125, at=SEED):
    """The shift of each of `n` images, read from where one bright pixel in the middle went."""
    dots = np.zeros((n, height, width, 1), np.float32)
    dots[:, height // 2, width // 2] = 1.0
    moved = translation(tf.constant(dots), seed(*at), ratio).numpy()
    places = np.argwhere(moved[..., 0] == 1.0)
    assert len(places) == n
    return places[:, 1:] - [height // 2, width // 2]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 16), (8, 16)])
def test_each_image_is_moved_by_whole_pixels(height, width, channels):
    before = images(20, height, width, channels)
    moves = shifts_of(20, height, width)
    after = translation(tf.constant(before), seed()).numpy()
    assert after.dtype == np.float32
    expected = np.stack([shifted(image, *move) for image, move in zip(before, moves)])
    np.testing.assert_array_equal(after, expected)


@pytest.mark.parametrize(
    ("side", "ratio", "reach"), [(8, 0.125, 1), (16, 0.125, 2), (32, 0.125, 4), (32, 0.25, 8)]
)
def test_every_shift_up_to_the_ratio_occurs_and_none_beyond(side, ratio, reach):
    moves = shifts_of(600, side, side, ratio)
    for axis in (0, 1):
        assert set(moves[:, axis]) == set(range(-reach, reach + 1))


def test_shifts_are_uniform_and_the_axes_independent():
    moves = shifts_of(9000, 8, 8)
    # Nine equally likely pairs: 1000 each, standard deviation 30.
    pairs, counts = np.unique(moves, axis=0, return_counts=True)
    assert len(pairs) == 9
    assert np.abs(counts - 1000).max() < 120
    after_it = np.corrcoef(moves[:-1, 0], moves[1:, 0])[0, 1]
    assert abs(after_it) < 0.05


def test_images_of_a_batch_get_different_shifts():
    moves = shifts_of(64, 16, 16)
    assert len(np.unique(moves, axis=0)) > 10


def test_the_seed_alone_decides():
    before = tf.constant(images(8, 16, 16, 1))
    once, again = translation(before, seed(1, 2)), translation(before, seed(1, 2))
    np.testing.assert_array_equal(once, again)
    in_graph = tf.function(translation)(before, seed(1, 2))
    np.testing.assert_array_equal(once, in_graph)
    for other in ((1, 18), (2, 2)):
        assert not np.array_equal(shifts_of(50, 16, 16, at=(1, 2)), shifts_of(50, 16, 16, at=other))


def test_the_global_seed_plays_no_part():
    tf.random.set_seed(1)
    one = shifts_of(30, 16, 16)
    tf.random.set_seed(2)
    np.testing.assert_array_equal(shifts_of(30, 16, 16), one)


def test_real_and_generated_are_moved_by_the_same_distribution():
    # What the pixels hold must not matter: same seed, same shifts.
    dark, bright = -images(40, 8, 8, 1, start=1), images(40, 8, 8, 1, start=2)
    moves = shifts_of(40, 8, 8)
    for before in (dark, bright):
        after = translation(tf.constant(before), seed()).numpy()
        expected = np.stack([shifted(image, *move) for image, move in zip(before, moves)])
        np.testing.assert_array_equal(after, expected)
    # Other seeds, as for the two batches of a step: the same law.
    one, other = (
        np.unique(shifts_of(9000, 8, 8, at=at), axis=0, return_counts=True)[1]
        for at in ((5, 48), (5, 80))
    )
    assert np.abs(one - other).max() < 170


def test_the_gradient_is_the_gradient_moved_back():
    before = tf.Variable(images(12, 16, 16, 2))
    weights = images(12, 16, 16, 2, start=9)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(weights * translation(before, seed()))
    gradient = tape.gradient(total, before).numpy()
    moves = shifts_of(12, 16, 16)
    expected = np.stack([shifted(image, *-move) for image, move in zip(weights, moves)])
    np.testing.assert_array_equal(gradient, expected)
    assert gradient.any()


def test_no_policy_changes_nothing():
    before = images(3, 8, 8, 1)
    np.testing.assert_array_equal(augment(tf.constant(before), (), seed()), before)


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_every_policy_is_differentiable_and_keeps_the_shape(name):
    before = tf.Variable(images(6, 16, 16, 3))
    with tf.GradientTape() as tape:
        after = augment(before, (name,), seed())
        total = tf.reduce_sum(after)
    assert after.shape == before.shape
    gradient = tape.gradient(total, before).numpy()
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).reshape(6, -1).sum(axis=1) > 0).all()


def test_policies_follow_each_other_with_noise_of_their_own():
    before = images(200, 16, 16, 1)
    once = augment(tf.constant(before), ("translation",), seed()).numpy()
    twice = augment(tf.constant(before), ("translation", "translation"), seed()).numpy()
    dot = np.zeros((200, 16, 16, 1), np.float32)
    dot[:, 8, 8] = 1
    moves = [
        np.argwhere(augment(tf.constant(dot), ("translation",) * k, seed()).numpy() == 1)[:, 1:3]
        - 8
        for k in (1, 2)
    ]
    expected = np.stack([shifted(image, *move) for image, move in zip(before, moves[0])])
    np.testing.assert_array_equal(once, expected)
    second = moves[1] - moves[0]
    assert np.abs(second).max() == 2
    assert abs(np.corrcoef(second[:, 0], moves[0][:, 0])[0, 1]) < 0.2
    assert not np.array_equal(once, twice)
