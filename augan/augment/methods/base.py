"""Interface of the augmentation methods, which generate the candidates of a class in chunks.

A candidate is a generated sample that may still be rejected. Candidate i of a class depends only on
the class, the seed and i: neither on the number of samples that are requested nor on which other
candidates were accepted.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

CHUNK_SIZE = 256  # candidates that are generated and filtered together


@dataclass(frozen=True, eq=False)
class Candidates:
    """Chunk of generated candidates of one class.

    Attributes
    ----------
    samples : ndarray
        Prepared images `[CHUNK_SIZE, S, S, C]`, or prepared rows `[CHUNK_SIZE, F]`.
    sources : list of list of str
        For each candidate the names of the training samples that it was computed from; empty for
        random noise.
    """

    samples: np.ndarray
    sources: list[list[str]] = field(default_factory=lambda: [[]] * CHUNK_SIZE)


class CandidateGenerator(Protocol):
    """Augmentation method that is ready to generate the candidates of any class."""

    def generate(self, class_index: int, chunk_index: int, seed: int) -> Candidates:
        """Return one chunk of candidates of a class; equal arguments give equal candidates.

        Parameters
        ----------
        class_index : int
        chunk_index : int
            Number of the chunk from 0: the chunk begins with candidate `chunk_index * CHUNK_SIZE`.
        seed : int

        Raises
        ------
        DataError
            The class has too few training samples for the method.
        BundleError
            The generator or the latent codes of the bundle cannot be used.
        """
