"""The most anomalous samples of a call, kept while all are scored."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from augan.detect.detector import Detector
from augan.detect.inputs import InputSource

NUM_RECONSTRUCTED = 8  # most anomalous images that are kept for a picture
NUM_SHOWN = 24  # most anomalous samples that are kept for a page


@dataclass(frozen=True)
class ScoredSample:
    """One image or row with its score and how the GAN would draw it, both as stored.

    Attributes
    ----------
    terms : dict of str to float
        The parts of the score.
    picture, overlay : ndarray of uint8 [H, W, 3] or None
        The image itself, and with its hot places in colour, small enough for a page.
    """

    path: str
    score: float
    anomaly: bool
    image: np.ndarray
    reconstruction: np.ndarray | None
    p_value: float = 1.0
    components: dict[str, float] = field(default_factory=dict)
    picture: np.ndarray | None = None
    overlay: np.ndarray | None = None

    @property
    def largest_component(self) -> str:
        """The term that says most."""
        return max(self.components, key=self.components.__getitem__, default="")


@dataclass(frozen=True)
class _Place:
    name: str
    score: float
    p_value: float
    components: dict[str, float]


class TopSamples:
    """The highest scores so far, in order; of equal ones the first."""

    def __init__(self) -> None:
        self._worst: list[_Place] = []

    def add(
        self, names: list[str], kinds: Sequence[str], components: np.ndarray, p_values: np.ndarray
    ) -> None:
        """Take in samples with the terms of their scores, `[N, T]`, which are called `kinds`."""
        scores = components.sum(axis=1)
        for i in np.argsort(-scores, kind="stable")[:NUM_SHOWN]:
            parts = dict(zip(kinds, components[i].tolist()))
            self._worst.append(_Place(names[i], float(scores[i]), float(p_values[i]), parts))
        self._worst.sort(key=lambda place: -place.score)
        del self._worst[NUM_SHOWN:]

    def shown(self, detector: Detector, source: InputSource, cutoff: float) -> list[ScoredSample]:
        """Return the samples; they are read again, and one that cannot be is left out.

        Parameters
        ----------
        cutoff : float
            The largest p-value that is flagged.
        """
        samples = source.read([place.name for place in self._worst])
        readable = [place for place in self._worst if place.name not in samples.failures]
        if not readable:
            return []
        again = detector.reconstruct(samples.stored[:NUM_RECONSTRUCTED])  # may be slow
        return [
            ScoredSample(
                place.name,
                place.score,
                place.p_value <= cutoff,
                samples.stored[i],
                None if again is None or i >= NUM_RECONSTRUCTED else again[i],
                place.p_value,
                place.components,
            )
            for i, place in enumerate(readable)
        ]
