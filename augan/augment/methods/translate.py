"""Augmentation method "translate": images of the old camera in the look of the new camera.

Zhu et al. (2017), "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks", describe the translator; `augan.gan.translation` its training.
"""

import numpy as np

from augan.augment.generator import TranslatorSampler
from augan.augment.methods.base import CHUNK_SIZE, Candidates
from augan.augment.methods.registry import AUGMENTATION_METHODS, AugmentationMethod
from augan.augment.training_reference import TrainingReference
from augan.exceptions import DataError
from augan.seeding import child_rng, child_seed


@AUGMENTATION_METHODS.register(
    AugmentationMethod(
        "translate",
        description="images of the old camera, translated to the look of the new camera",
        sample_types=("image",),
        required_parts=("translator",),
        needs_generator=False,
        min_class_size=1,
        uses_training_data=True,
        requires_training_data=True,
        training_stage="translation",
        rank=3,
    )
)
class TranslatedImages:
    """Translations of the training images of the old camera, each with its own noise.

    All images of the class are translated once before any is translated again.

    Parameters
    ----------
    sampler : TranslatorSampler
        The translator.
    reference : TrainingReference or None
        Training images of the old camera.

    Raises
    ------
    DataError
        There is no reference.
    """

    def __init__(self, sampler: TranslatorSampler, reference: TrainingReference | None) -> None:
        if reference is None:
            raise DataError(
                "the method translate needs the images of the old camera, got none; give their "
                "place with `training_data`"
            )
        self.sampler, self.reference = sampler, reference

    def generate(self, class_index: int, chunk_index: int, seed: int) -> Candidates:
        """Return one chunk of translations of a class; see `CandidateGenerator.generate`."""
        reference = self.reference
        rows = reference.train_rows[reference.labels[reference.train_rows] == class_index]
        if not len(rows):
            name = self.sampler.class_names[class_index]
            raise DataError(
                f"method translate needs a training image of class '{name}' of the old camera, got "
                "none; add images, or leave out the class"
            )
        indices = np.arange(chunk_index * CHUNK_SIZE, (chunk_index + 1) * CHUNK_SIZE)
        chosen = np.empty(CHUNK_SIZE, np.int64)
        for turn in np.unique(indices // len(rows)).tolist():
            order = child_rng(seed, "translate", class_index, "turn", turn).permutation(rows)
            is_turn = indices // len(rows) == turn
            chosen[is_turn] = order[indices[is_turn] % len(rows)]
        images = reference.samples[chosen]
        samples = self.sampler.translator.translate_prepared(
            np.asarray(images),
            indices.tolist(),
            seed=child_seed(seed, "translate", class_index),
        )
        return Candidates(samples, [[reference.names[row]] for row in chosen])
