"""Tests of translation by pixel arithmetic."""

import numpy as np
import pytest

from augan.evaluation.translation.pixel_translation import (
    ColorMap,
    add_differences,
    exchange_low_frequencies,
    map_histograms,
    match_grain,
    match_histograms,
    with_channels,
)

RNG = np.random.default_rng(8)
IMAGES = RNG.integers(0, 256, (6, 12, 10, 3)).astype(np.uint8)


def smooth_images(count, seed):
    """Return gray images with a bright disk of random place, size and brightness."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    centers, radii = rng.uniform(4, 12, (2, count, 1, 1)), rng.uniform(2, 6, (count, 1, 1))
    distance = np.hypot(y - centers[0], x - centers[1])
    values = np.clip(rng.uniform(0.4, 1, (count, 1, 1)) * (1.5 - distance / radii), 0, 1)
    return np.rint(255 * values).astype(np.uint8)[..., None]


def test_with_channels():
    gray = with_channels(IMAGES, 1)
    assert np.array_equal(gray[..., 0], np.rint(IMAGES @ [0.299, 0.587, 0.114]))
    assert np.array_equal(with_channels(gray, 3), np.repeat(gray, 3, axis=-1))
    assert with_channels(IMAGES, 3) is IMAGES


def test_histogram_map_inverts_an_increasing_change_of_each_channel():
    levels = np.stack([np.arange(256) // 2, np.arange(256) // 3 + 90, np.arange(256)], axis=-1)
    large = RNG.integers(0, 256, (40, 16, 16, 3))
    new = np.stack([levels[large[..., c], c] for c in range(3)], axis=-1).astype(np.uint8)
    mapped = map_histograms(large.astype(np.uint8), [(large.astype(np.uint8), new)])
    assert np.abs(mapped.astype(int) - new).max() <= 2


def test_histogram_map_counts_classes_equally():
    """A class with many images of one camera does not move the map."""
    dark, light = np.full((1, 4, 4, 1), 20, np.uint8), np.full((1, 4, 4, 1), 220, np.uint8)
    pairs = [(dark, dark // 2), (light, light // 2)]
    crowded = [(np.repeat(dark, 50, axis=0), dark // 2), pairs[1]]
    for several in (pairs, crowded):
        mapped = map_histograms(np.concatenate([dark, light]), several)
        assert mapped[:, 0, 0, 0].tolist() == [10, 110]


def test_matched_images_have_the_histogram_of_their_reference():
    references = IMAGES[::-1] // 2 + 40
    matched = match_histograms(IMAGES, references)
    assert matched.shape == IMAGES.shape
    ordered = (np.sort(a.reshape(6, -1, 3).astype(int), axis=1) for a in (matched, references))
    assert np.abs(next(ordered) - next(ordered)).mean() < 1
    constant = match_histograms(IMAGES, np.full_like(IMAGES, 9))
    assert (constant == 9).all()


def test_band_zero_exchanges_the_mean_alone():
    images, references = IMAGES // 4 + 90, IMAGES[::-1] // 8 + 60
    moved = exchange_low_frequencies(images, references, np.zeros(6))
    expected = images + (references.mean((1, 2)) - images.mean((1, 2)))[:, None, None]
    assert np.abs(moved - expected).max() <= 0.51


@pytest.mark.parametrize("band", [0.1, 0.2])
def test_exchanged_band_keeps_phases_and_the_other_frequencies(band):
    images, references = IMAGES // 4 + 90, IMAGES[::-1] // 4 + 90
    moved = exchange_low_frequencies(images, references, np.full(6, band))
    old, new, result = (np.fft.fft2(a, axes=(1, 2)) for a in (images, references, moved))
    rows, columns = (np.abs(np.fft.fftfreq(size, 1 / size)) for size in (12, 10))
    is_low = np.maximum(rows[:, None], columns) <= np.floor(10 * band)
    assert is_low.sum() == (2 * int(10 * band) + 1) ** 2
    expected = np.where(is_low[..., None], np.abs(new) * np.exp(1j * np.angle(old)), old)
    assert np.abs(result - expected).max() < 15  # rounding of 120 pixels


def test_bands_may_differ_between_images():
    bands = np.array([0, 0.1, 0.2, 0, 0.1, 0.2])
    together = exchange_low_frequencies(IMAGES, IMAGES[::-1], bands)
    for index, band in enumerate(bands):
        alone = exchange_low_frequencies(
            IMAGES[index : index + 1], IMAGES[::-1][index : index + 1], np.array([band])
        )
        assert np.array_equal(alone[0], together[index])


def test_added_differences_are_clipped():
    image, old, new = (np.full((1, 2, 2, 1), value, np.uint8) for value in (100, 30, 200))
    assert (add_differences(image, old, new) == 255).all()
    assert (add_differences(image, new, old) == 0).all()
    assert (add_differences(image, old, old + 5) == 105).all()


def test_color_map_recovers_false_colors_from_unpaired_images():
    def false_colors(images):
        values = images[..., 0] / 255
        colors = [1 - values, np.abs(2 * values - 1), values**2]
        return np.rint(255 * np.stack(colors, axis=-1)).astype(np.uint8)

    old, others = smooth_images(400, 1), smooth_images(400, 2)
    halves = [(old[:200], others[:200]), (old[200:], others[200:])]
    color_map = ColorMap([(np.repeat(a, 3, axis=-1), false_colors(b)) for a, b in halves])
    held_out = np.repeat(smooth_images(50, 3), 3, axis=-1)
    errors = [
        np.abs(images.astype(int) - false_colors(held_out)).mean()
        for images in (held_out, color_map(held_out))
    ]
    assert errors[0] > 80
    assert errors[1] < 16


def test_color_map_recovers_mixed_channels_and_a_light():
    rng = np.random.default_rng(0)
    mixing = np.array([[0.2, 0.1, 0.6], [0.5, 0.3, 0.2], [0.1, 0.5, 0.1]])
    light = np.linspace(0.6, 1, 16)[:, None]

    def colored(seed):
        strength = rng.uniform(0.2, 1, (400, 1, 1, 3))
        return np.rint(smooth_images(400, seed) * strength).astype(np.uint8)

    def other_camera(images):
        return np.rint((images @ mixing) * light[..., None]).astype(np.uint8)

    color_map = ColorMap([(colored(1), other_camera(colored(2)))])
    held_out = colored(3)[:50]
    error = np.abs(color_map(held_out).astype(int) - other_camera(held_out))
    assert error.mean() < 4


def test_color_map_of_two_images():
    """One image a class on both cameras is enough for a result."""
    color_map = ColorMap([(IMAGES[:1], IMAGES[1:2])])
    assert color_map(IMAGES).shape == IMAGES.shape


def test_grain_is_matched():
    rng = np.random.default_rng(3)
    smooth = smooth_images(100, 1) // 2 + 60
    noise = rng.standard_normal((100, 16, 16, 3)) * [4, 8, 12]
    new = np.clip(np.rint(smooth + noise), 0, 255).astype(np.uint8)
    matched = match_grain(np.repeat(smooth, 3, axis=-1), new, rng)
    added = matched.astype(int) - smooth
    assert np.allclose(added.std((0, 1, 2)), [4, 8, 12], rtol=0.15)
    assert match_grain(new, np.repeat(smooth, 3, axis=-1), rng) is new  # grain is not removed
