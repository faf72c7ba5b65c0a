"""An image with its hot places in colour: the colours are the same for all images.

The image becomes gray, so that colour means heat alone. The colours run from violet over orange to
pale yellow, each lighter than the one before, and so can be told apart without telling red from
green; a double outline, black and white, shows on any background.
"""

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from augan.detect.pictures.heat import Heat, enlarged

SIDE = 256  # smaller images are enlarged to at least this, or an outline would hide them
COLOURS = ((140, 41, 129), (222, 73, 104), (254, 159, 109), (252, 253, 191))
OPACITY = 0.55
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


def overlay(
    picture: np.ndarray, raw: np.ndarray, heat: Heat, ignored: np.ndarray | None = None
) -> np.ndarray:
    """Draw the hot places of one image over it.

    Parameters
    ----------
    picture : ndarray of uint8 [H, W, 1] or [H, W, 3]
    raw : ndarray [H, W]
        Its map, before calibration.
    heat : Heat
    ignored : ndarray of bool [H, W] or None
        Places that never count; they are faded.

    Returns
    -------
    ndarray of uint8 [k H, k W, 3]
        k is 1 but for small images.
    """
    times = enlargement(raw.shape)
    units = heat(enlarged(raw, times))
    gray = picture.astype(np.float32)
    gray = gray[..., 0] if gray.shape[-1] == 1 else gray @ _LUMINANCE
    if ignored is not None:
        gray = np.where(ignored, 0.3 * gray + 0.7 * 128, gray)
    drawn = np.repeat(_larger(gray, times)[..., None], 3, axis=2)
    hot = units > 0
    drawn[hot] += OPACITY * (colours(units[hot], heat) - drawn[hot])
    width = max(1, min(hot.shape) // 200)
    drawn[binary_dilation(hot, iterations=width) & ~hot] = 0
    drawn[hot & ~binary_erosion(hot, iterations=width, border_value=1)] = 255
    return np.rint(drawn).astype(np.uint8)


def colours(units: np.ndarray, heat: Heat) -> np.ndarray:
    """Return the colours of calibrated units `[N]`, `[N, 3]` from 0 to 255.

    The scale runs from the line to twice the highest place of all calibration images.
    """
    top = heat.most_normal + 1
    share = np.clip((units - heat.least) / (top - heat.least), 0, 1)
    stops = np.linspace(0, 1, len(COLOURS))
    return np.stack([np.interp(share, stops, channel) for channel in zip(*COLOURS)], axis=-1)


def enlargement(shape: tuple[int, ...]) -> int:
    """Return how many times as long the sides of a small image become."""
    return max(1, -(-SIDE // max(shape[:2])))


def thumbnail(picture: np.ndarray, side: int) -> np.ndarray:
    """Return a picture for a page, uint8 `[H, W, 3]`, its longer side at most `side`."""
    grown = _larger(picture, enlargement(picture.shape))
    image = Image.fromarray(np.broadcast_to(grown, (*grown.shape[:2], 3)).copy())
    image.thumbnail((side, side), Image.Resampling.BOX)
    return np.asarray(image)


def _larger(picture: np.ndarray, times: int) -> np.ndarray:
    return picture.repeat(times, axis=0).repeat(times, axis=1)
