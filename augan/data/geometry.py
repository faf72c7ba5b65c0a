"""Fitting pictures into a square, by one rule.

A picture keeps its aspect ratio. If its longer side exceeds the square it is shrunk by area
averaging, if it fills at most half of the square it is enlarged bilinearly, until the longer
side equals the square's; otherwise no pixel is touched. It is then centred, and its edge pixels
are repeated outward to fill the square.
"""

import numpy as np
from PIL import Image


def fitted_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Return the height and width that a picture takes inside a square of side `size`."""
    longer = max(height, width)
    if size < 2 * longer <= 2 * size:
        return height, width
    return max(1, round(height * size / longer)), max(1, round(width * size / longer))


def margins(height: int, width: int, size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the rows above and below, and the columns left and right, of a centred picture."""
    top, left = (size - height) // 2, (size - width) // 2
    return (top, size - height - top), (left, size - width - left)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize one picture `[H, W, C]` of any type: area averaging down, bilinear up."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    # One float plane per channel: Pillow resizes 16-bit pictures properly in no other way.
    planes = [
        Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize((width, height), method)
        for plane in np.moveaxis(image, -1, 0)
    ]
    resized = np.stack([np.asarray(plane) for plane in planes], axis=-1)
    if np.issubdtype(image.dtype, np.integer):
        resized = np.rint(resized)
    return resized.astype(image.dtype)
