"""Images, or the rows of a table, with what is known about them: names, labels, groups."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from augan.data.modalities.tables import Table, Target, as_frame, is_tabular
from augan.data.validation import as_groups, as_images, as_labels
from augan.exceptions import DataError
from augan.io.images import ImageHeader, read_header, read_image

MAX_SKIPPED = 0.1

SampleType = Literal["image", "row"]
Modality = Literal["images", "tiles", "rows"]
Skipped = tuple[tuple[str, str], ...]


def plural(sample_type: SampleType | str) -> str:
    """Return the plural of a sample type, for messages.

    Examples
    --------
    >>> plural("image"), plural("row")
    ('images', 'rows')
    """
    return f"{sample_type}s"


class ImageFiles(Sequence[np.ndarray]):
    """Image files that are decoded anew each time one is asked for.

    Parameters
    ----------
    root
        The folder that `names` are relative to.
    names
        Relative POSIX paths.
    headers
        What the files' headers say, where they were read already.
    """

    def __init__(
        self, root: Path, names: Sequence[str], headers: Sequence[ImageHeader] | None = None
    ) -> None:
        self.root = root
        self.names = tuple(names)
        self._headers = None if headers is None else tuple(headers)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> "ImageFiles": ...
    def __getitem__(self, index: int | slice) -> "np.ndarray | ImageFiles":
        if isinstance(index, slice):
            return self.at(range(len(self))[index])
        return read_image(self.root / self.names[index])

    def headers(self) -> list[ImageHeader]:
        """Return the header of every file, as it was when first read."""
        if self._headers is None:
            self._headers = tuple(read_header(self.root / name) for name in self.names)
        return list(self._headers)

    def at(self, rows: Iterable[int]) -> "ImageFiles":
        """Return the files at `rows`."""
        rows = list(rows)
        known = None if self._headers is None else [self._headers[row] for row in rows]
        return ImageFiles(self.root, [self.names[row] for row in rows], known)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images in a fixed order, with what is known about each.

    Attributes
    ----------
    name
        What to call it in reports.
    source
        Where it came from, or None for arrays in memory.
    images
        An array `[N, H, W, C]` of uint8, uint16 or float32, or `ImageFiles`, whose pictures
        `[H, W, C]` may differ in size; or a `Table` of N rows.
    names
        One per image: relative POSIX paths, or row numbers as text.
    labels
        int64 `[N]`, positions in `class_names`, or None. Two datasets may number the same classes
        differently: compare them by name.
    class_names
        Empty exactly when there are no labels.
    groups
        Text `[N]`, or None; images of one group must not be split up.
    skipped
        Files left out, each with the reason.
    unlabeled
        Images to learn from whose classes nobody has named, or None; without labels or groups that
        must be known. They are no part of N: the generator and the encoder train on them too, but
        nothing is tuned or calibrated on them.
    warnings
        What is odd about the data, in whole sentences.
    """

    name: str
    source: str | None
    images: np.ndarray | Sequence[np.ndarray] | Table
    names: tuple[str, ...]
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    groups: np.ndarray | None = None
    skipped: Skipped = ()
    unlabeled: "Dataset | None" = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.images)
        if isinstance(self.images, np.ndarray):
            _check_array(self.images)
        if len(self.names) != n:
            raise DataError(
                f"there are {n} {plural(self.sample_type)} but {len(self.names)} names; give one "
                "each"
            )
        if (self.labels is None) != (not self.class_names):
            raise DataError("labels and class names belong together: give both or neither")
        for what, values in (("labels", self.labels), ("groups", self.groups)):
            if values is not None and values.shape != (n,):
                raise DataError(f"{what} must have shape [{n}], but have {list(values.shape)}")
        if len(set(self.class_names)) != len(self.class_names):
            raise DataError(f"a class name occurs twice: {', '.join(self.class_names)}")
        if self.labels is not None:
            self._check_labels(self.labels)
        if self.unlabeled is not None and (
            self.unlabeled.labels is not None or self.unlabeled.unlabeled is not None
        ):
            raise DataError("the unlabeled images have labels, or unlabeled images of their own")

    def _check_labels(self, labels: np.ndarray) -> None:
        if labels.dtype != np.int64:
            raise DataError(f"labels must be int64, but are {labels.dtype}; use from_arrays")
        if labels.size and not 0 <= labels.min() <= labels.max() < self.num_classes:
            raise DataError(
                f"labels must lie in 0..{self.num_classes - 1}, one number per class name, but "
                f"reach from {labels.min()} to {labels.max()}"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def sample_type(self) -> SampleType:
        """The type of the samples: "image" or "row"."""
        return "row" if isinstance(self.images, Table) else "image"

    @property
    def pictures(self) -> np.ndarray | Sequence[np.ndarray]:
        """The images; DataError if the dataset is a table."""
        if isinstance(self.images, Table):
            raise DataError(f"{self.name} is a table, and its rows are no images")
        return self.images

    @property
    def num_classes(self) -> int:
        """The number of classes, 0 without labels."""
        return len(self.class_names)

    def subset(self, indices: Any) -> "Dataset":
        """Return the images at `indices` (integers, or booleans `[N]`), lazy ones still lazy.

        The unlabeled images stay beside them.
        """
        chosen = np.asarray(indices)
        chosen = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen.astype(np.int64)
        images = self.images
        if isinstance(images, np.ndarray):
            images = images[chosen]
        elif isinstance(images, Table):
            images = images.take(chosen)
        elif isinstance(images, ImageFiles):
            images = images.at(chosen)
        else:
            images = [images[int(i)] for i in chosen]
        return replace(
            self,
            images=images,
            names=tuple(self.names[i] for i in chosen),
            labels=None if self.labels is None else self.labels[chosen],
            groups=None if self.groups is None else self.groups[chosen],
        )

    def without_unlabeled(self) -> "Dataset":
        """Return the same images without the unlabeled ones beside them."""
        return self if self.unlabeled is None else replace(self, unlabeled=None)

    @property
    def num_unlabeled(self) -> int:
        """The number of unlabeled images beside these."""
        return 0 if self.unlabeled is None else len(self.unlabeled)

    def headers(self) -> list[ImageHeader]:
        """Return size, channels and type of every image, without decoding files."""
        pictures = self.pictures
        if isinstance(pictures, ImageFiles):
            return pictures.headers()
        if isinstance(pictures, np.ndarray):
            return [_array_header(pictures.shape[1:], pictures.dtype)] * len(self)
        return [_array_header(image.shape, image.dtype) for image in pictures]


def from_arrays(
    x: Any,
    y: Any = None,
    *,
    name: str = "array",
    groups: Any = None,
    class_names: Sequence[str] | None = None,
    unlabeled: Any = None,
) -> Dataset:
    """Make a dataset of arrays in memory; uint8, uint16 and float32 pixels are not copied.

    Parameters
    ----------
    x
        Images `[N, H, W]` or `[N, H, W, C]`, C is 1 or 3: uint8, uint16, floating point, or
        other integers and booleans that fit. Or a table: a DataFrame, or an array `[N, F]` of
        numbers, a column each.
    y
        One label per image, integers or text, or None.
    name
        What to call the dataset in reports.
    groups
        One name or number per image, or None.
    class_names
        The classes that `y` refers to by position or name; by default the distinct values of `y`.
    unlabeled
        More images, of classes that nobody has named, in the form of `x`; or None. Their size
        may differ from that of `x`.

    Raises
    ------
    DataError
        The arrays cannot be used; the message says what came and what was expected.

    Examples
    --------
    >>> dataset = from_arrays(np.zeros((2, 8, 8), np.uint8), ["cat", "ant"])
    >>> dataset.class_names, dataset.labels.tolist()
    (('ant', 'cat'), [1, 0])
    """
    if y is None and class_names is not None:
        raise DataError("class_names came without labels; give y too, or leave class_names out")
    images = Table(as_frame(x)) if is_tabular(x) else as_images(x)
    n = len(images)
    labels, names = (None, ()) if y is None else as_labels(y, n, class_names)
    if isinstance(images, Table) and y is not None:
        images = replace(images, target=_target_of(y, images))
    return Dataset(
        name=name,
        source=None,
        images=images,
        names=tuple(str(row) for row in range(n)),
        labels=labels,
        class_names=names,
        groups=None if groups is None else as_groups(groups, n),
        unlabeled=None if unlabeled is None else _unlabeled(unlabeled, name),
    )


def _unlabeled(x: Any, name: str) -> Dataset:
    try:
        return from_arrays(x, name=f"unlabeled images of {name}")
    except DataError as error:
        raise DataError(f"unlabeled images: {error}") from error


def _target_of(y: Any, table: Table) -> Target:
    """How the labels of a table are written beside its columns: last, and by their own name."""
    taken = set(table.frame.columns)
    name = str(getattr(y, "name", None) or "y")
    while name in taken:
        name = f"{name}_"
    return Target(name, len(taken), str(getattr(y, "dtype", np.asarray(y).dtype)))


def _array_header(shape: tuple[int, ...], dtype: np.dtype) -> ImageHeader:
    height, width, channels = shape
    return ImageHeader(height, width, channels, str(dtype))


def _check_array(images: np.ndarray) -> None:
    fits = images.ndim == 4 and images.shape[-1] in (1, 3)
    if not fits or images.dtype not in (np.uint8, np.uint16, np.float32):
        raise DataError(
            f"images must be [N, H, W, C] of uint8, uint16 or float32, but are {images.dtype} "
            f"{list(images.shape)}; use from_arrays"
        )


def check_skipped(skipped: Skipped, total: int) -> None:
    """Refuse to go on when more than a tenth of all files could not be read.

    Raises
    ------
    DataError
        Names up to three of the files, each with its reason.
    """
    if len(skipped) > MAX_SKIPPED * total:
        shown = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
        raise DataError(
            f"{len(skipped)} of {total} image files cannot be read, more than "
            f"{MAX_SKIPPED:.0%} ({shown}); repair or remove them"
        )


Classes = str | int | Sequence[str | int]  # by name or number, one or several


def as_class_names(classes: Classes) -> list[str]:
    """Return classes as `resolve_class` takes them."""
    return [str(c) for c in ([classes] if isinstance(classes, str | int) else classes)]


def resolve_class(name: str, class_names: Sequence[str]) -> int:
    """Return the position of a class that is given by name or, failing that, by number.

    Raises
    ------
    DataError
        There is no such class; the message names those that there are.
    """
    if name in class_names:
        return class_names.index(name)
    if name.isdecimal() and int(name) < len(class_names):
        return int(name)
    close = difflib.get_close_matches(name, class_names, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    known = ", ".join(class_names) or "none"
    raise DataError(f"there is no class '{name}'; the classes are: {known}{hint}")
