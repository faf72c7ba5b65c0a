"""Codes between those of two real images of a class.

Interpolation of neighbours, as SMOTE does it (Chawla et al. 2002), but in the latent space: what
the generator makes of a code between two real ones lies on what it has learned to draw, where the
mean of two pictures would be a double exposure. Some noise is added, because codes on the lines
between few images give few images.
"""

import numpy as np

from augan.augment.methods.codes import Codes, Drawn
from augan.exceptions import DataError
from augan.metrics.distances import row_blocks, squared_distances
from augan.seeding import child_rng

NEIGHBOURS = 5  # nearest codes of the class among which the partner is chosen, as in SMOTE
# Share of the prior's standard normal noise that is added. Without it a class of a hundred digits
# gives some 150 images that differ; with more the images are those of random noise.
PERTURBATION = 0.6


class Interpolation:
    """Draws codes between real ones.

    Parameters
    ----------
    codes : Codes
        Of the training images.
    """

    def __init__(self, codes: Codes) -> None:
        self.noise, self.labels, self.names = codes.noise, codes.labels, codes.names

    def draw(self, index: int, count: int, seed: int, number: int) -> Drawn:
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
        beside = PERTURBATION * rng.standard_normal((count, self.noise.shape[1]), np.float32)
        second = self._partners(first, members, rank)
        noise = self.noise[first] + share * (self.noise[second] - self.noise[first]) + beside
        sources = [[self.names[a], self.names[b]] for a, b in zip(first, second)]
        return Drawn(noise.astype(np.float32), first, sources)

    def _partners(self, first: np.ndarray, members: np.ndarray, rank: np.ndarray) -> np.ndarray:
        """Return for each image one of its nearest neighbours, by `rank` from 0 to below 1."""
        nearest = min(NEIGHBOURS, len(members) - 1)
        x, y = (self.noise[rows].astype(np.float64) for rows in (first, members))
        at, chosen = (rank * nearest).astype(np.int64), np.empty(len(first), np.int64)
        for rows, block in zip(row_blocks(len(x)), squared_distances(x, y)):
            # An image is no neighbour of itself.
            block[members[None, :] == first[rows][:, None]] = np.inf
            order = np.argsort(block, axis=1, kind="stable")
            chosen[rows] = members[order[np.arange(len(block)), at[rows]]]
        return chosen
