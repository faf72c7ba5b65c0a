"""The real images that synthetic ones are compared with."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from augan.bundle import Bundle, in_use
from augan.data.modalities.registry import AnyPreprocessing
from augan.data.splits import evenly
from augan.training.training_data import DataGone, recorded_data

MAX_OF_CLASS = 20_000  # evenly spaced ones of more, so that neighbours are found in seconds
MAX_HELD_OUT = 2_000


@dataclass(frozen=True, eq=False)
class Reference:
    """The data that a bundle was trained on.

    Attributes
    ----------
    pixels
        `[N, S, S, C]` as stored, perhaps a memory map, or rows `[N, F]`.
    labels
        `[N]`.
    names
        One each.
    fit, held_out
        Rows that the networks were trained on, and rows that they never saw.
    unlabelled, unlabelled_names
        Images without a class that the GAN was trained on too, or None.
    """

    pixels: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    fit: np.ndarray
    held_out: np.ndarray
    unlabelled: np.ndarray | None = None
    unlabelled_names: tuple[str, ...] = ()

    def seen(self, index: int) -> tuple[np.ndarray, list[str]]:
        """Return what the GAN saw of a class, `[M, ...]`, and names: unlabelled images count."""
        rows = evenly(self.fit[self.labels[self.fit] == index], MAX_OF_CLASS)
        names = [self.names[row] for row in rows]
        if self.unlabelled is None:
            return self.pixels[rows], names
        more = evenly(np.arange(len(self.unlabelled)), MAX_OF_CLASS)
        names += [self.unlabelled_names[row] for row in more]
        return np.concatenate([self.pixels[rows], self.unlabelled[more]]), names

    def unseen(self) -> tuple[np.ndarray, np.ndarray]:
        """Return images that no network was trained on, and their classes."""
        rows = evenly(self.held_out, MAX_HELD_OUT)
        return self.pixels[rows], self.labels[rows]


def find_reference(
    bundle: Bundle, preprocessing: AnyPreprocessing, data: str | Path | None
) -> tuple[Reference | None, str | None]:
    """Return the training data of a bundle, or None and in one sentence why there is none.

    Parameters
    ----------
    data : path, str or None
        Where it is; None: where the bundle remembers it.

    Raises
    ------
    DataError
        There is data, but other data than the bundle was trained on; or none at `data`.
    """
    try:
        found = recorded_data(bundle, preprocessing, data)
    except DataGone as gone:
        return None, str(gone)
    dataset, more, split = found.squares.dataset, found.unlabelled, bundle.tables["split"]
    labels = np.asarray(dataset.labels)
    with in_use(bundle, "split"):
        fit, held_out = split["fit"], np.union1d(split["tune"], split["calibrate"])
        labels[fit], labels[held_out]  # an IndexError if there are no such rows
    pixels = None if more is None else more.pixels
    names = () if more is None else more.dataset.names
    return Reference(
        found.squares.pixels, labels, dataset.names, fit, held_out, pixels, names
    ), None
