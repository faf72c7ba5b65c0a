"""Bank of hand-made image filters, which imitate the look of another camera without training.

The bank is what an engineer would try by hand: changes of contrast, color maps, edges, reliefs,
blur, morphology, print, noise and light. An arm of the evaluation chooses filters by a two-sample
test on the classes that both cameras have, see `augan.evaluation.translation.arms`. A benchmark
records `filter_bank_sha256`, which shows that the bank did not change after its cameras were drawn.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from augan.seeding import child_rng

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # weights of red, green and blue (BT.601)
# Support points of color maps from dark to light.
_COLOR_MAPS = {
    "jet": [(0, 0, 0.5), (0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 0), (0.5, 0, 0)],
    "hot": [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1)],
    "cool": [(0, 1, 1), (1, 0, 1)],
    "viridis": [(0.27, 0, 0.33), (0.23, 0.32, 0.55), (0.13, 0.57, 0.55), (0.99, 0.91, 0.14)],
    "ironbow": [(0, 0, 0.1), (0.5, 0, 0.6), (0.9, 0.3, 0.1), (1, 0.8, 0.1), (1, 1, 0.9)],
    "rainbow": [(1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1)],
}
# Order of the thresholds of ordered dithering (Bayer 1973).
_BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32) / 16

Filter = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Images float32 `[N, H, W, C]` in [0, 1], random numbers -> filtered images; values may leave
[0, 1], and are clipped."""


@dataclass(frozen=True)
class ImageFilter:
    """Filter of the bank.

    Attributes
    ----------
    name, description : str
        Name in results; phrase for the user.
    function : callable
        See `Filter`.
    needs_color : bool
        Whether the filter has an effect of its own on color images only.
    """

    name: str
    description: str
    function: Filter
    needs_color: bool = False


def filter_names(channels: int) -> tuple[str, ...]:
    """Return the names of the filters that suit images of 1 or 3 channels."""
    return tuple(f.name for f in FILTERS.values() if channels == 3 or not f.needs_color)


def apply_filter(name: str, images: np.ndarray, channels: int, seed: int = 0) -> np.ndarray:
    """Return filtered images with the channels of the new camera.

    Parameters
    ----------
    name : str
        Name of a filter, a key of `FILTERS`.
    images : ndarray of uint8 [N, H, W, C]
        Images with 1 or 3 channels.
    channels : int
        Channels of the result, 1 or 3. Gray images are repeated in three channels, color images
        become gray, before the filter.
    seed : int
        Seed of filters with noise.

    Returns
    -------
    ndarray of uint8 [N, H, W, channels]
    """
    values = _with_channels(images.astype(np.float32) / 255.0, channels)
    rng = child_rng(seed, "filter", name)
    filtered = FILTERS[name].function(values, rng)
    return np.rint(np.clip(filtered, 0.0, 1.0) * 255.0).astype(np.uint8)


def filter_bank_sha256() -> str:
    """Return the SHA-256 of the source of this module, in hexadecimal digits."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _with_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Return images `[N, H, W, C]` with 1 or 3 channels."""
    if images.shape[-1] == channels:
        return images
    return _luma(images) if channels == 1 else np.repeat(images, channels, axis=-1)


def _luma(images: np.ndarray) -> np.ndarray:
    """Return the brightness `[N, H, W, 1]`."""
    return images if images.shape[-1] == 1 else (images @ _LUMA)[..., None]


def _each(function: Callable[..., np.ndarray], images: np.ndarray, *size: float) -> np.ndarray:
    """Apply a filter of SciPy to height and width; `size` has one or two values."""
    height, width = size if len(size) == 2 else size * 2
    return function(images, (0, height, width, 0), mode="nearest")


def _blurred(images: np.ndarray, *sigma: float) -> np.ndarray:
    """Return images blurred by a Gaussian of `sigma` pixels (height and width)."""
    return _each(ndimage.gaussian_filter, images, *sigma)


def _boxed(function: Callable[..., np.ndarray], images: np.ndarray, *size: int) -> np.ndarray:
    """Apply a filter over boxes of `size` pixels (height and width) to each channel."""
    height, width = size if len(size) == 2 else size * 2
    return function(images, size=(1, height, width, 1), mode="nearest")


