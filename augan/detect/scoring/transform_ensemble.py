"""The discriminator's deepest block, asked about an image in several poses.

Each image is turned and shifted in the ways of `EVAL_TRANSFORMS`. In each pose the heads say how
well they know it (Golan and El-Yaniv 2018, "Deep Anomaly Detection Using Geometric
Transformations"), and the direction of the deepest features, their length put aside, is compared
with that of normal images in the same pose by Mahalanobis' distance (Lee et al. 2018, "A Simple
Unified Framework for Detecting Out-of-Distribution Samples"; poses in place of classes).
"""

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from augan.data.splits import evenly_spaced
from augan.detect.scoring.standardizer import ScoreStandardizer
from augan.gan import keras, tf
from augan.gan.inference import BatchInference
from augan.gan.networks.registry import feature_blocks
from augan.gan.self_supervision import (
    EVAL_TRANSFORMS,
    HEAD_SIZES,
    negative_log_likelihood,
    transform,
)

Tensor = Any

MOST = 2000  # normal images that the directions are learned from
SHRINKAGE = 0.2  # of the mean variance, added to each component's
PARTS = 2  # by as many places down and across the second comparison tells apart
SPARSE = 3  # every third pose serves that one, which has more features
WEIGHTS = (2.0, 1.0, 1.0, 0.25)  # of the terms; docs/research-log.md says how they were found


