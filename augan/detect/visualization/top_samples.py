"""Most anomalous samples of a detection, collected while all samples are scored."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from augan.detect.conformal.decision import Decision
from augan.detect.detector import Detector
from augan.detect.inputs import InputSource

NUM_RECONSTRUCTED = 8  # top samples that get a reconstruction and a place in the summary
NUM_SHOWN = 24  # top samples in the report


@dataclass(frozen=True)
class ScoredSample:
    """One of the most anomalous images or rows of a detection, with its score and pictures.

    Attributes
    ----------
    path : str
        Path of the image relative to the input folder, or number of the row (from 0).
    score : float
        Anomaly score; higher = more anomalous.
    anomaly : bool
        Whether the sample was flagged.
    sample : ndarray
        The prepared image or row.
    reconstruction : ndarray or None
        The prepared reconstruction; None if the method computes none, or beyond the 8 highest
        scores.
    p_value : float
        Conformal p-value.
    components : dict of str to float
        Name of each score component -> value; the values add up to `score`.
    thumbnail, overlay : ndarray of uint8 [H, W, 3] or None
        The image, and the image with its significant pixels in color, small enough for a report;
        None for rows.
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
        """Name of the score component with the largest value; "" without components."""
        return max(self.components, key=self.components.__getitem__, default="")


@dataclass(frozen=True)
class _Entry:
    """Name, score, p-value and score components of a candidate for the top samples."""

    name: str
    score: float
    p_value: float
    components: dict[str, float]


class TopSamples:
    """Running list of the 24 samples with the highest scores, highest first.

    Samples with equal scores keep the order of the input.
    """

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def add(
        self,
        names: list[str],
        component_names: Sequence[str],
        components: np.ndarray,
        p_values: np.ndarray,
    ) -> None:
        """Add a chunk of scored samples, and keep only the highest scores.

        Parameters
        ----------
        names : list of str
            Names of the N samples.
        component_names : sequence of str
            Names of the T score components.
        components : ndarray [N, T]
            Score components; their sum is the score.
        p_values : ndarray [N]
            Conformal p-values.
        """
        scores = components.sum(axis=1)
        for i in np.argsort(-scores, kind="stable")[:NUM_SHOWN]:
            values = dict(zip(component_names, components[i].tolist()))
            self._entries.append(_Entry(names[i], float(scores[i]), float(p_values[i]), values))
        self._entries.sort(key=lambda entry: -entry.score)
        del self._entries[NUM_SHOWN:]

    def load(
        self, detector: Detector, source: InputSource, decision: Decision
    ) -> list[ScoredSample]:
        """Read the top samples again, and return them with decisions and reconstructions.

        Samples that have become unreadable are left out.

        Parameters
        ----------
        detector : Detector
            Computes the reconstructions of the 8 highest scores, if its method can.
        source : InputSource
            The source of the samples.
        decision : Decision
            Decides which samples count as anomalies.

        Returns
        -------
        list of ScoredSample
            Highest score first.
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
                bool(decision.flags(entry.p_value)),
                batch.samples[i],
                None if reconstructions is None or i >= NUM_RECONSTRUCTED else reconstructions[i],
                entry.p_value,
                entry.components,
            )
            for i, entry in enumerate(readable)
        ]
