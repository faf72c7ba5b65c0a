"""Augmentation method "transfer": samples changed as two samples of another class differ.

References
----------
Schwartz et al. (2018), Delta-encoder.
"""

import numpy as np

from augan.augment.generator import GeneratorSampler
from augan.augment.methods.base import CHUNK_SIZE, CandidateGenerator, Candidates
from augan.augment.methods.latent import (
    LatentBatch,
    LatentCodes,
    LatentDecoding,
    LatentSampler,
    load_codes,
)
from augan.augment.methods.registry import AUGMENTATION_METHODS, AugmentationMethod
from augan.augment.training_reference import TrainingReference
from augan.bundle import bundle_errors
from augan.exceptions import DataError
from augan.seeding import child_rng

TRANSFER_FRACTION = 0.6  # of a difference of codes; the full difference often changes the class


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
            table = self.sampler.bundle.tables["latents"]
            base_latents = table["latents"][batch.base_indices]
            real = self.reference.samples[table["indices"][batch.base_indices]]
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
