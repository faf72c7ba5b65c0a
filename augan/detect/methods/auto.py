"""Default detection method: the discriminator combined with the distance of raw samples.

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

PIXEL_WEIGHT = 1.5  # weight of `PixelNeighbors` next to `TransformEnsemble`
ComponentScorer = DiscriminatorFeatures | TransformEnsemble | PixelNeighbors


class Auto:
    """Default detection method for images of a fixed size and for rows of a table.

    The score adds two scorers: `TransformEnsemble` if a transformation head was trained, else
    `DiscriminatorFeatures`; and `PixelNeighbors`. By default, the head is trained only for a
    detector of images whose generator need not generate good images; tables have no head.

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
        """Fit both scorers and, for images, the anomaly maps on normal samples; return self.

        Parameters
        ----------
        train, val : ndarray [N, S, S, C] or [N, F]
            Normal samples in [-1, 1]: those on which the networks were trained, and validation
            samples on which the components are standardized.
        """
        for scorer in self._scorers.values():
            scorer.fit(train, val)
        if self._padim is not None:
            self._padim.fit(train)
        return self

    def score_components(self, samples: np.ndarray) -> np.ndarray:
        """Return the standardized, weighted components of samples, float64 `[N, T]`.

        Higher = more anomalous.
        """
        columns = [scorer.score_components(samples) for scorer in self._scorers.values()]
        return np.concatenate(columns, axis=1)

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
        results = [scorer.call(images) for scorer in self._scorers.values()]
        columns = [result[0] if isinstance(result, tuple) else result for result in results]
        maps = None if self._padim is None else self._padim.call(images)
        return tf.concat(columns, axis=1), maps

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays of all scorers by name, for the bundle."""
        return {
            f"{name}.{key}": value
            for name, part in self._stateful().items()
            for key, value in part.get_state().items()
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays that `get_state` returned, and return self."""
        for name, part in self._stateful().items():
            prefix = f"{name}."
            part.set_state(
                {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            )
        return self

    def _stateful(self) -> dict[str, ComponentScorer | DiagonalPaDiM]:
        """Return the scorers and, for images, the map model by the prefix of their arrays."""
        return {**self._scorers, **({} if self._padim is None else {"padim": self._padim})}
