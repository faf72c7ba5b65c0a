"""Writers of generated samples as PNG, npz or CSV, and the preview of the first images."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from augan.augment.transforms import get_seeded_transform
from augan.data.dataset import plural
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.registry import AnyPreprocessing
from augan.data.modalities.tabular import TabularPreprocessing
from augan.exceptions import ConfigError
from augan.io.csv_safety import escape_frame
from augan.io.images import png_bytes
from augan.io.layout import SYNTHETIC_ARRAYS_FILE, SYNTHETIC_TABLE_FILE

_FORMATS = {"image": ("png", "npz"), "row": ("csv",)}  # the first is the default
NUM_COLUMNS = 10  # images in a row of the preview
MAX_CLASSES = 12  # classes that have a row
MAX_SINGLE_CLASS = 40  # images of the only class
_PNG_END = b"IEND\xaeB`\x82"


def resolve_format(name: str | None, sample_type: str) -> str:
    """Return the file format, by default the first for the type of sample.

    Raises
    ------
    ConfigError
        Samples of this type cannot be written in this format.
    """
    formats = _FORMATS[sample_type]
    if name is None:
        return formats[0]
    if name not in formats:
        raise ConfigError(
            f"{plural(sample_type)} cannot be written as {name!r}; choose --format "
            f"{' or '.join(formats)}"
        )
    return name


class PreviewImages(NamedTuple):
    """First images of a result.

    Attributes
    ----------
    images
        uint8 `[rows, columns, H, W, C]`, a row for each class; one class may have several rows.
    classes
        The names of the classes in order; empty if there are no classes.
    """

    images: np.ndarray
    classes: tuple[str, ...]


class PreviewGrid:
    """Grid of the first images of the first classes.

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
        """Add images `[N, H, W, C]` of classes `[N]`, as far as the grid has space for them."""
        for index in dict.fromkeys(classes.tolist()):
            present = self._images.get(index, [])
            num_free = self._max_images(index) - len(present)
            if num_free > 0:
                self._images[index] = [*present, *images[classes == index][:num_free]]

    def is_full(self, class_index: int) -> bool:
        """Return whether there is no space for images of a class."""
        return len(self._images.get(class_index, ())) >= self._max_images(class_index)

    def _max_images(self, class_index: int) -> int:
        order = list(self._images)
        if class_index not in order:
            order.append(class_index)
        position = order.index(class_index)
        if position >= MAX_CLASSES:
            return 0
        return NUM_COLUMNS if position else MAX_SINGLE_CLASS

    def classes(self) -> list[int]:
        """Return the sorted indices of the classes that have images."""
        return sorted(self._images)

    def rows(self) -> np.ndarray:
        """Return `[R, up to NUM_COLUMNS, H, W, C]`, a row for each class in the order of indices.

        The images of a single class fill several rows. Missing images are black.
        """
        rows = [self._images[index] for index in self.classes()]
        if len(rows) == 1:
            (images,) = rows
            rows = [images[i : i + NUM_COLUMNS] for i in range(0, len(images), NUM_COLUMNS)]
        num_columns = min(NUM_COLUMNS, max(map(len, rows)))
        blank = np.zeros_like(rows[0][0])
        return np.stack([np.stack([*row, *[blank] * num_columns][:num_columns]) for row in rows])


class SampleWriter(Protocol):
    """Writer of generated samples, which come in blocks."""

    def add(
        self, samples: np.ndarray, classes: np.ndarray, indices: np.ndarray, subfolder: str
    ) -> list[str]:
        """Write samples, now or on `close`; return the file of each, relative to the folder.

        Parameters
        ----------
        samples
            Images in their original size and type `[N, H, W, C]`, or rows.
        classes, indices
            Class indices `[N]`, and indices of the samples in the sequence of the seed `[N]`.
        subfolder
            The folder for samples that have a file each.
        """

    def has_files(self, files: Sequence[str], class_index: int) -> bool:
        """Return whether an interrupted call has completed these files, so that they can be kept.

        Parameters
        ----------
        files
            As returned by `add`.
        class_index
            The class of all samples in the files.
        """

    def close(self) -> None:
        """Write what is not written yet."""

    def preview(self) -> PreviewImages | None:
        """Return the first images, or None for rows."""


class _ImageWriter:
    """Base of the writers of images: transforms the images and collects the preview."""

    def __init__(
        self,
        folder: Path,
        preprocessing: ImagePreprocessing,
        transform: str,
        seed: int,
        class_names: Sequence[str],
    ) -> None:
        self.folder, self.preprocessing, self.class_names = folder, preprocessing, class_names
        self._transform = get_seeded_transform(transform, seed)
        self._grid = PreviewGrid()

    def to_output(self, images: np.ndarray, classes: np.ndarray, indices: np.ndarray) -> np.ndarray:
        if images.dtype == np.float32 or (images.dtype == np.uint16 and images.shape[-1] == 3):
            images = self.preprocessing.to_uint8(images)  # PNG has no such pixels
        images = self._transform(images, classes, indices)
        self._grid.add(images, classes)
        return images

    def preview(self) -> PreviewImages:
        rows = self._grid.rows()
        indices = self._grid.classes() if self.class_names else ()
        classes = tuple(self.class_names[index] for index in indices)
        if rows.dtype == np.uint8:
            return PreviewImages(rows, classes)
        flat = self.preprocessing.to_uint8(rows.reshape(-1, *rows.shape[2:]))
        return PreviewImages(flat.reshape(*rows.shape[:2], *flat.shape[1:]), classes)


