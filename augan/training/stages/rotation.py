"""Rotation stage: a classifier of image rotations, for data without classes.

The classifier needs no labels (Gidaris et al. 2018, "Unsupervised Representation Learning by
Predicting Image Rotations"). Its features measure the fidelity of generated images where there is
no classifier of classes.
"""

from augan.gan import Tensor, distribution, tf
from augan.gan.self_supervision import NUM_ROTATIONS
from augan.training.budget import BudgetShare
from augan.training.stages.base import STAGES, Stage
from augan.training.stages.classifier import ClassifierTrainStep
from augan.training.trainer import Trainer


class RotationTrainStep(ClassifierTrainStep):
    """Training step of a rotation classifier: predict the number of quarter turns of an image."""

    @distribution.per_replica
    def train_step(self, data: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Update the classifier on one batch, a quarter of which is rotated by each angle.

        `data` are images `[N, S, S, C]` in [-1, 1] and classes, which are ignored. Returns `loss`
        and `accuracy`, scalar tensors.
        """
        images, _ = data
        parts = [images[turns::NUM_ROTATIONS] for turns in range(NUM_ROTATIONS)]
        rotated = [tf.image.rot90(part, turns) for turns, part in enumerate(parts)]
        labels = [tf.fill((tf.shape(part)[0],), turns) for turns, part in enumerate(parts)]
        classes = tf.one_hot(tf.concat(labels, axis=0), NUM_ROTATIONS)
        return super().train_step((tf.concat(rotated, axis=0), classes))


@STAGES.register(
    Stage(
        "rotation",
        description="predicts how an image is rotated; its features measure fidelity",
        makes=("rotation",),
        share=BudgetShare(steps=0.25, time=0.08),
        applies=lambda plan: (
            plan.preprocessing.training_defaults.needs_learned_features
            and plan.num_classes == 0
            and plan.config.evaluation.enabled
            and plan.config.task != "translate"
        ),
        section="classifier",
    )
)
def train_rotation(trainer: Trainer) -> None:
    """Run the rotation stage: train the network `rotation` on training and unlabeled images."""
    train_step = RotationTrainStep(
        trainer.build("rotation", role="classifier", num_classes=NUM_ROTATIONS),
        learning_rate=trainer.config.classifier.learning_rate,
        seed=trainer.config.seed,
    )
    trainer.run(train_step, indices=trainer.data.train_and_unlabeled_indices())
