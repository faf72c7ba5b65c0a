"""The one preprocessing that fits the data: of images, of large ones, or of a table's rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from augan.data.dataset import Dataset, SampleType, plural
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.tables import Table
from augan.data.modalities.tabular import TabularPreprocessing
from augan.data.modalities.tiles import TiledPreprocessing
from augan.data.sequences import ConcatRows, RaggedImages, SlidingWindows
from augan.exceptions import DataError

AnyPreprocessing = ImagePreprocessing | TabularPreprocessing
RowsOf = Callable[[np.ndarray], np.ndarray]
PreparedSamples = (
    np.ndarray | ConcatRows | RaggedImages
)  # squares or rows, perhaps of two arrays; large images


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
        Side of the square that images become, see `ImagePreprocessing.fit`; tables have none.
    patches
        Whether images keep their scale and are seen through windows; then `size` is theirs.
    rows
        Of a table, those to learn from; None: all.
    """
    if isinstance(dataset.images, Table):
        return TabularPreprocessing.fit(dataset.images, rows)
    return (
        TiledPreprocessing.fit(dataset, size) if patches else ImagePreprocessing.fit(dataset, size)
    )


def prepare_samples(
    images: np.ndarray | Sequence[np.ndarray] | Table, preprocessing: AnyPreprocessing
) -> np.ndarray | RaggedImages:
    """Return all samples as stored: squares `[N, S, S, C]`, pictures, or rows `[N, F]` of a table.

    Raises
    ------
    DataError
        Images met the preprocessing of a table, or a table that of images; or a sample does not
        fit.
    """
    if isinstance(images, Table) and isinstance(preprocessing, TabularPreprocessing):
        return preprocessing.prepare_all(images)
    if not isinstance(images, Table) and isinstance(preprocessing, TiledPreprocessing):
        return RaggedImages([preprocessing.prepare_ragged(image) for image in images])
    if not isinstance(images, Table) and isinstance(preprocessing, ImagePreprocessing):
        return preprocessing.prepare_all(images)
    given = "a table" if isinstance(images, Table) else "images"
    hint = "; rows of pixels become images by image_shape" if given == "a table" else ""
    raise DataError(
        f"{given} came, but the model is one of {plural(preprocessing.sample_type)}{hint}"
    )


def training_samples(
    stored: PreparedSamples, preprocessing: AnyPreprocessing
) -> tuple[np.ndarray | ConcatRows | SlidingWindows, RowsOf]:
    """Return what networks train on, and a function from rows of `stored` to rows of that.

    These are the stored samples themselves, or the windows on large images.
    """
    if isinstance(stored, RaggedImages):
        if not isinstance(preprocessing, TiledPreprocessing):
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
    modality = values.get("modality") if isinstance(values, Mapping) else None
    if modality == TiledPreprocessing.modality:
        return TiledPreprocessing.from_dict(values)
    if modality == TabularPreprocessing.modality:
        return TabularPreprocessing.from_dict(values)
    return ImagePreprocessing.from_dict(values)


def sample_type_of(values: Mapping[str, Any]) -> SampleType:
    """Return the sample type of a bundle with this preprocessing: "image" or "row"."""
    modality = values.get("modality") if isinstance(values, Mapping) else None
    return "row" if modality == TabularPreprocessing.modality else "image"
