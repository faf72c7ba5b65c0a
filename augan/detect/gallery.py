"""The most anomalous samples of a call, kept while all are scored."""

from dataclasses import dataclass, field

import numpy as np

from augan.data.pictures import Pictures
from augan.detect.detector import Detector

GALLERY = 8  # most anomalous images that are kept for a picture
SHOWN = 24  # most anomalous samples that are kept for a page


@dataclass(frozen=True)
class ScoredImage:
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
    terms: dict[str, float] = field(default_factory=dict)
    picture: np.ndarray | None = None
    overlay: np.ndarray | None = None

    @property
    def loudest(self) -> str:
        """The term that says most."""
        return max(self.terms, key=self.terms.__getitem__, default="")


class Gallery:
    """The highest scores so far, in order; of equal ones the first."""

    def __init__(self) -> None:
        self.worst: list[ScoredImage] = []

    def add(
        self,
        detector: Detector,
        names: list[str],
        stored: np.ndarray | Pictures,
        terms: np.ndarray,
        p_values: np.ndarray,
    ) -> None:
        """Take in samples with the terms of their scores, `[N, T]`."""
        scores = terms.sum(axis=1)
        order = np.argsort(-scores, kind="stable")[:SHOWN]
        again = detector.reconstruct(stored[order[:GALLERY]])  # may be slow: of no more than shown
        for place, i in enumerate(order):
            drawn = None if again is None or place >= GALLERY else again[place]
            parts = dict(zip(detector.method.terms, terms[i].tolist()))
            one = ScoredImage(
                names[i], float(scores[i]), False, stored[i], drawn, float(p_values[i]), parts
            )
            self.worst.append(one)
        self.worst.sort(key=lambda image: -image.score)
        del self.worst[SHOWN:]
