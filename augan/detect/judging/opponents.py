"""The `baselines`, fitted on the very images that a bundle was trained on."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from augan.bundle import Bundle, in_use
from augan.data.cache import cached_squares
from augan.data.modalities.images import Preprocessing
from augan.data.modalities.registry import AnyPreprocessing
from augan.data.modalities.tiles import Patches
from augan.data.sequences import Pictures
from augan.data.splits import evenly
from augan.detect.inputs import ImageSource, Source
from augan.detect.judging.baselines import BASELINES, OutlierDetector
from augan.exceptions import DataError
from augan.training.training_data import recorded_data

MAX_TRAINING = 10_000  # evenly spaced ones of more, so that neighbours are found in minutes
FOR_IMAGES_ONLY = ("thumbnails",)


@dataclass(frozen=True)
class Opponents:
    """Fitted baselines, or why there are none.

    Attributes
    ----------
    detectors : dict of str to OutlierDetector
        Fitted on samples as the network sees them, scaled to [-1, 1].
    num_training : int
        How many samples they were fitted on.
    skipped : str or None
        Why there are none.
    preprocessing : Preprocessing or Columns
        What makes the samples that they score: the bundle's, or one that shrinks large images.
    """

    detectors: dict[str, OutlierDetector] = field(default_factory=dict)
    num_training: int = 0
    skipped: str | None = None
    preprocessing: AnyPreprocessing | None = None
    _known: frozenset[bytes] = frozenset()

    def read(self, source: Source, names: list[str], stored: np.ndarray | Pictures) -> np.ndarray:
        """Return the readable samples `names` as the baselines take them; `stored` as the model."""
        if not isinstance(stored, Pictures):
            return stored
        if not isinstance(source, ImageSource) or not isinstance(self.preprocessing, Preprocessing):
            return np.empty(0)
        return source.squares(names, self.preprocessing)

    def scores(self, stored: np.ndarray) -> dict[str, np.ndarray]:
        """Return the anomaly scores `[N]` of stored samples, higher = more anomalous."""
        if self.preprocessing is None:
            return {}
        samples = self.preprocessing.scale(stored)
        return {name: -one.score_samples(samples) for name, one in self.detectors.items()}

    def num_trained_on(self, stored: np.ndarray) -> int:
        """Return how many stored samples equal one that the model was trained or calibrated on."""
        return sum(_digest(sample) in self._known for sample in stored) if self._known else 0


def fit_opponents(
    bundle: Bundle, preprocessing: AnyPreprocessing, data: str | Path | None = None
) -> Opponents:
    """Fit every baseline on the bundle's fit and tune splits, never on its calibration images.

    Parameters
    ----------
    bundle : Bundle
    preprocessing : Preprocessing or Columns
        That of the bundle.
    data : str, path or None
        What the bundle was trained on, as `augan.load_dataset` takes it; None: the place that the
        bundle remembers. If that is not the same data any more there are no baselines.

    Raises
    ------
    DataError
        `data` cannot be read, or is not what the bundle was trained on.
    """
    try:
        squares = recorded_data(bundle, preprocessing, data).squares
    except DataError as error:
        if data is not None:
            raise
        return Opponents(skipped=str(error))
    split = bundle.tables["split"]
    with in_use(bundle, "split"):
        rows = evenly(np.union1d(split["fit"], split["tune"]), MAX_TRAINING)
        np.arange(len(squares.pixels))[rows]  # an IndexError if there are no such rows
    if isinstance(preprocessing, Patches):
        # Baselines compare images with images, which must then be of one size.
        preprocessing = Preprocessing.fit(squares.dataset, preprocessing.window)
        squares = cached_squares(squares.dataset, preprocessing)
    samples = preprocessing.scale(squares.pixels[rows])
    detectors = {}
    for name, make in BASELINES.items():
        if preprocessing.noun == "images" or name not in FOR_IMAGES_ONLY:
            detectors[name] = make(int(bundle.config.get("seed", 0))).fit(samples)
    known = frozenset(_digest(sample) for sample in squares.pixels)
    return Opponents(detectors, len(rows), None, preprocessing, known)


def _digest(sample: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(sample).data, digest_size=16).digest()
