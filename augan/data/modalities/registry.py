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
    """Choose the preprocessing for the modality of a dataset, and fit it on the samples.

    Parameters
    ----------
    dataset : Dataset
        The training samples.
    size : int or None
        Side of prepared images, or of windows if `tiled`; None (default): from the data, see
        `ImagePreprocessing.fit` and `TiledPreprocessing.fit`. Ignored for tables.
    tiled : bool
        Whether images keep their scale and the networks take windows of them (default: False).
        Ignored for tables.
    rows : ndarray or None
        Of a table, indices of the rows to fit on; None (default): all. Ignored for images.

    Raises
    ------
    DataError
        The samples cannot be used, or `size` is impossible.
    """
    if isinstance(dataset.images, Table):
        return TabularPreprocessing.fit(dataset.images, rows)
    return TiledPreprocessing.fit(dataset, size) if tiled else ImagePreprocessing.fit(dataset, size)


def prepare_samples(
    images: np.ndarray | Sequence[np.ndarray] | Table, preprocessing: AnyPreprocessing
) -> np.ndarray | RaggedImages:
    """Convert samples to the form of the training samples, before normalization to -1..1.

    Parameters
    ----------
    images : ndarray, sequence of ndarray, or Table
        The `images` of a dataset.
    preprocessing : ImagePreprocessing or TabularPreprocessing
        The fitted preprocessing.

    Returns
    -------
    ndarray or RaggedImages
        Images `[N, S, S, C]`, ragged images for a `TiledPreprocessing`, or rows of a table `[N,
        F]`.

    Raises
    ------
    DataError
        Images are given for the preprocessing of a table, or a table for that of images; or a
        sample does not fit the preprocessing.
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
    """Return the samples that the networks train on: prepared samples, or windows of large images.

    Parameters
    ----------
    prepared : ndarray, ConcatRows or RaggedImages
        Prepared samples; `RaggedImages` need a `TiledPreprocessing`.
    preprocessing : ImagePreprocessing or TabularPreprocessing
        The fitted preprocessing.

    Returns
    -------
    samples : ndarray, ConcatRows or SlidingWindows
        The samples of the networks.
    rows_of : callable
        Maps an array of indices in `prepared` to the indices of the samples made from them, for
        example from the training split of images to the windows of these images.

    Raises
    ------
    DataError
        `prepared` are images of different sizes, and the preprocessing makes images of one size.
    """
    if isinstance(prepared, RaggedImages):
        if not isinstance(preprocessing, TiledPreprocessing):
            raise DataError("got images of different sizes, but the model takes images of one size")
        windows = preprocessing.training_windows(prepared)
        return windows, windows.rows_of
    return prepared, np.asarray


def restore_preprocessing(values: Mapping[str, Any]) -> AnyPreprocessing:
    """Rebuild the preprocessing of a bundle from its `preprocessing.json`.

    Parameters
    ----------
    values : mapping
        The content of the member, see `to_dict` of the preprocessing classes; "modality" selects
        the class.

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
    """Return the sample type of a bundle: "row" if it was trained on a table, else "image".

    Parameters
    ----------
    values : mapping
        The `preprocessing` of the bundle; only "modality" is read.
    """
    modality = values.get("modality") if isinstance(values, Mapping) else None
    return "row" if modality == TabularPreprocessing.modality else "image"
