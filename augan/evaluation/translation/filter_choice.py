"""Choice of hand-made filters by a two-sample test between the cameras.

Filtered images of the old camera are compared with images of the new camera of the same classes.
The statistic is the energy distance between features of both: brightness and color by place,
quantiles of the colors and of the gradients, local contrast and the spectrum. The distance keeps
its order for samples that never overlap, where the accuracy of a classifier is 1 for all filters.

References
----------
Szekely, Rizzo (2013), Energy statistics: a class of statistics based on distances. Lopez-Paz, Oquab
(2017), Revisiting classifier two-sample tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.spatial.distance import cdist, pdist

from augan.evaluation.translation.filter_bank import apply_filter, filter_names
from augan.evaluation.translation.pixel_translation import ColorMap, Pair, match_grain
from augan.seeding import child_rng

MAX_PIXELS = 2**20  # pixels of the compared images of each camera, a limit of the time
MAX_IMAGES, MIN_IMAGES = 600, 60  # compared images of each camera, if so many exist
_NUM_QUANTILES = 9  # of the colors and of the gradients of an image
_GRID = 6  # fields along a side, in which brightness and contrast are averaged
_BANDS = 6  # of the spectrum
_MIN_DEVIATION = 0.04  # added to that of a feature, so that constant features count little


@dataclass(frozen=True)
class FilterScore:
    """Result of the test of one filter.

    Attributes
    ----------
    name : str
        Name of the filter.
    distance : float
        Energy distance to the new camera, mean over the classes; about 0 if the filter is right.
    """

    name: str
    distance: float


def rank_filters(
    pairs: Sequence[Pair], seed: int, *, fit_colors: bool = False
) -> list[FilterScore]:
    """Return all filters of the bank in ascending order of the distance to the new camera.

    Parameters
    ----------
    pairs : sequence of Pair
        Images of each class that both cameras have. One pair of all images compares the cameras
        without labels.
    seed : int
        Seed of the chosen images and of filters with noise.
    fit_colors : bool
        Whether a color map and the grain are fitted to the filtered images before the test, see
        `ColorMap` and `match_grain`.
    """
    rng = child_rng(seed, "compared images")
    limit = np.clip(MAX_PIXELS // max(1, pairs[0][1][:1, ..., 0].size), MIN_IMAGES, MAX_IMAGES)
    share = max(2, int(limit) // len(pairs))
    sample = [tuple(_drawn(images, share, rng) for images in pair) for pair in pairs]
    channels = sample[0][1].shape[-1]
    new = [_features(pair[1]) for pair in sample]
    mean = np.mean([of_class.mean(axis=0) for of_class in new], axis=0)
    variance = np.mean([((of_class - mean) ** 2).mean(axis=0) for of_class in new], axis=0)
    scale = np.sqrt(variance + _MIN_DEVIATION**2) * _group_sizes(channels)
    new = [(of_class - mean) / scale for of_class in new]
    within_new = [_mean_distance(of_class) for of_class in new]
    scores = []
    for name in filter_names(channels):
        filtered = [apply_filter(name, pair[0], channels, seed) for pair in sample]
        if fit_colors:
            color_map = ColorMap([(old, pair[1]) for old, pair in zip(filtered, sample)])
            filtered = [
                match_grain(color_map(old), pair[1], rng) for old, pair in zip(filtered, sample)
            ]
        old = [(_features(of_class) - mean) / scale for of_class in filtered]
        distances = [
            2 * cdist(a, b).mean() - _mean_distance(a) - within
            for a, b, within in zip(old, new, within_new)
        ]
        scores.append(FilterScore(name, float(np.mean(distances))))
    return sorted(scores, key=lambda score: score.distance)


def _drawn(images: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return at most `count` random images."""
    return images[np.sort(rng.permutation(len(images))[:count])]


def _mean_distance(features: np.ndarray) -> float:
    """Return the mean distance between two different samples, 0 for a single sample."""
    return float(pdist(features).mean()) if len(features) > 1 else 0.0


def _features(images: np.ndarray) -> np.ndarray:
    """Return the features `[n, F]` of images uint8 `[n, H, W, C]`; see `_group_sizes`."""
    values = images.astype(np.float32) / 255
    count, height, width, channels = values.shape
    gray = values.mean(axis=-1)
    edges = [np.linspace(0, size, _GRID + 1).astype(int)[:-1] for size in (height, width)]
    areas = np.multiply.outer(*(np.diff(np.r_[e, s]) for e, s in zip(edges, (height, width))))

    def fields(pixels: np.ndarray) -> np.ndarray:
        sums = np.add.reduceat(np.add.reduceat(pixels, edges[0], axis=1), edges[1], axis=2)
        return sums / areas.reshape(1, _GRID, _GRID, *[1] * (pixels.ndim - 3))

    means = fields(values)
    contrast = np.sqrt(np.maximum(fields(gray**2) - fields(gray) ** 2, 0))
    colors = _quantiles(values.reshape(count, -1, channels))
    steps = [_quantiles(np.diff(gray, axis=axis).reshape(count, -1)) for axis in (1, 2)]
    groups = (means, colors, contrast, *steps, _spectrum(gray))
    return np.concatenate([group.reshape(count, -1) for group in groups], axis=1)


def _quantiles(values: np.ndarray) -> np.ndarray:
    """Return evenly spaced order statistics of values `[n, p, ...]` along the second axis."""
    places = np.rint(np.linspace(0, values.shape[1] - 1, _NUM_QUANTILES)).astype(int)
    return np.sort(values, axis=1)[:, places]


def _group_sizes(channels: int) -> np.ndarray:
    """Return for each feature the square root of the size of its group, its weight is the inverse.

    The groups are the mean color in each field, the quantiles of each channel, the contrast in each
    field, the quantiles of the differences of neighbors, and the spectrum.
    """
    fields = _GRID**2
    sizes = [fields * channels, _NUM_QUANTILES * channels, fields, 2 * _NUM_QUANTILES, _BANDS]
    return np.sqrt(np.repeat(sizes, sizes))


def _spectrum(gray: np.ndarray) -> np.ndarray:
    """Return the logarithm of the amplitudes in bands of the frequency, `[n, bands]`."""
    height, width = gray.shape[1:3]
    amplitudes = np.abs(fft.rfft2(gray, axes=(1, 2))) / np.sqrt(height * width)
    radius = np.hypot(fft.fftfreq(height)[:, None], fft.rfftfreq(width))
    limits = np.geomspace(1 / min(height, width), 0.5, _BANDS)
    band = np.searchsorted(limits, radius, side="right") - 1
    bands = [amplitudes[:, band == index].mean(axis=1) for index in range(_BANDS)]
    return np.log(np.stack(bands, axis=1) + 0.01)
