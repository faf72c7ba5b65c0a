"""Augmentation method "sample": random noise through the generator."""

import numpy as np

from augan.augment.generator import NOISE_BLOCK_SIZE, GeneratorSampler
from augan.augment.methods.base import CHUNK_SIZE, Candidates
from augan.augment.methods.registry import AUGMENTATION_METHODS, AugmentationMethod
from augan.augment.training_reference import TrainingReference


@AUGMENTATION_METHODS.register(
    AugmentationMethod("sample", description="generated from random noise", rank=0)
)
class PriorSampling:
    """Random noise from the prior of the training, through the generator.

    Parameters
    ----------
    sampler : GeneratorSampler
        The generator.
    reference : TrainingReference or None
        Not used.
    """

    def __init__(
        self, sampler: GeneratorSampler, reference: TrainingReference | None = None
    ) -> None:
        self.sampler = sampler

    def generate(self, class_index: int, chunk_index: int, seed: int) -> Candidates:
        """Return one chunk of candidates from random noise; see `CandidateGenerator.generate`."""
        block, position = divmod(chunk_index, NOISE_BLOCK_SIZE // CHUNK_SIZE)
        latents = self.sampler.class_latents(class_index, block, seed)
        latents = latents[position * CHUNK_SIZE :][:CHUNK_SIZE]
        return Candidates(self.sampler.decode(latents, np.full(CHUNK_SIZE, class_index)))
