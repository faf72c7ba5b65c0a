"""The first images of each class, for a picture to look at: a row a class."""

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
from augan.io.csv_safety import safe_frame
from augan.io.images import png_bytes
from augan.io.layout import SYNTHETIC_ARRAYS_FILE, SYNTHETIC_TABLE_FILE

COLUMNS = 10  # images in a row
MAX_CLASSES = 12  # that have a row
MAX_SINGLE_CLASS = 40  # images of a class that is the only one


class PreviewGrid:
    """Keeps the first images of the first classes that come.

    Examples
    --------
    >>> first = FirstImages()
    >>> first.add(np.zeros((50, 8, 8, 1), np.uint8), np.repeat([3, 1], 25))
    >>> first.rows().shape
    (2, 10, 8, 8, 1)
    """

    def __init__(self) -> None:
        self._kept: dict[int, list[np.ndarray]] = {}

    def add(self, images: np.ndarray, classes: np.ndarray) -> None:
        """Keep those of images `[N, H, W, C]`, of classes `[N]`, that there is room for."""
        for index in dict.fromkeys(classes.tolist()):
            kept = self._kept.get(index, [])
            room = self._most(index) - len(kept)
            if room > 0:
                self._kept[index] = [*kept, *images[classes == index][:room]]

    def is_full(self, index: int) -> bool:
        """Return whether no more images of class `index` are wanted."""
        return len(self._kept.get(index, ())) >= self._most(index)

    def _most(self, index: int) -> int:
        order = list(self._kept)
        if index not in order:
            order.append(index)
        place = order.index(index)
        return 0 if place >= MAX_CLASSES else COLUMNS if place else MAX_SINGLE_CLASS

    def classes(self) -> list[int]:
        """Return the numbers of the classes that have images, in order."""
        return sorted(self._kept)

    def rows(self) -> np.ndarray:
        """Return `[R, COLUMNS or fewer, H, W, C]`, in the order of class numbers.

        Of one class all images, row by row. Where there are too few, the rest of a row is black.
        """
        parts = [self._kept[index] for index in self.classes()]
        if len(parts) == 1:
            parts = [
                parts[0][start : start + COLUMNS] for start in range(0, MAX_SINGLE_CLASS, COLUMNS)
            ]
            parts = [part for part in parts if part]
        columns = min(COLUMNS, max(map(len, parts)))
        blank = np.zeros_like(parts[0][0])
        return np.stack([np.stack([*part, *[blank] * columns][:columns]) for part in parts])


_PNG_END = b"IEND\xaeB`\x82"
FORMATS = {"image": ("png", "npz"), "row": ("csv",)}  # of each kind of sample, the default first


def resolve_format(name: str | None, sample_type: str) -> str:
    """Return the format to write, by default the usual one.

    Raises
    ------
    ConfigError
        Samples of this kind, "image" or "row", cannot be written so.
    """
    samples = plural(sample_type)
    if name is None:
        return FORMATS[sample_type][0]
    if name not in FORMATS[sample_type]:
        raise ConfigError(
            f"{samples} cannot be written as {name!r}; choose --format "
            f"{' or '.join(FORMATS[sample_type])}"
        )
    return name


class PreviewImages(NamedTuple):
    """The first images, uint8 `[rows, columns, H, W, C]`, and the classes that are in them.

    Of several classes each has a row, in this order; without classes there is no name.
    """

    images: np.ndarray
    classes: tuple[str, ...]


class SampleWriter(Protocol):
    """Takes generated samples a block at a time."""

    def add(
        self, samples: np.ndarray, classes: np.ndarray, indices: np.ndarray, below: str
    ) -> list[str]:
        """Take samples, and return the file of each, relative to the folder.

        Parameters
        ----------
        samples
            Of stored type, images in their native size.
        classes, indices
            `[N]`, the class number of each and its place in what the seed gives.
        below
            The folder that files of their own go into.
        """

    def has(self, files: Sequence[str], index: int) -> bool:
        """Return whether these files of an earlier call, of class `index`, are whole."""

    def close(self) -> None:
        """Write what is not written yet."""

    def gallery(self) -> PreviewImages | None:
        """Return the first images, or None."""


class _Images:
    """What writers of images share: the pixels as written, the first kept for a picture."""

    def __init__(
        self,
        folder: Path,
        preprocessing: ImagePreprocessing,
        policy: str,
        seed: int,
        class_names: Sequence[str],
    ) -> None:
        self.folder, self.preprocessing, self.class_names = folder, preprocessing, class_names
        self._transform = get_seeded_transform(policy, seed)
        self._first = PreviewGrid()

    def shown(self, images: np.ndarray, classes: np.ndarray, indices: np.ndarray) -> np.ndarray:
        if images.dtype == np.float32 or (images.dtype == np.uint16 and images.shape[-1] == 3):
            images = self.preprocessing.to_uint8(images)  # PNG knows no such pixels
        images = self._transform(images, classes, indices)
        self._first.add(images, classes)
        return images

    def gallery(self) -> PreviewImages:
        rows = self._first.rows()
        numbers = self._first.classes() if self.class_names else ()
        classes = tuple(self.class_names[number] for number in numbers)
        if rows.dtype == np.uint8:
            return PreviewImages(rows, classes)
        flat = self.preprocessing.to_uint8(rows.reshape(-1, *rows.shape[2:]))
        return PreviewImages(flat.reshape(*rows.shape[:2], *flat.shape[1:]), classes)


