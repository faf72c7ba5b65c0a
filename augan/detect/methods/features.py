"""Discriminator features: distance of a sample to normal samples in the discriminator's features.

The activations of all blocks, for images averaged over 2 x 2 locations, are concatenated. A sample
is anomalous if its features are far from those of normal samples (see
`augan.detect.scoring.knn_mahalanobis`), or if the heads do not recognize transforms of it (Golan
and El-Yaniv 2018, "Deep Anomaly Detection Using Geometric Transformations"). Each component is
standardized on normal samples of the validation split.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from augan.detect.scoring.component import ScoreComponent
from augan.detect.scoring.knn_mahalanobis import PCAReferenceSet
from augan.detect.scoring.padim import DiagonalPaDiM
from augan.detect.scoring.standardizer import ScoreStandardizer
from augan.detect.scoring.transform_ensemble import (
    TRANSFORM_NLL,
    features_under_transforms,
    transform_nll,
    transform_nll_onnx,
)
from augan.exceptions import DataError
from augan.features.discriminator import PooledFeatures
from augan.gan import Tensor, keras, tf
from augan.gan.inference import BatchInference


class DiscriminatorFeatures:
    """Detection method: feature distances and, with a transformation head, transform likelihood.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "discriminator" and optionally "transformation_head"; their weights are not changed.
    """

    name = "features"

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        self._pooled, self._heads = (
            PooledFeatures(models["discriminator"]),
            models.get("transformation_head"),
        )
        self.components: tuple[ScoreComponent, ...] = (
            ScoreComponent(
                "feature_neighbors",
                "distance to the nearest training samples in the features of the discriminator",
            ),
            ScoreComponent(
                "mahalanobis",
                "distance to the mean of the training samples in the same features",
            ),
        )
        if self._heads is not None:
            self.components += (TRANSFORM_NLL,)
        self._reference, self._standardize = PCAReferenceSet(), ScoreStandardizer()
        self._padim = DiagonalPaDiM(models) if len(self._pooled.sample_shape) == 3 else None
        self._infer = BatchInference(self._features, self._pooled.sample_shape)

    def fit(self, train: np.ndarray, val: np.ndarray) -> Self:
        """Fit feature distances, standardization and maps on normal samples; return self.

        Parameters
        ----------
        train, val : ndarray [N, S, S, C] or [N, F]
            Normal samples in [-1, 1]: those on which the networks were trained, and validation
            samples on which the components are standardized.
        """
        features = self._infer(train)[0]
        self._reference.fit(features, self._block_scales(features))
        if self._padim is not None:
            self._padim.fit(train)
        self._standardize.fit(self._raw(val))
        return self

    def score_components(self, samples: np.ndarray) -> np.ndarray:
        """Return the standardized components of samples, float64 `[N, T]`; higher = more anomalous.

        T is 2, or 3 with a transformation head.
        """
        return self._standardize(self._raw(samples))

    def reconstruct(self, samples: np.ndarray) -> None:
        """Return None: this method computes no reconstructions."""

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Return anomaly maps of images by `DiagonalPaDiM`, float32 `[N, S, S, 1]`.

        Raises
        ------
        DataError
            If the model is of a table.
        """
        if self._padim is None:
            raise DataError("rows have no anomaly maps; only models of images compute maps")
        return self._padim.maps(images)

    def call(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return components `[B, T]` and maps `[B, S, S, 1]` of images as tensors, for export.

        See `OnnxExportable`.
        """
        features, *nll = self._features(images, transform_nll_onnx)
        raw = tf.concat([self._reference.call(features), *(x[:, None] for x in nll)], axis=1)
        components = self._standardize(tf.cast(raw, tf.float64))
        return components, None if self._padim is None else self._padim.call(images)

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays by name, for the bundle."""
        padim = {} if self._padim is None else self._padim.get_state()
        return {**self._reference.get_state(), **self._standardize.get_state(), **padim}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays that `get_state` returned, and return self."""
        self._reference.set_state(state)
        self._standardize.set_state(state)
        if self._padim is not None:
            self._padim.set_state(state)
        return self

    def _raw(self, samples: np.ndarray) -> np.ndarray:
        """Return the components of samples before standardization, `[N, T]`."""
        batches = []
        for features, *nll in self._infer.batches(samples):
            batches.append(np.column_stack([self._reference.distances(features), *nll]))
        return np.concatenate(batches)

    def _features(self, samples: Tensor, nll_function: Any = None) -> tuple[Tensor, ...]:
        """Return features `[B, F]` and, with a head, negative log-likelihoods of transforms `[B]`.

        Parameters
        ----------
        samples : Tensor [B, S, S, C] or [B, F]
        nll_function : callable or None
            `transform_nll_onnx` for an exported graph; None: `transform_nll`.
        """
        features = self._pooled(samples)
        if self._heads is None:
            return (features,)
        deepest = features_under_transforms(self._pooled.blocks, samples)
        return features, (nll_function or transform_nll)(self._heads, deepest)

    def _block_scales(self, features: np.ndarray) -> np.ndarray:
        """Return a factor for each feature, `[F]`, that equalizes the blocks' total variances."""
        scales = []
        for block in np.split(features, np.cumsum(self._pooled.sizes)[:-1], axis=1):
            total = float(block.var(axis=0, dtype=np.float64).sum())
            scales.append(np.full(block.shape[1], 1.0 / np.sqrt(max(total, 1e-12)), np.float32))
        return np.concatenate(scales)
