"""The data that a bundle was trained on, found again and known by its hash."""

from dataclasses import dataclass
from pathlib import Path

from augan.bundle import Bundle
from augan.data.cache import PreparedImages, load_prepared
from augan.data.dataset import Dataset, plural
from augan.data.fingerprint import dataset_fingerprint
from augan.data.loading import BUILTIN, load_dataset
from augan.data.modalities.registry import AnyPreprocessing
from augan.data.modalities.tabular import TabularPreprocessing
from augan.exceptions import DataError


class DataGone(DataError):
    """The training data cannot be found again; it was not changed, it is not there."""


@dataclass(frozen=True)
class Recorded:
    """The samples that a bundle was trained on, and the unlabeled ones beside them."""

    squares: PreparedImages
    unlabeled: PreparedImages | None


def recorded_data(
    bundle: Bundle, preprocessing: AnyPreprocessing, data: str | Path | None = None
) -> Recorded:
    """Return the data that a bundle was trained on.

    Parameters
    ----------
    bundle : Bundle
    preprocessing : ImagePreprocessing or TabularPreprocessing
        That of the bundle.
    data : str, path or None
        What the bundle was trained on, as `augan.load_dataset` takes it; None: the place that the
        bundle remembers.

    Raises
    ------
    DataGone
        The bundle remembers no place, or there is nothing any more.
    DataError
        The data cannot be read, or is not what the bundle was trained on.
    """
    if "split" not in bundle.tables:
        raise DataGone("the bundle does not say which of its images were trained on")
    place = _place(bundle) if data is None else data
    dataset = _load(place, preprocessing)
    if bundle.config.get("task") == "detect":
        dataset = dataset.without_unlabeled()
    more = dataset.unlabeled
    try:
        squares = load_prepared(dataset, preprocessing)
        unlabeled = None if more is None else load_prepared(more, preprocessing)
    except DataError as error:
        raise DataError(
            f"{place} cannot be read as the data that the model was trained on: {error}"
        ) from error
    if dataset_fingerprint(squares, preprocessing, unlabeled) != bundle.data.get("fingerprint"):
        is_part = data is None and place in BUILTIN  # what is built in never changes
        raise (DataGone if is_part else DataError)(
            f"{place} is not, or no longer, the data that the model was trained on (other "
            f"{plural(preprocessing.sample_type)}, labels or order); train again, or name that "
            "data with --training-data"
        )
    return Recorded(squares, unlabeled)


def _place(bundle: Bundle) -> str | Path:
    source, name = bundle.data.get("source"), bundle.data.get("name")
    if not source:
        raise DataGone(
            "the model was trained on arrays in memory, which cannot be read again; save them as "
            "an .npz file with x and y, and name it with --training-data"
        )
    if Path(source).exists():
        return Path(source)
    if name in BUILTIN:
        return str(name)
    is_whole = Path(source).is_absolute()
    from_where = " any more" if is_whole else ", looked for from here, as augan train was told"
    raise DataGone(
        f"the training data is not at {source}{from_where}; name its present place with "
        "--training-data"
    )


def _load(place: str | Path, preprocessing: AnyPreprocessing) -> Dataset:
    target = preprocessing.target if isinstance(preprocessing, TabularPreprocessing) else None
    return load_dataset(place, target=None if target is None else target.name)
