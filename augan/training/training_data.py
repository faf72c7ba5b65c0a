"""Training data of a bundle, loaded again and compared with the recorded fingerprint."""

from dataclasses import dataclass
from pathlib import Path

from augan.bundle import Bundle, Splits
from augan.data.cache import PreparedDataset, load_prepared
from augan.data.dataset import Dataset, plural
from augan.data.fingerprint import dataset_fingerprint
from augan.data.loading import DATASETS, load_dataset
from augan.data.modalities.base import Preprocessing
from augan.exceptions import DataError


class TrainingDataNotFound(DataError):
    """Raised if the training data of a bundle is missing, and not known to have changed."""


@dataclass(frozen=True)
class BundleTrainingData:
    """Prepared samples that a bundle was trained on.

    Attributes
    ----------
    samples : PreparedDataset
        Labeled samples, or all samples of a training without classes.
    unlabeled : PreparedDataset or None
        Unlabeled samples; None if there were none.
    splits : Splits
        Indices in `samples` of each split.
    """

    samples: PreparedDataset
    unlabeled: PreparedDataset | None
    splits: Splits


def load_training_data(
    bundle: Bundle, preprocessing: Preprocessing, data: str | Path | None = None
) -> BundleTrainingData:
    """Load the data that a bundle was trained on, and verify its fingerprint.

    Parameters
    ----------
    bundle : Bundle
        Bundle of a training.
    preprocessing : Preprocessing
        Preprocessing of the bundle.
    data : str, path or None
        The training data, as `augan.load_dataset` takes it; None: the path that the bundle records.

    Raises
    ------
    TrainingDataNotFound
        The bundle records no path, or the data is no longer there.
    DataError
        The data cannot be read, or is not the data that the bundle was trained on.
    """
    if bundle.splits is None:
        raise TrainingDataNotFound("the bundle does not record which images it was trained on")
    source = _recorded_source(bundle) if data is None else data
    dataset = _load(source, bundle, preprocessing)
    if bundle.config.task == "detect":
        dataset = dataset.without_unlabeled()
    try:
        samples = load_prepared(dataset, preprocessing)
        unlabeled = None
        if dataset.unlabeled is not None:
            unlabeled = load_prepared(dataset.unlabeled, preprocessing)
    except DataError as error:
        raise DataError(
            f"{source} cannot be read as the data that the model was trained on: {error}"
        ) from error
    if dataset_fingerprint(samples, preprocessing, unlabeled) != bundle.data.fingerprint:
        # A built-in dataset never changes, so the bundle was trained on other data of that name.
        is_other_data = data is None and source in DATASETS
        raise (TrainingDataNotFound if is_other_data else DataError)(
            f"{source} is not, or no longer, the data that the model was trained on (other "
            f"{plural(preprocessing.sample_type)}, labels or order); train again, or name that "
            "data with --training-data"
        )
    return BundleTrainingData(samples, unlabeled, bundle.splits)


def _recorded_source(bundle: Bundle) -> str | Path:
    """Return the path or the built-in dataset name of the training data that a bundle records.

    Raises TrainingDataNotFound if nothing is recorded or the path no longer exists.
    """
    source, name = bundle.data.source, bundle.data.name
    if not source:
        raise TrainingDataNotFound(
            "the model was trained on arrays in memory, which cannot be read again; save them as "
            "an .npz file with x and y, and name it with --training-data"
        )
    if Path(source).exists():
        return Path(source)
    if name in DATASETS:
        return name
    is_absolute = Path(source).is_absolute()
    where = " any more" if is_absolute else ", relative to the current folder"
    raise TrainingDataNotFound(
        f"the training data is not at {source}{where}; name its present path with --training-data"
    )


def _load(source: str | Path, bundle: Bundle, preprocessing: Preprocessing) -> Dataset:
    """Load a dataset with the options of the training, a table with its class column."""
    info = bundle.data
    return load_dataset(
        source,
        target=preprocessing.target_name,
        labels=info.labels,
        follow_links=info.follow_links,
        label_column=info.label_column,
        path_column=info.path_column,
    )