class PngWriter(_Images):
    """One PNG file an image, named after its index."""

    def add(
        self, images: np.ndarray, classes: np.ndarray, indices: np.ndarray, below: str
    ) -> list[str]:
        """Write each image to a file of its own."""
        (self.folder / below).mkdir(exist_ok=True)
        files = [Path(below, f"{index:06d}.png").as_posix() for index in indices]
        for file, image in zip(files, self.shown(images, classes, indices)):
            # In place: a chunk counts once all its files are written, and is written again if not.
            with open(f"{self.folder}/{file}", "wb") as stream:
                stream.write(png_bytes(image, {"synthetic": "true"}, file))
        return files

    def has(self, files: Sequence[str], index: int) -> bool:
        """Look at the end of each file; the first images are made again for the picture."""
        return self._first.is_full(index) and all(_is_whole(self.folder / f) for f in files)

    def close(self) -> None:
        """All files are written already."""


class NpzWriter(_Images):
    """One file `synthetic.npz` with `x` and, where there are classes, `y` and `class_names`.

    The pixels are those that the PNG files would have. `y` counts in `class_names`, and
    `augan.load_dataset` reads the file.
    """

    def __init__(self, *shared: Any) -> None:
        super().__init__(*shared)
        self._x: list[np.ndarray] = []
        self._y: list[np.ndarray] = []

    def add(
        self, images: np.ndarray, classes: np.ndarray, indices: np.ndarray, below: str
    ) -> list[str]:
        """Keep the images until all are there."""
        self._x.append(self.shown(images, classes, indices))
        self._y.append(classes)
        return [SYNTHETIC_ARRAYS_FILE] * len(images)

    def has(self, files: Sequence[str], index: int) -> bool:
        """Nothing is written before the end."""
        return False

    def close(self) -> None:
        """Write the file."""
        arrays: dict[str, Any] = {"x": np.concatenate(self._x)}
        if self.class_names:
            arrays["y"] = np.concatenate(self._y).astype(np.int64)
            arrays["class_names"] = np.array(self.class_names)
        np.savez_compressed(self.folder / SYNTHETIC_ARRAYS_FILE, **arrays)


class CsvWriter:
    """One file `synthetic.csv`: the training table's columns, in their order and types."""

    def __init__(
        self, folder: Path, preprocessing: TabularPreprocessing, class_names: Sequence[str]
    ) -> None:
        self.path, self.preprocessing = folder / SYNTHETIC_TABLE_FILE, preprocessing
        self.class_names = class_names
        self.path.unlink(missing_ok=True)  # a part of it, left by a call that was interrupted
        self._is_new = True

    def add(
        self, rows: np.ndarray, classes: np.ndarray, indices: np.ndarray, below: str
    ) -> list[str]:
        """Append rows to the file."""
        names = [self.class_names[c] for c in classes] if self.class_names else None
        frame = safe_frame(self.preprocessing.to_frame(rows, names))
        frame.to_csv(self.path, mode="a", header=self._is_new, index=False, lineterminator="\n")
        self._is_new = False
        return [self.path.name] * len(rows)

    def has(self, files: Sequence[str], index: int) -> bool:
        """The file begins anew."""
        return False

    def close(self) -> None:
        """All rows are written already."""

    def gallery(self) -> None:
        """There is no picture of a table."""


def open_writer(
    format: str,
    folder: Path,
    preprocessing: AnyPreprocessing,
    *,
    class_names: Sequence[str],
    policy: str = "none",
    seed: int = 0,
) -> SampleWriter:
    """Return the writer of a format that `resolve_format` chose.

    Parameters
    ----------
    class_names : sequence of str
        What class numbers mean; empty without classes.
    policy : str
        Classic augmentation of images, see `augan.augment.transforms`.
    """
    if isinstance(preprocessing, TabularPreprocessing):
        if policy != "none":
            raise ConfigError(f"the policy '{policy}' changes images; rows have none: leave it out")
        return CsvWriter(folder, preprocessing, class_names)
    if format == "npz":
        return NpzWriter(folder, preprocessing, policy, seed, class_names)
    return PngWriter(folder, preprocessing, policy, seed, class_names)


def _is_whole(path: Path) -> bool:
    """Whether a PNG file has its end: a power cut may leave a name without content."""
    try:
        with open(path, "rb") as stream:
            stream.seek(-len(_PNG_END), os.SEEK_END)
            return stream.read() == _PNG_END
    except OSError:
        return False
