"""Translation of images to the look of another camera by pixel arithmetic, without a network.

Histogram matching, Fourier domain adaptation, differences between the cameras and a fitted color
map are what a translator must surpass. All functions take images uint8 `[n, H, W, C]` of the old
camera with the channels of the new camera, and return such images.

References
----------
Gonzalez, Woods (2018), Digital image processing, section 3.3 (histogram specification). Yang,
Soatto (2020), FDA: Fourier domain adaptation for semantic segmentation.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
from scipy import fft

# Half sizes of the exchanged band of low frequencies, as fractions of the smaller side: the three
# values of Yang and Soatto, who average three networks (multi-band transfer).
FOURIER_BANDS = (0.01, 0.05, 0.09)
_LEVELS = 256
_CHUNK_PIXELS = 2**20  # pixels that are converted to floating point at once
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # weights of red, green and blue (BT.601)
_KNOTS = 17  # support points of the color map along the brightness
_RIDGE = 1e-4  # weight of the penalty of a color map

Pair = tuple[np.ndarray, np.ndarray]
"""Images uint8 `[n, H, W, C]` of the old and `[m, H, W, C]` of the new camera of one class."""


def with_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Return images with 1 or 3 channels: gray values are repeated, colors become gray."""
    if images.shape[-1] == channels:
        return images
    if channels == 1:
        return np.rint(images @ _LUMA).astype(np.uint8)[..., None]
    return np.repeat(images, channels, axis=-1)


def map_histograms(images: np.ndarray, pairs: Sequence[Pair]) -> np.ndarray:
    """Match the histogram of the old camera to that of the new camera, for each channel.

    One increasing map of gray levels applies to all images; all classes count equally.

    Parameters
    ----------
    images : ndarray of uint8 [n, H, W, C]
        Images of the old camera.
    pairs : sequence of Pair
        Images from which the map is taken.
    """
    result = np.empty_like(images)
    for channel in range(images.shape[-1]):
        shares = [[_shares(pixels[..., channel]) for pixels in pair] for pair in pairs]
        result[..., channel] = _level_map(*np.mean(shares, axis=0))[images[..., channel]]
    return result


