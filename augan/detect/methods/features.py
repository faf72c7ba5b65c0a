"""Discriminator features: distance of a sample to normal samples in the discriminator's features.

The activations of all blocks, for images averaged over 2 x 2 locations, are concatenated. A sample
is anomalous if its features are far from those of normal samples (see
`augan.detect.scoring.knn_mahalanobis`), or if the heads do not recognize transforms of it (Golan
and El-Yaniv 2018, "Deep Anomaly Detection Using Geometric Transformations"). Each component is
standardized on normal samples of the validation split.
"""

from collections.abc import Mapping

import numpy as np

from augan.choices import DETECTION_METHODS, DetectionMethod
from augan.data.splits import evenly_spaced
from augan.detect.methods.base import TensorScorer
from augan.detect.methods.tiles import PatchFeatures
from augan.detect.scoring.component import ScoreComponent
from augan.detect.scoring.knn_mahalanobis import PCAReferenceSet
from augan.detect.scoring.padim import MAX_TRAINING_IMAGES, DiagonalPaDiM
from augan.detect.scoring.standardizer import ScoreStandardizer
from augan.detect.scoring.transform_ensemble import (
    TRANSFORM_NLL,
    blocks_under_transforms,
    transform_nll,
)
from augan.features.discriminator import PooledFeatures
from augan.gan import Tensor, keras, tf
from augan.gan.inference import BatchInference


class DiscriminatorFeatures(TensorScorer):
    """Detection method: feature distances and, with a transformation head, transform likelihood.

    The anomaly maps of images are those of `DiagonalPaDiM`.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "discriminator" and optionally "transformation_head"; their weights are not changed.
    """

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        super().__init__(models)
        self._pooled = PooledFeatures(models["discriminator"])
        self._head = models.get("transformation_head")
        self.components = (
            ScoreComponent(
                "feature_neighbors",
                "distance to the nearest training samples in the features of the discriminator",
            ),
            ScoreComponent(
                "mahalanobis",
                "distance to the mean of the training samples in the same features",
            ),
        )
        if self._head is not None:
            self.components += (TRANSFORM_NLL,)
        self._reference, self._standardizer = PCAReferenceSet(), ScoreStandardizer()
        self.parts = {"reference": self._reference, "standardizer": self._standardizer}
        self._padim: DiagonalPaDiM | None = None
        if len(self.sample_shape) == 3:
            self._padim = self.parts["maps"] = DiagonalPaDiM(self._pooled)

    def _fit(self, train: np.ndarray, val: np.ndarray) -> None:
        """Fit feature distances, standardization and maps on normal samples."""
        extract = BatchInference(self._features, self.sample_shape)
        features = extract(train)[0]
        self._reference.fit(features, self._block_scales(features))
        if self._padim is not None:
            self._padim.fit(evenly_spaced(features, MAX_TRAINING_IMAGES))
        features, *nll = extract(val)
        shapes = (values.shape[1:] for values in (features, *nll))
        self._standardizer.fit(BatchInference(self._raw, *shapes)(features, *nll)[0])

    def call(self, samples: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the standardized components, 2, or 3 with a transformation head, and the maps."""
        features, *nll = self._features(samples)
        components = self._standardizer(self._raw(features, *nll))
        return components, None if self._padim is None else self._padim(features)

    def _raw(self, features: Tensor, *nll: Tensor) -> Tensor:
        """Return the components before standardization, `[B, T]`, from the outputs of `_features`.

        The arguments are features `[B, F]` and, with a head, negative log-likelihoods `[B]`.
        """
        return tf.concat([self._reference(features), *(x[:, None] for x in nll)], axis=1)

    def _features(self, samples: Tensor) -> tuple[Tensor, ...]:
        """Return features `[B, F]` and, with a head, negative log-likelihoods of transforms `[B]`.

        Samples are `[B, S, S, C]` or `[B, F]`.
        """
        if self._head is None:
            return (self._pooled(samples),)
        blocks, deepest = blocks_under_transforms(self._pooled.blocks, samples)
        return self._pooled.pool(blocks), transform_nll(self._head, deepest)

    def _block_scales(self, features: np.ndarray) -> np.ndarray:
        """Return a factor for each feature, `[F]`, that equalizes the blocks' total variances."""
        scales = []
        for block in np.split(features, np.cumsum(self._pooled.sizes)[:-1], axis=1):
            total = float(block.var(axis=0, dtype=np.float64).sum())
            scales.append(np.full(block.shape[1], 1.0 / np.sqrt(max(total, 1e-12)), np.float32))
        return np.concatenate(scales)


DETECTION_METHODS.register(
    DetectionMethod(
        "features",
        description="distance to normal samples in the features of the discriminator",
        modalities=("images", "rows", "tiles"),
        optional_networks=("transformation_head", "localization_head"),
        auxiliary_losses=("detect", "both"),
    ),
    {"images": DiscriminatorFeatures, "rows": DiscriminatorFeatures, "tiles": PatchFeatures},
)
