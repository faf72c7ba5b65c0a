"""Classifier for a new camera: four convolutions with batch normalization, trained in seconds.

Every arm trains the network for the same number of steps on equally large batches, in the same
graph. Images are augmented in NumPy while the batches are made.

AdaBN replaces the statistics of all batch normalizations by those of unlabeled images of the new
camera, after the training. Three adaptations train on such images: deep CORAL aligns the covariance
of the features, DANN makes the cameras indistinguishable for a second classifier, and self-training
takes confident predictions for labels as AdaMatch does (without its interpolation of logits).

References
----------
Ioffe, Szegedy (2015), Batch normalization. Li, Wang, Shi, Liu, Hou (2016), Revisiting batch
normalization for practical domain adaptation (AdaBN). Sun, Saenko (2016), Deep CORAL. Ganin et al.
(2016), Domain-adversarial training of neural networks (DANN). Berthelot, Roelofs, Sohn, Carlini,
Kurakin (2022), AdaMatch.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from augan.data.splits import evenly_spaced
from augan.evaluation.cosine_adam import CosineAdam
from augan.evaluation.translation.augmentation import augment
from augan.evaluation.translation.camera_shift import CameraTrainingSet
from augan.gan import tf
from augan.seeding import child_rng

STEPS = 500  # training steps by default
BATCH_SIZE = 64  # labeled images in a batch; an adaptation adds as many unlabeled images
MAX_POOL = 2048  # images of the new camera from which AdaBN takes the statistics
LAYERS = ((4, 2, 32), (3, 2, 64), (3, 1, 96), (3, 2, 128))  # kernel, stride, channels
_LEARNING_RATE = 2e-3
_EPSILON = 1e-3  # added to variances by the batch normalization
_MOMENTUM = 0.98  # of the moving statistics
_DOMAIN_UNITS = 64  # hidden units of DANN's classifier of cameras
_CORAL_WEIGHT = 10.0
_ADAMATCH_THRESHOLD = 0.9  # of the mean confidence on labeled images
_STEPS_PER_CALL = 25  # training steps in one call of the graph
_CHUNK_SIZE = 256  # images that are classified at once

Batch = tuple[np.ndarray, ...]


class CameraClassifier:
    """Convolutional network for images of one size, trained anew for every training set.

    Parameters
    ----------
    image_shape : tuple of int (S, S, C)
    num_classes : int
    steps : int
        Training steps, the same for every training set.
    flips : bool
        Whether training images are mirrored at random; not for images such as digits.
    dtype : {"float32", "bfloat16"}
        Type in which the convolutions compute; weights and logits are float32.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        *,
        steps: int = STEPS,
        flips: bool = True,
        dtype: str = "float32",
    ) -> None:
        self.steps, self.flips = steps, flips
        self._network = _Network(image_shape[2], num_classes, dtype)
        self._graphs: dict[str, _Training] = {}  # by adaptation

    def train(self, training_set: CameraTrainingSet, seed: int) -> "TrainedClassifier":
        """Train new weights on a training set.

        Parameters
        ----------
        training_set : CameraTrainingSet
        seed : int
            Seed of the initial weights and of the batches. Arms of one repeat have equal seeds.

        Returns
        -------
        TrainedClassifier
        """
        adaptation = training_set.adaptation
        if adaptation not in self._graphs:
            self._graphs[adaptation] = _Training(self._network, self.steps, adaptation)
        self._network.reset(seed)
        graph = self._graphs[adaptation]
        graph.reset(seed)
        for batches in _batches(training_set, self.steps, self.flips, seed):
            graph.run(*(tf.constant(array) for array in batches))
        return TrainedClassifier(self._network, self._network.values())


