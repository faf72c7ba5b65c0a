"""Overlays: images with their significant pixels in color, on one color scale for all images.

The image becomes gray, so that color marks significant pixels only. The colors run from violet over
orange to pale yellow with increasing lightness, so they can be distinguished without telling red
from green. A double outline in black and white is visible on any background.
"""

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from augan.detect.visualization.anomaly_map import (
    MapScale,
    enlarge,
)

_MIN_SIDE = 256  # smaller images are enlarged to this, because outlines would hide them
COLORS = ((140, 41, 129), (222, 73, 104), (254, 159, 109), (252, 253, 191))
OPACITY = 0.55
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


def render_overlay(
    image: np.ndarray, raw: np.ndarray, scale: MapScale, ignored: np.ndarray | None = None
) -> np.ndarray:
    """Return a gray version of an image with its significant pixels in color and outlined.

    Parameters
    ----------
    image : ndarray of uint8 [H, W, 1] or [H, W, 3]
    raw : ndarray [H, W]
        Anomaly map of the image, before calibration.
    scale : MapScale
        Conversion of the map to calibrated units.
    ignored : ndarray of bool [H, W] or None
        Ignored pixels; they are faded. None: no pixels.

    Returns
    -------
    ndarray of uint8 [k H, k W, 3]
        k is greater than 1 for small images only; see `enlargement_factor`.
    """
    factor = enlargement_factor(raw.shape)
    units = scale(enlarge(raw, factor))
    gray = image.astype(np.float32)
    gray = gray[..., 0] if gray.shape[-1] == 1 else gray @ _LUMINANCE
    if ignored is not None:
        gray = np.where(ignored, 0.3 * gray + 0.7 * 128, gray)
    rendered = np.repeat(_repeat(gray, factor)[..., None], 3, axis=2)
    significant = units > 0
    rendered[significant] += OPACITY * (colors(units[significant], scale) - rendered[significant])
    width = max(1, min(significant.shape) // 200)
    rendered[binary_dilation(significant, iterations=width) & ~significant] = 0
    inner = binary_erosion(significant, iterations=width, border_value=1)
    rendered[significant & ~inner] = 255
    return np.rint(rendered).astype(np.uint8)


def colors(units: np.ndarray, scale: MapScale) -> np.ndarray:
    """Return the overlay colors of calibrated units `[N]` as RGB values from 0 to 255, `[N, 3]`.

    The color scale runs from the threshold to twice the map maximum of all calibration images, the
    same for every image.
    """
    top = scale.max_calibration_unit + 1
    position = np.clip((units - scale.min_unit) / (top - scale.min_unit), 0, 1)
    stops = np.linspace(0, 1, len(COLORS))
    return np.stack([np.interp(position, stops, channel) for channel in zip(*COLORS)], axis=-1)


def enlargement_factor(shape: tuple[int, ...]) -> int:
    """Return the whole number by which a small image is enlarged, so that outlines do not hide it.

    Enlarged images have a longer side of at least 256 pixels; for larger images the factor is 1.
    `shape` is (H, W) or (H, W, C).
    """
    return max(1, -(-_MIN_SIDE // max(shape[:2])))


def thumbnail(image: np.ndarray, side: int) -> np.ndarray:
    """Return a small RGB version of an image for the report, uint8 `[h, w, 3]`.

    Parameters
    ----------
    image : ndarray of uint8 [H, W, 1] or [H, W, 3]
        Small images are enlarged first.
    side : int
        Maximum of the longer side in pixels.
    """
    enlarged = _repeat(image, enlargement_factor(image.shape))
    picture = Image.fromarray(np.broadcast_to(enlarged, (*enlarged.shape[:2], 3)).copy())
    picture.thumbnail((side, side), Image.Resampling.BOX)
    return np.asarray(picture)


def _repeat(image: np.ndarray, factor: int) -> np.ndarray:
    """Return an image `[H, W, ...]` enlarged to `factor` x `factor` equal pixels for each pixel."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)
