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

import numpy as np
from scipy import fft

from augan.data.splits import evenly_spaced

# Half sizes of the exchanged band of low frequencies, as fractions of the smaller side: the three
# values of Yang and Soatto, who average three networks (multi-band transfer).
FOURIER_BANDS = (0.01, 0.05, 0.09)
_LEVELS = 256
_CHUNK_PIXELS = 2**20  # pixels that are converted to floating point at once
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # weights of red, green and blue (BT.601)
_MAX_GRAIN_PIXELS = 2**20  # pixels from which the grain of a camera is estimated
_KNOTS = 17  # support points of the color map along the brightness
_TONES = 1024  # gray levels of the table by which a color map is applied
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
    result = np.empty_like(images)
    for chunk in _chunks(images):
        old, new = (_histograms(pixels[chunk]) for pixels in (images, references))
        maps = np.concatenate([_level_map(*histograms) for histograms in zip(old, new)])
        result[chunk] = maps[_histogram_places(images[chunk])]
    return result


def _shares(values: np.ndarray) -> np.ndarray:
    """Return the share of each gray level, `[256]`."""
    return np.bincount(values.ravel(), minlength=_LEVELS) / values.size


def _histograms(images: np.ndarray) -> np.ndarray:
    """Return the histogram of every channel of every image, `[n C, 256]`."""
    size = len(images) * images.shape[-1] * _LEVELS
    return np.bincount(_histogram_places(images).ravel(), minlength=size).reshape(-1, _LEVELS)


def _histogram_places(images: np.ndarray) -> np.ndarray:
    """Return for each pixel the place of its gray level in the histograms of all channels."""
    count, channels = len(images), images.shape[-1]
    first = (np.arange(count * channels) * _LEVELS).reshape(count, 1, 1, channels)
    return np.asarray(images + first)


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
        light = _light(*pairs[0][0].shape[1:3])
        gram = len(pairs) * _penalty(pairs[0][0].shape[-1])
        target = 0.0
        for old, new in pairs:
            basis = _mean_basis(old, light)
            colors = new.mean(0, dtype=np.float64).reshape(len(basis), -1) / 255
            gram = gram + basis.T @ basis / len(basis)
            target = target + basis.T @ colors / len(basis)
        coefficients = np.linalg.solve(gram, target).astype(np.float32)
        ends = np.cumsum([_KNOTS, light.shape[-1], light.shape[-1]])
        tone, self._light, self._shade, self._chroma = np.split(coefficients, ends)
        knots, levels = np.arange(_KNOTS) / (_KNOTS - 1), np.linspace(0, 1, _TONES)
        curves = [np.interp(levels, knots, curve) for curve in tone.T]
        self._tones = np.stack(curves, axis=-1).astype(np.float32)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return mapped images of the old camera."""
        light = _light(*images.shape[1:3])
        result = np.empty((*images.shape[:3], self._tones.shape[-1]), np.uint8)
        for chunk in _chunks(images):
            luma, chroma = _luma_and_chroma(images[chunk])
            values = self._tones[np.rint(luma * (_TONES - 1)).astype(np.int64)]
            values += light @ self._light + luma[..., None] * (light @ self._shade)
            if chroma is not None:
                values += chroma @ self._chroma
            result[chunk] = _to_uint8(255 * values)
        return result


def _light(height: int, width: int) -> np.ndarray:
    """Return the polynomials of the place by which light varies, `[H, W, 5]`."""
    rows, columns = (np.linspace(-1, 1, size, dtype=np.float32) for size in (height, width))
    y, x = np.meshgrid(rows, columns, indexing="ij")
    return np.stack([x, y, x * x, y * y, x * y], axis=-1)


def _luma_and_chroma(images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the brightness `[n, H, W]`, and for color images terms of the color `[n, H, W, 7]`."""
    values = images.astype(np.float32) / 255
    if values.shape[-1] == 1:
        return values[..., 0], None
    luma = np.minimum(values @ _LUMA, 1)
    red, blue = values[..., 0] - luma, values[..., 2] - luma
    terms = [red, blue, red * red, red * blue, blue * blue, red * luma, blue * luma]
    return luma, np.stack(terms, axis=-1)


