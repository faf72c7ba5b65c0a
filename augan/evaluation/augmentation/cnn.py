"""Convolutional classifier of an evaluation, the same small network as the classifier of a bundle.

Every arm (way to make a training set) trains the network for the same number of steps on equally
large batches. Batches are sampled and augmented in advance. Augmentation costs as much as training,
so each augmented image is used `ECHO_FACTOR` times (data echoing), and arms that sample the same
images share the augmented copies. Tracing the network costs as much as 50 steps, so all arms of an
evaluation train in the same graph.

References
----------
Zhang, Cisse, Dauphin, Lopez-Paz (2018), mixup. Sohn, Berthelot, Li, Zhang, Carlini, Cubuk, Kurakin,
Zhang, Raffel (2020), FixMatch: simplifying semi-supervised learning with consistency and
confidence. Choi, Passos, Shallue, Dahl (2019), Faster neural network training with data echoing.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from augan.augment.transforms import get_transform, strong_variant
from augan.evaluation.augmentation.training_set import (
    MIXUP_ALPHA,
    PredictProba,
    WeightedTrainingSet,
)
from augan.evaluation.cosine_adam import CosineAdam
from augan.gan import keras, tf
from augan.gan.inference import BatchInference
from augan.gan.networks.build import build_network, network_spec
from augan.io.hashing import sha256_array
from augan.seeding import child_rng, child_seed

STEPS = 1200  # training steps by default
BATCH_SIZE = 32  # images in a batch; consistency adds as many unlabeled images
WIDTH = 24  # channels of the first block by default
_LEARNING_RATE = 1e-3
ECHO_FACTOR = 4  # uses of each augmented image
FIXMATCH_THRESHOLD = 0.95  # minimum probability of a pseudo-label
_STEPS_PER_CALL = 25  # training steps in one call of the graph
_CHUNK_SIZE = 1024  # images that are scaled to float32 at once
_MAX_KEPT_BYTES = 2**28  # augmented copies that are kept for further arms


class CnnClassifier:
    """Small convolutional network, trained by softmax cross-entropy and Adam with cosine decay.

    Unlabeled images of the training set are used by FixMatch.

    Parameters
    ----------
    scale : callable
        Prepared images -> float32 in [-1, 1].
    steps : int
        Training steps, the same for every training set.
    width : int
        Channels of the first block.
    dtype : {"float32", "bfloat16"}
        Type in which the layers compute; weights and logits are float32.
    """

    name = "cnn"
    supports_consistency = True

    def __init__(
        self,
        scale: Callable[[np.ndarray], np.ndarray],
        *,
        steps: int = STEPS,
        width: int = WIDTH,
        dtype: str = "float32",
    ) -> None:
        self._scale, self.steps, self.width, self.dtype = scale, steps, width, dtype
        self._graphs: dict[tuple[Any, ...], _Graph] = {}
        self._augmented = _AugmentedImages()

    def train(self, training_set: WeightedTrainingSet, seed: int) -> PredictProba:
        """Train new weights on a training set; see `Classifier.train`."""
        shape, num_classes = training_set.images.shape[1:], training_set.num_classes
        has_unlabeled = training_set.unlabeled is not None
        spec = network_spec(
            "cnn",
            "classifier",
            image_shape=shape,
            num_classes=num_classes,
            width=self.width,
            seed=child_seed(seed, "cnn"),
        )
        network = build_network(spec, self.dtype)
        key = (shape, num_classes, has_unlabeled)
        if key not in self._graphs:
            self._graphs[key] = _Graph(network, self.steps, has_unlabeled)
        graph = self._graphs[key]
        graph.reset(network.get_weights())
        batches = _Batches(training_set, self._scale, self.steps, seed, self._augmented)
        for start in range(0, self.steps, _STEPS_PER_CALL):
            graph.train(batches.next(min(_STEPS_PER_CALL, self.steps - start)))
        weights = graph.weights()

        def predict(images: np.ndarray) -> np.ndarray:
            graph.reset(weights)  # another arm may have trained since
            chunks = [
                graph.probabilities(self._scale(images[start : start + _CHUNK_SIZE]))[0]
                for start in range(0, len(images), _CHUNK_SIZE)
            ]
            return np.concatenate(chunks)

        return predict


class _AugmentedImages:
    """Augmented copies of images, kept for further arms of the repeat that use the same copies."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int, str], np.ndarray] = {}

    def augment(self, images: np.ndarray, transform: str, seed: int) -> np.ndarray:
        """Return images `[n, S, S, C]` after a random transform, a key of `TRANSFORMS`."""
        key = (transform, seed, sha256_array(images))
        if key not in self._kept:
            self._kept[key] = get_transform(transform, seed)(images)
        augmented = self._kept[key]
        while sum(copies.nbytes for copies in self._kept.values()) > _MAX_KEPT_BYTES:
            del self._kept[next(iter(self._kept))]  # the oldest
        return augmented


