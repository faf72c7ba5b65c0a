"""Picture of a translation: old, translated and real new images side by side, a row a class."""

import numpy as np

from augan.io.images import image_grid

IMAGES_PER_CLASS = 4  # of the old camera, with their translations, and of the new camera
MAX_CLASSES = 20  # rows of the picture
NUM_UNLABELED_ROWS = 4  # of the picture, without classes
_GAP_RATIO = 40  # width of a third of the picture by the width of a gap


def translation_preview(
    old: tuple[np.ndarray, np.ndarray | None],
    translated: np.ndarray,
    new: tuple[np.ndarray, np.ndarray | None],
    num_classes: int,
) -> np.ndarray:
    """Return a contact sheet of up to 4 images of each class: old, translated and real new images.

    A row shows images of the old camera, then the translations of the same images, then images of
    the new camera. A missing image is white, so the right third of a row is white if the new camera
    has no image of the class. Without classes there are four rows of any images; if only the new
    camera has no labels, any of its images are shown.

    Parameters
    ----------
    old, new : (ndarray [N, S, S, C] of uint8, ndarray [N] of int or None)
        Images of each camera and their class indices, -1 for an unlabeled image; None: no labels.
    translated : ndarray [N, S, S, C] of uint8
        Translations of the images of `old`, in their order.
    num_classes : int
        The first `MAX_CLASSES` classes are shown; 0: no classes.

    Returns
    -------
    ndarray of uint8 [H, W, 3]
    """
    is_labeled = bool(num_classes) and old[1] is not None and bool((old[1] >= 0).any())
    num_rows = min(num_classes, MAX_CLASSES) if is_labeled else NUM_UNLABELED_ROWS
    thirds = [
        _third(images, _rows(labels if is_labeled else None, len(images), num_rows))
        for images, labels in ((old[0], old[1]), (translated, old[1]), (new[0], new[1]))
    ]
    height, width, channels = thirds[0].shape
    gap = np.full((height, max(2, width // _GAP_RATIO), channels), 255, np.uint8)
    return np.concatenate([thirds[0], gap, thirds[1], gap, thirds[2]], axis=1)


def _rows(labels: np.ndarray | None, count: int, num_rows: int) -> list[np.ndarray]:
    """Return the indices of the images in each row of the sheet, in order without labels."""
    if labels is None or not (labels >= 0).any():
        starts = range(0, num_rows * IMAGES_PER_CLASS, IMAGES_PER_CLASS)
        return [np.arange(count)[start : start + IMAGES_PER_CLASS] for start in starts]
    return [np.flatnonzero(labels == label)[:IMAGES_PER_CLASS] for label in range(num_rows)]


def _third(images: np.ndarray, rows: list[np.ndarray]) -> np.ndarray:
    """Return the contact sheet of one kind of images; gray images become color images."""
    height, width = images.shape[1:3]
    tiles = np.full((len(rows) * IMAGES_PER_CLASS, height, width, 3), 255, np.uint8)
    for row, indices in enumerate(rows):
        start = row * IMAGES_PER_CLASS
        tiles[start : start + len(indices)] = images[indices]
    return image_grid(tiles, IMAGES_PER_CLASS)
