"""Preview image: real and synthetic images of each class, side by side."""

from pathlib import Path

import numpy as np

from augan.evaluation.augmentation.results_log import report_write_errors
from augan.evaluation.augmentation.subsets import LabelSubset
from augan.io.images import image_grid, write_png

IMAGES_PER_CLASS = 6  # real images and synthetic images, each
GAP_RATIO = 20  # width of a half in units of the gap between the halves


def write_preview(path: Path, subset: LabelSubset, images: np.ndarray, labels: np.ndarray) -> None:
    """Write a PNG image with one row for each class: real images, a gap, synthetic images.

    A row has up to 6 real and 6 synthetic images; missing images are white.

    Parameters
    ----------
    path : path
        PNG file.
    subset : LabelSubset
        The real images.
    images : ndarray [m, S, S, C]
        Synthetic images: uint8, uint16, or floats in [0, 1].
    labels : ndarray of int [m]
        Classes of the synthetic images.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    halves = []
    for half_images, half_labels in ((subset.images, subset.labels), (images, labels)):
        rows = []
        for label in range(subset.num_classes):
            shown = _as_bytes(half_images[half_labels == label][:IMAGES_PER_CLASS])
            blank = np.full((IMAGES_PER_CLASS - len(shown), *images.shape[1:]), 255, np.uint8)
            rows.append(np.concatenate([shown, blank]))
        halves.append(image_grid(np.concatenate(rows), IMAGES_PER_CLASS))
    height, width, channels = halves[0].shape
    gap = np.full((height, max(2, width // GAP_RATIO), channels), 255, np.uint8)
    with report_write_errors(path):
        write_png(path, np.concatenate([halves[0], gap, halves[1]], axis=1))


def _as_bytes(images: np.ndarray) -> np.ndarray:
    """Return images as uint8; uint16 and floats in [0, 1] are scaled to 0 to 255."""
    if images.dtype == np.uint8:
        return images
    white = 65535 if images.dtype == np.uint16 else 1.0
    return np.rint(images.astype(np.float64) * (255 / white)).astype(np.uint8)
