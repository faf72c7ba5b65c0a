"""Candidates that the generator decodes from new latent codes."""

import numpy as np

from augan.augment.generator import GeneratorSampler
from augan.augment.methods.base import CHUNK_SIZE, Candidates
from augan.augment.methods.latent import LatentCodes, LatentSampler
from augan.augment.training_reference import TrainingReference
from augan.bundle import Bundle, bundle_errors
from augan.exceptions import BundleError


def load_codes(bundle: Bundle, reference: TrainingReference | None) -> LatentCodes:
    """Return the latent codes of the training samples, with classes, from a bundle.

    Parameters
    ----------
    bundle : Bundle
    reference : TrainingReference or None
        Training data that names the samples. None: names are `row 0`, `row 1` and so on.

    Raises
    ------
    BundleError
        The bundle has no latent codes, or the codes have no classes.
    """
    stored = bundle.require_latents()
    if stored.labels is None:
        raise BundleError(
            f"{bundle.path or 'this bundle'} has latent codes without classes; train again, or "
            "choose `method='sample'`"
        )
    rows = stored.indices
    names = [f"row {row}" if reference is None else reference.names[row] for row in rows]
    return LatentCodes(stored.latents, stored.labels, names)


class LatentDecoding:
    """Generator of candidates that samples new latent codes and decodes them with the generator.

    Parameters
    ----------
    sampler : GeneratorSampler
        The generator.
    latent_sampler : LatentSampler
        Sampler of the new codes.
    """

    def __init__(self, sampler: GeneratorSampler, latent_sampler: LatentSampler) -> None:
        self.sampler, self.latent_sampler = sampler, latent_sampler

    def generate(self, class_index: int, chunk_index: int, seed: int) -> Candidates:
        """Return one chunk of decoded candidates of a class; see `CandidateGenerator.generate`."""
        with bundle_errors(self.sampler.bundle, "latents"):
            batch = self.latent_sampler.sample(class_index, CHUNK_SIZE, seed, chunk_index)
        samples = self.sampler.decode(batch.latents, np.full(CHUNK_SIZE, class_index))
        return Candidates(samples, batch.sources)
