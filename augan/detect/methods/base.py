"""Interfaces of detection methods."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from augan.detect.scoring.component import ScoreComponent

if TYPE_CHECKING:
    from augan.gan import Tensor, keras


class Scorer(Protocol):
    """Fitted method, or the ensemble of the fitted methods of several folds.

    Images are float32 `[N, S, S, C]` in [-1, 1], or `RaggedImages` for methods of large images;
    rows are float32 `[N, F]`.

    Attributes
    ----------
    name : str
        Name of the method.
    components : tuple of ScoreComponent
        Summands of the anomaly score.
    """

    name: str
    components: tuple[ScoreComponent, ...]

    def score_components(self, samples: Any) -> np.ndarray:
        """Return the components of the score, float64 `[N, T]`; higher = more anomalous."""
        ...

    def reconstruct(self, samples: Any) -> np.ndarray | None:
        """Return the GAN's reconstructions; None if the method computes none."""
        ...

    def maps(self, images: Any) -> Any:
        """Return anomaly maps, float32 `[N, S, S, 1]` or `RaggedImages` `[H, W, 1]`."""
        ...

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays, for the bundle."""
        ...

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays."""
        ...


class OnnxExportable(Protocol):
    """Scorer that can be exported to ONNX: every method that is not iterative."""

    def call(self, images: Any) -> "tuple[Tensor, Tensor | None]":
        """Return score components and anomaly maps as tensors.

        Parameters
        ----------
        images : Tensor [B, S, S, C]
            In [-1, 1]; for methods of large images, one image `[1, H, W, C]`. B, H and W may be
            unknown.

        Returns
        -------
        components : Tensor of float64 [B, T]
        maps : Tensor of float32 [B, S, S, 1] or None
            For methods of large images `[1, H / 4, W / 4, 1]`, before enlargement by `maps`.
        """
        ...


class DetectionMethod(Scorer, Protocol):
    """Detection method on trained networks.

    `augan.detect.methods.registry` holds the properties that are needed before a method is built.
    """

    def __init__(self, models: "Mapping[str, keras.Model]") -> None: ...

    def fit(self, train: Any, val: Any) -> Self:
        """Fit on normal samples of the training split and of the validation split."""
        ...
