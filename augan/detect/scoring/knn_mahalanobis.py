"""Normal samples as points in a space of few dimensions, and how far other points lie from them.

Far from the nearest of them (Ramaswamy et al. 2000, "Efficient Algorithms for Mining Outliers from
Large Data Sets"), or far from their mean by their own covariance (Mahalanobis distance, shrunk
where there is little variance).
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from augan.gan import tf
from augan.gan.inference import BatchInference

Tensor = Any

COMPONENTS = 256
NEIGHBOURS = 2
_STATE = ("scales", "mean", "components", "variances", "left_over", "reference")
SHRINKAGE = 0.01  # of the mean variance, added to each component's


class PCAReferenceSet:
    """The principal components of normal samples, and the samples in them."""

    def __init__(self) -> None:
        self._state: dict[str, np.ndarray] = {}
        self._measure: Any = None

    def fit(self, values: np.ndarray, scales: np.ndarray | None = None) -> Self:
        """Learn from normal samples `[N, F]`, N >= 2; `scales` `[F]` multiply them first."""
        # Imported here, because what only scores needs none of it.
        from sklearn.decomposition import PCA

        scales = np.ones(values.shape[1], np.float32) if scales is None else scales
        components = min(COMPONENTS, len(values) - 1, values.shape[1])
        pca = PCA(components, svd_solver="randomized", random_state=0).fit(values * scales)
        # Few images leave no variance over, and what is outside of their plane is then unheard of.
        least = SHRINKAGE * float(pca.explained_variance_.mean())
        left_over = max(float(pca.noise_variance_), least, 1e-12)
        return self.set_state(
            {
                "scales": scales.astype(np.float32),
                "mean": pca.mean_.astype(np.float32),
                "components": pca.components_.astype(np.float32),
                "variances": pca.explained_variance_.astype(np.float32),
                "left_over": np.array(left_over, np.float32),
                "reference": pca.transform(values * scales).astype(np.float32),
            }
        )

    def distances(self, values: np.ndarray) -> np.ndarray:
        """Return distances of samples `[N, F]`, float64 `[N, 2]`.

        They are the mean distance to the two nearest normal samples, within the components and
        outside of them, and the square of Mahalanobis'.
        """
        return self._measure(values)[0].astype(np.float64)

    def get_state(self) -> dict[str, np.ndarray]:
        """Return what `fit` learned, for the bundle."""
        return self._state

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Take back what `get_state` returned; more than that is left alone."""
        self._state = {name: np.asarray(state[name]) for name in _STATE}
        self._measure = BatchInference(self.call, (len(self._state["scales"]),))
        return self

    def call(self, values: Tensor) -> Tensor:
        """Return the `distances` of samples `[B, F]`, float32, all by products of matrices."""
        state = {name: tf.constant(value, tf.float32) for name, value in self._state.items()}
        variances = state["variances"] * (1 - SHRINKAGE)
        variances += SHRINKAGE * tf.reduce_mean(state["variances"])
        variances = tf.maximum(variances, 1e-12)
        centred = values * state["scales"] - state["mean"]
        codes = tf.matmul(centred, state["components"], transpose_b=True)
        outside = tf.reduce_sum(centred**2, axis=1) - tf.reduce_sum(codes**2, axis=1)
        outside = tf.nn.relu(outside)
        mahalanobis = tf.reduce_sum(codes**2 / variances, axis=1) + outside / state["left_over"]
        return tf.stack([_nearest(codes, state["reference"], outside), mahalanobis], axis=1)


def _nearest(codes: Tensor, reference: Tensor, outside: Tensor) -> Tensor:
    """Mean distance of codes `[B, K]` to the nearest of the reference `[M, K]`, `[B]`.

    `outside` `[B]` is the square of each one's own distance to the plane of the codes.
    """
    squares = tf.reduce_sum(reference**2, axis=1) - 2 * tf.matmul(
        codes, reference, transpose_b=True
    )
    squares += tf.reduce_sum(codes**2, axis=1, keepdims=True)
    nearest = -tf.math.top_k(-squares, min(NEIGHBOURS, reference.shape[0])).values
    return tf.reduce_mean(tf.sqrt(tf.nn.relu(nearest) + outside[:, None]), axis=1)
