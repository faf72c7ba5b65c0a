"""Training data of a bundle, as the filters and the augmentation methods use it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from augan.bundle import Bundle
from augan.data.modalities.base import Preprocessing
from augan.data.splits import evenly_spaced
from augan.training.training_data import TrainingDataNotFound, load_training_data

MAX_CLASS_SAMPLES = 20_000  # training samples of a class; keeps the search to seconds
MAX_HELD_OUT_SAMPLES = 2_000  # real samples that set the threshold of the discriminator


@dataclass(frozen=True, eq=False)
class TrainingReference:
    """Training data of a bundle, as the filter and the augmentation methods use it.

    Attributes
    ----------
    samples : ndarray
        Prepared images `[N, S, S, C]`, perhaps a memory map, or prepared rows `[N, F]`.
    labels : ndarray of int [N]
        Class indices.
    names : tuple of str
        Names of the samples.
    train_rows : ndarray of int
        Indices of samples that the networks were trained on.
    held_out_rows : ndarray of int
        Indices of samples that no network was trained on.
    unlabeled : ndarray [U, ...] or None
        Prepared samples without a class that the GAN was trained on too.
    unlabeled_names : tuple of str
        Names of the unlabeled samples; empty without unlabeled samples.
    """

    samples: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    train_rows: np.ndarray
    held_out_rows: np.ndarray
    unlabeled: np.ndarray | None = None
    unlabeled_names: tuple[str, ...] = ()

    def training_samples(self, class_index: int) -> tuple[np.ndarray, list[str]]:
        """Return the training samples that a generator of one class could have memorized.

        Unlabeled samples may be of any class, so they are part of every class. At most 20,000
        labeled and 20,000 unlabeled samples are returned, evenly spaced.

        Returns
        -------
        samples : ndarray [M, ...]
            Prepared training samples of the class, followed by the unlabeled samples.
        names : list of str
            Names of the M samples.
        """
        of_class = self.train_rows[self.labels[self.train_rows] == class_index]
        rows = evenly_spaced(of_class, MAX_CLASS_SAMPLES)
        names = [self.names[row] for row in rows]
        if self.unlabeled is None:
            return self.samples[rows], names
        unlabeled_rows = evenly_spaced(np.arange(len(self.unlabeled)), MAX_CLASS_SAMPLES)
        names += [self.unlabeled_names[row] for row in unlabeled_rows]
        return np.concatenate([self.samples[rows], self.unlabeled[unlabeled_rows]]), names

    def held_out_samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Return up to 2,000 samples that no network was trained on, and their class indices."""
        rows = evenly_spaced(self.held_out_rows, MAX_HELD_OUT_SAMPLES)
        return self.samples[rows], self.labels[rows]


def load_training_reference(
    bundle: Bundle, preprocessing: Preprocessing, training_data: str | Path | None
) -> tuple[TrainingReference | None, str | None]:
    """Load the training data of a bundle, or return why the data is missing.

    Parameters
    ----------
    bundle : Bundle
    preprocessing : Preprocessing
        Preprocessing of the bundle.
    training_data : path, str or None
        Location of the data. None: the location that the bundle records.

    Returns
    -------
    reference : TrainingReference or None
        None: the data is not at its recorded location.
    reason : str or None
        Sentence that says why the data is missing; None if the data was loaded.

    Raises
    ------
    DataError
        The data is not the data that the bundle was trained on, or cannot be read.
    """
    try:
        found = load_training_data(bundle, preprocessing, training_data)
    except TrainingDataNotFound as gone:
        return None, str(gone)
    dataset, more, splits = found.samples.dataset, found.unlabeled, found.splits
    labels = np.asarray(dataset.labels)
    held_out = np.union1d(splits.val, splits.calibration)
    unlabeled = None if more is None else more.pixels
    unlabeled_names = () if more is None else more.dataset.names
    reference = TrainingReference(
        found.samples.pixels,
        labels,
        dataset.names,
        splits.train,
        held_out,
        unlabeled,
        unlabeled_names,
    )
    return reference, None
