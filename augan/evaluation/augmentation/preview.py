"""A picture of real and synthetic images side by side."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from augan.evaluation.augmentation.subsets import LabelSubset
from augan.exceptions import DataError
from augan.io.images import image_grid, write_png

GALLERY = "gallery.png"
GAP = 20  # parts of a half as wide as which the gap between them is
SIDE_BY_SIDE = 6  # real and synthetic images of each class


def write_gallery(path: Path, draw: LabelSubset, images: np.ndarray, labels: np.ndarray) -> None:
    """Write a row for each class: real images of a draw, a gap, then synthetic ones.

    Raises
    ------
    DataError
        The system refuses it.
    """
    sheets = []
    for some, of in ((draw.images, draw.labels), (images, labels)):
        rows = []
        for label in range(draw.num_classes):
            shown = _as_bytes(some[of == label][:SIDE_BY_SIDE])
            blank = np.full((SIDE_BY_SIDE - len(shown), *images.shape[1:]), 255, np.uint8)
            rows.append(np.concatenate([shown, blank]))
        sheets.append(image_grid(np.concatenate(rows), SIDE_BY_SIDE))
    height, width, channels = sheets[0].shape
    gap = np.full((height, max(2, width // GAP), channels), 255, np.uint8)
    with writing(path):
        write_png(path, np.concatenate([sheets[0], gap, sheets[1]], axis=1))


def _as_bytes(images: np.ndarray) -> np.ndarray:
    if images.dtype == np.uint8:
        return images
    white = 65535 if images.dtype == np.uint16 else 1.0
    return np.rint(images.astype(np.float64) * (255 / white)).astype(np.uint8)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say of a file that the system refuses what to do about it: DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write {path} ({error.strerror or error}); free some space and repeat the "
            "command, which goes on where it was"
        ) from error
