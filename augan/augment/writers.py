"""Writers of generated samples as PNG, npz or CSV files, and the preview of the first images."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from augan.augment.transforms import get_seeded_transform
from augan.data.dataset import plural
from augan.data.modalities.base import Preprocessing
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.registry import preprocessing_class
from augan.data.modalities.tabular import TabularPreprocessing
from augan.exceptions import ConfigError
from augan.io.csv_safety import escape_frame
from augan.io.images import png_bytes
from augan.io.layout import SYNTHETIC_ARRAYS_FILE, SYNTHETIC_TABLE_FILE

NUM_COLUMNS = 10  # images in a row of the preview
MAX_CLASSES = 12  # classes that have a row in the preview
MAX_SINGLE_CLASS = 40  # images in the preview of a single class
_PNG_END = b"IEND\xaeB`\x82"


def resolve_format(name: str | None, sample_type: str) -> str:
    """Return the file format of samples, by default "png" for images and "csv" for table rows.

    Parameters
    ----------
    name : str or None
        Requested format; None: the default.
    sample_type : {"image", "row"}

    Raises
    ------
    ConfigError
        Samples of this type cannot be written in this format.
    """
    formats = preprocessing_class(sample_type).file_formats
    if name is None:
        return formats[0]
    if name not in formats:
        raise ConfigError(
            f"{plural(sample_type)} cannot be written as {name!r}; choose `format` "
            f"{' or '.join(formats)}"
        )
    return name


def check_transform_of(sample_type: str, transform: str) -> None:
    """Raise ConfigError if a classic transform is requested for table rows."""
    if not preprocessing_class(sample_type).has_pixels and transform != "none":
        raise ConfigError(
            f"the transform '{transform}' applies to images, but the samples are rows; leave it out"
        )


class PreviewImages(NamedTuple):
    """Small grid of the first generated images, for the report.

    Attributes
    ----------
    images : ndarray of uint8 [rows, columns, H, W, C]
        A row for each class; a single class may have several rows.
    classes : tuple of str
        The names of the classes in the order of rows; empty for a generator without classes.
    """

    images: np.ndarray
    classes: tuple[str, ...]


class PreviewGrid:
    """Collector of the first images of the first classes, as a grid.

    The grid holds `NUM_COLUMNS` images of each of up to `MAX_CLASSES` classes, and up to
    `MAX_SINGLE_CLASS` images of the class that came first.

    Examples
    --------
    >>> grid = PreviewGrid()
    >>> grid.add(np.zeros((50, 8, 8, 1), np.uint8), np.repeat([3, 1], 25))
    >>> grid.rows().shape
    (2, 10, 8, 8, 1)
    """

    def __init__(self) -> None:
        self._images: dict[int, list[np.ndarray]] = {}

    def add(self, images: np.ndarray, classes: np.ndarray) -> None:
        """Add images `[N, H, W, C]` with class indices `[N]`, as far as the grid has space."""
        for index in dict.fromkeys(classes.tolist()):
            present = self._images.get(index, [])
            num_free = self._max_images(index) - len(present)
            if num_free > 0:
                self._images[index] = [*present, *images[classes == index][:num_free]]

    def is_full(self, class_index: int) -> bool:
        """Return whether the grid has no space for further images of a class."""
        return len(self._images.get(class_index, ())) >= self._max_images(class_index)

    def _max_images(self, class_index: int) -> int:
        """Return the number of images that the grid keeps of a class: fewer for later classes."""
        order = list(self._images)
        if class_index not in order:
            order.append(class_index)
        position = order.index(class_index)
        if position >= MAX_CLASSES:
            return 0
        return NUM_COLUMNS if position else MAX_SINGLE_CLASS

    def classes(self) -> list[int]:
        """Return the sorted indices of the classes that have images in the grid."""
        return sorted(self._images)

    def rows(self) -> np.ndarray:
        """Return the grid `[R, up to NUM_COLUMNS, H, W, C]`, a row for each class by index.

        The images of a single class fill several rows. Missing images are black. The grid must have
        at least one image.
        """
        rows = [self._images[index] for index in self.classes()]
        if len(rows) == 1:
            (images,) = rows
            rows = [images[i : i + NUM_COLUMNS] for i in range(0, len(images), NUM_COLUMNS)]
        num_columns = min(NUM_COLUMNS, max(map(len, rows)))
        blank = np.zeros_like(rows[0][0])
        return np.stack([np.stack([*row, *[blank] * num_columns][:num_columns]) for row in rows])


class SampleWriter(Protocol):
    """Interface of the writers, which receive generated samples in blocks."""

    def add(
        self, samples: np.ndarray, classes: np.ndarray, indices: np.ndarray, subfolder: str
    ) -> list[str]:
        """Write samples now or on `close`, and return the file of each sample.

        Parameters
        ----------
        samples : ndarray
            Images in their original size and type `[N, H, W, C]`, or prepared rows `[N, F]`.
        classes : ndarray of int [N]
            Class indices.
        indices : ndarray of int [N]
            Indices of the samples among the candidates of a class, or among all samples of
            `generate_folder`.
        subfolder : str
            Folder of samples that have a file each, relative to the result folder; other formats
            ignore it.

        Returns
        -------
        list of str
            File of each sample, relative to the result folder.
        """

    def has_files(self, files: Sequence[str], class_index: int) -> bool:
        """Return whether an interrupted call has completed files, so that the samples can be kept.

        Parameters
        ----------
        files : sequence of str
            Files as returned by `add`.
        class_index : int
            The class of all samples in the files.
        """

    def close(self) -> None:
        """Write the samples that have been collected but not written."""

    def preview(self) -> PreviewImages | None:
        """Return the preview of the first images; None for table rows."""


class _ImageWriter:
    """Base of the writers of images: applies the classic transform and collects the preview.

    Parameters
    ----------
    folder : Path
        The result folder.
    preprocessing : ImagePreprocessing
        Preprocessing of the bundle, which converts other types to uint8.
    transform : str
        A key of `TRANSFORMS`.
    seed : int
        Seed of the transform.
    class_names : sequence of str
        Names of the classes by index; empty without classes.
    """

    def __init__(
        self,
        folder: Path,
        preprocessing: ImagePreprocessing,
        transform: str,
        seed: int,
        class_names: Sequence[str],
    ) -> None:
        self.folder, self.preprocessing, self.class_names = folder, preprocessing, class_names
        value_range = (preprocessing.low, preprocessing.high)
        self._transform = get_seeded_transform(
            transform, seed, None if preprocessing.becomes_uint8 else value_range
        )
        self._grid = PreviewGrid()

    def to_output(self, images: np.ndarray, classes: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Return the transformed images, which are also added to the preview.

        float32 images and 16-bit color images become uint8, because PNG has no such pixels.
        """
        if self.preprocessing.becomes_uint8:
            images = self.preprocessing.to_uint8(images)
        images = self._transform(images, classes, indices)
        self._grid.add(images, classes)
        return images

    def preview(self) -> PreviewImages:
        """Return the first images as uint8; at least one image must have been added."""
        rows = self._grid.rows()
        indices = self._grid.classes() if self.class_names else ()
        classes = tuple(self.class_names[index] for index in indices)
        return PreviewImages(
            rows if self.preprocessing.becomes_uint8 else self.preprocessing.to_uint8(rows), classes
        )


