"""The codes of real images, which other codes are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from augan.exceptions import DataError
from augan.metrics.distances import row_blocks, squared_distances
from augan.seeding import child_rng


@dataclass(frozen=True, eq=False)
class LatentCodes:
    """What the encoder made of training images.

    Attributes
    ----------
    noise
        `[N, Z]`.
    labels
        The class of each, `[N]`.
    names
        What each image is called.
    """

    noise: np.ndarray
    labels: np.ndarray
    names: Sequence[str]


@dataclass(frozen=True, eq=False)
class LatentBatch:
    """New codes.

    Attributes
    ----------
    noise
        `[N, Z]`.
    own
        Which of the real images each began as, `[N]`.
    sources
        The names of all images that each is made of, that one first.
    """

    noise: np.ndarray
    own: np.ndarray
    sources: list[list[str]]


class LatentSampler(Protocol):
    """Draws new codes of a class."""

    def draw(self, index: int, count: int, seed: int, number: int) -> LatentBatch:
        """Return `count` codes of class `index`; equal seed and number give equal codes."""


NUM_NEIGHBORS = 5  # nearest codes of the class among which the partner is chosen, as in SMOTE
# Share of the prior's standard normal noise that is added. Without it a class of a hundred digits
# gives some 150 images that differ; with more the images are those of random noise.
NOISE_STD = 0.6


class LatentSMOTE:
    """Draws codes between real ones.

    Parameters
    ----------
    codes : Codes
        Of the training images.
    """

    def __init__(self, codes: LatentCodes) -> None:
        self.noise, self.labels, self.names = codes.noise, codes.labels, codes.names

    def draw(self, index: int, count: int, seed: int, number: int) -> LatentBatch:
        """Return `count` codes between images of class `index`.

        Each lies between a random image and one of its nearest neighbours of the class, at a
        random share of the way, and a little beside it.

        Parameters
        ----------
        seed, number
            The same draw the same codes.

        Raises
        ------
        DataError
            The class has fewer than two images.
        """
        members = np.flatnonzero(self.labels == index)
        if len(members) < 2:
            raise DataError(
                f"class number {index} has {len(members)} training image to interpolate from, at "
                "least 2 are needed; add images, or choose --method sample"
            )
        rng = child_rng(seed, "interpolate", index, "chunk", number)
        first = members[rng.integers(len(members), size=count)]
        rank, share = rng.random(count), rng.random((count, 1), np.float32)
        beside = NOISE_STD * rng.standard_normal((count, self.noise.shape[1]), np.float32)
        second = self._partners(first, members, rank)
        noise = self.noise[first] + share * (self.noise[second] - self.noise[first]) + beside
        sources = [[self.names[a], self.names[b]] for a, b in zip(first, second)]
        return LatentBatch(noise.astype(np.float32), first, sources)

    def _partners(self, first: np.ndarray, members: np.ndarray, rank: np.ndarray) -> np.ndarray:
        """Return for each image one of its nearest neighbours, by `rank` from 0 to below 1."""
        nearest = min(NUM_NEIGHBORS, len(members) - 1)
        x, y = (self.noise[rows].astype(np.float64) for rows in (first, members))
        at, chosen = (rank * nearest).astype(np.int64), np.empty(len(first), np.int64)
        for rows, block in zip(row_blocks(len(x)), squared_distances(x, y)):
            # An image is no neighbour of itself.
            block[members[None, :] == first[rows][:, None]] = np.inf
            order = np.argsort(block, axis=1, kind="stable")
            chosen[rows] = members[order[np.arange(len(block)), at[rows]]]
        return chosen


TRANSFER_FRACTION = 0.6  # of a difference; all of it often changes the class


class LatentTransfer:
    """Draws codes of a class: one of its own, moved as another class varies.

    Parameters
    ----------
    codes : Codes
        Of the training images.
    """

    def __init__(self, codes: LatentCodes) -> None:
        self.noise, self.labels, self.names = codes.noise, np.asarray(codes.labels), codes.names
        sizes = np.bincount(self.labels)
        # The largest classes, because few images would lend the same differences again and again.
        self._lenders = np.flatnonzero(sizes >= max(2, sizes.max() / 2))

    def draw(self, index: int, count: int, seed: int, number: int) -> LatentBatch:
        """Return `count` codes of class `index`; equal seed and number give equal codes.

        Raises
        ------
        DataError
            The class has no image, or there is none to learn differences from.
        """
        members = np.flatnonzero(self.labels == index)
        lenders = self._lenders[self._lenders != index]
        if not len(members) or not len(lenders):
            raise DataError(
                f"class number {index} has {len(members)} images, and {len(lenders)} other classes "
                "have enough to vary it by; add images, or choose the method sample"
            )
        rng = child_rng(seed, "transfer", index, "chunk", number)
        own = members[rng.integers(len(members), size=count)]
        lent = rng.choice(lenders, size=count)
        pairs = np.empty((2, count), np.int64)
        for lender in lenders:
            places, rows = np.flatnonzero(lent == lender), np.flatnonzero(self.labels == lender)
            pairs[:, places] = rows[rng.integers(len(rows), size=(2, len(places)))]
        moved = self.noise[own] + TRANSFER_FRACTION * (self.noise[pairs[0]] - self.noise[pairs[1]])
        sources = [[self.names[i] for i in made_of] for made_of in zip(own, *pairs)]
        return LatentBatch(moved.astype(np.float32), own, sources)
