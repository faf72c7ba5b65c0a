"""Transform ensemble: scores of an image over several geometric transforms of it.

Each image is rotated, shifted and stretched as `EVAL_TRANSFORMS` say. For each transformed image,
the heads of the discriminator classify the transform; their negative log-likelihood is one
component (Golan and El-Yaniv 2018, "Deep Anomaly Detection Using Geometric Transformations"). The
direction of the deepest features (normalized to length 1) is compared with the directions of normal
images under the same transform by the Mahalanobis distance (Lee et al. 2018, "A Simple Unified
Framework for Detecting Out-of-Distribution Samples", with transforms in place of classes).
"""

import math
from collections.abc import Mapping
from typing import Self

import numpy as np

from augan.data.splits import evenly_spaced
from augan.detect.methods.base import TensorScorer
from augan.detect.scoring.component import ScoreComponent
from augan.detect.scoring.padim import MAX_TRAINING_IMAGES, DiagonalPaDiM
from augan.detect.scoring.standardizer import ScoreStandardizer
from augan.features.discriminator import PooledFeatures
from augan.gan import Tensor, keras, tf
from augan.gan.inference import BatchInference
from augan.gan.networks.build import logits_and_blocks
from augan.gan.self_supervision import EVAL_TRANSFORMS, HEAD_SIZES, transform

_SHRINKAGE = 0.2  # weight of the mean variance in the variance of each axis
LAYOUT_SIZE = 2  # rows and columns of the grid of feature directions in the layout
LAYOUT_STRIDE = 3  # the layout, which has more features, uses every third transform
TRANSFORM_NLL = ScoreComponent(
    "transform_nll", "rotations and shifts of the image are recognized badly"
)
WEIGHTS = (2.0, 1.0, 1.0, 0.25)  # weight of each component; measured in docs/research-log.md