class _Batches:
    """Batches sampled from a training set and augmented in advance.

    Parameters
    ----------
    training_set : WeightedTrainingSet
    scale : callable
        Prepared images -> float32 in [-1, 1].
    steps : int
        Number of training steps, which decides how many images are sampled.
    seed : int
    augmented : _AugmentedImages
        Augmented copies that several arms share.
    """

    def __init__(
        self,
        training_set: WeightedTrainingSet,
        scale: Callable,
        steps: int,
        seed: int,
        augmented: _AugmentedImages,
    ) -> None:
        self._scale, self._mixup = scale, training_set.mixup
        self._rng = child_rng(seed, "batches")
        size = math.ceil(steps * BATCH_SIZE / ECHO_FACTOR)
        num_labeled, num_classes = len(training_set.labels), training_set.num_classes
        indices = self._rng.choice(num_labeled, size, p=training_set.probabilities)
        transform = training_set.transform
        self._images = augmented.augment(
            training_set.images[indices], transform, child_seed(seed, "policy")
        )
        self._labels = np.eye(num_classes, dtype=np.float32)[training_set.labels[indices]]
        self._weights = training_set.weights[indices].astype(np.float32)
        self._weak_and_strong: list[np.ndarray] = []
        if training_set.unlabeled is not None:
            num_unlabeled = len(training_set.unlabeled)
            unlabeled = training_set.unlabeled[self._rng.integers(num_unlabeled, size=size)]
            self._weak_and_strong = [
                augmented.augment(unlabeled, name, child_seed(seed, kind))
                for kind, name in (("weak", transform), ("strong", strong_variant(transform)))
            ]
        self._order = np.concatenate([self._rng.permutation(size) for _ in range(ECHO_FACTOR)])
        self._position = 0

    def next(self, steps: int) -> list[np.ndarray]:
        """Return the batches of the next training steps.

        Parameters
        ----------
        steps : int
            Number T of steps.

        Returns
        -------
        list of ndarray
            Images `[T, B, S, S, C]` in [-1, 1], soft labels `[T, B, K]`, weights `[T, B]`. With
            unlabeled images also the weakly and the strongly augmented unlabeled images `[T, B, S,
            S, C]`.
        """
        indices = self._order[self._position : self._position + steps * BATCH_SIZE]
        self._position += len(indices)
        images, labels = self._scale(self._images[indices]), self._labels[indices]
        if self._mixup:
            images, labels = self._mix(images, labels)
        arrays = [images, labels, self._weights[indices]]
        arrays += [self._scale(unlabeled[indices]) for unlabeled in self._weak_and_strong]
        return [array.reshape((steps, BATCH_SIZE, *array.shape[1:])) for array in arrays]

    def _mix(self, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mixup of images `[n, S, S, C]` and of their soft labels `[n, K]`.

        Each result is a random weighted mean of an image and a random other image.
        """
        partners = self._rng.permutation(len(images))
        mixing = self._rng.beta(MIXUP_ALPHA, MIXUP_ALPHA, len(images)).astype(np.float32)
        of_pixels, of_labels = mixing[:, None, None, None], mixing[:, None]
        return (
            of_pixels * images + (1 - of_pixels) * images[partners],
            of_labels * labels + (1 - of_labels) * labels[partners],
        )


class _Graph:
    """Compiled training and inference of a network, for any number of trainings from new weights.

    Several steps run in one call of the graph.

    Parameters
    ----------
    network : keras.Model
        The network, which is changed in place.
    steps : int
        Number of all steps, after which the cosine decay of the learning rate ends.
    has_unlabeled : bool
        Whether the batches contain weakly and strongly augmented unlabeled images.
    """

    def __init__(self, network: keras.Model, steps: int, has_unlabeled: bool) -> None:
        self._network = network
        variables = [variable.value for variable in network.trainable_variables]
        self._adam = CosineAdam(variables, steps, _LEARNING_RATE)
        shape, num_classes = network.input_shape[1:], network.output_shape[-1]
        image_spec = tf.TensorSpec((None, BATCH_SIZE, *shape), tf.float32)
        signature = [
            image_spec,
            tf.TensorSpec((None, BATCH_SIZE, num_classes), tf.float32),
            tf.TensorSpec((None, BATCH_SIZE), tf.float32),
            *([image_spec, image_spec] if has_unlabeled else []),
        ]
        self._run_steps = tf.function(self._run, input_signature=signature)
        self.probabilities = BatchInference(
            lambda images: tf.nn.softmax(network(images, training=False)), shape
        )

    def reset(self, weights: list[np.ndarray]) -> None:
        """Start a new training from the given weights of the network."""
        self._network.set_weights(weights)
        self._adam.reset()

    def weights(self) -> list[np.ndarray]:
        """Return copies of the present weights of the network."""
        return self._network.get_weights()

    def train(self, batches: list[np.ndarray]) -> None:
        """Take one training step for each batch that `_Batches.next` returned."""
        self._run_steps(*(tf.constant(array) for array in batches))

    def _run(self, *batches: Any) -> None:
        """Take one step for each entry of the first axis of all arrays; traced as a graph."""
        for step in tf.range(tf.shape(batches[0])[0]):
            self._step(*(array[step] for array in batches))

    def _step(self, images: Any, labels: Any, weights: Any, *weak_and_strong: Any) -> None:
        """Update the network on one batch: weighted cross-entropy, plus FixMatch if unlabeled.

        Parameters
        ----------
        images : tensor [B, S, S, C]
        labels : tensor [B, K]
            Soft labels.
        weights : tensor [B]
            Weights of the labeled images in the loss.
        weak_and_strong : no tensor, or two tensors [B, S, S, C]
            Weakly and strongly augmented versions of the same unlabeled images.
        """
        network = self._network
        with tf.GradientTape() as tape:
            inputs = tf.concat([images, *weak_and_strong[1:]], axis=0)
            logits = network(inputs, training=True)
            losses = tf.nn.softmax_cross_entropy_with_logits(labels, logits[:BATCH_SIZE])
            loss = tf.reduce_mean(weights * losses)
            if weak_and_strong:
                weak_logits = network(weak_and_strong[0], training=False)
                loss += _fixmatch_loss(weak_logits, logits[BATCH_SIZE:])
        self._adam.apply(tape.gradient(loss, self._adam.variables))


def _fixmatch_loss(weak_logits: Any, strong_logits: Any) -> Any:
    """Return the FixMatch loss: cross-entropy of strong augmentations with confident pseudo-labels.

    Parameters
    ----------
    weak_logits : tensor [B, K]
        Logits of the weakly augmented images. Their largest class is the pseudo-label if its
        probability is at least 0.95; other images do not count.
    strong_logits : tensor [B, K]
        Logits of the strongly augmented versions of the same images.
    """
    probabilities = tf.stop_gradient(tf.nn.softmax(weak_logits))
    confident = tf.cast(tf.reduce_max(probabilities, axis=1) >= FIXMATCH_THRESHOLD, tf.float32)
    pseudo_labels = tf.argmax(probabilities, axis=1)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(pseudo_labels, strong_logits)
    return tf.reduce_mean(confident * losses)
