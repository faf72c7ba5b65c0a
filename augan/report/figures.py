"""Pictures of results, as PNG files."""

from pathlib import Path

import numpy as np

from augan.augment.folder import AugmentationResult
from augan.data.images import image_grid, write_png
from augan.data.prepared import AnyPreprocessing
from augan.data.preprocessing import Preprocessing
from augan.detect.folder import DetectionResult

COLUMNS = 10


def augmentation_figure(result: AugmentationResult) -> Path | None:
    """Write a sheet of the first images beside the folder (inside, it would count as data).

    There is none of a table.
    """
    if result.gallery is None:
        return None
    path = result.out.absolute()
    path = path.with_name(f"{path.name}-first-images.png")
    write_png(path, image_grid(result.gallery, COLUMNS))
    return path


def detection_figure(result: DetectionResult, preprocessing: AnyPreprocessing) -> Path | None:
    """Write the most anomalous images, a column each: image, what the GAN draws, difference.

    There is none of a table.
    """
    if not isinstance(preprocessing, Preprocessing):
        return None
    images = np.stack([scored.image for scored in result.most_anomalous])
    again = np.stack([scored.reconstruction for scored in result.most_anomalous])
    shown, drawn = preprocessing.displayable(images), preprocessing.displayable(again)
    difference = np.abs(shown.astype(np.int16) - drawn).astype(np.uint8)
    path = result.out / "most-anomalous.png"
    write_png(path, image_grid(np.concatenate([shown, drawn, difference]), len(images)))
    return path
