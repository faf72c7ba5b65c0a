"""Tests of `augan.gan.diffaug`."""

import numpy as np
import pytest

from augan.choices import DIFFAUGMENT_POLICIES
from augan.gan import tf
from augan.gan.diffaug import augment, color, cutout, translation

SEED = (3, 4)


def seed(*values):
    return tf.constant(values or SEED, tf.int32)


def images(n, height, width, channels, start=0):
    rng = np.random.default_rng(start)
    # Away from 0, so that what enters (0) is never mistaken for what was there.
    return rng.uniform(0.2, 1.0, (n, height, width, channels)).astype(np.float32)


def shifted(image, down, right):
    """Shift one image `[H, W, C]` and fill the border with zeros."""
    height, width, _ = image.shape
    moved = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                moved[row, column] = image[row - down, column - right]
    return moved


def shifts_of(n, height, width, ratio=0.125, at=SEED):
    """Return the shift of each of `n` images, from the position of one bright pixel."""
    dots = np.zeros((n, height, width, 1), np.float32)
    dots[:, height // 2, width // 2] = 1.0
    moved = translation(tf.constant(dots), seed(*at), ratio).numpy()
    places = np.argwhere(moved[..., 0] == 1.0)
    assert len(places) == n
    return places[:, 1:] - [height // 2, width // 2]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 16), (8, 16)])
def test_translation_shifts_by_whole_pixels(height, width, channels):
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


def test_translation_differs_between_images():
    moves = shifts_of(64, 16, 16)
    assert len(np.unique(moves, axis=0)) > 10


def test_translation_is_a_function_of_the_seed():
    before = tf.constant(images(8, 16, 16, 1))
    once, again = translation(before, seed(1, 2)), translation(before, seed(1, 2))
    np.testing.assert_array_equal(once, again)
    in_graph = tf.function(translation)(before, seed(1, 2))
    np.testing.assert_array_equal(once, in_graph)
    for other in ((1, 18), (2, 2)):
        assert not np.array_equal(shifts_of(50, 16, 16, at=(1, 2)), shifts_of(50, 16, 16, at=other))


def test_translation_does_not_depend_on_the_global_seed():
    tf.random.set_seed(1)
    one = shifts_of(30, 16, 16)
    tf.random.set_seed(2)
    np.testing.assert_array_equal(shifts_of(30, 16, 16), one)


def test_real_and_generated_images_have_the_same_shift_distribution():
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


def test_gradient_of_translation_is_the_inverse_shift():
    before = tf.Variable(images(12, 16, 16, 2))
    weights = images(12, 16, 16, 2, start=9)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(weights * translation(before, seed()))
    gradient = tape.gradient(total, before).numpy()
    moves = shifts_of(12, 16, 16)
    expected = np.stack([shifted(image, *-move) for image, move in zip(weights, moves)])
    np.testing.assert_array_equal(gradient, expected)
    assert gradient.any()


def test_augment_without_policies_returns_the_images():
    before = images(3, 8, 8, 1)
    np.testing.assert_array_equal(augment(tf.constant(before), (), seed()), before)


@pytest.mark.parametrize("name", DIFFAUGMENT_POLICIES.names())
def test_every_policy_is_differentiable_and_keeps_the_shape(name):
    before = tf.Variable(images(6, 16, 16, 3))
    with tf.GradientTape() as tape:
        after = augment(before, (name,), seed())
        total = tf.reduce_sum(after)
    assert after.shape == before.shape
    gradient = tape.gradient(total, before).numpy()
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).reshape(6, -1).sum(axis=1) > 0).all()


def test_policies_have_independent_random_numbers():
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


# ---------------------------------------------------------------- color


def test_color_is_affine_in_each_image():
    # Gray image: brightness adds, contrast scales around the mean; saturation has nothing to do.
    before = images(40, 8, 8, 1)
    after = color(tf.constant(before), seed()).numpy()
    for one, other in zip(before, after):
        contrast, shift = np.polyfit(one.ravel(), other.ravel(), 1)
        np.testing.assert_allclose(other, contrast * one + shift, atol=1e-5)
        assert 0.5 - 1e-4 <= contrast <= 1.5 + 1e-4
        # The mean moves by the brightness alone.
        assert abs(other.mean() - one.mean()) <= 0.5 + 1e-5


