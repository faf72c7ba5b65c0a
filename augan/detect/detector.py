"""A detector: a method that scores, and the calibration that turns scores into decisions.

A detector works on stored squares, or on the stored rows of a table. Files (`augan.detect.folder`)
and scikit-learn (`augan.detect.estimator`) are two ways to feed it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from augan.bundle import Bundle, restore_network
from augan.data.prepared import AnyPreprocessing, restore_preprocessing
from augan.data.stacked import Stacked
from augan.detect.anogan import AnoGAN
from augan.detect.calibration import Calibration
from augan.detect.fanogan import FAnoGAN
from augan.detect.features import Features
from augan.exceptions import BundleError, ConfigError
from augan.gan import keras


class Method(Protocol):
    """What every method offers; images are float32 `[N, S, S, C]` in [-1, 1], rows `[N, F]`."""

    name: str
    accepts: tuple[str, ...]  # of "images" and "rows"
    needs: tuple[str, ...]
    terms: tuple[str, ...]

    def __init__(self, models: Mapping[str, keras.Model]) -> None: ...
    def fit(self, reference: np.ndarray, tune: np.ndarray) -> Self: ...
    def score_terms(self, images: np.ndarray) -> np.ndarray: ...
    def reconstruct(self, images: np.ndarray) -> np.ndarray | None: ...
    def state(self) -> dict[str, np.ndarray]: ...
    def restore(self, state: Mapping[str, np.ndarray]) -> Self: ...


CHUNK = 512  # images that are float32 at once; a multiple of the batch of inference

MOST_REFERENCE = 5000  # images of the fit split that a method may learn from, drawn evenly

METHODS: dict[str, type[Method]] = {method.name: method for method in (AnoGAN, FAnoGAN, Features)}


def check_accepts(method: str, noun: str) -> None:
    """Raise ConfigError if `method` cannot score `noun`, "images" or "rows"."""
    if noun not in METHODS[method].accepts:
        able = ", ".join(name for name, known in METHODS.items() if noun in known.accepts)
        raise ConfigError(f"the method '{method}' does not score {noun}; choose one of {able}")


@dataclass
class Detector:
    """A fitted method with its preprocessing and, once calibrated, its calibration.

    The anomaly score of an image is the sum of the method's terms: higher = more anomalous. This is
    the sign of files and reports; scikit-learn's `score_samples` is its negative.
    """

    method: Method
    preprocessing: AnyPreprocessing
    calibration: Calibration | None = None

    @classmethod
    def fit(
        cls,
        method: str,
        models: Mapping[str, keras.Model],
        preprocessing: AnyPreprocessing,
        squares: np.ndarray | Stacked,
        *,
        fit: np.ndarray,
        tune: np.ndarray,
    ) -> Self:
        """Fit `method` on stored squares `[N, S, S, C]`: rows that were trained on, and others."""
        if method not in METHODS:
            raise ConfigError(f"there is no method '{method}'; choose one of {', '.join(METHODS)}")
        check_accepts(method, preprocessing.noun)
        reference = fit[np.linspace(0, len(fit) - 1, min(len(fit), MOST_REFERENCE)).astype(int)]
        parts = (preprocessing.scale(squares[rows]) for rows in (reference, tune))
        return cls(METHODS[method](models).fit(*parts), preprocessing)

    def calibrated(self) -> Calibration:
        """Return the calibration; BundleError if there is none."""
        if self.calibration is None:
            raise BundleError("this detector was never calibrated; train with --task both")
        return self.calibration

    def calibrate(
        self,
        squares: np.ndarray,
        groups: Sequence[str] | np.ndarray | None,
        rows: np.ndarray | None = None,
    ) -> None:
        """Draw the line from normal images that nothing was fitted on; `groups` has one for each.

        They are `squares`, or those at `rows`, which are then read a part at a time.
        """
        self.calibration = Calibration.fit(self.score(squares, rows), groups)

    def score_terms(self, squares: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Return each term's part of the score of stored squares (at `rows`), float64 `[N, T]`."""
        rows = np.arange(len(squares)) if rows is None else rows
        parts = (squares[rows[start : start + CHUNK]] for start in range(0, len(rows), CHUNK))
        scores = [self.method.score_terms(self.preprocessing.scale(part)) for part in parts]
        return np.concatenate(scores)

    def score(self, squares: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the anomaly scores of stored squares (at `rows`), float64 `[N]`."""
        return self.score_terms(squares, rows).sum(axis=1)

    def reconstruct(self, squares: np.ndarray) -> np.ndarray | None:
        """Return how the GAN would draw stored squares, as such; None if the method draws none."""
        again = self.method.reconstruct(self.preprocessing.scale(squares))
        return None if again is None else self.preprocessing.unscale(again)

    def maps(self, squares: np.ndarray) -> np.ndarray:
        """Return how anomalous each place of stored squares is, float32 `[N, S, S, 1]`.

        It is |image - reconstruction|, the mean over channels, on the scale of [-1, 1]. Higher =
        more anomalous; `Preprocessing.to_native` brings maps to the size of their images.

        Raises
        ------
        ConfigError
            If the method draws no images, so that nothing says where.
        """
        parts = []
        for start in range(0, len(squares), CHUNK):
            images = self.preprocessing.scale(squares[start : start + CHUNK])
            again = self.method.reconstruct(images)
            if again is None:
                raise ConfigError(
                    f"the method '{self.method.name}' draws no images, so there is no map of where "
                    "they differ; train with --set detect.method=fanogan for maps"
                )
            difference = np.abs(images - again)
            parts.append(difference.mean(axis=-1, keepdims=True, dtype=np.float32))
        return np.concatenate(parts)

    def describe(self) -> dict[str, Any]:
        """Return the JSON-able part of the detector."""
        return {"method": self.method.name, "terms": list(self.method.terms)}

    def tables(self) -> dict[str, dict[str, np.ndarray]]:
        """Return the arrays of the detector, for the bundle."""
        tables = {"detector": self.method.state()}
        if self.calibration is not None:
            tables["calibration"] = self.calibration.to_arrays()
        return tables

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """Rebuild the detector that a bundle holds.

        Raises
        ------
        BundleError
            If it holds none, or one that this version does not know.
        """
        bundle.require("detector")
        name = (bundle.detector or {}).get("method")
        if name not in METHODS:
            known = ", ".join(METHODS)
            raise BundleError(
                f"{bundle.path} was calibrated for the method '{name}'; known: {known}"
            )
        models = {role: restore_network(bundle, role) for role in METHODS[name].needs}
        method = METHODS[name](models).restore(bundle.tables["detector"])
        detector = cls(method, restore_preprocessing(bundle.preprocessing))
        if "calibration" in bundle.tables:
            detector.calibration = Calibration.from_arrays(bundle.tables["calibration"])
        return detector
