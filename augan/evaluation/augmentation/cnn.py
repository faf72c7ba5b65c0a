"""The convolutional judge: a small network of the kind that a bundle carries.

Every arm trains it for equally many updates of equally many labeled images. They are drawn and
augmented ahead, and each result is seen `VIEWS` times: augmenting costs as much as learning.

References
----------
Zhang, Cisse, Dauphin, Lopez-Paz (2018), mixup. Sohn, Berthelot, Li, Zhang, Carlini, Cubuk,
Kurakin, Zhang, Raffel (2020), FixMatch: simplifying semi-supervised learning with consistency and
confidence.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from augan.augment.transforms import get_transform, strong_variant
from augan.evaluation.augmentation.training_set import MIXUP, Predict, WeightedTrainingSet
from augan.gan import keras, tf
from augan.gan.inference import Inference
from augan.gan.networks.classifier import classifier
from augan.seeding import child_rng, child_seed

STEPS = 1500
BATCH = 64
WIDTH = 24
RATE = 1e-3
VIEWS = 4  # times that an augmented image is seen
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

    def train(self, lesson: WeightedTrainingSet, seed: int) -> Predict:
        """Train a new network on the lesson."""
        shape = lesson.images.shape[1:]
        network = classifier(
            shape, num_classes=lesson.num_classes, width=self.width, seed=child_seed(seed, "cnn")
        )
        update = _Update(network, self.steps, lesson.unlabeled is not None)
        batches = _Batches(lesson, self._scale, self.steps, seed)
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

    def __init__(self, lesson: WeightedTrainingSet, scale: Callable, steps: int, seed: int) -> None:
        self._scale, self._mixup = scale, lesson.mixup
        self._rng = child_rng(seed, "batches")
        size = math.ceil(steps * BATCH / VIEWS)
        rows = self._rng.choice(len(lesson.labels), size, p=lesson.shares)
        augment = get_transform(lesson.policy, child_seed(seed, "policy"))
        self._images = augment(lesson.images[rows])
        self._labels = np.eye(lesson.num_classes, dtype=np.float32)[lesson.labels[rows]]
        self._weights = lesson.weights[rows].astype(np.float32)
        self._pairs: list[np.ndarray] = []
        if lesson.unlabeled is not None:
            some = lesson.unlabeled[self._rng.integers(len(lesson.unlabeled), size=size)]
            strong = get_transform(strong_variant(lesson.policy), child_seed(seed, "strong"))
            self._pairs = [augment(some), strong(some)]
        self._order = np.concatenate([self._rng.permutation(size) for _ in range(VIEWS)])
        self._taken = 0

    def next(self, steps: int) -> list[np.ndarray]:
        """Return images `[T, B, S, S, C]`, soft labels `[T, B, K]`, weights `[T, B]`; with
        unlabeled images also these twice, weakly and strongly augmented."""
        rows = self._order[self._taken : self._taken + steps * BATCH]
        self._taken += len(rows)
        images, labels = self._scale(self._images[rows]), self._labels[rows]
        if self._mixup:
            images, labels = self._mixed(images, labels)
        parts = [images, labels, self._weights[rows]]
        parts += [self._scale(some[rows]) for some in self._pairs]
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

    def _step(self, images: Any, labels: Any, weights: Any, *unlabeled: Any) -> None:
        network = self._network
        with tf.GradientTape() as tape:
            seen = tf.concat([images, *unlabeled[1:]], axis=0)
            logits = network(seen, training=True)
            losses = tf.nn.softmax_cross_entropy_with_logits(labels, logits[:BATCH])
            loss = tf.reduce_mean(weights * losses)
            if unlabeled:
                loss += _inconsistency(network(unlabeled[0], training=False), logits[BATCH:])
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
