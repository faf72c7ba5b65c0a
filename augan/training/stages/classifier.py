"""Classifier stage: trains a classifier on real samples only.

Filters of augmentation compare the classifier's prediction with the class of a generated sample.
"""

from typing import Any

from augan.gan import Tensor, distribution, keras, tf
from augan.gan.diffaug import augment
from augan.seeding import child_seed
from augan.training.budget import BudgetShare
from augan.training.stages.base import STAGES, Stage
from augan.training.trainer import Trainer


class ClassifierTrainStep:
    """Training step of a classifier: softmax cross-entropy on real samples.

    Images are shifted at random.

    Parameters
    ----------
    classifier : keras.Model
        Samples -> logits `[N, num_classes]`.
    learning_rate : float
        Learning rate of Adam.
    seed : int
        Seed of the random shifts.
    """

    metric_names: tuple[str, ...] = ("loss", "accuracy")

    def __init__(self, classifier: keras.Model, *, learning_rate: float, seed: int) -> None:
        self.classifier = classifier
        self.policies = ("translation",) if len(classifier.input_shape) == 4 else ()
        self.seed = child_seed(seed, "classifier", "shift") // 2
        self.optimizer = keras.optimizers.Adam(learning_rate)
        self.optimizer.build(classifier.trainable_variables)

    @property
    def state(self) -> list[Any]:
        """All variables that the next training step depends on, in a fixed order."""
        return [*self.classifier.variables, *self.optimizer.variables]

    @distribution.per_replica
    def train_step(self, data: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Update the classifier on one batch; return its `loss` and `accuracy`, scalar tensors.

        `data` are samples `[N, ...]` in [-1, 1] and one-hot classes `[N, num_classes]`.
        """
        samples, classes = (distribution.local_rows(values) for values in data)
        step = tf.cast(self.optimizer.iterations, tf.int32)
        augmented = augment(samples, self.policies, tf.stack([self.seed, step]))
        with tf.GradientTape() as tape:
            logits = self.classifier(augmented, training=True)
            losses = tf.nn.softmax_cross_entropy_with_logits(labels=classes, logits=logits)
            loss = tf.reduce_mean(losses)
            local_loss = distribution.local_loss(loss)
        variables = self.classifier.trainable_variables
        self.optimizer.apply(tape.gradient(local_loss, variables), variables)
        return {"loss": loss, "accuracy": tf.reduce_mean(_is_correct(logits, classes))}


def _is_correct(logits: Tensor, classes: Tensor) -> Tensor:
    """Return 1 for each sample whose highest logit is that of its class, else 0, float32 `[N]`."""
    is_correct = tf.equal(tf.argmax(logits, axis=1), tf.argmax(classes, axis=1))
    return tf.cast(is_correct, tf.float32)


@STAGES.register(
    Stage(
        "classifier",
        description="learns the classes of real samples, to filter generated ones",
        makes=("classifier",),
        share=BudgetShare(steps=0.25, time=0.08),
        applies=lambda plan: plan.num_classes > 0,
        section="classifier",
    )
)
def train_classifier(trainer: Trainer) -> None:
    """Run the classifier stage: build `classifier` and train it on the labeled training split."""
    train_step = ClassifierTrainStep(
        trainer.build("classifier"),
        learning_rate=trainer.config.classifier.learning_rate,
        seed=trainer.config.seed,
    )
    trainer.run(train_step, indices=trainer.data.train_indices())
