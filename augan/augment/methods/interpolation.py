"""Augmentation method "interpolate": latent codes between those of two samples of a class.

References
----------
Chawla, Bowyer, Hall, Kegelmeyer (2002), SMOTE.
"""

import numpy as np

from augan.augment.generator import GeneratorSampler
from augan.augment.methods.decoding import LatentDecoding, load_codes
from augan.augment.methods.latent import LatentBatch, LatentCodes
from augan.augment.methods.registry import AUGMENTATION_METHODS, AugmentationMethod
from augan.augment.training_reference import TrainingReference
from augan.bundle import bundle_errors
from augan.exceptions import DataError
from augan.metrics.distances import row_blocks, squared_distances
from augan.seeding import child_rng

NUM_NEIGHBORS = 5  # nearest codes of the class among which the partner is chosen, as in SMOTE
# Standard deviation of the noise that LatentInterpolation adds, relative to the prior's. Without
# noise a class of a hundred digits gives some 150 images that differ; with more noise the images
# are those of random codes.
NOISE_STD = 0.6


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


@AUGMENTATION_METHODS.register(
    AugmentationMethod(
        "interpolate",
        description="generated between the latent codes of two real samples of the class",
        required_parts=("latents",),
        min_class_size=2,
        uses_training_data=True,
        training_stage="autoencoder",
        rank=1,
    )
)
def interpolate(sampler: GeneratorSampler, reference: TrainingReference | None) -> LatentDecoding:
    """Build the method; BundleError if the bundle has no latent codes with classes."""
    codes = load_codes(sampler.bundle, reference)
    with bundle_errors(sampler.bundle, "latents"):
        return LatentDecoding(sampler, LatentInterpolation(codes))
