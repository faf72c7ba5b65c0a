"""Augmentation method "transfer": samples changed as two samples of another class differ."""

import numpy as np

from augan.augment.generator import GeneratorSampler
from augan.augment.methods.base import CHUNK_SIZE, CandidateGenerator, Candidates
from augan.augment.methods.decoding import LatentDecoding, load_codes
from augan.augment.methods.latent import LatentSampler, LatentTransfer
from augan.augment.methods.registry import AUGMENTATION_METHODS, AugmentationMethod
from augan.augment.training_reference import TrainingReference
from augan.bundle import bundle_errors


class ResidualEditing:
    """Generator of candidates that edits real images by the change of the generator's output.

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
        """Return one chunk of edited real images of a class; see `CandidateGenerator.generate`."""
        with bundle_errors(self.sampler.bundle, "latents"):
            batch = self.latent_sampler.sample(class_index, CHUNK_SIZE, seed, chunk_index)
        stored = self.sampler.bundle.require_latents()
        base_latents = stored.latents[batch.base_indices]
        real = self.reference.samples[stored.indices[batch.base_indices]]
        scale = self.sampler.preprocessing.normalize
        classes = np.full(CHUNK_SIZE, class_index)
        residual = scale(self.sampler.decode(batch.latents, classes))
        residual -= scale(self.sampler.decode(base_latents, classes))
        edited = np.clip(scale(real) + residual, -1, 1)
        return Candidates(self.sampler.preprocessing.denormalize(edited), batch.sources)


@AUGMENTATION_METHODS.register(
    AugmentationMethod(
        "transfer",
        description="real samples, changed by the difference between two others; each resembles "
        "the sample that it is made from",
        required_parts=("latents",),
        min_class_size=1,
        uses_training_data=True,
        fallback={"image": "the images are decoded from latent codes, not edited real images"},
        training_stage="autoencoder",
        rank=2,
    )
)
def transfer(sampler: GeneratorSampler, reference: TrainingReference | None) -> CandidateGenerator:
    """Build the method: edits of real images, or decoded codes where images are missing.

    Table rows are decoded, never edited, because categories cannot be added. BundleError if the
    bundle has no latent codes with classes.
    """
    codes = load_codes(sampler.bundle, reference)
    with bundle_errors(sampler.bundle, "latents"):
        latent_sampler = LatentTransfer(codes)
    if reference is None or not sampler.preprocessing.supports_residuals:
        return LatentDecoding(sampler, latent_sampler)
    return ResidualEditing(sampler, latent_sampler, reference)
