"""Protocol of the augmentation methods, which generate the candidates of a class in chunks.

Candidate i of a class depends only on the class, the seed and i: neither on the number of samples
that are requested nor on which other candidates were accepted.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

CHUNK_SIZE = 256  # candidates that are generated and filtered together


@dataclass(frozen=True, eq=False)
class Candidates:
    """A chunk of candidates of one class.

    Attributes
    ----------
    samples
        Prepared images `[CHUNK_SIZE, S, S, C]`, or prepared rows `[CHUNK_SIZE, F]`.
    sources
        For each candidate the names of the real samples that it was made of; empty for noise.
    """

    samples: np.ndarray
    sources: list[list[str]] = field(default_factory=lambda: [[]] * CHUNK_SIZE)


class AugmentationMethod(Protocol):
    """Generator of candidates."""

    def generate(self, class_index: int, chunk_index: int, seed: int) -> Candidates:
        """Return the candidates `chunk_index * CHUNK_SIZE` and following of a class."""
