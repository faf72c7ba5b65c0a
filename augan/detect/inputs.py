"""What is to be scored: the images below a folder, or the rows of a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from augan.bundle import Bundle
from augan.data.folders import find_images
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.registry import AnyPreprocessing
from augan.data.modalities.tables import is_table_file, read_table
from augan.data.modalities.tabular import TabularPreprocessing
from augan.data.modalities.tiles import TiledPreprocessing
from augan.data.sequences import RaggedImages
from augan.detect.conformal.guarantee import CALIBRATION_KEY
from augan.detect.ignore_mask import IgnoreMask
from augan.exceptions import DataError
from augan.io.images import read_image

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 512  # samples in memory at once
CHUNK_PICTURES = 32  # the same of large images
Shape = tuple[int, ...]


def parts_of(names: Sequence[str], preprocessing: AnyPreprocessing) -> Iterator[list[str]]:
    """Yield names in parts of which all samples may be in memory at once."""
    size = CHUNK_PICTURES if isinstance(preprocessing, TiledPreprocessing) else CHUNK
    for start in range(0, len(names), size):
        yield list(names[start : start + size])


@dataclass(frozen=True)
class SampleBatch:
    """What was read together.

    Attributes
    ----------
    names : list of str
        Of the samples that could be read, in order.
    stored : ndarray [N, ...] or RaggedImages
        The samples.
    failures : dict of str to str
        Name -> why it cannot be read.
    shapes : list of tuple (H, W)
        Of each image as it came; rows have none.
    """

    names: list[str]
    stored: np.ndarray | RaggedImages
    failures: dict[str, str]
    shapes: list[Shape] = field(default_factory=list)


class InputSource(Protocol):
    """Samples in an order, read a part at a time.

    Attributes
    ----------
    names
        Of each sample: a path, or the number of a row, counted from 0.
    warnings
        What the user should know about what was found, and about what was read so far.
    unusual
        Names of those read so far, here or elsewhere, that are of another size than usual.
    """

    names: list[str]
    unusual: set[str]

    @property
    def warnings(self) -> list[str]: ...

    def read(self, names: Sequence[str]) -> SampleBatch:
        """Return the samples called `names`."""


class ImageFolderSource:
    """The images below a folder, or one image.

    Parameters
    ----------
    images : path
    preprocessing : ImagePreprocessing
    usual : tuple (H, W) or None
        The size of all images of training or calibration; others are counted for a warning.
    ignored : Ignored or None
        Places that are filled before anything else is done with an image.
    names : sequence of str or None
        What is to be read, where it is known; None: all images that are found.

    Attributes
    ----------
    unusual : set of str
        See `InputSource`.
    sizes : set of tuple (H, W)
        Of all images that were read.
    """

    def __init__(
        self,
        images: Path,
        preprocessing: ImagePreprocessing,
        usual: Shape | None = None,
        ignored: IgnoreMask | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        if is_table_file(images):
            raise DataError(
                f"{images} is a table, but the model was trained on images; name a folder of "
                "images, or another model with --model"
            )
        self.preprocessing, self.usual, self.ignored = preprocessing, usual, ignored
        if names is None:
            self.root, self.names = _list_images(images)
        else:
            self.root = images.parent if images.is_file() else images
            self.names = list(names)
        self.sizes: set[Shape] = set()
        self.unusual: set[str] = set()

    @property
    def warnings(self) -> list[str]:
        """That images are of another size than usual."""
        if self.usual is None or not self.unusual:
            return []
        return [
            f"{len(self.unusual)} of {len(self.names)} images are not of the usual size, "
            f"{self.usual[1]} x {self.usual[0]} pixels, for example {min(self.unusual)}: they are "
            "resized, but look different to the model; with images of this size only, calibrate "
            "on such normal ones with augan calibrate RUN NORMALS"
        ]

    def read(self, names: Sequence[str]) -> SampleBatch:
        """Decode the files called `names`."""
        readable, samples, failures, shapes = [], [], {}, []
        for name in names:
            try:
                picture = self.picture(name)
                samples.append(self._stored(picture))
            except DataError as error:
                failures[name] = getattr(error, "reason", str(error))
            else:
                readable.append(name)
                shapes.append(picture.shape[:2])
                self._remember(name, picture.shape[:2])
        return SampleBatch(readable, self._together(samples), failures, shapes)

    def stored(self, images: Sequence[np.ndarray]) -> np.ndarray | RaggedImages:
        """Return images `[H, W, C]` that are no files as stored samples, like `read`."""
        return self._together([self._stored(image) for image in images])

    def _stored(self, picture: np.ndarray) -> np.ndarray:
        image = picture if self.ignored is None else self.ignored.fill(picture)
        if isinstance(self.preprocessing, TiledPreprocessing):
            return self.preprocessing.prepare_ragged(image)
        return self.preprocessing.prepare(image)

    def _together(self, samples: list[np.ndarray]) -> np.ndarray | RaggedImages:
        if isinstance(self.preprocessing, TiledPreprocessing):
            return RaggedImages(samples)
        return np.stack(samples) if samples else np.empty((0,))

    def squares(self, names: list[str], preprocessing: ImagePreprocessing) -> np.ndarray:
        """Decode the readable files `names` as squares of another preprocessing."""
        return np.stack([preprocessing.prepare(self.picture(name)) for name in names])

    def picture(self, name: str) -> np.ndarray:
        """Return one image as it comes, `[H, W, C]`, ignored places and all."""
        return read_image(self.root / name)

    def _remember(self, name: str, shape: Shape) -> None:
        self.sizes.add(shape)
        if self.usual is not None and shape != tuple(self.usual):
            self.unusual.add(name)


class TableSource:
    """The rows of a table file."""

    def __init__(self, table: Path, preprocessing: TabularPreprocessing) -> None:
        if not is_table_file(table):
            raise DataError(
                f"{table} is no table, but the model was trained on one; name a .csv, .tsv or "
                ".parquet file, or another model with --model"
            )
        self.preprocessing = preprocessing
        self.unusual: set[str] = set()
        self.frame: pd.DataFrame = read_table(table, preprocessing.texts)
        unknown = preprocessing.unknown(self.frame)
        self.warnings = (
            [f"ignored, because training knew no such columns: {', '.join(unknown)}"]
            if unknown
            else []
        )
        self.names = [str(row) for row in range(len(self.frame))]
        preprocessing.read_rows(self.frame[:1])  # a missing column is an error at once

    def read(self, names: Sequence[str]) -> SampleBatch:
        """Take the rows with these numbers."""
        part = self.frame.iloc[[int(name) for name in names]]
        stored, reasons = self.preprocessing.read_rows(part)
        kept = [row for row in range(len(names)) if row not in reasons]
        failures = {names[row]: reason for row, reason in reasons.items()}
        return SampleBatch([names[row] for row in kept], stored[kept], failures)


def open_source(
    path: Path,
    preprocessing: AnyPreprocessing,
    usual: Shape | None = None,
    ignored: IgnoreMask | None = None,
    names: Sequence[str] | None = None,
) -> InputSource:
    """Return the samples at `path`, for a model with this preprocessing; see `ImageFolderSource`.

    Raises
    ------
    DataError
        There is nothing to score, or not of the kind that the model was trained on; or pixels of
        rows are to be ignored.
    """
    if isinstance(preprocessing, TabularPreprocessing):
        if ignored is not None:
            raise DataError(
                "a mask of ignored pixels is about images, but the model was trained on rows; leave"
                " --ignore-mask out"
            )
        return TableSource(path, preprocessing)
    return ImageFolderSource(path, preprocessing, usual, ignored, names)


def usual_shape(bundle: Bundle, preprocessing: AnyPreprocessing) -> Shape | None:
    """Return the size that all images of the last calibration had, else of training, if any."""
    if not isinstance(preprocessing, ImagePreprocessing):
        return None
    origin = (bundle.detector or {}).get(CALIBRATION_KEY, {})
    shape = origin.get("image_shape", preprocessing.original_shape)
    return None if shape is None else tuple(shape)


def _list_images(images: Path) -> tuple[Path, list[str]]:
    if images.is_file():
        return images.parent, [images.name]
    if not images.is_dir():
        raise DataError(f"there is no folder or image {images}; name the images to score")
    names = find_images(images)
    if not names:
        raise DataError(f"there is no image below {images}; expected PNG, JPEG, BMP, TIFF or WebP")
    return images, names
