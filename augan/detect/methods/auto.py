"""Default method: the discriminator combined with the distance of raw samples.

No single component is best on all data: the discriminator detects unusual combinations, the raw
distance detects unusual values. All components are standardized on normal samples of the validation
split and added with fixed weights, so no labels are needed.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np

from augan.detect.methods.features import DiscriminatorFeatures
from augan.detect.scoring.component import ScoreComponent
from augan.detect.scoring.padim import DiagonalPaDiM
from augan.detect.scoring.pixel_neighbors import PixelNeighbors
from augan.detect.scoring.transform_ensemble import TransformEnsemble
from augan.exceptions import DataError
from augan.gan import Tensor, keras, tf

PIXEL_WEIGHT = 1.5  # of `PixelNeighbors` next to the components of `TransformEnsemble`
ComponentScorer = DiscriminatorFeatures | TransformEnsemble | PixelNeighbors


class Auto:
    """`TransformEnsemble` and `PixelNeighbors`, or `DiscriminatorFeatures` if there are no heads.

    Heads are trained only for a detector of images. Tables have no heads, nor do discriminators
    whose generator must generate good images.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "discriminator" and optionally "transformation_head"; their weights are not changed.
    """

    name = "auto"

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        has_heads = "transformation_head" in models
        has_images = len(models["discriminator"].inputs[0].shape) == 4
        self._padim = DiagonalPaDiM(models) if has_images else None
        self._scorers: dict[str, ComponentScorer] = {
            "discriminator": (
                TransformEnsemble(models) if has_heads else DiscriminatorFeatures(models)
            ),
            "inputs": PixelNeighbors(PIXEL_WEIGHT if has_heads else 1.0),
        }
        self.components: tuple[ScoreComponent, ...] = tuple(
            component for scorer in self._scorers.values() for component in scorer.components
        )

    def fit(self, train: np.ndarray, val: np.ndarray) -> Self:
        """Fit on normal samples `[N, S, S, C]` or `[N, F]` of the training and validation split."""
        for scorer in self._scorers.values():
            scorer.fit(train, val)
        if self._padim is not None:
            self._padim.fit(train)
        return self

    def score_components(self, samples: np.ndarray) -> np.ndarray:
        """Return the standardized components, float64 `[N, T]`; higher = more anomalous."""
        columns = [scorer.score_components(samples) for scorer in self._scorers.values()]
        return np.concatenate(columns, axis=1)

    def reconstruct(self, samples: np.ndarray) -> None:
        """Return None: this method computes no reconstructions."""

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Return the maps of `DiagonalPaDiM`, float32 `[N, S, S, 1]`."""
        if self._padim is None:
            raise DataError("rows have no anomaly maps; only models of images compute maps")
        return self._padim.maps(images)

    def call(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return components and maps of images `[B, S, S, C]` as tensors; see `OnnxExportable`."""
        results = [scorer.call(images) for scorer in self._scorers.values()]
        columns = [result[0] if isinstance(result, tuple) else result for result in results]
        maps = None if self._padim is None else self._padim.call(images)
        return tf.concat(columns, axis=1), maps

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays, for the bundle."""
        return {
            f"{name}.{key}": value
            for name, part in self._stateful().items()
            for key, value in part.get_state().items()
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays."""
        for name, part in self._stateful().items():
            prefix = f"{name}."
            part.set_state(
                {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            )
        return self

    def _stateful(self) -> dict[str, ComponentScorer | DiagonalPaDiM]:
        return {**self._scorers, **({} if self._padim is None else {"padim": self._padim})}
