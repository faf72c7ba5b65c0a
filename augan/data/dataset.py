"""Datasets: images or table rows with names, labels and groups; lookup of classes by name."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from augan.data.modalities.tables import Table, Target, as_frame, is_tabular
from augan.data.sequences import ImageFiles
from augan.data.validation import check_groups, check_images, check_labels
from augan.exceptions import ConfigError, DataError
from augan.io.images import ImageHeader
from augan.io.unicode_forms import find_name

MAX_SKIPPED_FRACTION = 0.1  # of all files

SampleType = Literal["image", "row"]
Modality = Literal["images", "tiles", "rows"]
Samples = np.ndarray | Sequence[np.ndarray] | Table
Skipped = tuple[tuple[str, str], ...]


def plural(sample_type: SampleType | str) -> str:
    """Return the plural of a sample type, for messages to the user.

    Examples
    --------
    >>> plural("image"), plural("row")
    ('images', 'rows')
    """
    return f"{sample_type}s"


def type_of_samples(samples: Samples) -> SampleType:
    """Return the type of the samples of a dataset: "row" for a `Table`, else "image"."""
    return "row" if isinstance(samples, Table) else "image"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images or table rows in a fixed order, with their names, labels and groups.

    Attributes
    ----------
    name : str
        The name of the dataset in reports.
    source : str or None
        Path or origin of the data; None for arrays in memory.
    images : ndarray, sequence of ndarray, or Table
        An array `[N, H, W, C]` of uint8, uint16 or float32; `ImageFiles` or another sequence, whose
        images `[H, W, C]` may differ in size; or a `Table` of N rows.
    names : tuple of str
        One name per sample: a relative POSIX path, or the row number as text.
    labels : ndarray or None
        int64 `[N]`, positions in `class_names`; None (default): no labels. Two datasets may number
        the same classes differently: compare classes by name.
    class_names : tuple of str
        Distinct names of the classes; empty exactly if there are no labels.
    groups : ndarray or None
        Text `[N]`: samples of one group stay in one split. None (default): every sample is a group
        of its own.
    skipped : tuple of (name, reason)
        Images that were left out because they cannot be read.
    not_looked_at : tuple of (name, reason)
        Files of the folder that are not part of the dataset, and why, such as a camera raw image.
    unlabeled : Dataset or None
        Training samples without labels, which do not count in N. The generator and the encoder
        train on these samples, except for the task "detect", which leaves them out, because they
        may be anomalous. The validation and calibration splits never contain them. Their groups may
        be empty text. None (default): no such samples.
    warnings : tuple of str
        Unusual properties of the data, in full sentences for the user.
    loading : mapping of str to str or bool
        Options of `load_dataset` besides the path that load the same data again: `labels`,
        `label_column`, `path_column` and `follow_links`, as far as they were given.

    Raises
    ------
    DataError
        Shapes or types are invalid, lengths differ, a label is no position in `class_names`, or
        `unlabeled` has labels.
    """

    name: str
    source: str | None
    images: Samples
    names: tuple[str, ...]
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    groups: np.ndarray | None = None
    skipped: Skipped = ()
    not_looked_at: Skipped = ()
    unlabeled: "Dataset | None" = None
    warnings: tuple[str, ...] = ()
    loading: Mapping[str, Any] = field(default_factory=dict)

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
        for name, values in (("labels", self.labels), ("groups", self.groups)):
            if values is not None and values.shape != (n,):
                raise DataError(f"{name} must have shape [{n}], but have {list(values.shape)}")
        if len(set(self.class_names)) != len(self.class_names):
            raise DataError(f"a class name occurs twice: {', '.join(self.class_names)}")
        if self.labels is not None:
            self._check_labels(self.labels)
        if self.unlabeled is not None and (
            self.unlabeled.labels is not None or self.unlabeled.unlabeled is not None
        ):
            raise DataError("the unlabeled images have labels, or unlabeled images of their own")

    def _check_labels(self, labels: np.ndarray) -> None:
        """Raise DataError unless the labels are int64 and each is a position in `class_names`."""
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
        """The kind of the samples: "image", or "row" if the dataset is a table."""
        return type_of_samples(self.images)

    def require_images(self, message: str | None = None) -> np.ndarray | Sequence[np.ndarray]:
        """Return `images` for code that handles images only.

        Raises
        ------
        DataError
            The dataset is a table; the text is `message` if it is not None.
        """
        if isinstance(self.images, Table):
            raise DataError(message or f"{self.name} is a table, but images are needed")
        return self.images

    def require_table(self, message: str | None = None) -> Table:
        """Return `images` for code that handles tables only.

        Raises
        ------
        DataError
            The dataset holds images; the text is `message` if it is not None.
        """
        if not isinstance(self.images, Table):
            raise DataError(message or f"{self.name} holds images, but a table is needed")
        return self.images

    @property
    def num_classes(self) -> int:
        """The number of class names; 0 for a dataset without labels."""
        return len(self.class_names)

    def subset(self, indices: Any) -> "Dataset":
        """Return a dataset of the chosen samples; unlabeled samples and `skipped` are all kept.

        Image files are not decoded.

        Parameters
        ----------
        indices : array-like
            Positions of the samples, integers in any order, or booleans `[N]`.
        """
        rows = np.asarray(indices)
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.int64)
        images = self.images
        if isinstance(images, np.ndarray):
            images = images[rows]
        elif isinstance(images, Table):
            images = images.take(rows)
        elif isinstance(images, ImageFiles):
            images = images.at(rows)
        else:
            images = [images[int(i)] for i in rows]
        return replace(
            self,
            images=images,
            names=tuple(self.names[i] for i in rows),
            labels=None if self.labels is None else self.labels[rows],
            groups=None if self.groups is None else self.groups[rows],
        )

    def without_unlabeled(self) -> "Dataset":
        """Return the same dataset with `unlabeled` set to None, to train on labeled samples."""
        return self if self.unlabeled is None else replace(self, unlabeled=None)

    @property
    def num_unlabeled(self) -> int:
        """The number of training samples without labels, 0 if `unlabeled` is None."""
        return 0 if self.unlabeled is None else len(self.unlabeled)

    def headers(self) -> list[ImageHeader]:
        """Return size, channels and type of every image, without decoding pixels of files.

        Raises
        ------
        DataError
            The dataset is a table, or a file cannot be read.
        """
        images = self.require_images()
        if isinstance(images, ImageFiles):
            return images.headers()
        if isinstance(images, np.ndarray):
            return [_array_header(images.shape[1:], images.dtype)] * len(self)
        return [_array_header(image.shape, image.dtype) for image in images]


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
    x : array-like or DataFrame
        Images `[N, H, W]` or `[N, H, W, C]`, C is 1 or 3: uint8, uint16, floating point, or other
        integers and booleans that fit. Or a table: a DataFrame, or an array `[N, F]` of numbers,
        one column per feature.
    y : array-like or None
        One label per sample, integers or text; None (default): no labels.
    name : str
        The name of the dataset in reports.
    groups : array-like or None
        One name or number per sample: samples of one group stay in one split. None (default): every
        sample is a group of its own.
    class_names : sequence of str or None
        The classes that `y` refers to by position or name; None (default): the distinct values of
        `y`.
    unlabeled : array-like, DataFrame or None
        More samples, without labels, in the form of `x`; images may have another size than those of
        `x`. None (default): none.

    Raises
    ------
    DataError
        The arrays cannot be used; the message says what was expected and what was passed.

    Examples
    --------
    >>> dataset = from_arrays(np.zeros((2, 8, 8), np.uint8), ["cat", "ant"])
    >>> dataset.class_names, dataset.labels.tolist()
    (('ant', 'cat'), [1, 0])
    """
    if y is None and class_names is not None:
        raise DataError(
            "class_names was given without labels; give y too, or leave class_names out"
        )
    images = Table(as_frame(x)) if is_tabular(x) else check_images(x)
    n = len(images)
    labels, names = (None, ()) if y is None else check_labels(y, n, class_names)
    if isinstance(images, Table) and y is not None:
        images = replace(images, target=_target_of(y, images))
    return Dataset(
        name=name,
        source=None,
        images=images,
        names=tuple(str(row) for row in range(n)),
        labels=labels,
        class_names=names,
        groups=None if groups is None else check_groups(groups, n),
        unlabeled=None if unlabeled is None else _unlabeled_dataset(unlabeled, name),
    )


def _unlabeled_dataset(x: Any, name: str) -> Dataset:
    """Make a dataset of the samples without labels that belong to the dataset called `name`."""
    try:
        return from_arrays(x, name=f"unlabeled images of {name}")
    except DataError as error:
        raise DataError(f"unlabeled images: {error}") from error


def _target_of(y: Any, table: Table) -> Target:
    """Describe labels that were passed apart from a table as the last column of that table.

    The column has the name of `y` (a pandas Series) or "y", with "_" appended while the table has a
    column of that name. Generated tables get a column like this.
    """
    taken = set(table.frame.columns)
    name = str(getattr(y, "name", None) or "y")
    while name in taken:
        name = f"{name}_"
    return Target(name, len(taken), str(getattr(y, "dtype", np.asarray(y).dtype)))


def _array_header(shape: tuple[int, ...], dtype: np.dtype) -> ImageHeader:
    """Return the header of an image `[H, W, C]` in memory."""
    height, width, channels = shape
    return ImageHeader(height, width, channels, str(dtype))


def _check_array(images: np.ndarray) -> None:
    """Raise DataError unless images are `[N, H, W, C]`, C 1 or 3, of uint8, uint16 or float32."""
    fits = images.ndim == 4 and images.shape[-1] in (1, 3)
    if not fits or images.dtype not in (np.uint8, np.uint16, np.float32):
        raise DataError(
            f"images must be [N, H, W, C] of uint8, uint16 or float32, but are {images.dtype} "
            f"{list(images.shape)}; use from_arrays"
        )


def check_skipped(skipped: Skipped, total: int) -> None:
    """Raise DataError if more than a tenth of the image files of a folder could not be read.

    Parameters
    ----------
    skipped : tuple of (name, reason)
        The unreadable files.
    total : int
        Number of all files, readable or not.

    Raises
    ------
    DataError
        The message names up to three files, each with the reason.
    """
    if len(skipped) > MAX_SKIPPED_FRACTION * total:
        shown = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
        raise DataError(
            f"{len(skipped)} of {total} image files cannot be read, more than "
            f"{MAX_SKIPPED_FRACTION:.0%} ({shown}); repair or remove them"
        )


Classes = str | int | Sequence[str | int]  # one class or several, each a name or a number


def as_class_names(classes: Classes) -> list[str]:
    """Return one class or several, each a name or a number, as a list of texts.

    Numbers may be of any integer type, and several classes any iterable of classes.

    Raises
    ------
    ConfigError
        A class is neither a name nor a whole number, or its name is empty.

    Examples
    --------
    >>> as_class_names(3), as_class_names(["cat", 0])
    (['3'], ['cat', '0'])
    """
    is_several = isinstance(classes, Iterable) and not isinstance(classes, str | bytes | Mapping)
    names: list[Any] = list(classes) if is_several else [classes]  # type: ignore[arg-type]
    for name in names:
        is_number = isinstance(name, int | np.integer) and not isinstance(name, bool)
        if not name if isinstance(name, str) else not is_number:
            raise ConfigError(
                f"a class must be a name or a whole number, but is {name!r}; give one class or a "
                "list of classes, such as ['cat', 'dog']"
            )
    return [str(name) for name in names]


def resolve_class(name: str, class_names: Sequence[str]) -> int:
    """Find a class that the user gave by its name or by its number.

    Parameters
    ----------
    name : str
        Name of a class, in any Unicode form, or its position in `class_names` as text. If a class
        is named by a number, a number is always a name: 3 is not the fourth of the classes 1 2 5.
    class_names : sequence of str
        The classes of the bundle or dataset.

    Returns
    -------
    int
        The position in `class_names`.

    Raises
    ------
    DataError
        There is no such class; the message lists all classes and suggests the most similar name.
    """
    found = find_name(name, class_names)
    if found is not None:
        return class_names.index(found)
    has_numbers = any(_is_number(other) for other in class_names)
    if name.isdecimal() and int(name) < len(class_names) and not has_numbers:
        return int(name)
    close = difflib.get_close_matches(name, class_names, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    available = ", ".join(class_names) or "none"
    raise DataError(f"there is no class '{name}'; the classes are: {available}{hint}")


def _is_number(name: str) -> bool:
    """Whether the name of a class is a number, such as 10, -1 or 2.5."""
    try:
        float(name)
    except ValueError:
        return False
    return True