class PngWriter(_ImageWriter):
    """Writer of one PNG file for each image, named after the index of the image: `000012.png`."""

    def add(
        self, images: np.ndarray, classes: np.ndarray, indices: np.ndarray, subfolder: str
    ) -> list[str]:
        """Write each image to its PNG file and return the files; see `SampleWriter.add`."""
        (self.folder / subfolder).mkdir(exist_ok=True)
        files = [Path(subfolder, f"{index:06d}.png").as_posix() for index in indices]
        for file, image in zip(files, self.to_output(images, classes, indices)):
            # Not atomic: a chunk is logged after all its files, and incomplete files are rewritten.
            with open(f"{self.folder}/{file}", "wb") as stream:
                stream.write(png_bytes(image, {"synthetic": "true"}, file))
        return files

    def has_files(self, files: Sequence[str], class_index: int) -> bool:
        """Return whether all files are complete and the preview needs no image of the class.

        A file is complete if it has the last bytes of a PNG file. While the preview has space for
        images of the class, the answer is False, so that the images are generated again.
        """
        return self._grid.is_full(class_index) and all(
            _is_complete_png(self.folder / file) for file in files
        )

    def close(self) -> None:
        """Do nothing, because `add` has written every file."""


class NpzWriter(_ImageWriter):
    """Writer of one file `synthetic.npz`, which `augan.load_dataset` reads.

    The file has the images `x` (the pixels of the PNG files) and, if there are classes, the class
    indices `y` and the `class_names`. All images are kept in memory until `close`.
    """

    def __init__(self, *shared: Any) -> None:
        super().__init__(*shared)
        self._x: list[np.ndarray] = []
        self._y: list[np.ndarray] = []

    def add(
        self, images: np.ndarray, classes: np.ndarray, indices: np.ndarray, subfolder: str
    ) -> list[str]:
        """Keep the images in memory for `close`, and return `synthetic.npz` for each image."""
        self._x.append(self.to_output(images, classes, indices))
        self._y.append(classes)
        return [SYNTHETIC_ARRAYS_FILE] * len(images)

    def has_files(self, files: Sequence[str], class_index: int) -> bool:
        """Return False, because an interrupted call has written no image."""
        return False

    def close(self) -> None:
        """Write `synthetic.npz` with all images; at least one image must have been added."""
        arrays: dict[str, Any] = {"x": np.concatenate(self._x)}
        if self.class_names:
            arrays["y"] = np.concatenate(self._y).astype(np.int64)
            arrays["class_names"] = np.array(self.class_names)
        np.savez_compressed(self.folder / SYNTHETIC_ARRAYS_FILE, **arrays)