class TransformEnsemble(TensorScorer):
    """Scorer of images under geometric transforms, with four weighted components.

    The components are the likelihood of the transforms, the directions of the discriminator's
    features in the whole image and in its quarters, and the discriminator's logit. The anomaly maps
    are those of `DiagonalPaDiM`. This scorer is a part of the method `auto`.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "discriminator" and "transformation_head"; their weights are not changed.
    """

    components = (
        TRANSFORM_NLL,
        ScoreComponent(
            "feature_direction",
            "direction of the discriminator's features differs from that of normal images",
        ),
        ScoreComponent(
            "feature_layout",
            "directions of the features in the four quarters of the image differ",
        ),
        ScoreComponent(
            "discriminator_rejection",
            "the discriminator takes the image for a generated one",
        ),
    )

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        super().__init__(models)
        self._head = models["transformation_head"]
        self._network = logits_and_blocks(models["discriminator"], 0)
        self._pooled = PooledFeatures(models["discriminator"])
        self._directions, self._layouts = WhitenedDistance(), WhitenedDistance()
        self._standardizer, self._padim = ScoreStandardizer(), DiagonalPaDiM(self._pooled)
        self.parts = {
            "directions": self._directions,
            "layouts": self._layouts,
            "standardizer": self._standardizer,
            "maps": self._padim,
        }

    def _fit(self, train: np.ndarray, val: np.ndarray) -> None:
        """Fit feature directions, standardization and maps on normal images.

        At most 2,000 of the training images, evenly spaced, are used.
        """
        extract = BatchInference(self._features, self.sample_shape)
        features, _, _, directions, layouts = extract(evenly_spaced(train, MAX_TRAINING_IMAGES))
        self._padim.fit(features)
        self._directions.fit(directions)
        self._layouts.fit(layouts)
        _, *inputs = extract(val)
        raw = BatchInference(self._raw, *(values.shape[1:] for values in inputs))
        self._standardizer.fit(raw(*inputs)[0])

    def call(self, samples: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the standardized, weighted components, `[B, 4]`, and the maps."""
        features, *inputs = self._features(samples)
        return self._standardizer(self._raw(*inputs)) * WEIGHTS, self._padim(features)

    def _raw(self, nll: Tensor, logits: Tensor, directions: Tensor, layouts: Tensor) -> Tensor:
        """Return the components before standardization, `[B, 4]`, from outputs of `_features`."""
        distances = (self._directions(directions), self._layouts(layouts))
        return tf.stack([nll, *(tf.math.log(x) for x in distances), -logits], axis=1)

    def _features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return what the components and the maps of images `[B, S, S, C]` are computed from.

        Returns
        -------
        features : Tensor [B, F]
            Pooled features of the original images.
        nll : Tensor [B]
            Mean negative log-likelihood of the applied transforms.
        logits : Tensor [B]
            Discriminator's logits of the original images.
        directions : Tensor [B, P, F]
            Mean feature of the image under each of P transforms, with length 1.
        layouts : Tensor [B, P / 3, 4 F]
            Features of the four quarters under every third transform, with length 1.
        """
        (logits, *blocks), deepest = blocks_under_transforms(self._network, images)
        directions = _direction(tf.reduce_mean(deepest, axis=(2, 3)))
        selected = deepest[::LAYOUT_STRIDE]
        flat = tf.reshape(selected, (-1, *deepest.shape[2:]))
        size = deepest.shape[2] // LAYOUT_SIZE
        layouts = tf.nn.avg_pool2d(flat, size, size, "VALID")
        num_features = math.prod(layouts.shape[1:])
        layouts = _direction(tf.reshape(layouts, (selected.shape[0], -1, num_features)))
        by_image = (tf.transpose(x, (1, 0, 2)) for x in (directions, layouts))
        nll = transform_nll(self._head, deepest)
        return self._pooled.pool(blocks), nll, logits[:, 0], *by_image


class WhitenedDistance:
    """Squared Mahalanobis distance of feature directions, summed over the transforms."""

    def __init__(self) -> None:
        self._whitening = np.zeros((0, 0, 0), np.float32)

    def fit(self, values: np.ndarray) -> Self:
        """Fit mean and whitening axes on directions `[N, P, F]` of normal images; return self."""
        self._whitening = fit_whitening(values).astype(np.float32)
        return self

    def __call__(self, values: Tensor) -> Tensor:
        """Return the distances `[B]` of directions `[B, P, F]` of images."""
        centered = values - self._whitening[:, 0]
        whitened = tf.einsum("bpf,pkf->bpk", centered, tf.constant(self._whitening[:, 1:]))
        return tf.reduce_sum(whitened**2, axis=(1, 2)) + 1e-12

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the mean and the axes of every transform by name, for the bundle."""
        return {"whitening": self._whitening}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted array that `get_state` returned, and return self."""
        self._whitening = np.asarray(state["whitening"], np.float32)
        return self


def blocks_under_transforms(network: keras.Model, images: Tensor) -> tuple[list[Tensor], Tensor]:
    """Apply a network to images under all transforms.

    All transformed images pass the network in one call, because twelve calls would take seconds
    longer to compile. The first transform is none, so the original images need no further call.

    Parameters
    ----------
    network : keras.Model
        Images -> list of outputs, of which the last is the discriminator's deepest block.
    images : Tensor [B, S, S, C]
        Images in [-1, 1].

    Returns
    -------
    original : list of Tensor [B, ...]
        All outputs for the original images.
    deepest : Tensor [P, B, H, W, F]
        The last output under each of P transforms.
    """
    transformed = tf.concat([transform(images, kind) for kind in EVAL_TRANSFORMS], axis=0)
    outputs = network(transformed, training=False)
    original = [output[: tf.shape(images)[0]] for output in outputs]
    deepest = outputs[-1]
    return original, tf.reshape(deepest, (len(EVAL_TRANSFORMS), -1, *deepest.shape[1:]))


def transform_nll(head: keras.Model, deepest: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of the applied transforms for each image, `[B]`.

    A high value means that the head does not recognize the transforms.

    Parameters
    ----------
    head : keras.Model
        Flat deepest features -> logits of all transforms, side by side.
    deepest : Tensor [P, B, H, W, F]
        Result of `blocks_under_transforms`.
    """
    logits = head(tf.reshape(deepest, (-1, math.prod(deepest.shape[2:]))), training=False)
    total = 0.0
    for part, labels in zip(tf.split(logits, HEAD_SIZES, axis=1), zip(*EVAL_TRANSFORMS)):
        # A product with the labels, because ONNX has no sparse cross entropy.
        log_probabilities = tf.reshape(
            tf.nn.log_softmax(part), (len(EVAL_TRANSFORMS), -1, part.shape[1])
        )
        one_hot = np.eye(part.shape[1], dtype=np.float32)[list(labels), None]
        total -= tf.reduce_sum(log_probabilities * one_hot, axis=2)
    return tf.reduce_mean(total, axis=0)


def _direction(values: Tensor) -> Tensor:
    """Return the vectors along the last axis, scaled to length 1."""
    return values / tf.sqrt(tf.reduce_sum(values**2, axis=-1, keepdims=True) + 1e-12)


def fit_whitening(values: np.ndarray) -> np.ndarray:
    """Fit mean and whitening axes of feature directions for each transform.

    Parameters
    ----------
    values : ndarray [N, P, F]
        Directions of N normal images under P transforms.

    Returns
    -------
    ndarray of float64 [P, 1 + F, F]
        For each transform the mean, then the axes, scaled to unit variance (variances shrunk toward
        their mean).
    """
    whitenings = []
    for features in np.moveaxis(values.astype(np.float64), 1, 0):
        covariance = np.cov(features.T, ddof=0).reshape((features.shape[1],) * 2)
        variances, axes = np.linalg.eigh(covariance)
        variances = (1 - _SHRINKAGE) * np.maximum(variances, 0) + _SHRINKAGE * variances.mean()
        scaled = axes / np.sqrt(np.maximum(variances, 1e-12))
        whitenings.append(np.concatenate([features.mean(axis=0)[None], scaled.T]))
    return np.stack(whitenings)
