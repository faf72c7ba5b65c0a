"""A detector: a method that scores, and the calibration that turns scores into decisions.

A detector works on stored squares, or on the stored rows of a table. Files (`augan.detect.api`)
and scikit-learn (`augan.detect.estimator`) are two ways to feed it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np

from augan.bundle import Bundle, bundle_errors, restore_network
from augan.config import DetectSection
from augan.data.modalities.registry import AnyPreprocessing, PreparedSamples, restore_preprocessing
from augan.data.modalities.tiles import TiledPreprocessing
from augan.data.sequences import RaggedImages
from augan.data.splits import evenly_spaced
from augan.detect.conformal.calibration import Calibration
from augan.detect.methods.anogan import AnoGAN
from augan.detect.methods.auto import Auto
from augan.detect.methods.base import DetectionMethod, Scorer
from augan.detect.methods.cross_conformal import CrossConformalEnsemble
from augan.detect.methods.fanogan import FAnoGAN
from augan.detect.methods.features import DiscriminatorFeatures
from augan.detect.methods.tiles import PatchAuto, PatchFeatures
from augan.exceptions import BundleError, ConfigError
from augan.gan import keras

CHUNK = 512  # images that are float32 at once; a multiple of the batch of inference

CHUNK_PICTURES = 16  # the same of large images

MOST_REFERENCE = 5000  # images of the training split that a method may learn from, drawn evenly
MOST_PICTURES = 500  # the same of large images

_KNOWN: tuple[type[DetectionMethod], ...] = (
    *(Auto, DiscriminatorFeatures, FAnoGAN, AnoGAN),
    *(PatchAuto, PatchFeatures),  # of large images, which are `RaggedImages`, as their maps
)


def supported_methods(kind: str) -> dict[str, type[DetectionMethod]]:
    """Return name -> method for what is preprocessed as "images", "rows" or "tiles"."""
    return {method.name: method for method in _KNOWN if kind in method.input_types}


METHODS = supported_methods("images")


def configured_methods(settings: DetectSection) -> tuple[str, ...]:
    """Return the methods that a bundle is to carry, the one that scores unless told first."""
    return tuple(dict.fromkeys((settings.method, *settings.methods)))


def bundled_methods(bundle: Bundle) -> tuple[str, ...]:
    """Return the methods that a bundle carries, the one that scores unless told first."""
    described = bundle.detector or {}
    return (str(described.get("method")), *described.get("other_methods", ()))


def get_method_class(method: str, preprocessing: AnyPreprocessing) -> type[DetectionMethod]:
    """Return the method of that name for what is preprocessed so; ConfigError if there is none."""
    able = supported_methods(preprocessing.modality)
    if method not in able:
        hint = ", or train with --set data.tiling=false" if method in METHODS else ""
        raise ConfigError(
            f"the method '{method}' does not score {preprocessing.modality}; choose one of "
            f"{', '.join(able)}{hint}"
        )
    return able[method]


@dataclass
class Detector:
    """A fitted method with its preprocessing and, once calibrated, its calibration.

    The anomaly score of an image is the sum of the method's terms: higher = more anomalous. This is
    the sign of files and reports; scikit-learn's `score_samples` is its negative.
    """

    method: Scorer
    preprocessing: AnyPreprocessing
    calibration: Calibration | None = None
    map_calibration: Calibration | None = None  # of the highest place of each image's map
    bundle: Bundle | None = None  # that it was rebuilt from

    @classmethod
    def fit(
        cls,
        method: str,
        models: Mapping[str, keras.Model],
        preprocessing: AnyPreprocessing,
        stored: PreparedSamples,
        *,
        train: np.ndarray,
        val: np.ndarray,
    ) -> Self:
        """Fit `method` on stored samples: rows that were trained on, and others."""
        most = (
            MOST_REFERENCE
            if preprocessing.modality != TiledPreprocessing.modality
            else MOST_PICTURES
        )
        parts = (
            preprocessing.normalize(stored[rows]) for rows in (evenly_spaced(train, most), val)
        )
        return cls(get_method_class(method, preprocessing)(models).fit(*parts), preprocessing)

    def without_calibration(self) -> Self:
        """Return the same without its lines, for new ones: folds score by their mean then."""
        method = (
            self.method.without_pooling()
            if isinstance(self.method, CrossConformalEnsemble)
            else self.method
        )
        return type(self)(method, self.preprocessing, bundle=self.bundle)

    def require_calibration(self) -> Calibration:
        """Return the calibration; BundleError if there is none."""
        if self.calibration is None:
            raise BundleError("this detector was never calibrated; train with --task both")
        return self.calibration

    def calibrate(
        self,
        stored: PreparedSamples,
        groups: Sequence[str] | np.ndarray | None,
        rows: np.ndarray | None = None,
    ) -> None:
        """Draw the line from normal images that nothing was fitted on; `groups` has one for each.

        They are `stored`, or those at `rows`, which are then read a part at a time.
        """
        parts = [self.measure(stored[part]) for part in self._chunks(stored, rows)]
        self.set_calibration(np.concatenate(parts), groups)

    def measure(self, stored: PreparedSamples) -> np.ndarray:
        """Return what calibration needs of stored samples, float64 `[N, 2]`, of rows `[N, 1]`.

        It is the score of each image, and the highest place of its map.
        """
        measured = [self.score(stored)]
        if self.preprocessing.sample_type == "image":
            measured.append(np.array([float(heat.max()) for heat in self.maps(stored)]))
        return np.stack(measured, axis=1)

    def set_calibration(
        self, measured: np.ndarray, groups: Sequence[str] | np.ndarray | None
    ) -> None:
        """Draw the lines of scores and of maps through what `measure` said of normal images."""
        lines = [Calibration.fit(column, groups) for column in measured.T]
        self.calibration, self.map_calibration = (*lines, None)[:2]

    def score_components(
        self, stored: PreparedSamples, rows: np.ndarray | None = None
    ) -> np.ndarray:
        """Return each term's part of the score of stored samples (at `rows`), float64 `[N, T]`."""
        parts = (self._scaled(stored[part]) for part in self._chunks(stored, rows))
        with self._in_use():
            return np.concatenate([self.method.score_components(part) for part in parts])

    def score(self, stored: PreparedSamples, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the anomaly scores of stored samples (at `rows`), float64 `[N]`."""
        return self.score_components(stored, rows).sum(axis=1)

    def reconstruct(self, stored: PreparedSamples) -> np.ndarray | None:
        """Return how the GAN would draw stored squares, as such; None if the method draws none."""
        with self._in_use():
            again = self.method.reconstruct(self._scaled(stored))
        return None if again is None else self.preprocessing.denormalize(again)

    def maps(self, stored: PreparedSamples) -> np.ndarray | RaggedImages:
        """Return how anomalous each place of stored images is, float32 `[N, S, S, 1]`.

        In the method's own units, higher = more anomalous; `ImagePreprocessing.to_original_size`
        brings maps to the size of their images. Those of large images are `RaggedImages`
        `[H, W, 1]`.
        """
        parts = (self._scaled(stored[part]) for part in self._chunks(stored, None))
        with self._in_use():
            maps = [self.method.maps(part) for part in parts]
        if isinstance(stored, RaggedImages):
            return RaggedImages([heat for part in maps for heat in part])
        return np.concatenate(maps)

    def _in_use(self) -> AbstractContextManager[None]:
        return nullcontext() if self.bundle is None else bundle_errors(self.bundle, "detector")

    def _scaled(self, stored: Any) -> Any:
        return self.preprocessing.normalize(stored)

    def _chunks(self, stored: PreparedSamples, rows: np.ndarray | None) -> Iterator[np.ndarray]:
        rows = np.arange(len(stored)) if rows is None else rows
        count = CHUNK_PICTURES if isinstance(stored, RaggedImages) else CHUNK
        return (rows[start : start + count] for start in range(0, len(rows), count))

    @classmethod
    def from_bundle(cls, bundle: Bundle, method: str | None = None) -> Self:
        """Rebuild a detector that a bundle carries: that of `method`, or its first.

        Raises
        ------
        BundleError
            If it carries none, not this one, or one that this version does not know.
        """
        bundle.require("detector")
        present = bundled_methods(bundle)
        name = present[0] if method is None else method
        if name not in present:
            raise BundleError(
                f"{bundle.path or 'this bundle'} has no detector '{name}', only "
                f"{', '.join(present)}; choose one of these, or train with --set "
                f"detect.methods=[{name}]"
            )
        if name not in METHODS:
            known = ", ".join(METHODS)
            raise BundleError(
                f"{bundle.path} was calibrated for the method '{name}'; known: {known}"
            )
        preprocessing = restore_preprocessing(bundle.preprocessing)
        kind, suffix = get_method_class(name, preprocessing), _suffix(name, present[0])
        with bundle_errors(bundle, "detector"):
            fitted = _blank(bundle, kind).set_state(bundle.tables[f"detector{suffix}"])
        tables = [
            bundle.tables.get(f"{table}{suffix}") for table in ("calibration", "map_calibration")
        ]
        line, map_line = (None if t is None else Calibration.from_arrays(t) for t in tables)
        return cls(fitted, preprocessing, line, map_line, bundle)


def add_detectors(
    bundle: Bundle, detectors: Sequence[Detector], trim_fraction: float = 0.0
) -> None:
    """Put detectors into a bundle; the first is the default.

    `trim_fraction` is the fraction of the samples that were left out of fitting and calibration.
    """
    components = {detector.method.name: list(detector.method.components) for detector in detectors}
    first = detectors[0].method.name
    bundle.detector = {
        "method": first,
        "components": components.pop(first),
        "other_methods": components,
    }
    bundle.detector |= {"trim_fraction": trim_fraction} if trim_fraction else {}
    if isinstance(detectors[0].method, CrossConformalEnsemble):
        bundle.detector["num_folds"] = len(detectors[0].method)
    for detector in detectors:
        suffix = _suffix(detector.method.name, first)
        lines = {"calibration": detector.calibration, "map_calibration": detector.map_calibration}
        bundle.tables[f"detector{suffix}"] = detector.method.get_state()
        bundle.tables |= {f"{name}{suffix}": c.to_arrays() for name, c in lines.items() if c}


def fold_network(role: str, fold: int) -> str:
    """Return what a bundle calls the network that a fold, counted from 1, has in this role."""
    return f"fold{fold}-{role}"


def _blank(bundle: Bundle, kind: type[DetectionMethod]) -> Scorer:
    """Build a method, or that of all folds, on the networks of a bundle, before it is restored."""

    def on(called: Callable[[str], str]) -> DetectionMethod:
        used = (role for role in kind.optional_networks if called(role) in bundle.networks)
        return kind(
            {
                role: restore_network(bundle, called(role))
                for role in (*kind.required_networks, *used)
            }
        )

    count = (bundle.detector or {}).get("num_folds")
    if not count:
        return on(str)
    return CrossConformalEnsemble([on(partial(fold_network, fold=k)) for k in range(1, count + 1)])


def _suffix(method: str, first: str) -> str:
    return "" if method == first else f"-{method}"
