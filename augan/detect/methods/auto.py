"""The default: the discriminator's judgement and the samples themselves, each as it is worth.

No single term is best everywhere: the discriminator knows what belongs together, plain distance
knows what was never there. All terms are standardised on normal samples held out from training and
added up with fixed weights, so nothing is chosen by labels.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from augan.detect.methods.features import Features
from augan.detect.scoring.padim import Places
from augan.detect.scoring.pixel_neighbors import Inputs
from augan.detect.scoring.transform_ensemble import Probes
from augan.exceptions import DataError
from augan.gan import keras, tf

INPUTS = 1.5  # weight of plain distance beside those of `augan.detect.scoring.transform_ensemble`
Part = Features | Probes | Inputs
Tensor = Any


class Auto:
    """Scores images by `Probes` and `Inputs`; by `Features` where no heads were trained.

    Heads are trained for a detector of images alone. A table has none, nor has a discriminator
    whose generator is to draw well.

    Parameters
    ----------
    models : mapping of str to keras.Model
        "discriminator" and perhaps "heads"; they are read, never changed.
    """

    name = "auto"
    accepts: tuple[str, ...] = Features.accepts
    needs: tuple[str, ...] = Features.needs
    uses: tuple[str, ...] = Features.uses
    searches: bool = Features.searches

    def __init__(self, models: Mapping[str, keras.Model]) -> None:
        has_heads = "heads" in models
        judge = Probes(models) if has_heads else Features(models)
        is_of_images = len(models["discriminator"].inputs[0].shape) == 4
        self._places = Places(models) if is_of_images else None
        inputs = Inputs(INPUTS if has_heads else 1.0)
        self._parts: dict[str, Part] = {"judge": judge, "inputs": inputs}
        self.terms = tuple(term for part in self._parts.values() for term in part.terms)

    def fit(self, reference: np.ndarray, val: np.ndarray) -> Self:
        """Learn from normal samples `[N, S, S, C]` or `[N, F]`: those trained on, and others."""
        for part in self._parts.values():
            part.fit(reference, val)
        if self._places is not None:
            self._places.fit(reference)
        return self

    def score_terms(self, samples: np.ndarray) -> np.ndarray:
        """Return the standardised terms, float64 `[N, T]`, higher = more anomalous."""
        return np.concatenate([part.score_terms(samples) for part in self._parts.values()], axis=1)

    def reconstruct(self, samples: np.ndarray) -> None:
        """Return None: this method compares and draws nothing."""

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Return the discriminator's map, see `Places.maps`, float32 `[N, S, S, 1]`."""
        if self._places is None:
            raise DataError("a row has no places to draw a map of; maps are of images")
        return self._places.maps(images)

    def graph(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return terms and maps of a tensor `[B, S, S, C]`; see `Exportable`."""
        found = [part.graph(images) for part in self._parts.values()]
        terms = [part[0] if isinstance(part, tuple) else part for part in found]
        heat = None if self._places is None else self._places.graph(images)
        return tf.concat(terms, axis=1), heat

    def state(self) -> dict[str, np.ndarray]:
        """Return what `fit` learned, for the bundle."""
        return {
            f"{name}.{key}": value
            for name, part in self._stateful().items()
            for key, value in part.state().items()
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> Self:
        """Take back what `state` returned."""
        for name, part in self._stateful().items():
            start = f"{name}."
            own = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
            part.restore(own)
        return self

    def _stateful(self) -> dict[str, Part | Places]:
        return {**self._parts, **({} if self._places is None else {"places": self._places})}
