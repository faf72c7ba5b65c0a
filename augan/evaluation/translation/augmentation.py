"""Random changes of training images, for whole batches at once: "classic" and "strong".

Classic changes keep the look of an image: flip, shift, small changes of brightness and contrast.
Strong changes vary the look: inversion, mixed colors, blur, noise and a hidden rectangle (cut-out),
so that a classifier depends less on the camera.
"""

import functools

import numpy as np

AUGMENTATIONS = ("classic", "strong")
_MAX_SHIFT = 0.1  # of the side
_BRIGHTNESS, _CONTRAST = 0.15, 0.15  # largest changes by classic jitter
_INVERTED, _COLORED, _BLURRED, _NOISY, _CUT = 0.5, 0.8, 0.5, 0.5, 0.5  # shares of the images
_MAX_NOISE = 0.3  # standard deviation in units of half the range
_MIN_HOLE, _MAX_HOLE = 0.2, 0.5  # side of the hidden rectangle, of the side
_NOISE_VALUES = 2**20  # normal numbers, from which the noise of an image is a section


def augment(
    images: np.ndarray, kind: str, rng: np.random.Generator, *, flips: bool = True
) -> np.ndarray:
    """Return randomly changed images as input of a network.

    Parameters
    ----------
    images : ndarray of uint8 [n, H, W, C]
    kind : {"classic", "strong"}
    rng : numpy.random.Generator
    flips : bool
        Whether half of the images are mirrored horizontally.

    Returns
    -------
    ndarray of float32 [n, H, W, C]
        Values in [-1, 1].
    """
    moved = _moved(images, rng, flips)
    result = moved.astype(np.float32)
    result *= 2 / 255
    result -= 1
    if kind == "strong":
        result = _strongly_changed(result, rng)
    contrast, brightness = rng.uniform(-1, 1, (2, len(images), 1, 1, 1)).astype(np.float32)
    result *= 1 + _CONTRAST * contrast
    result += 2 * _BRIGHTNESS * brightness
    return np.clip(result, -1, 1, out=result)


def _moved(images: np.ndarray, rng: np.random.Generator, flips: bool) -> np.ndarray:
    """Return images after a random shift with repeated borders, half of them mirrored."""
    count, height, width = images.shape[:3]
    rows, columns = (
        np.clip(np.arange(size) + rng.integers(-limit, limit + 1, (count, 1)), 0, size - 1)
        for size, limit in (
            (height, round(_MAX_SHIFT * height)),
            (width, round(_MAX_SHIFT * width)),
        )
    )
    if flips:
        columns = np.where(rng.random((count, 1)) < 0.5, columns[:, ::-1], columns)
    return images[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _strongly_changed(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return images after the strong changes; values are not clipped."""
    count, height, width, channels = images.shape
    images *= np.where(rng.random(count) < _INVERTED, -1, 1).astype(np.float32)[:, None, None, None]
    images = _colored(images, rng)
    blurred = np.flatnonzero(rng.random(count) < _BLURRED)
    images[blurred] = _blur(images[blurred])
    deviations = np.asarray(rng.uniform(0, _MAX_NOISE, (count,)), np.float32)
    deviations[rng.random(count) >= _NOISY] = 0
    size = height * width * channels
    for index in np.flatnonzero(deviations):
        start = int(rng.integers(max(1, _NOISE_VALUES - size)))
        noise = np.resize(_noise_values()[start : start + size], images.shape[1:])
        images[index] += deviations[index] * noise
    for index in np.flatnonzero(rng.random(count) < _CUT):
        tall, wide = (
            round(float(rng.uniform(_MIN_HOLE, _MAX_HOLE)) * side) for side in (height, width)
        )
        top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
        images[index, top : top + tall, left : left + wide] = rng.uniform(-1, 1, channels)
    return images


def _colored(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return images with randomly mixed channels, or changed contrast if there is one channel."""
    count, channels = len(images), images.shape[3]
    is_mixed = (rng.random(count) < _COLORED)[:, None, None]
    if channels == 1:
        mixing = rng.uniform(0.5, 1.2, (count, 1, 1))
    else:
        mixing = rng.dirichlet(np.full(channels, 0.5), (count, channels)).transpose(0, 2, 1)
        mixing *= rng.choice([-1.0, 1.0], (count, 1, channels), p=[0.25, 0.75])
        mixing *= rng.uniform(0.5, 1.2, (count, 1, channels))
    mixing = np.where(is_mixed, mixing, np.eye(channels)).astype(np.float32)
    shift = np.where(is_mixed, rng.uniform(-0.3, 0.3, (count, 1, channels)), 0).astype(np.float32)
    flat = images.reshape(count, -1, channels)
    return (flat @ mixing + shift).reshape(images.shape)


def _blur(images: np.ndarray) -> np.ndarray:
    """Return images blurred by the binomial filter 1-2-1 in both directions, twice."""
    for axis in (1, 2, 1, 2):
        padded = np.concatenate(
            [images.take([0], axis), images, images.take([-1], axis)], axis=axis
        )
        size = images.shape[axis]
        before, after = (padded.take(range(start, start + size), axis) for start in (0, 2))
        images = 0.25 * (before + after) + 0.5 * images
    return images


@functools.cache
def _noise_values() -> np.ndarray:
    """Return fixed normal numbers; drawing new numbers for every image takes too long."""
    return np.random.default_rng(0).standard_normal(_NOISE_VALUES, np.float32)
