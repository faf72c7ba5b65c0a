"""Inputs of detection: images of a folder or rows of a table, read and prepared in chunks."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from augan.bundle import Bundle
from augan.data.files import ImageSearch, search_input
from augan.data.modalities.base import Preprocessing
from augan.data.modalities.images import ImagePreprocessing, join_values
from augan.data.modalities.tables import is_table_file, read_table
from augan.data.modalities.tabular import TabularPreprocessing
from augan.data.sequences import RaggedImages
from augan.detect.ignore_mask import MASK_OF_ROWS, IgnoreMask
from augan.exceptions import DataError
from augan.io.images import read_image

if TYPE_CHECKING:
    import pandas as pd

Shape = tuple[int, ...]


def name_chunks(names: Sequence[str], preprocessing: Preprocessing) -> Iterator[list[str]]:
    """Yield the names of samples in chunks that fit into memory, of `reading_chunk_size` names."""
    size = preprocessing.reading_chunk_size
    for start in range(0, len(names), size):
        yield list(names[start : start + size])


@dataclass(frozen=True)
class SampleBatch:
    """Samples that were read and prepared together.

    Attributes
    ----------
    names : list of str
        Names of the readable samples, in order.
    samples : ndarray [N, ...] or RaggedImages
        The prepared samples.
    failures : dict of str to str
        Name of each unreadable sample -> reason.
    shapes : list of tuple (H, W)
        Original size of each image in pixels; empty for rows.
    channels : list of int
        Original channels of each image, 1 (gray) or 3 (color); empty for rows.
    unknown_columns : sequence of str
        Columns of the rows that the training data did not have; empty for images.
    values : (float, float) or None
        Smallest and largest pixel of the images; None: not compared with the training, see
        `ImagePreprocessing.values_of`.
    index : pandas.Index or None
        Index of the rows in their table; None for images.
    """

    names: list[str]
    samples: np.ndarray | RaggedImages
    failures: dict[str, str]
    shapes: list[Shape] = field(default_factory=list)
    channels: list[int] = field(default_factory=list)
    unknown_columns: Sequence[str] = ()
    values: tuple[float, float] | None = None
    index: "pd.Index | None" = None


def prepare_images(
    images: Iterable[tuple[str, Callable[[], np.ndarray]]],
    preprocessing: ImagePreprocessing,
    ignore_mask: IgnoreMask | None,
) -> SampleBatch:
    """Read images one after another, and prepare each for the model.

    Parameters
    ----------
    images : iterable of (name, callable)
        Name of each image, and a function that returns its original pixels `[H, W, C]`.
    preprocessing : ImagePreprocessing
    ignore_mask : IgnoreMask or None
        Pixels that are filled before an image is prepared; None: no pixels.

    Returns
    -------
    SampleBatch
        Images that cannot be read or prepared are listed as failures.
    """
    names, samples, failures, shapes, channels = [], [], {}, [], []
    values: tuple[float, float] | None = None
    for name, load in images:
        try:
            image = load()
            filled = image if ignore_mask is None else ignore_mask.fill(image)
            samples.append(preprocessing.prepare_sample(filled))
        except DataError as error:
            failures[name] = getattr(error, "reason", str(error))
        else:
            names.append(name)
            shapes.append(image.shape[:2])
            channels.append(image.shape[-1])
            values = join_values(values, preprocessing.values_of(image))
    prepared = preprocessing.stack(samples)
    return SampleBatch(names, prepared, failures, shapes, channels, values=values)


def prepare_rows(
    frame: "pd.DataFrame", names: Sequence[str], preprocessing: TabularPreprocessing
) -> SampleBatch:
    """Prepare rows of a table for the model; rows that cannot be used are listed as failures.

    Parameters
    ----------
    frame : DataFrame
        Rows with the columns of the training table, in any order.
    names : sequence of str
        Name of each row.
    preprocessing : TabularPreprocessing

    Raises
    ------
    DataError
        If the table lacks a column.
    """
    samples, reasons = preprocessing.prepare_rows(frame)
    kept = [row for row in range(len(names)) if row not in reasons]
    failures = {names[row]: reason for row, reason in reasons.items()}
    unknown = preprocessing.unknown_columns(frame)
    return SampleBatch(
        [names[row] for row in kept],
        samples[kept],
        failures,
        unknown_columns=unknown,
        index=frame.index[kept],
    )


def describe_resized(names: Collection[str], total: int, expected_shape: Shape) -> str:
    """Return a warning that some of `total` images, `names`, do not have the expected size."""
    height, width = expected_shape
    return (
        f"{len(names)} of {total} images do not have the expected size, "
        f"{width} x {height} pixels, for example {min(names)}: they are resized, but "
        "look different to the model; if all your images have this size, calibrate on normal "
        "images of this size with augan calibrate RUN NORMALS"
    )


def describe_unknown_columns(names: Sequence[str]) -> str:
    """Return a warning that columns of a table are ignored."""
    return f"ignored columns that the training data did not have: {', '.join(names)}"


class InputSource(Protocol):
    """Interface of ordered samples on disk that are read by name.

    Attributes
    ----------
    names : list of str
        Name of each sample: a path relative to the folder, or the number of a row, counted from 0.
    warnings : list of str
        Messages for the user about the input and about the samples read so far.
    not_looked_at : list of (name, reason)
        Files next to the samples that are no samples, and why.
    resized : set of str
        Names of the images read so far, in any process, that do not have the expected size.
    values : (float, float) or None
        Smallest and largest pixel read so far, in any process, see `SampleBatch`.
    """

    names: list[str]
    not_looked_at: list[tuple[str, str]]
    resized: set[str]
    values: tuple[float, float] | None

    @property
    def warnings(self) -> list[str]: ...

    def read(self, names: Sequence[str]) -> SampleBatch:
        """Read and prepare the named samples; unreadable samples are listed as failures."""


class ImageFolderSource:
    """Images of a folder and its subfolders, or one image file.

    Parameters
    ----------
    images : path
        The folder or image file.
    preprocessing : ImagePreprocessing
        Preparation of each image for the model.
    expected_shape : tuple (H, W) or None
        Size of all training or calibration images; images of other sizes are counted for a warning.
        None: all sizes are expected.
    ignore_mask : IgnoreMask or None
        Pixels that are filled before an image is prepared; None: no pixels.
    names : sequence of str or None
        Names of the images; None: all images of the folder, listed now.
    follow_links : bool
        Whether links to folders are searched too.

    Attributes
    ----------
    root : Path
        The folder to which names are relative.
    names : list of str
        Names of the images.
    not_looked_at : list of (name, reason)
        Files of the folder that are not read, and why; empty if `names` were given.
    resized : set of str
        Names of the images read so far that do not have the expected size.
    values : (float, float) or None
        Smallest and largest pixel read so far, see `SampleBatch`.
    shapes : set of tuple (H, W)
        Sizes of all images that were read.

    Raises
    ------
    DataError
        If `images` is a table, does not exist, or contains no image.
    """

    def __init__(
        self,
        images: Path,
        preprocessing: ImagePreprocessing,
        expected_shape: Shape | None = None,
        ignore_mask: IgnoreMask | None = None,
        names: Sequence[str] | None = None,
        follow_links: bool = False,
    ) -> None:
        if is_table_file(images):
            raise DataError(
                f"{images} is a table, but the model was trained on images; name a folder of "
                "images, or another model with --model"
            )
        self.preprocessing, self.ignore_mask = preprocessing, ignore_mask
        self.expected_shape = expected_shape
        self.root = images.parent if images.is_file() else images
        found = search_input(images, follow_links) if names is None else ImageSearch(list(names))
        self.names, self.not_looked_at = found.names, found.not_looked_at
        self._found = found
        self.shapes: set[Shape] = set()
        self.resized: set[str] = set()
        self.values: tuple[float, float] | None = None

    @property
    def warnings(self) -> list[str]:
        """Frames and pages that are left out, and images of an unexpected size or range."""
        other_range = self.preprocessing.describe_other_range(self.values)
        warnings = [*self._found.warnings, *([] if other_range is None else [other_range])]
        if self.expected_shape is not None and self.resized:
            warnings.append(describe_resized(self.resized, len(self.names), self.expected_shape))
        return warnings

    def read(self, names: Sequence[str]) -> SampleBatch:
        """Read and prepare the named images; unreadable images are listed as failures."""
        loaders = ((name, partial(self.load_image, name)) for name in names)
        batch = prepare_images(loaders, self.preprocessing, self.ignore_mask)
        for name, shape in zip(batch.names, batch.shapes):
            self._record_shape(name, shape)
        self.values = join_values(self.values, batch.values)
        return batch

    def load_image(self, name: str) -> np.ndarray:
        """Read one original image `[H, W, C]`; ignored pixels are not filled.

        Raises
        ------
        DataError
            If the file cannot be read.
        """
        return read_image(self.root / name)

    def read_squares(self, names: list[str], preprocessing: ImagePreprocessing) -> np.ndarray:
        """Read images and prepare them with another preprocessing, `[N, S, S, C]`.

        Ignored pixels are not filled.

        Parameters
        ----------
        names : list of str
            Names of at least one image; all must be readable.
        preprocessing : ImagePreprocessing

        Raises
        ------
        DataError
            If an image cannot be read.
        """
        return np.stack([preprocessing.prepare(self.load_image(name)) for name in names])

    def _record_shape(self, name: str, shape: Shape) -> None:
        """Record the size (H, W) of an image, and its name if the size is unexpected."""
        self.shapes.add(shape)
        if self.expected_shape is not None and shape != tuple(self.expected_shape):
            self.resized.add(name)


class TableSource:
    """Rows of a table file, named by their numbers from 0.

    Parameters
    ----------
    table : Path
        A .csv, .tsv or .parquet file; all rows are loaded into memory.
    preprocessing : TabularPreprocessing
        Preparation of rows for the model.

    Attributes
    ----------
    names : list of str
        Numbers of the rows.
    not_looked_at : list
        Always empty.
    resized : set of str
        Always empty.
    values : None
    warnings : list of str
        At most one warning: the table has columns that the training data did not have.
    frame : DataFrame
        The table.

    Raises
    ------
    DataError
        If the file is no table, cannot be read, or lacks a column of the training data.
    """

    def __init__(self, table: Path, preprocessing: TabularPreprocessing) -> None:
        if not is_table_file(table):
            raise DataError(
                f"{table} is not a table, but the model was trained on one; name a .csv, .tsv or "
                ".parquet file, or another model with --model"
            )
        self.preprocessing = preprocessing
        self.resized: set[str] = set()
        self.values: tuple[float, float] | None = None
        self.not_looked_at: list[tuple[str, str]] = []
        self.frame: pd.DataFrame = read_table(table, preprocessing.text_columns)
        unknown = preprocessing.unknown_columns(self.frame)
        self.warnings = [describe_unknown_columns(unknown)] if unknown else []
        self.names = [str(row) for row in range(len(self.frame))]
        preprocessing.prepare_rows(self.frame[:1])  # raises an error if a column is missing

    def read(self, names: Sequence[str]) -> SampleBatch:
        """Prepare the rows with these numbers for the model; failures list unusable rows."""
        rows = self.frame.iloc[[int(name) for name in names]]
        return prepare_rows(rows, names, self.preprocessing)


def open_source(
    path: Path,
    preprocessing: Preprocessing,
    expected_shape: Shape | None = None,
    ignore_mask: IgnoreMask | None = None,
    names: Sequence[str] | None = None,
    *,
    follow_links: bool = False,
) -> InputSource:
    """Open the images or the table at `path` for a model with this preprocessing.

    Parameters
    ----------
    path : Path
        A folder or an image file; for `TabularPreprocessing`, a table file.
    preprocessing : Preprocessing
    expected_shape, ignore_mask, names, follow_links
        As for `ImageFolderSource`. They do not apply to tables, except `ignore_mask`.

    Raises
    ------
    DataError
        If there are no samples, the samples are of another type than the training data, or an
        ignore mask was given for rows.
    """
    if ignore_mask is not None:
        preprocessing.require_images(MASK_OF_ROWS)
    if preprocessing.has_files:
        of_images = preprocessing.require_images()
        return ImageFolderSource(
            path, of_images, expected_shape, ignore_mask, names, follow_links=follow_links
        )
    return TableSource(path, preprocessing.require_rows())


def get_expected_shape(bundle: Bundle, preprocessing: Preprocessing) -> Shape | None:
    """Return the size (H, W) of all images of the last calibration, else of the training.

    None if the calibration or training images differ in size, or the samples are rows.
    """
    calibrated_on = None if bundle.detector is None else bundle.detector.calibrated_on
    return preprocessing.original_shape if calibrated_on is None else calibrated_on.image_shape
