"""Samplers of latent codes: new codes of a class, computed from the codes of real samples.

`augan.augment.methods.decoding` turns the codes into samples.

References
----------
Chawla, Bowyer, Hall, Kegelmeyer (2002), SMOTE. Schwartz et al. (2018), Delta-encoder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from augan.exceptions import DataError
from augan.metrics.distances import row_blocks, squared_distances
from augan.seeding import child_rng

NUM_NEIGHBORS = 5  # nearest codes of the class among which the partner is chosen, as in SMOTE
# Standard deviation of the noise that LatentInterpolation adds, relative to the prior's. Without
# noise a class of a hundred digits gives some 150 images that differ; with more noise the images
# are those of random codes.
NOISE_STD = 0.6
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


class LatentInterpolation:
    """Sampler of codes between those of two samples of a class: SMOTE (Chawla et al. 2002).

    Each code lies between a random code of the class and one of its 5 nearest neighbors of the
    class, at a random fraction of the way, plus Gaussian noise.

    Parameters
    ----------
    codes : LatentCodes
        Codes of the training samples.
    """

    def __init__(self, codes: LatentCodes) -> None:
        self.latents, self.labels, self.names = codes.latents, codes.labels, codes.names

    def sample(self, class_index: int, count: int, seed: int, chunk_index: int) -> LatentBatch:
        """Return `count` interpolated codes of a class; see `LatentSampler.sample`.

        Raises
        ------
        DataError
            The class has fewer than two training samples.
        """
        members = np.flatnonzero(self.labels == class_index)
        if len(members) < 2:
            raise DataError(
                f"method interpolate needs at least 2 training samples of class number "
                f"{class_index}, but there is {len(members)}; add samples, or choose "
                "`method='sample'`"
            )
        rng = child_rng(seed, "interpolate", class_index, "chunk", chunk_index)
        base = members[rng.integers(len(members), size=count)]
        rank, fraction = rng.random(count), rng.random((count, 1), np.float32)
        noise = NOISE_STD * rng.standard_normal((count, self.latents.shape[1]), np.float32)
        partner = self._partners(base, members, rank)
        difference = self.latents[partner] - self.latents[base]
        latents = self.latents[base] + fraction * difference + noise
        sources = [[self.names[a], self.names[b]] for a, b in zip(base, partner)]
        return LatentBatch(latents.astype(np.float32), base, sources)

    def _partners(self, base: np.ndarray, members: np.ndarray, rank: np.ndarray) -> np.ndarray:
        """Choose for each base code one of its nearest neighbors of the class.

        Parameters
        ----------
        base : ndarray of int [n]
            Indices of the base codes.
        members : ndarray of int [m]
            Indices of all codes of the class, at least 2.
        rank : ndarray of float [n]
            Random numbers in [0, 1) that choose among the neighbors, 0 the nearest.

        Returns
        -------
        ndarray of int [n]
            Indices of the chosen codes.
        """
        num_neighbors = min(NUM_NEIGHBORS, len(members) - 1)
        x, y = (self.latents[indices].astype(np.float64) for indices in (base, members))
        neighbor = (rank * num_neighbors).astype(np.int64)
        partners = np.empty(len(base), np.int64)
        for rows, block in zip(row_blocks(len(x)), squared_distances(x, y)):
            # A code is not a neighbor of itself.
            block[members[None, :] == base[rows][:, None]] = np.inf
            order = np.argsort(block, axis=1, kind="stable")
            partners[rows] = members[order[np.arange(len(block)), neighbor[rows]]]
        return partners


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
