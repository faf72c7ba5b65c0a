"""The one preprocessing that fits the data: of images, or of the rows of a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from augan.data.columns import Columns
from augan.data.dataset import Dataset
from augan.data.preprocessing import Preprocessing
from augan.data.tables import Table
from augan.exceptions import DataError

AnyPreprocessing = Preprocessing | Columns


def fit_preprocessing(dataset: Dataset, size: int | None = None) -> AnyPreprocessing:
    """Learn from a dataset how its samples become what a network takes.

    Parameters
    ----------
    size
        Side of the square that images become, see `Preprocessing.fit`; tables have none.
    """
    if isinstance(dataset.images, Table):
        return Columns.fit(dataset.images)
    return Preprocessing.fit(dataset, size)


def stored_samples(
    images: np.ndarray | Sequence[np.ndarray] | Table, preprocessing: AnyPreprocessing
) -> np.ndarray:
    """Return all samples as stored: squares `[N, S, S, C]`, or rows `[N, F]` of a table.

    Raises
    ------
    DataError
        Images met the preprocessing of a table, or a table that of images; or a sample does not
        fit.
    """
    if isinstance(images, Table) and isinstance(preprocessing, Columns):
        return preprocessing.materialise(images)
    if not isinstance(images, Table) and isinstance(preprocessing, Preprocessing):
        return preprocessing.materialise(images)
    given = "a table" if isinstance(images, Table) else "images"
    raise DataError(f"{given} came, but the model is one of {preprocessing.noun}")


def restore_preprocessing(values: Mapping[str, Any]) -> AnyPreprocessing:
    """Rebuild the preprocessing that a bundle holds.

    Raises
    ------
    DataError
        A field is missing, unknown, or of the wrong type or value.
    """
    kind = Columns if sample_noun(values) == Columns.noun else Preprocessing
    return kind.from_dict(values)


def sample_noun(values: Mapping[str, Any]) -> str:
    """Return what a bundle with this preprocessing is of: "images" or "rows"."""
    is_table = isinstance(values, Mapping) and values.get("kind") == Columns.noun
    return Columns.noun if is_table else Preprocessing.noun
