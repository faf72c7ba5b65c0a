"""What will be trained on what: decided once, shown to the user, and then trained as shown."""

from dataclasses import dataclass

from augan.config import Config
from augan.data.dataset import Dataset
from augan.data.modalities.registry import AnyPreprocessing
from augan.training import defaults


@dataclass(frozen=True)
class Resolved:
    """What will be trained on what, decided from the headers of the images.

    Attributes
    ----------
    config : Config
        Every setting that the data decides is filled in.
    dataset : Dataset
        What will be trained on; without the unlabelled images where the task cannot use them.
    preprocessing : Preprocessing
        Fitted to the dataset.
    warnings : tuple of str
        What the user should know before it starts.
    """

    config: Config
    dataset: Dataset
    preprocessing: AnyPreprocessing
    warnings: tuple[str, ...] = ()


def resolve(config: Config, dataset: Dataset) -> Resolved:
    """Decide from the data what the configuration leaves open; no image is decoded.

    Raises
    ------
    ConfigError
        If the data cannot serve the task.
    """
    config, preprocessing = defaults.fill_in(config, dataset)
    warnings, unused = list(dataset.warnings), dataset.num_unlabelled
    if unused and config.task == "detect":
        dataset = dataset.without_unlabelled()
        warnings.append(
            f"the {unused} unlabelled images are not used: a detector alone (task detect) learns "
            "from normal images, and these may hold anomalies"
        )
    return Resolved(config, dataset, preprocessing, tuple(warnings))
