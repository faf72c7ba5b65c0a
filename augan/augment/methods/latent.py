"""Latent codes of the training samples, and new codes that are moved as other codes differ.

`LatentTransfer` is here rather than in `transfer.py`, because the evaluation also applies it to
pixels, without any network.

References
----------
Schwartz et al. (2018), Delta-encoder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from augan.exceptions import DataError
from augan.seeding import child_rng

TRANSFER_FRACTION = 0.6  # of a difference of codes; the full difference often changes the class


@dataclass(frozen=True, eq=False)
class LatentCodes:
    """Latent codes of the training samples, with their classes.

    Attributes
    ----------
    latents : ndarray of float [N, Z]
    labels : ndarray of int [N]
        Class indices.
    names : sequence of str
        Names of the N training samples.
    """

    latents: np.ndarray
    labels: np.ndarray
    names: Sequence[str]


@dataclass(frozen=True, eq=False)
class LatentBatch:
    """New latent codes of one class, with the training samples that they come from.

    Attributes
    ----------
    latents : ndarray of float32 [N, Z]
    base_indices : ndarray of int [N]
        For each new code the index, among the codes of the training samples, of the code that it
        starts from.
    sources : list of list of str
        For each new code the names of all training samples that it was computed from; the base
        comes first.
    """

    latents: np.ndarray
    base_indices: np.ndarray
    sources: list[list[str]]


class LatentSampler(Protocol):
    """Interface of a sampler of new latent codes of a class."""

    def sample(self, class_index: int, count: int, seed: int, chunk_index: int) -> LatentBatch:
        """Return new latent codes of a class; equal arguments give equal codes.

        Parameters
        ----------
        class_index : int
        count : int
            Number of codes.
        seed : int
        chunk_index : int
            Number of the chunk from 0. Other chunks of the same seed have other codes.

        Raises
        ------
        DataError
            The class has too few training samples.
        """


class LatentTransfer:
    """Sampler of codes of a class, moved by the difference between two codes of another class.

    The other class is a random class of at least half the size of the largest class. The idea is
    that of the Delta-encoder (Schwartz et al. 2018): variation within a class applies to other
    classes too.

    Parameters
    ----------
    codes : LatentCodes
        Codes of the training samples.
    """

    def __init__(self, codes: LatentCodes) -> None:
        self.latents, self.names = codes.latents, codes.names
        self.labels = np.asarray(codes.labels)
        sizes = np.bincount(self.labels)
        # Only large classes: a small class would give the same few differences again and again.
        self._donor_classes = np.flatnonzero(sizes >= max(2, sizes.max() / 2))

    def sample(self, class_index: int, count: int, seed: int, chunk_index: int) -> LatentBatch:
        """Return `count` moved codes of a class; see `LatentSampler.sample`.

        Raises
        ------
        DataError
            The class has no training sample, or no other class is large enough.
        """
        members = np.flatnonzero(self.labels == class_index)
        donor_classes = self._donor_classes[self._donor_classes != class_index]
        if not len(members) or not len(donor_classes):
            raise DataError(
                f"method transfer needs a training sample of class number {class_index} and "
                f"another class that is large enough, but there are {len(members)} samples and "
                f"{len(donor_classes)} such classes; add samples, or choose "
                "`method='sample'`"
            )
        rng = child_rng(seed, "transfer", class_index, "chunk", chunk_index)
        base = members[rng.integers(len(members), size=count)]
        donors = rng.choice(donor_classes, size=count)
        pairs = np.empty((2, count), np.int64)
        for donor in donor_classes:
            positions = np.flatnonzero(donors == donor)
            rows = np.flatnonzero(self.labels == donor)
            pairs[:, positions] = rows[rng.integers(len(rows), size=(2, len(positions)))]
        difference = self.latents[pairs[0]] - self.latents[pairs[1]]
        latents = self.latents[base] + TRANSFER_FRACTION * difference
        sources = [[self.names[i] for i in indices] for indices in zip(base, *pairs)]
        return LatentBatch(latents.astype(np.float32), base, sources)