class PngWriter(_ImageWriter):
    """Writer of PNG files, one an image, named after its index."""

    def add(
        self, images: np.ndarray, classes: np.ndarray, indices: np.ndarray, subfolder: str
    ) -> list[str]:
        """Write each image to its file."""
        (self.folder / subfolder).mkdir(exist_ok=True)
        files = [Path(subfolder, f"{index:06d}.png").as_posix() for index in indices]
        for file, image in zip(files, self.to_output(images, classes, indices)):
            # Not atomic: a chunk is logged after all its files, and incomplete files are rewritten.
            with open(f"{self.folder}/{file}", "wb") as stream:
                stream.write(png_bytes(image, {"synthetic": "true"}, file))
        return files

    def has_files(self, files: Sequence[str], class_index: int) -> bool:
        """Return whether all files are complete PNG files, and the preview has enough images.

        A file is complete if it has the last bytes of a PNG file. While the preview has space for
        images of the class, the answer is False, so that these images are generated again.
        """
        return self._grid.is_full(class_index) and all(
            _is_complete_png(self.folder / file) for file in files
        )

    def close(self) -> None:
        """Do nothing."""


class NpzWriter(_ImageWriter):
    """Writer of `synthetic.npz` with `x` and, if there are classes, `y` and `class_names`.

    The pixels are those of the PNG files. `y` are indices into `class_names`, and
    `augan.load_dataset` reads the file.
    """

    def __init__(self, *shared: Any) -> None:
        super().__init__(*shared)
        self._x: list[np.ndarray] = []
        self._y: list[np.ndarray] = []

    def add(
        self, images: np.ndarray, classes: np.ndarray, indices: np.ndarray, subfolder: str
    ) -> list[str]:
        """Collect the images for `close`."""
        self._x.append(self.to_output(images, classes, indices))
        self._y.append(classes)
        return [SYNTHETIC_ARRAYS_FILE] * len(images)

    def has_files(self, files: Sequence[str], class_index: int) -> bool:
        """Return False, because an interrupted call has written nothing."""
        return False

    def close(self) -> None:
        """Write the file."""
        arrays: dict[str, Any] = {"x": np.concatenate(self._x)}
        if self.class_names:
            arrays["y"] = np.concatenate(self._y).astype(np.int64)
            arrays["class_names"] = np.array(self.class_names)
        np.savez_compressed(self.folder / SYNTHETIC_ARRAYS_FILE, **arrays)


class CsvWriter:
    """Writer of `synthetic.csv`, with the columns of the training table in order and type."""

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
        """Append rows to the file."""
        names = [self.class_names[c] for c in classes] if self.class_names else None
        frame = escape_frame(self.preprocessing.to_frame(rows, names))
        frame.to_csv(self.path, mode="a", header=self._is_new, index=False, lineterminator="\n")
        self._is_new = False
        return [self.path.name] * len(rows)

    def has_files(self, files: Sequence[str], class_index: int) -> bool:
        """Return False, because each call rewrites the file."""
        return False

    def close(self) -> None:
        """Do nothing."""

    def preview(self) -> None:
        """Return None."""


def open_writer(
    format: str,
    folder: Path,
    preprocessing: AnyPreprocessing,
    *,
    class_names: Sequence[str],
    transform: str = "none",
    seed: int = 0,
) -> SampleWriter:
    """Return the writer of a format of `resolve_format`.

    Parameters
    ----------
    class_names : sequence of str
        Names of the classes by index; empty without classes.
    transform : str
        Transform of images, see `augan.augment.transforms`.

    Raises
    ------
    ConfigError
        A transform was given for rows.
    """
    if isinstance(preprocessing, TabularPreprocessing):
        if transform != "none":
            raise ConfigError(
                f"the transform '{transform}' applies to images, but the samples are rows; "
                "leave it out"
            )
        return CsvWriter(folder, preprocessing, class_names)
    if format == "npz":
        return NpzWriter(folder, preprocessing, transform, seed, class_names)
    return PngWriter(folder, preprocessing, transform, seed, class_names)


def _is_complete_png(path: Path) -> bool:
    """Return whether a PNG file has its end; after a power cut, a file may have no content."""
    try:
        with open(path, "rb") as stream:
            stream.seek(-len(_PNG_END), os.SEEK_END)
            return stream.read() == _PNG_END
    except OSError:
        return False
