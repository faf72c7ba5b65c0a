"""The convolutional judge: a small network of the kind that a bundle carries.

Every arm trains it for equally many updates of equally many labelled images. Images are augmented
anew each time that they are drawn.

References
----------
Zhang, Cisse, Dauphin, Lopez-Paz (2018), mixup. Sohn, Berthelot, Li, Zhang, Carlini, Cubuk,
Kurakin, Zhang, Raffel (2020), FixMatch: simplifying semi-supervised learning with consistency and
confidence.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from augan.augment.classic import classic_policy, stronger
from augan.augment.judging.lessons import Lesson, Predict
from augan.gan import keras, tf
from augan.gan.inference import Inference
from augan.gan.networks.classifier import classifier
from augan.seeding import child_rng, child_seed

STEPS = 1500
BATCH = 64
WIDTH = 32
RATE = 1e-3
MIXUP = 0.2  # alpha of the beta law that mixup draws its shares from
SURE = 0.95  # probability from which FixMatch believes the network
_STEPS_A_CALL = 25  # in one graph call
_CHUNK = 1024  # images that are float32 at once


class CnnClassifier:
    """Two blocks of convolutions, softmax cross-entropy, Adam with cosine decay.

    Parameters
    ----------
    scale : callable
        Stored squares -> float32 in [-1, 1].
    steps : int
        Updates, the same for every lesson.
    width : int
        Channels of the first block.
    """

    name = "cnn"
    can_be_consistent = True

    def __init__(
        self,
        scale: Callable[[np.ndarray], np.ndarray],
        *,
        steps: int = STEPS,
        width: int = WIDTH,
    ) -> None:
        self._scale, self.steps, self.width = scale, steps, width

    def train(self, lesson: Lesson, seed: int) -> Predict:
        """Train a new network on the lesson."""
        shape = lesson.images.shape[1:]
        network = classifier(
            shape, num_classes=lesson.num_classes, width=self.width, seed=child_seed(seed, "cnn")
        )
        update = _Update(network, self.steps, lesson.unlabelled is not None)
        batches = _Batches(lesson, self._scale, seed)
        for start in range(0, self.steps, _STEPS_A_CALL):
            update.take(batches.next(min(_STEPS_A_CALL, self.steps - start)))
        infer = Inference(lambda images: tf.nn.softmax(network(images, training=False)), shape)

        def predict(images: np.ndarray) -> np.ndarray:
            parts = [
                infer(self._scale(images[start : start + _CHUNK]))[0]
                for start in range(0, len(images), _CHUNK)
            ]
            return np.concatenate(parts)

        return predict


class _Batches:
    """Draws the batches of a lesson, several steps at once."""

    def __init__(self, lesson: Lesson, scale: Callable, seed: int) -> None:
        self._lesson, self._scale = lesson, scale
        self._rng = child_rng(seed, "batches")
        self._augment = classic_policy(lesson.policy, child_seed(seed, "policy"))
        self._one_hot = np.eye(lesson.num_classes, dtype=np.float32)
        strong = stronger(lesson.policy)
        self._strong = classic_policy(strong, child_seed(seed, "strong"))

    def next(self, steps: int) -> list[np.ndarray]:
        """Return images `[T, B, S, S, C]`, soft labels `[T, B, K]`, weights `[T, B]`; with
        unlabelled images also these twice, weakly and strongly augmented."""
        lesson, count = self._lesson, steps * BATCH
        rows = self._rng.choice(len(lesson.labels), count, p=lesson.shares)
        images = self._scale(self._augment(lesson.images[rows]))
        labels, weights = self._one_hot[lesson.labels[rows]], lesson.weights[rows]
        if lesson.mixup:
            images, labels = self._mixed(images, labels)
        parts = [images, labels, weights.astype(np.float32)]
        if lesson.unlabelled is not None:
            some = lesson.unlabelled[self._rng.integers(len(lesson.unlabelled), size=count)]
            parts += [self._scale(self._augment(some)), self._scale(self._strong(some))]
        return [part.reshape((steps, BATCH, *part.shape[1:])) for part in parts]

    def _mixed(self, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        partners = self._rng.permutation(len(images))
        share = self._rng.beta(MIXUP, MIXUP, len(images)).astype(np.float32)
        along = share[:, None, None, None]
        return (
            along * images + (1 - along) * images[partners],
            share[:, None] * labels + (1 - share[:, None]) * labels[partners],
        )


class _Update:
    """Takes steps of Adam, several in one graph call."""

    def __init__(self, network: keras.Model, steps: int, consistent: bool) -> None:
        self._network = network
        self._optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps))
        self._optimizer.build(network.trainable_variables)
        shape, classes = network.input_shape[1:], network.output_shape[-1]
        of_images = tf.TensorSpec((None, BATCH, *shape), tf.float32)
        signature = [
            of_images,
            tf.TensorSpec((None, BATCH, classes), tf.float32),
            tf.TensorSpec((None, BATCH), tf.float32),
            *([of_images, of_images] if consistent else []),
        ]
        self._steps = tf.function(self._run, input_signature=signature)

    def take(self, batches: list[np.ndarray]) -> None:
        """Take one step for each of the batches."""
        self._steps(*(tf.constant(part) for part in batches))

    def _run(self, *batches: Any) -> None:
        for step in tf.range(tf.shape(batches[0])[0]):
            self._step(*(part[step] for part in batches))

    def _step(self, images: Any, labels: Any, weights: Any, *unlabelled: Any) -> None:
        network = self._network
        with tf.GradientTape() as tape:
            seen = tf.concat([images, *unlabelled[1:]], axis=0)
            logits = network(seen, training=True)
            losses = tf.nn.softmax_cross_entropy_with_logits(labels, logits[:BATCH])
            loss = tf.reduce_mean(weights * losses)
            if unlabelled:
                loss += _inconsistency(network(unlabelled[0], training=False), logits[BATCH:])
        variables = network.trainable_variables
        self._optimizer.apply(tape.gradient(loss, variables), variables)


def _inconsistency(weak: Any, strong: Any) -> Any:
    """FixMatch: where a network is sure of a weakly augmented image, it shall say the same of it
    strongly augmented."""
    guessed = tf.stop_gradient(tf.nn.softmax(weak))
    sure = tf.cast(tf.reduce_max(guessed, axis=1) >= SURE, tf.float32)
    classes = tf.argmax(guessed, axis=1)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, strong)
    return tf.reduce_mean(sure * losses)
