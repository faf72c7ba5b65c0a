"""The most anomalous samples of a call, collected while all samples are scored."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from augan.detect.detector import Detector
from augan.detect.inputs import InputSource

NUM_RECONSTRUCTED = 8  # of the top samples, those with a reconstruction and in the summary picture
NUM_SHOWN = 24  # top samples in the report


@dataclass(frozen=True)
class ScoredSample:
    """One image or row with its score and its reconstruction.

    Attributes
    ----------
    path : str
        Path of the image, or number of the row.
    sample : ndarray
        The prepared image or row.
    reconstruction : ndarray or None
        The prepared reconstruction, if the method computes one.
    components : dict of str to float
        Components of the score.
    thumbnail, overlay : ndarray of uint8 [H, W, 3] or None
        The image, and the image with its significant pixels in color, small enough for a report.
    """

    path: str
    score: float
    anomaly: bool
    sample: np.ndarray
    reconstruction: np.ndarray | None
    p_value: float = 1.0
    components: dict[str, float] = field(default_factory=dict)
    thumbnail: np.ndarray | None = None
    overlay: np.ndarray | None = None

    @property
    def largest_component(self) -> str:
        """Name of the largest component of the score."""
        return max(self.components, key=self.components.__getitem__, default="")


@dataclass(frozen=True)
class _Entry:
    name: str
    score: float
    p_value: float
    components: dict[str, float]


class TopSamples:
    """The samples with the highest scores so far, in order; ties keep the order of the input."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def add(
        self,
        names: list[str],
        component_names: Sequence[str],
        components: np.ndarray,
        p_values: np.ndarray,
    ) -> None:
        """Add samples with score components `[N, T]` and p-values `[N]`."""
        scores = components.sum(axis=1)
        for i in np.argsort(-scores, kind="stable")[:NUM_SHOWN]:
            values = dict(zip(component_names, components[i].tolist()))
            self._entries.append(_Entry(names[i], float(scores[i]), float(p_values[i]), values))
        self._entries.sort(key=lambda entry: -entry.score)
        del self._entries[NUM_SHOWN:]

    def load(self, detector: Detector, source: InputSource, cutoff: float) -> list[ScoredSample]:
        """Read the top samples again and return them; unreadable ones are left out.

        Parameters
        ----------
        cutoff : float
            The largest p-value that is flagged.
        """
        batch = source.read([entry.name for entry in self._entries])
        readable = [entry for entry in self._entries if entry.name not in batch.failures]
        if not readable:
            return []
        reconstructions = detector.reconstruct(batch.samples[:NUM_RECONSTRUCTED])  # may be slow
        return [
            ScoredSample(
                entry.name,
                entry.score,
                entry.p_value <= cutoff,
                batch.samples[i],
                None if reconstructions is None or i >= NUM_RECONSTRUCTED else reconstructions[i],
                entry.p_value,
                entry.components,
            )
            for i, entry in enumerate(readable)
        ]