def match_histograms(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Match the histogram of each image to that of one reference, for each channel.

    Parameters
    ----------
    images, references : ndarray of uint8 [n, H, W, C]
        Images of the old camera; an image of the new camera for each of them.
    """
    count, channels = len(images), images.shape[-1]
    maps = np.empty((count * channels, _LEVELS), np.uint8)
    for index, (old, new) in enumerate(zip(_histograms(images), _histograms(references))):
        maps[index] = _level_map(old, new)
    offsets = (np.arange(count * channels) * _LEVELS).reshape(count, 1, 1, channels)
    return cast(np.ndarray, maps.ravel()[images + offsets])


def _shares(values: np.ndarray) -> np.ndarray:
    """Return the share of each gray level, `[256]`."""
    return np.bincount(values.ravel(), minlength=_LEVELS) / values.size


def _histograms(images: np.ndarray) -> np.ndarray:
    """Return the histogram of every channel of every image, `[n C, 256]`."""
    count, channels = len(images), images.shape[-1]
    offsets = (np.arange(count * channels) * _LEVELS).reshape(count, 1, 1, channels)
    histograms = np.bincount((images + offsets).ravel(), minlength=count * channels * _LEVELS)
    return histograms.reshape(-1, _LEVELS)


def _level_map(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return the new gray level of each old one, from histograms `[256]`."""
    # A level stands for the middle of its pixels in the order of brightness.
    ranks = [(np.cumsum(counts) - 0.5 * counts) / counts.sum() for counts in (old, new)]
    levels = np.interp(ranks[0], ranks[1][new > 0], np.flatnonzero(new))
    return np.rint(levels).astype(np.uint8)


def exchange_low_frequencies(
    images: np.ndarray, references: np.ndarray, bands: np.ndarray
) -> np.ndarray:
    """Replace the amplitudes of low frequencies by those of references (Yang, Soatto 2020).

    Parameters
    ----------
    images, references : ndarray of uint8 [n, H, W, C]
        Images of the old camera; an image of the new camera for each of them.
    bands : ndarray of float [n]
        Half size of the exchanged band of each image, as a fraction of the smaller side; the band
        includes the mean of the image at any size. See `FOURIER_BANDS`.
    """
    height, width = images.shape[1:3]
    distances = [np.abs(fft.fftfreq(size, 1 / size)) for size in (height, width)]
    distance = np.maximum(distances[0][:, None], distances[1][: width // 2 + 1])
    half_sizes = np.floor(min(height, width) * bands)
    result = np.empty_like(images)
    for chunk in _chunks(images):
        spectra, new_spectra = (
            fft.rfft2(pixels[chunk].astype(np.float32), axes=(1, 2))
            for pixels in (images, references)
        )
        amplitudes = np.abs(spectra)
        phases = np.where(amplitudes > 0, spectra / np.maximum(amplitudes, 1e-12), 1)
        is_low = distance[None, ..., None] <= half_sizes[chunk, None, None, None]
        spectra = np.where(is_low, phases * np.abs(new_spectra), spectra)
        result[chunk] = _to_uint8(fft.irfft2(spectra, s=(height, width), axes=(1, 2)))
    return result


def add_differences(images: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Add the difference between two images of the cameras to each image.

    Parameters
    ----------
    images, old, new : ndarray of uint8 [n, H, W, C]
        Images of the old camera; pairs of an image of the old and one of the new camera, both of
        one class. The result is `images + new - old`, clipped.
    """
    result = np.empty_like(images)
    for chunk in _chunks(images):
        moved = images[chunk].astype(np.int16) + new[chunk] - old[chunk]
        result[chunk] = np.clip(moved, 0, 255)
    return result


class ColorMap:
    """Map from the color of a pixel and its place to a new color, fitted by least squares.

    The new color is piecewise linear in the brightness, quadratic in the color, and varies slowly
    with the place, as light does. The images of the cameras show different objects, so that single
    pixels do not correspond; but within a class the mean over all pairs does. The coefficients
    therefore minimize the squared difference between the mean of the mapped old images and the mean
    of the new images, over all classes and pixels.

    Parameters
    ----------
    pairs : sequence of Pair
        Images of each class that both cameras have.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        channels = pairs[0][0].shape[-1]
        gram = len(pairs) * _roughness(channels)
        target = 0.0
        for old, new in pairs:
            basis = sum(_color_basis(old[chunk]).sum(0, np.float64) for chunk in _chunks(old))
            basis = basis.reshape(-1, basis.shape[-1]) / len(old)
            colors = new.mean(0, dtype=np.float64).reshape(len(basis), -1) / 255
            gram = gram + basis.T @ basis / len(basis)
            target = target + basis.T @ colors / len(basis)
        self._coefficients = np.linalg.solve(gram, target).astype(np.float32)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return mapped images of the old camera."""
        result = np.empty_like(images)
        for chunk in _chunks(images):
            result[chunk] = _to_uint8(255 * (_color_basis(images[chunk]) @ self._coefficients))
        return result


def _color_basis(images: np.ndarray) -> np.ndarray:
    """Return the basis functions of a color map at each pixel, float32 `[n, H, W, K]`."""
    values = images.astype(np.float32) / 255
    luma = values[..., 0] if values.shape[-1] == 1 else values @ _LUMA
    distances = np.abs(luma[..., None] * (_KNOTS - 1) - np.arange(_KNOTS, dtype=np.float32))
    parts = [np.maximum(1 - distances, 0)]
    rows, columns = (np.linspace(-1, 1, size, dtype=np.float32) for size in images.shape[1:3])
    y, x = np.meshgrid(rows, columns, indexing="ij")
    light = np.stack([x, y, x * x, y * y, x * y], axis=-1)
    parts += [np.broadcast_to(light, (*luma.shape, 5)), light * luma[..., None]]
    if values.shape[-1] == 3:
        red, blue = values[..., 0] - luma, values[..., 2] - luma
        products = [red, blue, red * red, red * blue, blue * blue, red * luma, blue * luma]
        parts.append(np.stack(products, axis=-1))
    return np.concatenate(parts, axis=-1)


def _roughness(channels: int) -> np.ndarray:
    """Return the quadratic penalty of the coefficients of a color map.

    Bends along the brightness and all other coefficients are penalized.
    """
    size = _KNOTS + 10 + (7 if channels == 3 else 0)
    penalty = 1e-6 * np.eye(size)
    penalty[_KNOTS:, _KNOTS:] += _RIDGE * np.eye(size - _KNOTS)
    bends = np.diff(np.eye(_KNOTS), 2, axis=0)
    penalty[:_KNOTS, :_KNOTS] += _RIDGE * bends.T @ bends
    return penalty


def _to_uint8(values: np.ndarray) -> np.ndarray:
    """Return rounded and clipped values from 0 to 255."""
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def _chunks(images: np.ndarray) -> list[slice]:
    """Return the slices of images that are converted to floating point at once."""
    size = max(1, _CHUNK_PIXELS // max(1, images[:1].size))
    return [slice(start, start + size) for start in range(0, len(images), size)]
