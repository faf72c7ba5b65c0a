"""The agreement classifier: fitted on real images only, it later judges generated ones."""

from typing import Any

from augan.gan import keras, tf
from augan.gan.diffaug import augment
from augan.seeding import child_seed

Tensor = Any


class ClassifierUpdate:
    """One step of softmax cross-entropy on real images, each shifted a little at random."""

    measures = ("loss", "accuracy")

    def __init__(self, classifier: keras.Model, *, learning_rate: float, seed: int) -> None:
        self.classifier = classifier
        self.seed = child_seed(seed, "classifier", "shift")
        self.optimizer = keras.optimizers.Adam(learning_rate)
        self.optimizer.build(classifier.trainable_variables)

    @property
    def state(self) -> list[Any]:
        """All variables that the next step depends on."""
        return [*self.classifier.variables, *self.optimizer.variables]

    def train_step(self, data: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Take one step on (images, classes)."""
        images, classes = data
        step = tf.cast(self.optimizer.iterations, tf.int32)
        seen = augment(images, ("translation",), tf.stack([self.seed, step * 64]))
        with tf.GradientTape() as tape:
            logits = self.classifier(seen, training=True)
            losses = tf.nn.softmax_cross_entropy_with_logits(labels=classes, logits=logits)
            loss = tf.reduce_mean(losses)
        variables = self.classifier.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return {"loss": loss, "accuracy": tf.reduce_mean(_agreement(logits, classes))}


def _agreement(logits: Tensor, classes: Tensor) -> Tensor:
    same = tf.equal(tf.argmax(logits, axis=1), tf.argmax(classes, axis=1))
    return tf.cast(same, tf.float32)
