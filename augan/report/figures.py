"""Pictures of results, as PNG files."""

from pathlib import Path

import numpy as np

from augan.augment.folder import AugmentationResult
from augan.data.images import image_grid, write_png
from augan.data.prepared import AnyPreprocessing
from augan.data.preprocessing import Preprocessing
from augan.detect.folder import DetectionResult
from augan.exceptions import DataError

COLUMNS = 10


def augmentation_figure(result: AugmentationResult) -> Path | None:
    """Write a sheet of the first images beside the folder (inside, it would count as data).

    There is none of a table.
    """
    if result.gallery is None:
        return None
    path = result.out.absolute()
    path = path.with_name(f"{path.name}-first-images.png")
    return _written(path, image_grid(result.gallery, COLUMNS), result.out)


def detection_figure(result: DetectionResult, preprocessing: AnyPreprocessing) -> Path | None:
    """Write the most anomalous images, a column each: image, what the GAN draws, difference.

    A method that draws nothing shows the images alone; there is no picture of a table, nor of
    images in sizes of their own, which `report.html` shows.
    """
    shapes = {scored.image.shape for scored in result.most_anomalous}
    if not isinstance(preprocessing, Preprocessing) or len(shapes) > 1:
        return None
    images = np.stack([scored.image for scored in result.most_anomalous])
    rows = [preprocessing.displayable(images)]
    again = [s.reconstruction for s in result.most_anomalous if s.reconstruction is not None]
    if again:
        drawn = preprocessing.displayable(np.stack(again))
        rows += [drawn, np.abs(rows[0].astype(np.int16) - drawn).astype(np.uint8)]
    sheet = image_grid(np.concatenate(rows), len(images))
    return _written(result.out / "most-anomalous.png", sheet, result.out)


def _written(path: Path, sheet: np.ndarray, whole: Path) -> Path:
    try:
        write_png(path, sheet)
    except OSError as error:
        raise DataError(
            f"cannot write the picture {path} ({error.strerror or error}); what it would show is "
            f"complete in {whole}: free some space if you want the picture, and repeat the command"
        ) from error
    return path
