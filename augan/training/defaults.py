"""What the data decides where the configuration says nothing."""

from typing import Any

from augan.config import Config
from augan.data.dataset import Dataset
from augan.data.prepared import AnyPreprocessing, fit_preprocessing
from augan.data.preprocessing import Preprocessing
from augan.exceptions import ConfigError
from augan.training.rules import check_rules

# Side of the square -> updates of the GAN, chosen to end within the default minutes on two cores.
DEFAULT_STEPS = {8: 2000, 16: 4000, 32: 6000, 64: 4000}
DEFAULT_MINUTES = 14.0
SMALL_DATA_MINUTES = 0.9  # tables, and squares of 8 pixels such as scikit-learn's digits

_HOW_TO_CLASS = {
    "images": "sort the images into one folder for each class",
    "rows": "name the column of classes with --target",
}


def resolve(config: Config, dataset: Dataset) -> tuple[Config, AnyPreprocessing]:
    """Fill in every setting that is left to the data.

    Returns
    -------
    config : Config
        Without `None`, except for limits that do not apply.
    preprocessing : Preprocessing or Columns
        Fitted to the dataset.

    Raises
    ------
    ConfigError
        If the data cannot serve the task.
    """
    config = _architecture(config, dataset.noun)
    check_rules(config, dataset.noun)
    preprocessing = fit_preprocessing(dataset, config.data.size)
    size = preprocessing.size if isinstance(preprocessing, Preprocessing) else None
    task = config.task
    if task == "auto":
        task = "both" if dataset.num_classes > 1 else "detect"
    if task == "both" and dataset.num_classes < 2:
        raise ConfigError(
            f"{dataset.name} has {dataset.num_classes} classes, and --task both needs at least 2; "
            f"{_HOW_TO_CLASS[dataset.noun]}, or use --task detect or generate"
        )
    small = size in (None, min(DEFAULT_STEPS))
    rate = 1e-3 if small else 2e-4
    changes: dict[str, Any] = {"task": task, "data__size": size}
    if config.gan.diffaug is None:
        # One pixel is an eighth of the smallest square: there a shift is no small change.
        changes["gan__diffaug"] = [] if small else ["translation"]
    for player in ("generator", "discriminator"):
        if getattr(config, player).learning_rate is None:
            changes[f"{player}__learning_rate"] = rate
    if config.monitor.every is None:
        changes["monitor__every"] = 250 if small else 500
    if config.training.steps is None and config.training.max_minutes is None:
        changes["training__steps"] = DEFAULT_STEPS.get(size or 8, DEFAULT_STEPS[64])
        changes["training__max_minutes"] = SMALL_DATA_MINUTES if small else DEFAULT_MINUTES
    return config.replace(**changes), preprocessing


def _architecture(config: Config, noun: str) -> Config:
    """Choose the networks where the configuration does not."""
    changes: dict[str, Any] = {}
    if config.gan.architecture is None:
        changes["gan__architecture"] = "mlp" if noun == "rows" else "dcgan"
    if config.discriminator.norm is None:
        # With batch statistics most runs on a few hundred rows diverge; without, none did.
        changes["discriminator__norm"] = "none" if noun == "rows" else "batch"
    return config.replace(**changes)
