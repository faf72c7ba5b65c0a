"""What is to be scored: the images below a folder, or the rows of a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from augan.data.columns import Columns
from augan.data.folders import find_images
from augan.data.images import read_image
from augan.data.patches import Patches
from augan.data.pictures import Pictures
from augan.data.prepared import AnyPreprocessing
from augan.data.preprocessing import Preprocessing
from augan.data.tables import is_table_file, read_table
from augan.exceptions import DataError

if TYPE_CHECKING:
    import pandas as pd


class Source(Protocol):
    """Samples in an order, read a part at a time.

    Attributes
    ----------
    names
        Of each sample: a path, or the number of a row, counted from 0.
    warnings
        What the user should know about what was found.
    """

    names: list[str]
    warnings: list[str]

    def read(self, names: list[str]) -> tuple[np.ndarray | Pictures, dict[str, str]]:
        """Return the stored samples of `names`, without those that cannot be read: name -> why."""


class ImageSource:
    """The images below a folder, or one image."""

    def __init__(self, images: Path, preprocessing: Preprocessing) -> None:
        if is_table_file(images):
            raise DataError(
                f"{images} is a table, but the model was trained on images; name a folder of "
                "images, or another model with --model"
            )
        self.preprocessing = preprocessing
        self.root, self.names = _list_images(images)
        self.warnings: list[str] = []

    def read(self, names: list[str]) -> tuple[np.ndarray | Pictures, dict[str, str]]:
        """Decode the files called `names`."""
        samples, failures = [], {}
        for name in names:
            try:
                samples.append(self._stored(read_image(self.root / name)))
            except DataError as error:
                failures[name] = getattr(error, "reason", str(error))
        if isinstance(self.preprocessing, Patches):
            return Pictures(samples), failures
        return np.stack(samples) if samples else np.empty((0,)), failures

    def _stored(self, image: np.ndarray) -> np.ndarray:
        if isinstance(self.preprocessing, Patches):
            return self.preprocessing.to_picture(image)
        return self.preprocessing.to_square(image)


class RowSource:
    """The rows of a table file."""

    def __init__(self, table: Path, preprocessing: Columns) -> None:
        if not is_table_file(table):
            raise DataError(
                f"{table} is no table, but the model was trained on one; name a .csv, .tsv or "
                ".parquet file, or another model with --model"
            )
        self.preprocessing = preprocessing
        self.frame: pd.DataFrame = read_table(table)
        unknown = preprocessing.unknown(self.frame)
        self.warnings = (
            [f"ignored, because training knew no such columns: {', '.join(unknown)}"]
            if unknown
            else []
        )
        self.names = [str(row) for row in range(len(self.frame))]
        preprocessing.read_rows(self.frame[:1])  # a missing column is an error at once

    def read(self, names: list[str]) -> tuple[np.ndarray, dict[str, str]]:
        """Take the rows with these numbers."""
        part = self.frame.iloc[[int(name) for name in names]]
        stored, reasons = self.preprocessing.read_rows(part)
        kept = [row for row in range(len(names)) if row not in reasons]
        return stored[kept], {names[row]: reason for row, reason in reasons.items()}


def open_source(path: Path, preprocessing: AnyPreprocessing) -> Source:
    """Return the samples at `path`, for a model with this preprocessing.

    Raises
    ------
    DataError
        There is nothing to score, or not of the kind that the model was trained on.
    """
    if isinstance(preprocessing, Columns):
        return RowSource(path, preprocessing)
    return ImageSource(path, preprocessing)


def _list_images(images: Path) -> tuple[Path, list[str]]:
    if images.is_file():
        return images.parent, [images.name]
    if not images.is_dir():
        raise DataError(f"there is no folder or image {images}; name the images to score")
    names = find_images(images)
    if not names:
        raise DataError(f"there is no image below {images}; expected PNG, JPEG, BMP, TIFF or WebP")
    return images, names
