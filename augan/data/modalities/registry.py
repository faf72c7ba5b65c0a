"""Choice of the preprocessing by the modality of the data: images, tiles or rows."""

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
PreparedSamples = np.ndarray | ConcatRows | RaggedImages


def fit_preprocessing(
    dataset: Dataset,
    size: int | None = None,
    *,
    tiled: bool = False,
    rows: np.ndarray | None = None,
) -> AnyPreprocessing:
    """Return the preprocessing for a dataset, fitted on its samples.

    Parameters
    ----------
    size
        Side of prepared images or of windows, see `ImagePreprocessing.fit`; ignored for tables.
    tiled
        Whether networks take windows of images, which keep their scale.
    rows
        Of a table, the rows to fit on; None: all.
    """
    if isinstance(dataset.images, Table):
        return TabularPreprocessing.fit(dataset.images, rows)
    return TiledPreprocessing.fit(dataset, size) if tiled else ImagePreprocessing.fit(dataset, size)


def prepare_samples(
    images: np.ndarray | Sequence[np.ndarray] | Table, preprocessing: AnyPreprocessing
) -> np.ndarray | RaggedImages:
    """Return all samples prepared: images `[N, S, S, C]`, ragged images, or rows `[N, F]`.

    Raises
    ------
    DataError
        Images are given for the preprocessing of a table, or a table for that of images; or a
        sample does not fit.
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
        f"got {given}, but the model is one of {plural(preprocessing.sample_type)}{hint}"
    )


def training_samples(
    prepared: PreparedSamples, preprocessing: AnyPreprocessing
) -> tuple[np.ndarray | ConcatRows | SlidingWindows, RowsOf]:
    """Return the samples that networks train on, and a function from prepared to such rows.

    Networks train on the prepared samples, or on windows of large images.
    """
    if isinstance(prepared, RaggedImages):
        if not isinstance(preprocessing, TiledPreprocessing):
            raise DataError("got images of different sizes, but the model takes images of one size")
        windows = preprocessing.training_windows(prepared)
        return windows, windows.rows_of
    return prepared, np.asarray


def restore_preprocessing(values: Mapping[str, Any]) -> AnyPreprocessing:
    """Return the preprocessing that a bundle describes.

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