class CsvWriter:
    """Writer of one file `synthetic.csv`, with the columns of the training table in order and type.

    Parameters
    ----------
    folder : Path
        The result folder. A `synthetic.csv` of an interrupted call is deleted.
    preprocessing : TabularPreprocessing
        Preprocessing of the bundle, which knows the columns.
    class_names : sequence of str
        Names of the classes by index; empty without classes.
    """

    def __init__(
        self, folder: Path, preprocessing: TabularPreprocessing, class_names: Sequence[str]
    ) -> None:
        self.path, self.preprocessing = folder / SYNTHETIC_TABLE_FILE, preprocessing
        self.class_names = class_names
        self.path.unlink(missing_ok=True)  # an incomplete file of an interrupted call
        self._is_new = True

    def add(
        self, rows: np.ndarray, classes: np.ndarray, indices: np.ndarray, subfolder: str
    ) -> list[str]:
        """Append prepared rows `[N, F]` to the file, and return `synthetic.csv` for each row."""
        names = [self.class_names[c] for c in classes] if self.class_names else None
        frame = escape_frame(self.preprocessing.to_frame(rows, names))
        frame.to_csv(self.path, mode="a", header=self._is_new, index=False, lineterminator="\n")
        self._is_new = False
        return [self.path.name] * len(rows)

    def has_files(self, files: Sequence[str], class_index: int) -> bool:
        """Return False, because every call writes the file from the start."""
        return False

    def close(self) -> None:
        """Do nothing, because `add` has written every row."""

    def preview(self) -> None:
        """Return None, because a table has no images to show."""


def open_writer(
    format: str,
    folder: Path,
    preprocessing: Preprocessing,
    *,
    class_names: Sequence[str],
    transform: str = "none",
    seed: int = 0,
) -> SampleWriter:
    """Return the writer of generated samples for a type of sample and a file format.

    Parameters
    ----------
    format : {"png", "npz", "csv"}
        Result of `resolve_format`. Table rows are always written as CSV.
    folder : Path
        The result folder.
    preprocessing : Preprocessing
        Preprocessing of the bundle.
    class_names : sequence of str
        Names of the classes by index; empty without classes.
    transform : str
        Classic transform of images, a key of `augan.augment.transforms.TRANSFORMS`; table rows have
        none, see `check_transform_of`.
    seed : int
        Seed of the transform.
    """
    if not preprocessing.has_pixels:
        return CsvWriter(folder, preprocessing.require_rows(), class_names)
    writer = NpzWriter if format == "npz" else PngWriter
    return writer(folder, preprocessing.require_images(), transform, seed, class_names)


def _is_complete_png(path: Path) -> bool:
    """Return whether a file ends like a PNG file; after a power cut, a file may have no content."""
    try:
        with open(path, "rb") as stream:
            stream.seek(-len(_PNG_END), os.SEEK_END)
            return stream.read() == _PNG_END
    except OSError:
        return False