@dataclass(frozen=True, eq=False)
class TrainedClassifier:
    """Trained weights of a `CameraClassifier`, valid also after further trainings."""

    _network: "_Network"
    _values: list[np.ndarray]

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the predicted class of each image.

        Parameters
        ----------
        images : ndarray of uint8 [n, S, S, C]

        Returns
        -------
        ndarray of int64 [n]
        """
        self._network.assign(self._values)
        chunks = (images[i : i + _CHUNK_SIZE] for i in range(0, len(images), _CHUNK_SIZE))
        classes = [self._network.classify(tf.constant(chunk)).numpy() for chunk in chunks]
        return np.concatenate(classes) if classes else np.empty(0, np.int64)

    def adapted(self, pool: np.ndarray) -> "TrainedClassifier":
        """Return the classifier with batch statistics of other images (AdaBN).

        Parameters
        ----------
        pool : ndarray of uint8 [n, S, S, C]
            At least two images of the new camera, no test images. At most `MAX_POOL` evenly spaced
            images are used.
        """
        self._network.assign(self._values)
        images = evenly_spaced(pool, MAX_POOL)
        parts = np.array_split(images, math.ceil(len(images) / _CHUNK_SIZE))
        moments = [self._network.moments(tf.constant(part)) for part in parts]
        weights = np.array([len(part) for part in parts]) / len(images)
        values = list(self._values)
        for layer, offset in enumerate(self._network.statistics_offsets):
            means = np.stack([of_part[layer][0].numpy() for of_part in moments])
            variances = np.stack([of_part[layer][1].numpy() for of_part in moments])
            mean = weights @ means
            variance = weights @ (variances + means**2) - mean**2
            values[offset] = mean.astype(np.float32)
            values[offset + 1] = np.maximum(variance, 0).astype(np.float32)
        return TrainedClassifier(self._network, values)


def _batches(
    training_set: CameraTrainingSet, steps: int, flips: bool, seed: int
) -> Iterator[Batch]:
    """Yield the batches of `_STEPS_PER_CALL` training steps at once.

    Yields
    ------
    tuple of ndarray
        Labeled images `[T, B, S, S, C]` float32 in [-1, 1], their classes `[T, B]`, whether they
        are of the new camera `[T, B]`. With an adaptation, also as many unlabeled images; for
        self-training these are weakly augmented, and the same images follow strongly augmented.
    """
    rng, unlabeled = child_rng(seed, "batches"), training_set.unlabeled
    unlabeled_rng = child_rng(seed, "unlabeled batches")
    indices = rng.choice(len(training_set.labels), steps * BATCH_SIZE, p=training_set.probabilities)
    kind = training_set.augmentation
    is_new = training_set.is_new
    for start in range(0, steps, _STEPS_PER_CALL):
        count = min(_STEPS_PER_CALL, steps - start)
        chosen = indices[start * BATCH_SIZE : (start + count) * BATCH_SIZE]
        arrays = [
            augment(training_set.images[chosen], kind, rng, flips=flips),
            training_set.labels[chosen],
            is_new[chosen].astype(np.float32),
        ]
        if training_set.adaptation != "none":
            if unlabeled is None:
                raise ValueError(f"the adaptation {training_set.adaptation} has no images")
            drawn = unlabeled[unlabeled_rng.integers(len(unlabeled), size=len(chosen))]
            arrays.append(augment(drawn, kind, unlabeled_rng, flips=flips))
            if training_set.adaptation.endswith("self-training"):
                arrays.append(augment(drawn, "strong", unlabeled_rng, flips=flips))
        yield tuple(a.reshape(count, BATCH_SIZE, *a.shape[1:]) for a in arrays)


class _Network:
    """Variables and functions of the network, shared by all trainings.

    Parameters
    ----------
    channels : int
        Channels of the images.
    num_classes : int
    dtype : str
        Type of the convolutions.
    """

    def __init__(self, channels: int, num_classes: int, dtype: str) -> None:
        self._dtype, self._blocks = tf.as_dtype(dtype), []
        inputs = channels
        for kernel, _, outputs in LAYERS:
            shapes = [(kernel, kernel, inputs, outputs), *[(outputs,)] * 4]
            self._blocks.append([tf.Variable(tf.zeros(shape)) for shape in shapes])
            inputs = outputs
        self.num_features, self.num_classes = inputs, num_classes
        head_shapes = [(inputs, num_classes), (num_classes,)]
        self._head = [tf.Variable(tf.zeros(shape)) for shape in head_shapes]
        self.trainable = [v for block in self._blocks for v in block[:3]] + self._head
        self._variables = [v for block in self._blocks for v in block] + self._head
        self.statistics_offsets = [5 * layer + 3 for layer in range(len(LAYERS))]
        spec = tf.TensorSpec((None, None, None, channels), tf.uint8)
        self.classify = tf.function(self._classify, input_signature=[spec], autograph=False)
        self.moments = tf.function(self._moments, input_signature=[spec], autograph=False)

    def reset(self, seed: int) -> None:
        """Set new initial weights: normal kernels (He et al. 2015), identical normalizations."""
        rng = child_rng(seed, "weights")
        for variable in self._variables:
            shape = tuple(variable.shape)
            if len(shape) > 1:
                scale = math.sqrt((2 if len(shape) == 4 else 1) / math.prod(shape[:-1]))
                variable.assign((scale * rng.standard_normal(shape)).astype(np.float32))
            else:
                variable.assign(tf.zeros_like(variable))
        for block in self._blocks:
            for ones in (block[1], block[4]):  # scale and variance
                ones.assign(tf.ones_like(ones))

    def values(self) -> list[np.ndarray]:
        """Return copies of all weights and statistics."""
        return [variable.numpy() for variable in self._variables]

    def assign(self, values: list[np.ndarray]) -> None:
        """Set all weights and statistics."""
        for variable, value in zip(self._variables, values):
            variable.assign(value)

    def features(self, images: Any, moments: list[Any] | None = None) -> Any:
        """Return the features `[B, F]` of images `[B, S, S, C]` in [-1, 1].

        Parameters
        ----------
        images : tensor
        moments : list or None
            List to which mean and variance of each normalization are appended: statistics of the
            batch are used. None: the moving statistics are used.
        """
        x = tf.cast(images, self._dtype)
        for (_, stride, _), (kernel, scale, shift, mean, variance) in zip(LAYERS, self._blocks):
            x = tf.nn.conv2d(x, tf.cast(kernel, self._dtype), stride, "SAME")
            is_training = moments is not None
            x, batch_mean, batch_variance = tf.compat.v1.nn.fused_batch_norm(
                x,
                scale,
                shift,
                mean=None if is_training else mean,
                variance=None if is_training else variance,
                epsilon=_EPSILON,
                is_training=is_training,
            )
            if moments is not None:
                moments.append((batch_mean, batch_variance))
            x = tf.nn.relu(x)
        return tf.reduce_mean(tf.cast(x, tf.float32), (1, 2))

    def logits(self, features: Any) -> Any:
        """Return the logits `[B, K]` of features `[B, F]`."""
        return features @ self._head[0] + self._head[1]

    def update_statistics(self, moments: list[Any]) -> None:
        """Move the moving statistics towards those of a batch."""
        for block, current in zip(self._blocks, moments):
            for moving, value in zip(block[3:], current):
                moving.assign(moving * _MOMENTUM + value * (1.0 - _MOMENTUM))

    def _classify(self, images: Any) -> Any:
        """Return the classes of uint8 images; traced as a graph."""
        return tf.argmax(self.logits(self.features(_scale(images))), axis=1)

    def _moments(self, images: Any) -> list[Any]:
        """Return mean and variance of every layer for a batch of uint8 images."""
        moments: list[Any] = []
        self.features(_scale(images), moments)
        return moments


def _scale(images: Any) -> Any:
    """Return uint8 images as float32 in [-1, 1]."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