class TransformEnsemble:
    """Scores images by poses, features and realness.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "discriminator" and "heads"; they are read, never changed.
    """

    components: tuple[str, ...] = ("transformations", "directions", "layouts", "realness")

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        self._judge, self._heads = models["discriminator"], models["heads"]
        self._blocks = feature_blocks(self._judge)
        self._see = BatchInference(self._seen, self._blocks.input_shape[1:])
        self._standard = ScoreStandardizer()
        self._state: dict[str, np.ndarray] = {}
        self._compare: Any = None

    def fit(self, reference: np.ndarray, val: np.ndarray) -> Self:
        """Learn from normal images `[N, S, S, C]` in [-1, 1]: those trained on, and others."""
        some = evenly_spaced(reference, MOST)
        _, _, *seen = self._see(some)
        self._set({"directions": _whitening(seen[0]), "layouts": _whitening(seen[1])})
        self._standard.fit(self._raw(val))
        return self

    def score_components(self, images: np.ndarray) -> np.ndarray:
        """Return the standardised and weighted terms, float64 `[N, 4]`, higher = more anomalous."""
        return self._standard(self._raw(images)) * WEIGHTS

    def call(self, images: Tensor) -> Tensor:
        """Do what `score_components` does, to a tensor `[B, S, S, C]`."""
        doubts, realness, *features = self._seen(images, transform_nll_onnx)
        distances = [tf.math.log(distance) for distance in self._compared(*features)]
        raw = tf.stack([doubts, *distances, -realness], axis=1)
        return self._standard(tf.cast(raw, tf.float64)) * WEIGHTS

    def get_state(self) -> dict[str, np.ndarray]:
        """Return what `fit` learned, for the bundle."""
        return {**self._state, **self._standard.get_state()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Take back what `get_state` returned."""
        self._set({name: np.asarray(state[name]) for name in ("directions", "layouts")})
        self._standard.set_state(state)
        return self

    def _set(self, state: dict[str, np.ndarray]) -> None:
        self._state = {name: value.astype(np.float32) for name, value in state.items()}
        shapes = [(value.shape[0], value.shape[2]) for value in self._state.values()]
        self._compare = BatchInference(self._compared, *shapes)

    def _raw(self, images: np.ndarray) -> np.ndarray:
        parts = []
        for doubts, realness, *features in self._see.batches(images):
            distances = self._compare(*features)
            parts.append(np.column_stack([doubts, *np.log(distances), -realness]))
        return np.concatenate(parts)

    def _seen(self, images: Tensor, doubted: Any = None) -> tuple[Tensor, ...]:
        """Surprise `[B]`, logit `[B]`, directions `[B, P, F]` and layouts `[B, P / 3, 4 F]`."""
        deep = features_under_transforms(self._blocks, images)
        doubts = (doubted or transform_nll)(self._heads, deep)
        directions = _direction(tf.reduce_mean(deep, axis=(2, 3)))
        sparse = deep[::SPARSE]
        some = tf.reshape(sparse, (-1, *deep.shape[2:]))
        size = deep.shape[2] // PARTS
        layouts = tf.nn.avg_pool2d(some, size, size, "VALID")
        features = math.prod(layouts.shape[1:])
        layouts = _direction(tf.reshape(layouts, (sparse.shape[0], -1, features)))
        realness = self._judge(images, training=False)[:, 0]
        return doubts, realness, *(tf.transpose(x, (1, 0, 2)) for x in (directions, layouts))

    def _compared(self, *features: Tensor) -> tuple[Tensor, ...]:
        """Squares of Mahalanobis' distance, summed over poses: `[B]` of each kind."""
        found = []
        for values, whitening in zip(features, self._state.values()):
            centred = values - whitening[:, 0]
            codes = tf.einsum("bpf,pkf->bpk", centred, tf.constant(whitening[:, 1:]))
            found.append(tf.reduce_sum(codes**2, axis=(1, 2)) + 1e-12)
        return tuple(found)


def features_under_transforms(blocks: keras.Model, images: Tensor) -> Tensor:
    """Return the deepest block of images `[B, S, S, C]` in all poses, `[P, B, H, W, F]`.

    All go through the blocks together: twelve calls would take seconds longer to compile.
    """
    posed = tf.concat([transform(images, kind) for kind in EVAL_TRANSFORMS], axis=0)
    deep = blocks(posed, training=False)[-1]
    return tf.reshape(deep, (len(EVAL_TRANSFORMS), -1, *deep.shape[1:]))


def transform_nll(heads: keras.Model, deep: Tensor) -> Tensor:
    """Return the negative log-likelihood of the applied transforms, their mean, `[B]`."""
    logits = heads(tf.reshape(deep, (-1, math.prod(deep.shape[2:]))), training=False)
    kinds = tf.repeat(tf.constant(EVAL_TRANSFORMS), tf.shape(deep)[1], axis=0)
    return tf.reduce_mean(
        tf.reshape(negative_log_likelihood(logits, kinds), (len(EVAL_TRANSFORMS), -1)), axis=0
    )


def transform_nll_onnx(heads: keras.Model, deep: Tensor) -> Tensor:
    """Do what `transform_nll` does, by operations that graphs outside of TensorFlow have."""
    logits = heads(tf.reshape(deep, (-1, math.prod(deep.shape[2:]))), training=False)
    total = 0.0
    for head, kinds in zip(tf.split(logits, HEAD_SIZES, axis=1), zip(*EVAL_TRANSFORMS)):
        of_pose = tf.reshape(tf.nn.log_softmax(head), (len(EVAL_TRANSFORMS), -1, head.shape[1]))
        known = np.eye(head.shape[1], dtype=np.float32)[list(kinds), None]
        total -= tf.reduce_sum(of_pose * known, axis=2)
    return tf.reduce_mean(total, axis=0)


def _direction(values: Tensor) -> Tensor:
    return values / tf.sqrt(tf.reduce_sum(values**2, axis=-1, keepdims=True) + 1e-12)


def _whitening(values: np.ndarray) -> np.ndarray:
    """Return for each pose of `[N, P, F]` the mean, and the whitening axes: `[P, 1 + F, F]`."""
    whitenings = []
    for pose in np.moveaxis(values.astype(np.float64), 1, 0):
        variances, axes = np.linalg.eigh(np.cov(pose.T, ddof=0).reshape((pose.shape[1],) * 2))
        variances = (1 - SHRINKAGE) * np.maximum(variances, 0) + SHRINKAGE * variances.mean()
        scaled = axes / np.sqrt(np.maximum(variances, 1e-12))
        whitenings.append(np.concatenate([pose.mean(axis=0)[None], scaled.T]))
    return np.stack(whitenings)
