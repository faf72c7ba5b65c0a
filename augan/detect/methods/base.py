"""Interfaces that every detection method implements."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from augan.detect.scoring.component import ScoreComponent

if TYPE_CHECKING:
    from augan.gan import Tensor, keras


class Scorer(Protocol):
    """Interface of a fitted detection method, or of the ensemble of the methods of several folds.

    Inputs are normalized samples: images float32 `[N, S, S, C]` in [-1, 1], `RaggedImages` for
    methods of large images, or rows float32 `[N, F]`.

    Attributes
    ----------
    name : str
        Name of the method, as in `detect.method`.
    components : tuple of ScoreComponent
        Summands of the anomaly score.
    """

    name: str
    components: tuple[ScoreComponent, ...]

    def score_components(self, samples: Any) -> np.ndarray:
        """Return the components of each sample's anomaly score, float64 `[N, T]`.

        T is the number of `components`; higher = more anomalous.
        """
        ...

    def reconstruct(self, samples: Any) -> np.ndarray | None:
        """Return the GAN's reconstructions of the samples; None if the method computes none."""
        ...

    def maps(self, images: Any) -> Any:
        """Return the anomaly maps of images, float32 `[N, S, S, 1]`; higher = more anomalous.

        Methods of large images return `RaggedImages` `[H, W, 1]`.
        """
        ...

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays by name; the bundle stores them, `set_state` restores them."""
        ...

    def set_state(self, state: Mapping[str, np.ndarray]) -> Self:
        """Restore the fitted arrays that `get_state` returned, and return self."""
        ...


class OnnxExportable(Protocol):
    """Interface of a scorer that can be exported to ONNX: every method that is not iterative."""

    def call(self, images: Any) -> "tuple[Tensor, Tensor | None]":
        """Compute score components and anomaly maps as tensors, for an exported graph.

        Parameters
        ----------
        images : Tensor [B, S, S, C]
            In [-1, 1]; for methods of large images, one image `[1, H, W, C]`. B, H and W may be
            unknown.

        Returns
        -------
        components : Tensor of float64 [B, T]
            Their sum is the score, as in `score_components`.
        maps : Tensor of float32 [B, S, S, 1] or None
            None if maps cannot be exported. For methods of large images `[1, H / 4, W / 4, 1]`,
            before enlargement by `maps`.
        """
        ...


class DetectionMethod(Scorer, Protocol):
    """Interface of a detection method on trained networks.

    `augan.detect.methods.registry` holds the properties that are needed before a method is built.

    Parameters
    ----------
    models : mapping of str to keras.Model
        Trained networks by role, such as "discriminator".
    """

    def __init__(self, models: "Mapping[str, keras.Model]") -> None: ...

    def fit(self, train: Any, val: Any) -> Self:
        """Fit on normal samples and return self.

        Parameters
        ----------
        train : ndarray or RaggedImages
            Normalized samples on which the networks were trained.
        val : ndarray or RaggedImages
            Normalized samples of the validation split, on which score components are standardized.
        """
        ...
