"""k-nearest-neighbor and Mahalanobis distances to normal samples, in their principal components.

The distance to the nearest normal samples is an outlier score of Ramaswamy et al. 2000 ("Efficient
Algorithms for Mining Outliers from Large Data Sets"); the Mahalanobis distance is the distance to
the mean of the normal samples in units of their covariance, with small variances shrunk toward the
mean variance.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np

from augan.gan import Tensor, tf

MAX_COMPONENTS = 256
_NUM_NEIGHBORS = 2
_SHRINKAGE = 0.01  # weight of the mean variance in the variance of each principal component
_STATE = ("scales", "mean", "components", "variances", "residual_variance", "reference")


class PCAReferenceSet:
    """Normal samples in PCA coordinates, for nearest-neighbor and Mahalanobis distances."""

    def __init__(self) -> None:
        self._state: dict[str, np.ndarray] = {}

    def fit(self, values: np.ndarray, scales: np.ndarray | None = None) -> Self:
        """Fit principal components and reference coordinates on normal samples; return self.

        Parameters
        ----------
        values : ndarray [N, F]
            Features of N >= 2 normal samples.
        scales : ndarray [F] or None
            Factor of each feature before the PCA; None: 1.
        """
        # Imported here, because scoring needs no scikit-learn.
        from sklearn.decomposition import PCA

        scales = np.ones(values.shape[1], np.float32) if scales is None else scales
        components = min(MAX_COMPONENTS, len(values) - 1, values.shape[1])
        pca = PCA(components, svd_solver="randomized", random_state=0).fit(values * scales)
        # With few samples the components explain all variance, and nothing is known about the rest.
        min_variance = _SHRINKAGE * float(pca.explained_variance_.mean())
        residual_variance = max(float(pca.noise_variance_), min_variance, 1e-12)
        return self.set_state(
            {
                "scales": scales.astype(np.float32),
                "mean": pca.mean_.astype(np.float32),
                "components": pca.components_.astype(np.float32),
                "variances": pca.explained_variance_.astype(np.float32),
                "residual_variance": np.array(residual_variance, np.float32),
                "reference": pca.transform(values * scales).astype(np.float32),
            }
        )

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays by name, for the bundle."""
        return self._state

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays that `get_state` returned, and return self."""
        self._state = {name: np.asarray(state[name]) for name in _STATE}
        return self

    def __call__(self, values: Tensor) -> Tensor:
        """Return two distances of each sample to the reference set, float32 `[B, 2]`.

        The first is the mean distance to the two nearest normal samples, the second the squared
        Mahalanobis distance. Both include the residual outside the principal components.

        Parameters
        ----------
        values : Tensor [B, F]
            Features, not yet scaled.
        """
        state = {name: tf.constant(value, tf.float32) for name, value in self._state.items()}
        variances = state["variances"] * (1 - _SHRINKAGE)
        variances += _SHRINKAGE * tf.reduce_mean(state["variances"])
        variances = tf.maximum(variances, 1e-12)
        centered = values * state["scales"] - state["mean"]
        coordinates = tf.matmul(centered, state["components"], transpose_b=True)
        residual = tf.reduce_sum(centered**2, axis=1) - tf.reduce_sum(coordinates**2, axis=1)
        residual = tf.nn.relu(residual)
        mahalanobis = tf.reduce_sum(coordinates**2 / variances, axis=1)
        mahalanobis += residual / state["residual_variance"]
        nearest = _neighbor_distance(coordinates, state["reference"], residual)
        return tf.stack([nearest, mahalanobis], axis=1)


def _neighbor_distance(coordinates: Tensor, reference: Tensor, residual: Tensor) -> Tensor:
    """Return the mean distance of each sample to its nearest reference samples, `[B]`.

    Parameters
    ----------
    coordinates : Tensor [B, K]
        PCA coordinates of the samples.
    reference : Tensor [M, K]
        PCA coordinates of the reference samples.
    residual : Tensor [B]
        Squared distance of each sample to the span of the principal components.
    """
    squares = tf.reduce_sum(reference**2, axis=1) - 2 * tf.matmul(
        coordinates, reference, transpose_b=True
    )
    squares += tf.reduce_sum(coordinates**2, axis=1, keepdims=True)
    nearest = -tf.math.top_k(-squares, min(_NUM_NEIGHBORS, reference.shape[0])).values
    return tf.reduce_mean(tf.sqrt(tf.nn.relu(nearest) + residual[:, None]), axis=1)
