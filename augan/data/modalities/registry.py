"""The one preprocessing that fits the data: of images, of large ones, or of a table's rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from augan.data.dataset import Dataset
from augan.data.modalities.images import Preprocessing
from augan.data.modalities.tables import Table
from augan.data.modalities.tabular import Columns
from augan.data.modalities.tiles import Patches
from augan.data.sequences import Pictures, Stacked, Windows
from augan.exceptions import DataError

AnyPreprocessing = Preprocessing | Columns
RowsOf = Callable[[np.ndarray], np.ndarray]
Stored = np.ndarray | Stacked | Pictures  # squares or rows, perhaps of two arrays; large images


def fit_preprocessing(
    dataset: Dataset,
    size: int | None = None,
    *,
    patches: bool = False,
    rows: np.ndarray | None = None,
) -> AnyPreprocessing:
    """Learn from a dataset how its samples become what a network takes.

    Parameters
    ----------
    size
        Side of the square that images become, see `Preprocessing.fit`; tables have none.
    patches
        Whether images keep their scale and are seen through windows; then `size` is theirs.
    rows
        Of a table, those to learn from; None: all.
    """
    if isinstance(dataset.images, Table):
        return Columns.fit(dataset.images, rows)
    return Patches.fit(dataset, size) if patches else Preprocessing.fit(dataset, size)


def stored_samples(
    images: np.ndarray | Sequence[np.ndarray] | Table, preprocessing: AnyPreprocessing
) -> np.ndarray | Pictures:
    """Return all samples as stored: squares `[N, S, S, C]`, pictures, or rows `[N, F]` of a table.

    Raises
    ------
    DataError
        Images met the preprocessing of a table, or a table that of images; or a sample does not
        fit.
    """
    if isinstance(images, Table) and isinstance(preprocessing, Columns):
        return preprocessing.materialise(images)
    if not isinstance(images, Table) and isinstance(preprocessing, Patches):
        return Pictures([preprocessing.to_picture(image) for image in images])
    if not isinstance(images, Table) and isinstance(preprocessing, Preprocessing):
        return preprocessing.materialise(images)
    given = "a table" if isinstance(images, Table) else "images"
    hint = "; rows of pixels become images by image_shape" if given == "a table" else ""
    raise DataError(f"{given} came, but the model is one of {preprocessing.noun}{hint}")


def training_samples(
    stored: Stored, preprocessing: AnyPreprocessing
) -> tuple[np.ndarray | Stacked | Windows, RowsOf]:
    """Return what networks train on, and a function from rows of `stored` to rows of that.

    These are the stored samples themselves, or the windows on large images.
    """
    if isinstance(stored, Pictures):
        if not isinstance(preprocessing, Patches):
            raise DataError("pictures of any size came, but the model takes squares")
        windows = preprocessing.training_windows(stored)
        return windows, windows.rows_of
    return stored, np.asarray


def restore_preprocessing(values: Mapping[str, Any]) -> AnyPreprocessing:
    """Rebuild the preprocessing that a bundle holds.

    Raises
    ------
    DataError
        A field is missing, unknown, or of the wrong type or value.
    """
    if isinstance(values, Mapping) and values.get("kind") == Patches.kind:
        return Patches.from_dict(values)
    kind = Columns if sample_noun(values) == Columns.noun else Preprocessing
    return kind.from_dict(values)


def sample_noun(values: Mapping[str, Any]) -> str:
    """Return what a bundle with this preprocessing is of: "images" or "rows"."""
    is_table = isinstance(values, Mapping) and values.get("kind") == Columns.noun
    return Columns.noun if is_table else Preprocessing.noun