def changes_of_color(n, at=SEED):
    """Return brightness, saturation and contrast of each image, estimated from its change."""
    before = images(n, 4, 4, 3)
    after = color(tf.constant(before), seed(*at)).numpy()
    brightness = after.mean(axis=(1, 2, 3)) - before.mean(axis=(1, 2, 3))
    gray, gray_after = before.mean(axis=3), after.mean(axis=3)

    def spread(x):
        return (x - x.mean(axis=(1, 2), keepdims=True)).reshape(n, -1)

    contrast = (spread(gray) * spread(gray_after)).sum(1) / (spread(gray) ** 2).sum(1)
    chroma, chroma_after = before - gray[..., None], after - gray_after[..., None]
    both = (chroma * chroma_after).sum(axis=(1, 2, 3)) / (chroma**2).sum(axis=(1, 2, 3))
    saturation = both / contrast
    # Nothing else was done: rebuilt from the three, it is the same.
    again = gray[..., None] + chroma * saturation[:, None, None, None]
    mean = again.mean(axis=(1, 2, 3), keepdims=True)
    again = (again - mean) * contrast[:, None, None, None] + mean
    np.testing.assert_allclose(after, again + brightness[:, None, None, None], atol=1e-4)
    return np.stack([brightness, saturation, contrast], axis=1)


def test_color_changes_brightness_saturation_and_contrast():
    changes = changes_of_color(800)
    for values, low, high in zip(changes.T, (-0.5, 0.0, 0.5), (0.5, 2.0, 1.5)):
        span = high - low
        assert low - 1e-3 <= values.min() < low + 0.02 * span
        assert high - 0.02 * span < values.max() <= high + 1e-3
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.05 * span)
    mixed = np.corrcoef(changes.T) - np.eye(3)
    assert np.abs(mixed).max() < 0.12
    np.testing.assert_array_equal(changes, changes_of_color(800))
    assert not np.array_equal(changes, changes_of_color(800, at=(9, 9)))


# ---------------------------------------------------------------- cutout


def holes(n, side, at=SEED, channels=1):
    """Return images of ones after cutout: 0 inside the square."""
    left = cutout(tf.ones((n, side, side, channels)), seed(*at)).numpy()
    assert set(np.unique(left)) == {0.0, 1.0}
    for channel in range(1, channels):
        np.testing.assert_array_equal(left[..., channel], left[..., 0])
    return left[..., 0] == 0


@pytest.mark.parametrize("side", [8, 16])
def test_cutout_removes_a_square_of_half_the_side(side):
    whole = 0
    for hole in holes(400, side, channels=2):
        sides = []
        for axis in (0, 1):
            places = np.flatnonzero(hole.any(axis=1 - axis))
            first, last = places[0], places[-1]
            assert len(places) == last - first + 1
            # Half the side, unless the border cuts it off.
            cut = first == 0 or last == side - 1
            assert len(places) == side // 2 or (cut and side // 4 <= len(places) < side // 2)
            sides.append(len(places))
        assert hole.sum() == sides[0] * sides[1]
        whole += sides == [side // 2] * 2
    # The centre is anywhere: of `side` places, side / 2 + 1 leave the stripe whole.
    share = ((side // 2 + 1) / side) ** 2
    assert whole / 400 == pytest.approx(share, abs=0.08)


def test_cutout_reaches_every_pixel_and_depends_on_the_seed():
    one = holes(300, 8)
    # The rarest corner is covered with probability 1/16; its estimate has a deviation of 0.014.
    often = one.mean(axis=0)
    assert often.min() > 0.03
    assert often.max() < 0.5
    assert len({hole.tobytes() for hole in one}) > 40
    np.testing.assert_array_equal(one, holes(300, 8))
    assert not np.array_equal(one, holes(300, 8, at=(3, 5)))


def test_cutout_keeps_the_rest_and_stops_the_gradient_inside():
    before = tf.Variable(images(20, 16, 16, 3))
    with tf.GradientTape() as tape:
        after = cutout(before, seed())
        total = tf.reduce_sum(after)
    hole = np.repeat((holes(20, 16))[..., None], 3, axis=3)
    np.testing.assert_array_equal(after, np.where(hole, 0, before.numpy()))
    np.testing.assert_array_equal(tape.gradient(total, before), np.where(hole, 0.0, 1.0))


def test_policies_apply_in_their_order():
    before = tf.constant(images(30, 16, 16, 3))
    # A hole that is made last is still a hole; one that is made first is colored.
    last = augment(before, ("color", "cutout"), seed()).numpy()
    first = augment(before, ("cutout", "color"), seed()).numpy()
    assert ((last == 0).all(axis=3).mean(axis=(1, 2)) >= 0.0625).all()
    assert ((first == 0).all(axis=3).mean(axis=(1, 2)) < 0.02).all()
