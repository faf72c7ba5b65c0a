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
from typing import Any, Self

import numpy as np

from augan.data.splits import evenly_spaced
from augan.detect.scoring.component import ScoreComponent
from augan.detect.scoring.standardizer import ScoreStandardizer
from augan.gan import Tensor, keras, tf
from augan.gan.inference import BatchInference
from augan.gan.networks.registry import feature_blocks
from augan.gan.self_supervision import (
    EVAL_TRANSFORMS,
    HEAD_SIZES,
    negative_log_likelihood,
    transform,
)

_MAX_TRAINING_IMAGES = 2000
_SHRINKAGE = 0.2  # weight of the mean variance in the variance of each axis
LAYOUT_SIZE = 2  # rows and columns of the grid of feature directions in the layout
LAYOUT_STRIDE = 3  # the layout, which has more features, uses every third transform
TRANSFORM_NLL = ScoreComponent(
    "transform_nll", "rotations and shifts of the image are recognized badly"
)
WEIGHTS = (2.0, 1.0, 1.0, 0.25)  # weight of each component; measured in docs/research-log.md


class TransformEnsemble:
    """Scorer of images under geometric transforms, with four weighted components.

    The components are the likelihood of the transforms, the directions of the discriminator's
    features in the whole image and in its quarters, and the discriminator's logit.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "discriminator" and "transformation_head"; their weights are not changed.
    """

    components: tuple[ScoreComponent, ...] = (
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
        self._discriminator, self._heads = models["discriminator"], models["transformation_head"]
        self._blocks = feature_blocks(self._discriminator)
        self._extract = BatchInference(self._features, self._blocks.input_shape[1:])
        self._standardize = ScoreStandardizer()
        self._state: dict[str, np.ndarray] = {}
        self._measure: Any = None

    def fit(self, train: np.ndarray, val: np.ndarray) -> Self:
        """Fit feature directions and the standardization on normal images; return self.

        Parameters
        ----------
        train : ndarray [N, S, S, C]
            Images in [-1, 1] of the training split; at most 2,000 of them, evenly spaced, are used.
        val : ndarray [N, S, S, C]
            Images of the validation split, on which the components are standardized.
        """
        _, _, directions, layouts = self._extract(evenly_spaced(train, _MAX_TRAINING_IMAGES))
        self._set({"directions": fit_whitening(directions), "layouts": fit_whitening(layouts)})
        self._standardize.fit(self._raw(val))
        return self

    def score_components(self, images: np.ndarray) -> np.ndarray:
        """Return the standardized, weighted components of images, float64 `[N, 4]`.

        Higher = more anomalous.
        """
        return self._standardize(self._raw(images)) * WEIGHTS

    def call(self, images: Tensor) -> Tensor:
        """Tensor version of `score_components`: images `[B, S, S, C]` to float64 `[B, 4]`."""
        nll, logits, *features = self._features(images, transform_nll_onnx)
        distances = [tf.math.log(distance) for distance in self._distances(*features)]
        raw = tf.stack([nll, *distances, -logits], axis=1)
        return self._standardize(tf.cast(raw, tf.float64)) * WEIGHTS

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays by name, for the bundle."""
        return {**self._state, **self._standardize.get_state()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays that `get_state` returned, and return self."""
        self._set({name: np.asarray(state[name]) for name in ("directions", "layouts")})
        self._standardize.set_state(state)
        return self

    def _set(self, state: dict[str, np.ndarray]) -> None:
        """Set the whitening of directions and layouts, and compile the distances."""
        self._state = {name: value.astype(np.float32) for name, value in state.items()}
        shapes = [(value.shape[0], value.shape[2]) for value in self._state.values()]
        self._measure = BatchInference(self._distances, *shapes)

    def _raw(self, images: np.ndarray) -> np.ndarray:
        """Return the components of images before standardization, `[N, 4]`."""
        batches = []
        for nll, logits, *features in self._extract.batches(images):
            distances = self._measure(*features)
            batches.append(np.column_stack([nll, *np.log(distances), -logits]))
        return np.concatenate(batches)

    def _features(self, images: Tensor, nll_function: Any = None) -> tuple[Tensor, ...]:
        """Return transform likelihoods, logits, feature directions and layouts of images.

        Parameters
        ----------
        images : Tensor [B, S, S, C]
        nll_function : callable or None
            `transform_nll_onnx` for an exported graph; None: `transform_nll`.

        Returns
        -------
        nll : Tensor [B]
            Mean negative log-likelihood of the applied transforms.
        logits : Tensor [B]
            Discriminator's logits of the original images.
        directions : Tensor [B, P, F]
            Mean feature of the image under each of P transforms, with length 1.
        layouts : Tensor [B, P / 3, 4 F]
            Features of the four quarters under every third transform, with length 1.
        """
        deepest = features_under_transforms(self._blocks, images)
        nll = (nll_function or transform_nll)(self._heads, deepest)
        directions = _direction(tf.reduce_mean(deepest, axis=(2, 3)))
        selected = deepest[::LAYOUT_STRIDE]
        flat = tf.reshape(selected, (-1, *deepest.shape[2:]))
        size = deepest.shape[2] // LAYOUT_SIZE
        layouts = tf.nn.avg_pool2d(flat, size, size, "VALID")
        num_features = math.prod(layouts.shape[1:])
        layouts = _direction(tf.reshape(layouts, (selected.shape[0], -1, num_features)))
        logits = self._discriminator(images, training=False)[:, 0]
        return nll, logits, *(tf.transpose(x, (1, 0, 2)) for x in (directions, layouts))

    def _distances(self, *features: Tensor) -> tuple[Tensor, ...]:
        """Return squared Mahalanobis distances, summed over the transforms, `[B]` for each input.

        The inputs are the directions and the layouts of `_features`.
        """
        distances = []
        for values, whitening in zip(features, self._state.values()):
            centered = values - whitening[:, 0]
            whitened = tf.einsum("bpf,pkf->bpk", centered, tf.constant(whitening[:, 1:]))
            distances.append(tf.reduce_sum(whitened**2, axis=(1, 2)) + 1e-12)
        return tuple(distances)


def features_under_transforms(blocks: keras.Model, images: Tensor) -> Tensor:
    """Return the deepest discriminator features of images under all transforms, `[P, B, H, W, F]`.

    All transformed images pass the blocks in one call, because twelve calls would take seconds
    longer to compile.

    Parameters
    ----------
    blocks : keras.Model
        Images -> activations of each block of the discriminator.
    images : Tensor [B, S, S, C]
        Images in [-1, 1].
    """
    transformed = tf.concat([transform(images, kind) for kind in EVAL_TRANSFORMS], axis=0)
    deepest = blocks(transformed, training=False)[-1]
    return tf.reshape(deepest, (len(EVAL_TRANSFORMS), -1, *deepest.shape[1:]))


def transform_nll(heads: keras.Model, deepest: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of the applied transforms for each image, `[B]`.

    A high value means that the heads do not recognize the transforms.

    Parameters
    ----------
    heads : keras.Model
        Flat deepest features -> logits of all heads.
    deepest : Tensor [P, B, H, W, F]
        Result of `features_under_transforms`.
    """
    logits = heads(tf.reshape(deepest, (-1, math.prod(deepest.shape[2:]))), training=False)
    labels = tf.repeat(tf.constant(EVAL_TRANSFORMS), tf.shape(deepest)[1], axis=0)
    nll = negative_log_likelihood(logits, labels)
    return tf.reduce_mean(tf.reshape(nll, (len(EVAL_TRANSFORMS), -1)), axis=0)


def transform_nll_onnx(heads: keras.Model, deepest: Tensor) -> Tensor:
    """Variant of `transform_nll` with the same result, by operations that ONNX supports."""
    logits = heads(tf.reshape(deepest, (-1, math.prod(deepest.shape[2:]))), training=False)
    total = 0.0
    for head, labels in zip(tf.split(logits, HEAD_SIZES, axis=1), zip(*EVAL_TRANSFORMS)):
        log_probabilities = tf.reshape(
            tf.nn.log_softmax(head), (len(EVAL_TRANSFORMS), -1, head.shape[1])
        )
        one_hot = np.eye(head.shape[1], dtype=np.float32)[list(labels), None]
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
