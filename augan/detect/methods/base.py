"""What the methods of this room have in common."""

from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np

from augan.gan import keras

Tensor = Any


class Scorer(Protocol):
    """What scores: a fitted method, or that of several folds.

    Images are float32 `[N, S, S, C]` in [-1, 1], of patchwise methods `RaggedImages`, rows
    `[N, F]`.
    """

    name: str
    components: tuple[str, ...]

    def score_components(self, images: Any) -> np.ndarray: ...
    def reconstruct(self, images: Any) -> np.ndarray | None: ...
    def maps(self, images: Any) -> Any: ...
    def get_state(self) -> dict[str, np.ndarray]: ...
    def set_state(self, state: Mapping[str, np.ndarray]) -> Self: ...


class OnnxExportable(Protocol):
    """What can score outside of augan: every method that does not search."""

    def call(self, images: Any) -> tuple[Tensor, Tensor | None]:
        """Return what `score_components` and `maps` do, as operations on a tensor.

        Parameters
        ----------
        images : Tensor [B, S, S, C]
            In [-1, 1]; of patchwise methods one image `[1, H, W, C]`. B, H and W may be unknown.

        Returns
        -------
        terms : Tensor of float64 [B, T]
        maps : Tensor of float32 [B, S, S, 1] or None
            Of patchwise methods `[1, H / 4, W / 4, 1]`, which `maps` enlarges.
        """
        ...


class DetectionMethod(Scorer, Protocol):
    """What every method offers."""

    input_types: tuple[str, ...]  # kinds of preprocessing: "images", "rows", "tiles"
    required_networks: tuple[str, ...]  # networks
    optional_networks: tuple[str, ...]  # networks that it takes where they were trained
    is_iterative: bool  # whether each image costs hundreds of steps

    def __init__(self, models: Mapping[str, keras.Model]) -> None: ...
    def fit(self, reference: Any, val: Any) -> Self: ...
