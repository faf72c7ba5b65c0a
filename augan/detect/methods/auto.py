"""The default: the discriminator's judgement and the samples themselves, each as it is worth.

No single term is best everywhere: the discriminator knows what belongs together, plain distance
knows what was never there. All terms are standardised on normal samples held out from training and
added up with fixed weights, so nothing is chosen by labels.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from augan.detect.methods.features import DiscriminatorFeatures
from augan.detect.scoring.padim import DiagonalPaDiM
from augan.detect.scoring.pixel_neighbors import PixelNeighbors
from augan.detect.scoring.transform_ensemble import TransformEnsemble
from augan.exceptions import DataError
from augan.gan import keras, tf

INPUTS = 1.5  # weight of plain distance beside those of `augan.detect.scoring.transform_ensemble`
Part = DiscriminatorFeatures | TransformEnsemble | PixelNeighbors
Tensor = Any


class Auto:
    """`TransformEnsemble` plus `PixelNeighbors`, or `DiscriminatorFeatures` without trained heads.

    Heads are trained for a detector of images alone. A table has none, nor has a discriminator
    whose generator is to draw well.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "discriminator" and perhaps "heads"; they are read, never changed.
    """

    name = "auto"
    input_types: tuple[str, ...] = DiscriminatorFeatures.input_types
    required_networks: tuple[str, ...] = DiscriminatorFeatures.required_networks
    optional_networks: tuple[str, ...] = DiscriminatorFeatures.optional_networks
    is_iterative: bool = DiscriminatorFeatures.is_iterative

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        has_heads = "heads" in models
        judge = TransformEnsemble(models) if has_heads else DiscriminatorFeatures(models)
        is_of_images = len(models["discriminator"].inputs[0].shape) == 4
        self._places = DiagonalPaDiM(models) if is_of_images else None
        inputs = PixelNeighbors(INPUTS if has_heads else 1.0)
        self._parts: dict[str, Part] = {"judge": judge, "inputs": inputs}
        self.components = tuple(term for part in self._parts.values() for term in part.components)

    def fit(self, reference: np.ndarray, val: np.ndarray) -> Self:
        """Learn from normal samples `[N, S, S, C]` or `[N, F]`: those trained on, and others."""
        for part in self._parts.values():
            part.fit(reference, val)
        if self._places is not None:
            self._places.fit(reference)
        return self

    def score_components(self, samples: np.ndarray) -> np.ndarray:
        """Return the standardised terms, float64 `[N, T]`, higher = more anomalous."""
        return np.concatenate(
            [part.score_components(samples) for part in self._parts.values()], axis=1
        )

    def reconstruct(self, samples: np.ndarray) -> None:
        """Return None: this method compares and draws nothing."""

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Return the discriminator's map, see `DiagonalPaDiM.maps`, float32 `[N, S, S, 1]`."""
        if self._places is None:
            raise DataError("a row has no places to draw a map of; maps are of images")
        return self._places.maps(images)

    def call(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return terms and maps of a tensor `[B, S, S, C]`; see `OnnxExportable`."""
        found = [part.call(images) for part in self._parts.values()]
        components = [part[0] if isinstance(part, tuple) else part for part in found]
        heat = None if self._places is None else self._places.call(images)
        return tf.concat(components, axis=1), heat

    def get_state(self) -> dict[str, np.ndarray]:
        """Return what `fit` learned, for the bundle."""
        return {
            f"{name}.{key}": value
            for name, part in self._stateful().items()
            for key, value in part.get_state().items()
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Take back what `get_state` returned."""
        for name, part in self._stateful().items():
            start = f"{name}."
            own = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
            part.set_state(own)
        return self

    def _stateful(self) -> dict[str, Part | DiagonalPaDiM]:
        return {**self._parts, **({} if self._places is None else {"places": self._places})}