def _mean_basis(images: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Return the mean over images of the basis functions of a color map, `[H W, K]`.

    The functions are hats along the brightness, the light, the light times the brightness, and the
    terms of the color.
    """
    places = light.shape[0] * light.shape[1]
    hats, lumas, colors = np.zeros(places * _KNOTS), np.zeros((places, 1)), 0.0
    offsets = np.arange(places) * _KNOTS
    for chunk in _chunks(images):
        luma, chroma = _luma_and_chroma(images[chunk])
        position = luma.reshape(-1, places) * (_KNOTS - 1)
        knots = np.minimum(position.astype(np.int64), _KNOTS - 2)
        for side, weights in ((0, knots + 1 - position), (1, position - knots)):
            rows = (knots + offsets + side).ravel()
            hats += np.bincount(rows, weights.ravel(), places * _KNOTS)
        lumas[:, 0] += luma.sum(0, np.float64).ravel()
        if chroma is not None:
            colors = colors + chroma.sum(0, np.float64).reshape(places, -1)
    count, light = len(images), light.reshape(places, -1)
    parts = [hats.reshape(places, _KNOTS) / count, light, light * lumas / count]
    return np.concatenate(parts if np.isscalar(colors) else [*parts, colors / count], axis=1)


def _penalty(channels: int) -> np.ndarray:
    """Return the quadratic penalty of the coefficients of a color map, `[K, K]`.

    Bends along the brightness and all other coefficients are penalized.
    """
    size = _KNOTS + 10 + (7 if channels == 3 else 0)
    penalty = 1e-6 * np.eye(size)
    penalty[_KNOTS:, _KNOTS:] += _RIDGE * np.eye(size - _KNOTS)
    bends = np.diff(np.eye(_KNOTS), 2, axis=0)
    penalty[:_KNOTS, :_KNOTS] += _RIDGE * bends.T @ bends
    return penalty


def match_grain(images: np.ndarray, new: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise to images, so that the grain is as strong as on the new camera.

    Parameters
    ----------
    images, new : ndarray of uint8 [n, H, W, C], [m, H, W, C]
        Images in the colors of the new camera; images of the new camera.
    rng : numpy.random.Generator
    """
    missing = np.maximum(_grain(new) ** 2 - _grain(images) ** 2, 0)
    if not missing.any():
        return images
    result = np.empty_like(images)
    for chunk in _chunks(images):
        noise = rng.standard_normal(images[chunk].shape, np.float32)
        result[chunk] = _to_uint8(images[chunk] + np.sqrt(missing).astype(np.float32) * noise)
    return result


def _grain(images: np.ndarray) -> np.ndarray:
    """Return the standard deviation of the noise by channel (Donoho, Johnstone 1994).

    The noise is the median of the absolute diagonal differences of 2 x 2 pixels.
    """
    height, width = (size // 2 * 2 for size in images.shape[1:3])
    some = evenly_spaced(images, max(1, _MAX_GRAIN_PIXELS // (height * width)))
    even = some[:, :height, :width].astype(np.int16)
    detail = even[:, ::2, ::2] - even[:, 1::2, ::2] - even[:, ::2, 1::2] + even[:, 1::2, 1::2]
    # A normal number is below 0.6745 in half of the cases; the detail has twice its deviation.
    channels = images.shape[-1]
    return np.asarray(np.median(np.abs(detail).reshape(-1, channels), axis=0) / (2 * 0.6745))


def _to_uint8(values: np.ndarray) -> np.ndarray:
    """Return rounded and clipped values from 0 to 255."""
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def _chunks(images: np.ndarray) -> list[slice]:
    """Return the slices of images that are converted to floating point at once."""
    size = max(1, _CHUNK_PIXELS // max(1, images[:1].size))
    return [slice(start, start + size) for start in range(0, len(images), size)]
