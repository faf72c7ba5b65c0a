"""Preview of a translation: places of old, translated and new images."""

import numpy as np

from augan.translate.preview import IMAGES_PER_CLASS, translation_preview


def _thirds(preview: np.ndarray) -> list[np.ndarray]:
    width = (preview.shape[1] - 2 * max(2, preview.shape[1] // 3 // 40)) // 3
    gap = (preview.shape[1] - 3 * width) // 2
    return [preview[:, i * (width + gap) :][:, :width] for i in range(3)]


def test_each_third_shows_its_images_and_missing_ones_are_white():
    old, new = np.full((6, 8, 8, 1), 50, np.uint8), np.full((3, 8, 8, 3), 200, np.uint8)
    labels = np.array([0, 0, 0, 0, 0, 1])
    preview = translation_preview((old, labels), old + 50, (new, np.array([0, 0, -1])), 2)
    assert preview.dtype == np.uint8
    assert preview.shape[2] == 3
    scale = 48 // 8
    counts = [
        [(np.array_split(third, 2)[row] == value).all(2).sum() / (8 * scale) ** 2 for row in (0, 1)]
        for third, value in zip(_thirds(preview), (50, 100, 200))
    ]
    # four images of class 0 at most, one of class 1, and no image of class 1 on the new camera
    assert np.rint(counts).tolist() == [[IMAGES_PER_CLASS, 1], [IMAGES_PER_CLASS, 1], [2, 0]]


def test_images_without_classes_fill_the_rows():
    images = np.zeros((30, 8, 8, 3), np.uint8)
    preview = translation_preview((images, None), images, (images[:5], None), 0)
    black = (preview == 0).all(2).sum() / 48**2
    assert black == 16 + 16 + 5


def test_a_new_camera_without_labels_fills_the_rows_of_the_classes():
    images = np.zeros((30, 8, 8, 3), np.uint8)
    classes = np.arange(30) % 3
    preview = translation_preview((images, classes), images, (images, np.full(30, -1)), 3)
    assert (preview == 0).all(2).sum() / 48**2 == 3 * 3 * IMAGES_PER_CLASS
