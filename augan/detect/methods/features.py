"""The discriminator as judge: what it sees in a sample, compared with what it saw in normal ones.

The activations of all its blocks, of images averaged over 2 x 2 places, are joined. Far from those
of normal samples (see `augan.detect.scoring.knn_mahalanobis`), or with transformations that the
heads do
not recognise (Golan and El-Yaniv 2018, "Deep Anomaly Detection Using Geometric Transformations") is
anomalous. Each term is standardised on normal samples held out from training.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from augan.detect.scoring.knn_mahalanobis import PCAReferenceSet
from augan.detect.scoring.padim import DiagonalPaDiM
from augan.detect.scoring.standardizer import ScoreStandardizer
from augan.detect.scoring.transform_ensemble import (
    features_under_transforms,
    transform_nll,
    transform_nll_onnx,
)
from augan.exceptions import DataError
from augan.features.discriminator import PooledFeatures
from augan.gan import keras, tf
from augan.gan.inference import BatchInference

Tensor = Any


class DiscriminatorFeatures:
    """Scores samples by the discriminator's features and, where there are any, by its heads.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "discriminator" and perhaps "heads"; they are read, never changed.
    """

    name = "features"
    input_types: tuple[str, ...] = ("images", "rows")
    required_networks: tuple[str, ...] = ("discriminator",)
    optional_networks: tuple[str, ...] = ("heads",)
    is_iterative: bool = False

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        self._joined, self._heads = PooledFeatures(models["discriminator"]), models.get("heads")
        self.components: tuple[str, ...] = ("neighbours", "mahalanobis")
        if self._heads is not None:
            self.components += ("transformations",)
        self._reference, self._standard = PCAReferenceSet(), ScoreStandardizer()
        self._places = DiagonalPaDiM(models) if len(self._joined.sample_shape) == 3 else None
        self._see = BatchInference(self._seen, self._joined.sample_shape)

    def fit(self, reference: np.ndarray, val: np.ndarray) -> Self:
        """Learn what normal samples look like, and how much each term varies on others.

        Parameters
        ----------
        reference, tune : ndarray [N, S, S, C] or [N, F]
            Normal samples in [-1, 1] that the networks were trained on, and that they were not.
        """
        features = self._see(reference)[0]
        self._reference.fit(features, self._block_scales(features))
        if self._places is not None:
            self._places.fit(reference)
        self._standard.fit(self._raw(val))
        return self

    def score_components(self, samples: np.ndarray) -> np.ndarray:
        """Return the standardised terms, float64 `[N, T]`, higher = more anomalous."""
        return self._standard(self._raw(samples))

    def reconstruct(self, samples: np.ndarray) -> None:
        """Return None: this method compares and draws nothing."""

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Return how unusual each place looks to the discriminator, float32 `[N, S, S, 1]`.

        See `augan.detect.scoring.padim`: 1 is usual, higher = more anomalous.
        """
        if self._places is None:
            raise DataError("a row has no places to draw a map of; maps are of images")
        return self._places.maps(images)

    def call(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return terms and maps of a tensor `[B, S, S, C]`; see `OnnxExportable`."""
        features, *doubts = self._seen(images, transform_nll_onnx)
        raw = tf.concat([self._reference.call(features), *(x[:, None] for x in doubts)], axis=1)
        components = self._standard(tf.cast(raw, tf.float64))
        return components, None if self._places is None else self._places.call(images)

    def get_state(self) -> dict[str, np.ndarray]:
        """Return what `fit` learned, for the bundle."""
        places = {} if self._places is None else self._places.get_state()
        return {**self._reference.get_state(), **self._standard.get_state(), **places}

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Take back what `get_state` returned."""
        self._reference.set_state(state)
        self._standard.set_state(state)
        if self._places is not None:
            self._places.set_state(state)
        return self

    def _raw(self, samples: np.ndarray) -> np.ndarray:
        parts = []
        for features, *doubts in self._see.batches(samples):
            parts.append(np.column_stack([self._reference.distances(features), *doubts]))
        return np.concatenate(parts)

    def _seen(self, samples: Tensor, doubted: Any = None) -> tuple[Tensor, ...]:
        """Features `[B, F]`, and how surprised the heads are by probes of each image, `[B]`."""
        features = self._joined(samples)
        if self._heads is None:
            return (features,)
        deep = features_under_transforms(self._joined.blocks, samples)
        return features, (doubted or transform_nll)(self._heads, deep)

    def _block_scales(self, features: np.ndarray) -> np.ndarray:
        """One factor for each feature, by which every block has the same total variance."""
        scales = []
        for block in np.split(features, np.cumsum(self._joined.sizes)[:-1], axis=1):
            total = float(block.var(axis=0, dtype=np.float64).sum())
            scales.append(np.full(block.shape[1], 1.0 / np.sqrt(max(total, 1e-12)), np.float32))
        return np.concatenate(scales)
