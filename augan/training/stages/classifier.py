"""The agreement classifier: fitted on real images only, it later judges generated ones."""

from typing import Any

from augan.gan import distribution, keras, tf
from augan.gan.diffaug import augment
from augan.seeding import child_seed

Tensor = Any
NUM_ROTATIONS = 4


class ClassifierUpdate:
    """One step of softmax cross-entropy on real samples; images are shifted a little at random."""

    metric_names: tuple[str, ...] = ("loss", "accuracy")

    def __init__(self, classifier: keras.Model, *, learning_rate: float, seed: int) -> None:
        self.classifier = classifier
        self.policies = ("translation",) if len(classifier.input_shape) == 4 else ()
        self.seed = child_seed(seed, "classifier", "shift") // 2
        self.optimizer = keras.optimizers.Adam(learning_rate)
        self.optimizer.build(classifier.trainable_variables)

    @property
    def state(self) -> list[Any]:
        """All variables that the next step depends on."""
        return [*self.classifier.variables, *self.optimizer.variables]

    @distribution.per_replica
    def train_step(self, data: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Take one step on (images, classes)."""
        images, classes = (distribution.local_rows(whole) for whole in data)
        step = tf.cast(self.optimizer.iterations, tf.int32)
        seen = augment(images, self.policies, tf.stack([self.seed, step]))
        with tf.GradientTape() as tape:
            logits = self.classifier(seen, training=True)
            losses = tf.nn.softmax_cross_entropy_with_logits(labels=classes, logits=logits)
            loss = tf.reduce_mean(losses)
            part = distribution.local_loss(loss)
        variables = self.classifier.trainable_variables
        self.optimizer.apply(tape.gradient(part, variables), variables)
        return {"loss": loss, "accuracy": tf.reduce_mean(_agreement(logits, classes))}


class RotationUpdate(ClassifierUpdate):
    """Learn to tell by how many quarter turns an image was rotated (Gidaris et al. 2018).

    A classifier that needs no labels: its features stand in where images have no classes.
    """

    @distribution.per_replica
    def train_step(self, data: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Take one step on images; a quarter of the batch is turned by each angle."""
        images, _ = data
        parts = [images[turns::NUM_ROTATIONS] for turns in range(NUM_ROTATIONS)]
        turned = [tf.image.rot90(part, turns) for turns, part in enumerate(parts)]
        labels = [tf.fill((tf.shape(part)[0],), turns) for turns, part in enumerate(parts)]
        classes = tf.one_hot(tf.concat(labels, axis=0), NUM_ROTATIONS)
        return super().train_step((tf.concat(turned, axis=0), classes))


def _agreement(logits: Tensor, classes: Tensor) -> Tensor:
    same = tf.equal(tf.argmax(logits, axis=1), tf.argmax(classes, axis=1))
    return tf.cast(same, tf.float32)
