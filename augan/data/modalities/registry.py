"""Registry of the modalities: the preprocessing classes by name and by type of sample.

A new modality is one file in this package and one class in `PREPROCESSINGS`. The first class of a
type of sample is its default.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from augan.data.dataset import Dataset
from augan.data.modalities.base import Preprocessing
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.tabular import TabularPreprocessing
from augan.data.modalities.tiles import TiledPreprocessing
from augan.exceptions import DataError

PREPROCESSINGS: dict[str, type[Preprocessing]] = {
    preprocessing.modality: preprocessing
    for preprocessing in (ImagePreprocessing, TiledPreprocessing, TabularPreprocessing)
}


def preprocessing_class(sample_type: str, *, tiled: bool = False) -> type[Preprocessing]:
    """Return the preprocessing class for the samples of a dataset.

    Parameters
    ----------
    sample_type : {"image", "row"}
        The type of the samples.
    tiled : bool
        Whether samples keep their scale and the networks take windows of them (default: False).

    Raises
    ------
    DataError
        Samples of this type cannot be tiled.
    """
    classes: dict[tuple[str, bool], type[Preprocessing]] = {}
    for candidate in PREPROCESSINGS.values():
        classes.setdefault((candidate.sample_type, not candidate.has_fixed_size), candidate)
    if (sample_type, tiled) not in classes:
        raise DataError(f"a {sample_type} cannot be cut into tiles; set data.tiling=false")
    return classes[sample_type, tiled]


def supports_tiling(sample_type: str) -> bool:
    """Whether samples of a type can be cut into tiles: images can, rows of a table cannot."""
    tiled = (c for c in PREPROCESSINGS.values() if not c.has_fixed_size)
    return sample_type in {c.sample_type for c in tiled}


def fit_preprocessing(
    dataset: Dataset,
    size: int | None = None,
    *,
    tiled: bool = False,
    rows: np.ndarray | None = None,
) -> Preprocessing:
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
    rows : ndarray or None
        Of a table, indices of the rows to fit on; None (default): all. Ignored for images.

    Raises
    ------
    DataError
        The samples cannot be used or cannot be tiled, or `size` is impossible.
    """
    return preprocessing_class(dataset.sample_type, tiled=tiled).fit(dataset, size, rows)


def restore_preprocessing(values: Mapping[str, Any]) -> Preprocessing:
    """Rebuild the preprocessing of a bundle from its `preprocessing.json`.

    Parameters
    ----------
    values : mapping
        The content of the member, see `to_dict` of the preprocessing classes; "modality" selects
        the class.

    Raises
    ------
    DataError
        There is no such modality; or a field is missing, unknown, or of the wrong type or value.
    """
    modality = values.get("modality") if isinstance(values, Mapping) else None
    if not isinstance(modality, str) or modality not in PREPROCESSINGS:
        raise DataError(
            f"the preprocessing has the modality {modality!r}, which is none of "
            f"{', '.join(PREPROCESSINGS)}"
        )
    return PREPROCESSINGS[modality].from_dict(values)
