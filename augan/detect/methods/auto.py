"""Default detection method: the discriminator combined with the distance of raw samples.

No single component is best on all data: the discriminator detects unusual combinations, the raw
distance detects unusual values. All components are standardized on normal samples of the validation
split and added with fixed weights, so no labels are needed.
"""

from collections.abc import Mapping

import numpy as np

from augan.choices import DETECTION_METHODS, DetectionMethod
from augan.detect.methods.base import TensorScorer
from augan.detect.methods.features import DiscriminatorFeatures
from augan.detect.methods.tiles import MAHALANOBIS, PatchFeatures
from augan.detect.scoring.pixel_neighbors import PixelNeighbors
from augan.detect.scoring.transform_ensemble import TransformEnsemble
from augan.gan import Tensor, keras, tf

PIXEL_WEIGHT = 1.5  # weight of `PixelNeighbors` next to `TransformEnsemble`


class Auto(TensorScorer):
    """Default detection method for images of a fixed size and for rows of a table.

    The score adds two scorers: `TransformEnsemble` if a transformation head was trained, else
    `DiscriminatorFeatures`; and `PixelNeighbors`. By default, the head is trained only for a
    detector of images whose generator need not generate good images; tables have no head. The
    anomaly maps are those of the first scorer.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "discriminator" and optionally "transformation_head"; their weights are not changed.
    """

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        super().__init__(models)
        has_head = "transformation_head" in models
        self._discriminator: TensorScorer = (
            TransformEnsemble(models) if has_head else DiscriminatorFeatures(models)
        )
        self._inputs = PixelNeighbors(PIXEL_WEIGHT if has_head else 1.0)
        self.parts = {"discriminator": self._discriminator, "inputs": self._inputs}
        self.components = (*self._discriminator.components, *self._inputs.components)

    def _fit(self, train: np.ndarray, val: np.ndarray) -> None:
        """Fit both scorers on normal samples."""
        self._discriminator.fit(train, val)
        self._inputs.fit(train, val)

    def call(self, samples: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the standardized, weighted components of both scorers, and the maps."""
        components, maps = self._discriminator.call(samples)
        return tf.concat([components, self._inputs.call(samples)], axis=1), maps


class PatchAuto(PatchFeatures):
    """Default detection method for large images: self-dissimilarity and synthetic defects.

    These two maps found most synthetic defects of kinds not used in training.
    """

    unused_maps = (MAHALANOBIS,)


DETECTION_METHODS.register(
    DetectionMethod(
        "auto",
        description="difference from normal samples, in values and in the discriminator's features",
        modalities=("images", "rows", "tiles"),
        optional_networks=("transformation_head", "localization_head"),
        auxiliary_losses=("detect",),
    ),
    {"images": Auto, "rows": Auto, "tiles": PatchAuto},
)
