"""Augmentation methods that decode latent codes: new samples, or edits of real images."""

import numpy as np

from augan.augment.filters.filter import TrainingReference
from augan.augment.methods.base import CHUNK_SIZE, Candidates
from augan.augment.methods.latent import LatentCodes, LatentSampler
from augan.augment.methods.prior import GeneratorSampler
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
    bundle.require("latents")
    with bundle_errors(bundle, "latents"):
        table = bundle.tables["latents"]
        if "labels" not in table:
            raise BundleError(
                f"{bundle.path or 'this bundle'} has latent codes without classes; train again, or "
                "choose `method='sample'`"
            )
        rows = table["indices"]
        names = [f"row {row}" if reference is None else reference.names[row] for row in rows]
        return LatentCodes(table["latents"], table["labels"], names)


class LatentDecoding:
    """Augmentation method that samples new latent codes and decodes them with the generator.

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
        """Return one chunk of decoded candidates of a class; see `AugmentationMethod.generate`."""
        with bundle_errors(self.sampler.bundle, "latents"):
            batch = self.latent_sampler.sample(class_index, CHUNK_SIZE, seed, chunk_index)
        samples = self.sampler.decode(batch.latents, np.full(CHUNK_SIZE, class_index))
        return Candidates(samples, batch.sources)


class ResidualEditing:
    """Augmentation method that edits real images by the change of the generator's output.

    The difference between the generator's outputs for a new and for the original latent code is
    added to the real image. So the image stays sharp, where the generator's output would be
    blurred.

    Parameters
    ----------
    sampler : GeneratorSampler
        The generator.
    latent_sampler : LatentSampler
        Sampler of the new codes, each computed from the code of a real image.
    reference : TrainingReference
        The training data with the real images.
    """

    def __init__(
        self,
        sampler: GeneratorSampler,
        latent_sampler: LatentSampler,
        reference: TrainingReference,
    ) -> None:
        self.sampler, self.latent_sampler, self.reference = sampler, latent_sampler, reference

    def generate(self, class_index: int, chunk_index: int, seed: int) -> Candidates:
        """Return one chunk of edited real images of a class; see `AugmentationMethod.generate`."""
        with bundle_errors(self.sampler.bundle, "latents"):
            batch = self.latent_sampler.sample(class_index, CHUNK_SIZE, seed, chunk_index)
            table = self.sampler.bundle.tables["latents"]
            base_latents = table["latents"][batch.base_indices]
            real = self.reference.samples[table["indices"][batch.base_indices]]
        scale = self.sampler.preprocessing.normalize
        classes = np.full(CHUNK_SIZE, class_index)
        residual = scale(self.sampler.decode(batch.latents, classes))
        residual -= scale(self.sampler.decode(base_latents, classes))
        edited = np.clip(scale(real) + residual, -1, 1)
        return Candidates(self.sampler.preprocessing.denormalize(edited), batch.sources)