class _Training:
    """Compiled training steps of a network with one adaptation.

    Parameters
    ----------
    network : _Network
        The network, whose variables are changed in place.
    steps : int
        Number of all steps, after which the learning rate is 0.
    adaptation : str
        See `CameraTrainingSet`.
    """

    def __init__(self, network: _Network, steps: int, adaptation: str) -> None:
        self._network, self._adaptation = network, adaptation
        self._domain: list[Any] = []  # weights of DANN's classifier of cameras
        if adaptation.startswith("adversarial"):
            shapes = [(network.num_features, _DOMAIN_UNITS), (_DOMAIN_UNITS,), (_DOMAIN_UNITS, 1)]
            self._domain = [tf.Variable(tf.zeros(shape)) for shape in shapes]
        self._adam = CosineAdam([*network.trainable, *self._domain], steps, _LEARNING_RATE)
        # Running means of the predictions on labeled and on unlabeled images, for AdaMatch.
        uniform = tf.fill((network.num_classes,), 1.0 / network.num_classes)
        self._shares = [tf.Variable(uniform), tf.Variable(uniform)]
        self.run = tf.function(self._run)

    def reset(self, seed: int) -> None:
        """Start a new training."""
        self._adam.reset()
        rng = child_rng(seed, "domain weights")
        for variable in self._domain:
            shape = tuple(variable.shape)
            scale = math.sqrt(2 / shape[0]) if len(shape) > 1 else 0.0
            variable.assign((scale * rng.standard_normal(shape)).astype(np.float32))
        for variable in self._shares:
            variable.assign(tf.fill(variable.shape, 1.0 / variable.shape[0]))

    def _run(self, *batches: Any) -> None:
        """Take one step for each entry of the first axis of all arrays; traced as a graph."""
        for step in tf.range(tf.shape(batches[0])[0]):
            self._step(*(array[step] for array in batches))

    def _step(self, images: Any, labels: Any, is_new: Any, *unlabeled: Any) -> None:
        """Update the network on one batch: cross-entropy, plus the loss of the adaptation."""
        network, moments = self._network, []  # type: ignore[var-annotated]
        with tf.GradientTape() as tape:
            features = network.features(tf.concat([images, *unlabeled], axis=0), moments)
            logits = network.logits(features)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits[:BATCH_SIZE])
            loss = tf.reduce_mean(losses)
            if self._adaptation == "coral":
                loss += _CORAL_WEIGHT * _coral_loss(features, is_new)
            if self._domain:
                loss += self._adversarial_loss(features[: 2 * BATCH_SIZE], is_new)
            if self._adaptation.endswith("self-training"):
                loss += self._self_training_loss(logits)
        network.update_statistics(moments)
        self._adam.apply(tape.gradient(loss, self._adam.variables))

    def _adversarial_loss(self, features: Any, is_new: Any) -> Any:
        """Return the loss of the classifier of cameras, with reversed gradient for the features.

        The reversed gradient grows from 0 to 1 as in the paper.
        """
        weight = 2.0 / (1.0 + tf.exp(-10.0 * self._adam.progress)) - 1.0
        reversed_features = (1.0 + weight) * tf.stop_gradient(features) - weight * features
        kernel, shift, output = self._domain
        logits = (tf.nn.relu(reversed_features @ kernel + shift) @ output)[:, 0]
        domains = tf.concat([is_new, tf.ones(BATCH_SIZE)], axis=0)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(domains, logits)
        old = 1.0 - domains  # both cameras count equally
        share = tf.reduce_sum(old) / (2.0 * BATCH_SIZE)
        weights = tf.where(old > 0, 0.5 / tf.maximum(share, 0.01), 0.5 / (1.0 - share))
        return tf.reduce_mean(weights * losses)

    def _self_training_loss(self, logits: Any) -> Any:
        """Return the cross-entropy of strong augmentations with confident aligned predictions.

        The predictions of weak augmentations are multiplied by the ratio of the class shares on
        labeled to those on unlabeled images. They count where their confidence is at least 0.9 of
        the mean confidence on labeled images. The loss grows during the first half of the training.
        """
        labeled, weak, strong = tf.split(logits, 3)
        labeled, weak = tf.nn.softmax(labeled), tf.stop_gradient(tf.nn.softmax(weak))
        for share, predicted in zip(self._shares, (labeled, weak)):
            share.assign(0.95 * share + 0.05 * tf.reduce_mean(tf.stop_gradient(predicted), 0))
        aligned = weak * (self._shares[0] + 1e-4) / (self._shares[1] + 1e-4)
        aligned /= tf.reduce_sum(aligned, axis=1, keepdims=True)
        confidence = tf.reduce_mean(tf.reduce_max(tf.stop_gradient(labeled), axis=1))
        confident = tf.reduce_max(aligned, axis=1) >= _ADAMATCH_THRESHOLD * confidence
        losses = tf.nn.softmax_cross_entropy_with_logits(aligned, strong)
        warmup = 0.5 - 0.5 * tf.cos(tf.minimum(math.pi, 2 * math.pi * self._adam.progress))
        return warmup * tf.reduce_mean(tf.cast(confident, tf.float32) * losses)


def _coral_loss(features: Any, is_new: Any) -> Any:
    """Return the squared distance of the feature covariances of the cameras, divided by 4 F^2.

    Parameters
    ----------
    features : tensor [2 B, F]
        Features of the labeled images, then of the unlabeled images of the new camera.
    is_new : tensor [B]
        1 where a labeled image is of the new camera.
    """
    old = tf.concat([1.0 - is_new, tf.zeros(BATCH_SIZE)], axis=0)
    covariances = []
    for weights in (old, tf.concat([tf.zeros(BATCH_SIZE), tf.ones(BATCH_SIZE)], axis=0)):
        weights = weights[:, None] / tf.maximum(tf.reduce_sum(weights), 1.0)
        centered = features - tf.reduce_sum(weights * features, axis=0)
        covariances.append(tf.matmul(weights * centered, centered, transpose_a=True))
    difference = covariances[0] - covariances[1]
    return tf.reduce_sum(tf.square(difference)) / (4.0 * features.shape[1] ** 2)
