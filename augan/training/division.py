"""Which samples train, tune and calibrate: decided by the data and the seed alone."""

import numpy as np

from augan.config import Config
from augan.data.dataset import Dataset
from augan.data.splits import Split, make_split


def divide(config: Config, dataset: Dataset, *, calibrate: bool) -> Split:
    """Return the split of a plain training; see `augan.data.splits.make_split`."""
    return make_split(
        len(dataset),
        seed=config.seed,
        groups=dataset.groups,
        labels=dataset.labels,
        calibrate=calibrate,
    )


def rows_to_learn(config: Config, dataset: Dataset, *, calibrate: bool) -> np.ndarray | None:
    """Return the rows that the scaling of a table may be learned from, None for all.

    Scaled by themselves, calibration rows could never lie beyond what is usual, as new ones do: the
    rate of false alarms would be a multiple of the one promised. With folds all rows calibrate, and
    `augan.detect.fitting.broken_promise` says what that means.
    """
    if dataset.noun != "rows" or config.detect.cross or not calibrate:
        return None
    split = divide(config, dataset, calibrate=True)
    return np.sort(np.concatenate([split.fit, split.tune]))
