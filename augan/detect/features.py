"""The discriminator as judge: what it sees in an image, compared with what it saw in normal ones.

The activations of all its blocks, averaged over 2 x 2 places, are joined and reduced to their
principal components. Far from the nearest normal images (Ramaswamy et al. 2000), far from their
mean by their own covariance (Mahalanobis distance, shrunk where there is little variance), or
with transformations that the heads do not recognise (Golan and El-Yaniv 2018, "Deep Anomaly
Detection Using Geometric Transformations") is anomalous. Each term is standardised on normal images
held out from training.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.decomposition import PCA

from augan.gan import keras, tf
from augan.gan.inference import Inference
from augan.gan.networks import feature_blocks
from augan.gan.transformations import PROBES, surprise, transform

Tensor = Any

COMPONENTS = 256
NEIGHBOURS = 2
SHRINKAGE = 0.01  # of the mean variance, added to each component's
POOL = 2


class Features:
    """Scores images by the discriminator's features and by its heads.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "discriminator" and "heads"; they are read, never changed.
    """

    name = "features"
    accepts: tuple[str, ...] = ("images",)
    needs: tuple[str, ...] = ("discriminator", "heads")
    terms: tuple[str, ...] = ("neighbours", "mahalanobis", "transformations")

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        self._blocks, self._heads = feature_blocks(models["discriminator"]), models["heads"]
        self._see = Inference(self._seen, self._blocks.input_shape[1:])
        self._state: dict[str, np.ndarray] = {}
        self._measure: Any = None

    def fit(self, reference: np.ndarray, tune: np.ndarray) -> Self:
        """Learn what normal images look like, and how much each term varies on others.

        Parameters
        ----------
        reference, tune : ndarray [N, S, S, C]
            Normal images in [-1, 1] that the networks were trained on, and that they were not.
        """
        features, _ = self._see(reference)
        scales = self._block_scales(features)
        components = min(COMPONENTS, len(features) - 1, features.shape[1])
        pca = PCA(components, svd_solver="randomized", random_state=0).fit(features * scales)
        # Few images leave no variance over, and what is outside of their plane is then unheard of.
        least = SHRINKAGE * float(pca.explained_variance_.mean())
        left_over = max(float(pca.noise_variance_), least, 1e-12)
        self._state = {
            "scales": scales,
            "mean": pca.mean_.astype(np.float32),
            "components": pca.components_.astype(np.float32),
            "variances": pca.explained_variance_.astype(np.float32),
            "left_over": np.array(left_over, np.float32),
            "reference": pca.transform(features * scales).astype(np.float32),
            "center": np.zeros(len(self.terms)),
            "spread": np.ones(len(self.terms)),
        }
        self._measure = self._measurement()
        terms = self.score_terms(tune)
        self._state["center"] = terms.mean(axis=0)
        self._state["spread"] = np.maximum(terms.std(axis=0), 1e-12)
        return self

    def score_terms(self, images: np.ndarray) -> np.ndarray:
        """Return the standardised terms, float64 `[N, 3]`, higher = more anomalous."""
        parts = [self._measure(*batch)[0] for batch in self._see.batches(images)]
        terms = np.concatenate(parts).astype(np.float64)
        return (terms - self._state["center"]) / self._state["spread"]

    def reconstruct(self, images: np.ndarray) -> None:
        """Return None: this method compares and draws nothing."""

    def state(self) -> dict[str, np.ndarray]:
        """Return what `fit` learned, for the bundle."""
        return self._state

    def restore(self, state: Mapping[str, np.ndarray]) -> Self:
        """Take back what `state` returned."""
        self._state = {name: np.asarray(value) for name, value in state.items()}
        self._measure = self._measurement()
        return self

    def _seen(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled activations `[N, F]`, and how surprised the heads are by probes of each image."""
        pooled = [
            tf.reshape(_pooled(block), (images.shape[0], -1))
            for block in self._blocks(images, training=False)
        ]
        doubts = [self._doubt(images, kind) for kind in PROBES]
        return tf.concat(pooled, axis=1), tf.add_n(doubts) / len(doubts)

    def _doubt(self, images: Tensor, kind: tuple[int, int, int]) -> Tensor:
        deep = self._blocks(transform(images, kind), training=False)[-1]
        logits = self._heads(tf.reshape(deep, (deep.shape[0], -1)), training=False)
        return surprise(logits, tf.repeat(tf.constant([kind]), deep.shape[0], axis=0))

    def _block_scales(self, features: np.ndarray) -> np.ndarray:
        """One factor for each feature, by which every block has the same total variance."""
        sizes = [int(np.prod(_pooled_shape(shape[1:]))) for shape in self._blocks.output_shape]
        ends = np.cumsum(sizes)
        scales = np.ones(features.shape[1], np.float32)
        for start, end in zip([0, *ends], ends):
            total = float(features[:, start:end].var(axis=0, dtype=np.float64).sum())
            scales[start:end] = 1.0 / np.sqrt(max(total, 1e-12))
        return scales

    def _measurement(self) -> Inference:
        """Compile features `[B, F]` and doubts `[B]` -> raw terms `[B, 3]`, all by products."""
        state = {name: tf.constant(value, tf.float32) for name, value in self._state.items()}
        variances = state["variances"] * (1 - SHRINKAGE)
        variances += SHRINKAGE * tf.reduce_mean(state["variances"])

        def measure(features: Tensor, doubts: Tensor) -> Tensor:
            centred = features * state["scales"] - state["mean"]
            codes = tf.matmul(centred, state["components"], transpose_b=True)
            outside = tf.reduce_sum(centred**2, axis=1) - tf.reduce_sum(codes**2, axis=1)
            mahalanobis = tf.reduce_sum(codes**2 / variances, axis=1)
            mahalanobis += tf.nn.relu(outside) / state["left_over"]
            distances = _nearest(codes, state["reference"], NEIGHBOURS)
            return tf.stack([distances, mahalanobis, doubts], axis=1)

        return Inference(measure, (len(self._state["scales"]),), ())


def _pooled(block: Tensor) -> Tensor:
    return tf.nn.avg_pool2d(block, POOL, POOL, "VALID") if len(block.shape) == 4 else block


def _pooled_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0] // POOL, shape[1] // POOL, shape[2]) if len(shape) == 3 else shape


def _nearest(codes: Tensor, reference: Tensor, count: int) -> Tensor:
    """Mean distance of codes `[B, K]` to the nearest of the reference `[M, K]`, `[B]`."""
    squares = tf.reduce_sum(reference**2, axis=1) - 2 * tf.matmul(
        codes, reference, transpose_b=True
    )
    squares += tf.reduce_sum(codes**2, axis=1, keepdims=True)
    nearest = -tf.math.top_k(-squares, min(count, reference.shape[0])).values
    return tf.reduce_mean(tf.sqrt(tf.nn.relu(nearest)), axis=1)