def _gradients(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Sobel's gradients along height and width, between -1 and 1."""
    gradients = []
    for axis, other in ((1, 2), (2, 1)):
        # `ndimage.sobel` would also blur over images and channels.
        difference = ndimage.correlate1d(images, [-0.5, 0.0, 0.5], axis, mode="nearest")
        gradients.append(ndimage.correlate1d(difference, [0.5, 1.0, 0.5], other, mode="nearest"))
    return gradients[0], gradients[1]


def _edges(images: np.ndarray) -> np.ndarray:
    """Return the magnitude of Sobel's gradients."""
    rows, columns = _gradients(images)
    return np.sqrt(rows**2 + columns**2)


def _scaled(images: np.ndarray) -> np.ndarray:
    """Return images stretched to the range 0 to 1, each image by its own minimum and maximum."""
    low, high = images.min((1, 2, 3), keepdims=True), images.max((1, 2, 3), keepdims=True)
    return (images - low) / np.maximum(high - low, 1e-3)


def _equalized(images: np.ndarray) -> np.ndarray:
    """Return images with an equalized histogram, each image and channel on its own."""
    levels = np.rint(images * 255).astype(np.int64)
    result = np.empty_like(images)
    for index, channel in np.ndindex(images.shape[0], images.shape[3]):
        values = levels[index, ..., channel]
        cumulative = np.cumsum(np.bincount(values.ravel(), minlength=256)) / values.size
        result[index, ..., channel] = cumulative[values]
    return result


def _local_contrast(images: np.ndarray) -> np.ndarray:
    """Return images whose neighborhoods have mean 0.5 and equal contrast."""
    sigma = max(images.shape[1] / 8, 1.0)
    centered = images - _blurred(images, sigma)
    deviation = np.sqrt(np.maximum(_blurred(centered**2, sigma), 1e-4))
    return 0.5 + 0.25 * centered / deviation


def _color_map(name: str, inverted: bool = False) -> Filter:
    """Return the filter that replaces the brightness by the colors of a map."""
    points = np.array(_COLOR_MAPS[name], np.float32)

    def function(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        values = _luma(images)[..., 0]
        values = 1.0 - values if inverted else values
        places = np.linspace(0, 1, len(points))
        colors = [np.interp(values, places, points[:, channel]) for channel in range(3)]
        return np.stack(colors, axis=-1).astype(np.float32)

    return function


def _tint(*color: float) -> Filter:
    """Return the filter that multiplies the brightness by a color."""
    return lambda x, rng: _luma(x) * np.array(color, np.float32)


def _grid(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the column of each pixel, `[1, H, W, 1]` each."""
    height, width = images.shape[1:3]
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return rows[None, ..., None].astype(np.float32), columns[None, ..., None].astype(np.float32)


def _halftone(images: np.ndarray) -> np.ndarray:
    """Return black dots on white paper whose size grows with the darkness, 4 pixels apart."""
    rows, columns = _grid(images)
    screen = 0.5 + 0.25 * (np.cos(rows * np.pi / 2) + np.cos(columns * np.pi / 2))
    return _sigmoid(_luma(images) - screen, images)


def _sigmoid(values: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return soft black and white with the channels of `images`."""
    return np.repeat(1.0 / (1.0 + np.exp(-12.0 * values)), images.shape[-1], axis=-1)


def _dithered(images: np.ndarray) -> np.ndarray:
    """Return black and white pixels by ordered dithering."""
    height, width = images.shape[1:3]
    thresholds = np.tile(_BAYER, (-(-height // 4), -(-width // 4)))[:height, :width]
    return (images > thresholds[None, ..., None]).astype(np.float32)


def _pixelated(images: np.ndarray, size: int) -> np.ndarray:
    """Return images of squares of `size` pixels, each with one color."""
    height, width = images.shape[1:3]
    mean = _boxed(ndimage.uniform_filter, images, size)
    rows = np.minimum(np.arange(height) // size * size + size // 2, height - 1)
    columns = np.minimum(np.arange(width) // size * size + size // 2, width - 1)
    return mean[:, rows][:, :, columns]


def _texture(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return smooth random textures in the shape of the images, 0 to 1."""
    noise = rng.standard_normal(images.shape, np.float32)
    return _scaled(_blurred(noise, 1.0) + 4.0 * _blurred(noise, 4.0))


def _vignette(images: np.ndarray) -> np.ndarray:
    """Return images that darken toward the corners."""
    rows, columns = _grid(images)
    height, width = images.shape[1:3]
    distance = (2 * rows / height - 1) ** 2 + (2 * columns / width - 1) ** 2
    return images * (1.0 - 0.4 * distance)


def _shaded(images: np.ndarray, axis: int) -> np.ndarray:
    """Return images under a light that falls off along the height (0) or the width (1)."""
    position = _grid(images)[axis] / images.shape[1 + axis]
    return images * (1.0 - 0.7 * position)


def _salt_and_pepper(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return images in which a tenth of the pixels is black or white."""
    values = rng.random((*images.shape[:3], 1), np.float32)
    return np.where(values < 0.05, 0.0, np.where(values > 0.95, 1.0, images))


def _otsu(images: np.ndarray) -> np.ndarray:
    """Return black and white pixels, each image by the threshold of Otsu (1979)."""
    values = _luma(images)
    result = np.empty_like(values)
    levels = np.arange(256)
    for index, image in enumerate(np.rint(values * 255).astype(np.int64)):
        counts = np.bincount(image.ravel(), minlength=256).astype(np.float64)
        below, total = np.cumsum(counts), counts.sum()
        weighted = np.cumsum(counts * levels)
        mean = weighted[-1] / total
        with np.errstate(divide="ignore", invalid="ignore"):
            between = (mean * below - weighted) ** 2 / (below * (total - below))
        result[index] = image > np.nan_to_num(between).argmax()
    return np.repeat(result, images.shape[-1], axis=-1)


def _relief(images: np.ndarray, row_sign: float, column_sign: float) -> np.ndarray:
    """Return gray relief that is lit from one side."""
    rows, columns = _gradients(images)
    return 0.5 + row_sign * rows + column_sign * columns


def _hue_rotated(images: np.ndarray) -> np.ndarray:
    """Return the complementary colors at the same brightness."""
    return 2.0 * _luma(images) - images


_LIST = (
    ImageFilter("identity", "no change", lambda x, rng: x),
    # brightness and contrast
    ImageFilter("invert", "negative", lambda x, rng: 1.0 - x),
    ImageFilter("gamma-0.5", "brighter midtones", lambda x, rng: np.sqrt(x)),
    ImageFilter("gamma-2", "darker midtones", lambda x, rng: x**2),
    ImageFilter("dark", "half the brightness", lambda x, rng: 0.5 * x),
    ImageFilter("bright", "half the darkness", lambda x, rng: 0.5 + 0.5 * x),
    ImageFilter("low-contrast", "half the contrast", lambda x, rng: 0.25 + 0.5 * x),
    ImageFilter("high-contrast", "twice the contrast", lambda x, rng: 2.0 * x - 0.5),
    ImageFilter("autocontrast", "full range in each image", lambda x, rng: _scaled(x)),
    ImageFilter("equalize", "equalized histogram", lambda x, rng: _equalized(x)),
    ImageFilter("local-contrast", "equal contrast everywhere", lambda x, rng: _local_contrast(x)),
    ImageFilter("solarize", "bright pixels inverted", lambda x, rng: np.where(x > 0.5, 1 - x, x)),
    ImageFilter("posterize", "four levels", lambda x, rng: np.rint(x * 3.0) / 3.0),
    ImageFilter("threshold", "black and white (Otsu)", lambda x, rng: _otsu(x)),
    # color
    ImageFilter("gray", "brightness alone", lambda x, rng: 0 * x + _luma(x), needs_color=True),
    ImageFilter("sepia", "brown tint", _tint(1.0, 0.8, 0.55), needs_color=True),
    ImageFilter("red", "red light", _tint(1.0, 0.3, 0.3), needs_color=True),
    ImageFilter("green", "green light", _tint(0.3, 1.0, 0.3), needs_color=True),
    ImageFilter("blue", "blue light", _tint(0.3, 0.3, 1.0), needs_color=True),
    ImageFilter("swap", "red and blue swapped", lambda x, rng: x[..., ::-1], needs_color=True),
    ImageFilter("hue", "complementary colors", lambda x, rng: _hue_rotated(x), needs_color=True),
    ImageFilter("jet", "false colors: jet", _color_map("jet"), needs_color=True),
    ImageFilter("jet-inverted", "jet, inverted", _color_map("jet", True), needs_color=True),
    ImageFilter("hot", "false colors: hot", _color_map("hot"), needs_color=True),
    ImageFilter("hot-inverted", "hot, inverted", _color_map("hot", True), needs_color=True),
    ImageFilter("cool", "false colors: cool", _color_map("cool"), needs_color=True),
    ImageFilter("viridis", "false colors: viridis", _color_map("viridis"), needs_color=True),
    ImageFilter("ironbow", "false colors: ironbow", _color_map("ironbow"), needs_color=True),
    ImageFilter("rainbow", "false colors: rainbow", _color_map("rainbow"), needs_color=True),
    # edges and reliefs
    ImageFilter("edges", "bright edges (Sobel)", lambda x, rng: _edges(x)),
    ImageFilter("edges-inverted", "dark edges on white", lambda x, rng: 1.0 - _edges(x)),
    ImageFilter("laplace", "bright lines", lambda x, rng: np.abs(_each_laplace(x))),
    ImageFilter("high-pass", "details on gray", lambda x, rng: 0.5 + x - _blurred(x, 2.0)),
    ImageFilter("relief", "relief, lit from the upper left", lambda x, rng: _relief(x, 1, 1)),
    ImageFilter("relief-right", "relief, lit from the right", lambda x, rng: _relief(x, 0, -1)),
    ImageFilter("relief-below", "relief, lit from below", lambda x, rng: _relief(x, -1, 0)),
    # sharpness
    ImageFilter("blur-1", "blur of 1 pixel", lambda x, rng: _blurred(x, 1.0)),
    ImageFilter("blur-2", "blur of 2 pixels", lambda x, rng: _blurred(x, 2.0)),
    ImageFilter("motion", "horizontal motion blur", lambda x, rng: _blurred(x, 0.0, 2.5)),
    ImageFilter("median", "median of 3 x 3", lambda x, rng: _boxed(ndimage.median_filter, x, 3)),
    ImageFilter("sharpen", "unsharp mask", lambda x, rng: x + 1.5 * (x - _blurred(x, 1.0))),
    ImageFilter("pixelate", "squares of 2 pixels", lambda x, rng: _pixelated(x, 2)),
    # morphology
    ImageFilter("erode", "dark areas grow", lambda x, rng: _boxed(ndimage.grey_erosion, x, 3)),
    ImageFilter("dilate", "bright areas grow", lambda x, rng: _boxed(ndimage.grey_dilation, x, 3)),
    ImageFilter(
        "morphological-gradient",
        "outlines",
        lambda x, rng: _boxed(ndimage.grey_dilation, x, 3) - _boxed(ndimage.grey_erosion, x, 3),
    ),
    ImageFilter("top-hat", "small bright parts", lambda x, rng: 2.0 * _top_hat(x)),
    # print and scan
    ImageFilter("halftone", "black dots on paper", lambda x, rng: _halftone(x)),
    ImageFilter("halftone-inverted", "negative dots", lambda x, rng: _halftone(1.0 - x)),
    ImageFilter("dither", "ordered dithering", lambda x, rng: _dithered(x)),
    ImageFilter("scanlines", "dark rows", lambda x, rng: x * (1.0 - 0.5 * (_grid(x)[0] % 2))),
    # noise and background
    ImageFilter("noise", "Gaussian noise", lambda x, rng: x + 0.15 * _normal(x, rng)),
    ImageFilter("salt-and-pepper", "black and white pixels", _salt_and_pepper),
    ImageFilter("speckle", "noise of bright areas", lambda x, rng: x * (1 + 0.4 * _normal(x, rng))),
    ImageFilter("texture", "blended with a texture", lambda x, rng: np.abs(x - _texture(x, rng))),
    ImageFilter(
        "on-texture",
        "on a texture, where the image is dark",
        lambda x, rng: np.maximum(x, 0.6 * _texture(x, rng)),
    ),
    # light
    ImageFilter("vignette", "dark corners", lambda x, rng: _vignette(x)),
    ImageFilter("shade-right", "darker toward the right", lambda x, rng: _shaded(x, 1)),
    ImageFilter("shade-below", "darker toward the bottom", lambda x, rng: _shaded(x, 0)),
)


def _normal(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return standard normal noise in the shape of the images."""
    return rng.standard_normal(images.shape, np.float32)


def _each_laplace(images: np.ndarray) -> np.ndarray:
    """Return the Laplacian of each channel."""
    rows, columns = (
        ndimage.correlate1d(images, [1, -2, 1], axis, mode="nearest") for axis in (1, 2)
    )
    return rows + columns


def _top_hat(images: np.ndarray) -> np.ndarray:
    """Return an image minus its opening by 5 x 5 pixels."""
    opened = _boxed(ndimage.grey_dilation, _boxed(ndimage.grey_erosion, images, 5), 5)
    return images - opened


FILTERS = {entry.name: entry for entry in _LIST}
