"""Pictures of results, as PNG files."""

from pathlib import Path

import numpy as np

from augan.augment.api import AugmentationResult
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.registry import AnyPreprocessing
from augan.detect.api import DetectionResult
from augan.exceptions import DataError
from augan.io.atomic import clear_leftovers
from augan.io.images import image_grid, write_png


def augmentation_figure(result: AugmentationResult) -> Path | None:
    """Write a sheet of the first images, a row a class, beside the folder.

    Inside, it would count as data. There is none of a table.
    """
    if result.gallery is None:
        return None
    path = result.out.absolute()
    path = path.with_name(f"{path.name}-first-images.png")
    rows, columns, *shape = result.gallery.images.shape
    images = result.gallery.images.reshape(rows * columns, *shape)
    return _written(path, image_grid(images, columns), result.out)


def detection_figure(result: DetectionResult, preprocessing: AnyPreprocessing) -> Path | None:
    """Write the most anomalous images, a column each, and below them what a method can show.

    That is what the GAN draws and the difference, else the places that stand out; of images that
    differ in size, nothing more. There is no picture of a table, nor of large images, which
    `report.html` shows.
    """
    worst = result.most_anomalous
    shapes = {scored.image.shape for scored in worst}
    if not isinstance(preprocessing, ImagePreprocessing) or len(shapes) > 1:
        return None
    again = [scored.reconstruction for scored in worst if scored.reconstruction is not None]
    pairs = [
        (scored.picture, scored.overlay)
        for scored in worst
        if scored.picture is not None and scored.overlay is not None
    ]
    if again:
        images, drawn = (
            preprocessing.to_uint8(np.stack(part))
            for part in ([scored.image for scored in worst], again)
        )
        rows = [images, drawn, np.abs(images.astype(np.int16) - drawn).astype(np.uint8)]
    elif len(pairs) == len(worst) and len({picture.shape for picture, _ in pairs}) == 1:
        rows = [np.stack(part) for part in zip(*pairs)]
    else:
        rows = [preprocessing.to_uint8(np.stack([scored.image for scored in worst]))]
    sheet = image_grid(np.concatenate(rows), len(worst))
    return _written(result.out / "most-anomalous.png", sheet, result.out)


def _written(path: Path, sheet: np.ndarray, whole: Path) -> Path:
    try:
        clear_leftovers(path)
        write_png(path, sheet)
    except OSError as error:
        raise DataError(
            f"cannot write the picture {path} ({error.strerror or error}); what it would show is "
            f"complete in {whole}: free some space if you want the picture, and repeat the command"
        ) from error
    return path
