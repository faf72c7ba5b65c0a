"""Detector: a fitted method with its preprocessing and its calibration.

A detector scores prepared images or prepared rows. `augan.detect.api` applies detectors to files,
`augan.detect.estimator` to arrays and data frames.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from augan.bundle import Bundle, bundle_errors, restore_network
from augan.config import DetectSection
from augan.data.modalities.registry import AnyPreprocessing, PreparedSamples, restore_preprocessing
from augan.data.modalities.tiles import TiledPreprocessing
from augan.data.sequences import RaggedImages
from augan.data.splits import evenly_spaced
from augan.detect.conformal.calibration import Calibration
from augan.detect.methods.base import DetectionMethod, Scorer
from augan.detect.methods.registry import DETECTION_METHODS, MethodSpec, get_method_spec
from augan.exceptions import BundleError

if TYPE_CHECKING:  # options are checked before TensorFlow, which takes seconds, is loaded
    from augan.gan import keras

_CHUNK_SIZE = 512  # samples in memory as float32; a multiple of the batch size of inference
_CHUNK_SIZE_LARGE = 16  # the same for large images
NOT_CALIBRATED = "this detector was never calibrated; train with --task both"
_MAX_TRAINING_SAMPLES = 5000  # of the training split that a method is fitted on, evenly spaced
MAX_TRAINING_SAMPLES_LARGE = 500  # the same for large images


def configured_methods(settings: DetectSection) -> tuple[str, ...]:
    """Return the methods that a bundle is to contain; the first is the default."""
    return tuple(dict.fromkeys((settings.method, *settings.methods)))


def bundled_methods(bundle: Bundle) -> tuple[str, ...]:
    """Return the methods that a bundle contains; the first is the default."""
    section = bundle.detector or {}
    return (str(section.get("method")), *section.get("other_methods", ()))


@dataclass
class Detector:
    """Fitted method with its preprocessing and, after calibration, its calibration.

    The anomaly score of a sample is the sum of the method's components: higher = more anomalous.
    Files and reports have this sign; scikit-learn's `score_samples` is the negative.

    Attributes
    ----------
    map_calibration : Calibration or None
        Of the maximum of each calibration image's anomaly map; None for rows.
    bundle : Bundle or None
        The bundle from which the detector was restored.
    """

    method: Scorer
    preprocessing: AnyPreprocessing
    calibration: Calibration | None = None
    map_calibration: Calibration | None = None
    bundle: Bundle | None = None

    @classmethod
    def fit(
        cls,
        method: str,
        models: "Mapping[str, keras.Model]",
        preprocessing: AnyPreprocessing,
        samples: PreparedSamples,
        *,
        train: np.ndarray,
        val: np.ndarray,
    ) -> Self:
        """Fit `method` on prepared samples at the indices of the training and validation split."""
        is_tiled = preprocessing.modality == TiledPreprocessing.modality
        limit = MAX_TRAINING_SAMPLES_LARGE if is_tiled else _MAX_TRAINING_SAMPLES
        splits = (
            preprocessing.normalize(samples[rows]) for rows in (evenly_spaced(train, limit), val)
        )
        method_class = get_method_spec(method, preprocessing).load_class()
        return cls(method_class(models).fit(*splits), preprocessing)

    def without_calibration(self) -> Self:
        """Return the same detector without calibrations; ensembles score by their mean then."""
        from augan.detect.cross_conformal_ensemble import CrossConformalEnsemble

        method = self.method
        if isinstance(method, CrossConformalEnsemble):
            method = method.without_pooling()
        return type(self)(method, self.preprocessing, bundle=self.bundle)

    def require_calibration(self) -> Calibration:
        """Return the calibration; BundleError if there is none."""
        if self.calibration is None:
            raise BundleError(NOT_CALIBRATED)
        return self.calibration

    def calibrate(
        self,
        samples: PreparedSamples,
        groups: Sequence[str] | np.ndarray | None,
        rows: np.ndarray | None = None,
    ) -> None:
        """Calibrate on normal samples on which nothing was fitted.

        Parameters
        ----------
        samples : PreparedSamples
        groups : sequence or None
            The group of each calibration sample.
        rows : ndarray of int or None
            Indices of the calibration samples, which are read in chunks; None: all samples.
        """
        scores = [self.calibration_scores(samples[part]) for part in self._chunks(samples, rows)]
        self.set_calibration(np.concatenate(scores), groups)

    def calibration_scores(self, samples: PreparedSamples) -> np.ndarray:
        """Return what `set_calibration` needs of prepared samples.

        For images float64 `[N, 2]`, the score and the maximum of the anomaly map; for rows float64
        `[N, 1]`, the score.
        """
        columns = [self.score(samples)]
        if self.preprocessing.sample_type == "image":
            columns.append(np.array([float(one.max()) for one in self.maps(samples)]))
        return np.stack(columns, axis=1)

    def set_calibration(
        self, scores: np.ndarray, groups: Sequence[str] | np.ndarray | None
    ) -> None:
        """Set the calibrations of scores and maps from `calibration_scores` of normal samples."""
        calibrations = [Calibration.fit(column, groups) for column in scores.T]
        self.calibration, self.map_calibration = (*calibrations, None)[:2]

    def score_components(
        self, samples: PreparedSamples, rows: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the score components of prepared samples (at `rows`), float64 `[N, T]`."""
        chunks = (self._normalized(samples[part]) for part in self._chunks(samples, rows))
        with self._bundle_errors():
            return np.concatenate([self.method.score_components(chunk) for chunk in chunks])

    def score(self, samples: PreparedSamples, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the anomaly scores of prepared samples (at `rows`), float64 `[N]`."""
        return self.score_components(samples, rows).sum(axis=1)

    def reconstruct(self, samples: PreparedSamples) -> np.ndarray | None:
        """Return the GAN's reconstructions of prepared images; None if the method has none."""
        with self._bundle_errors():
            reconstructions = self.method.reconstruct(self._normalized(samples))
        return None if reconstructions is None else self.preprocessing.denormalize(reconstructions)

    def maps(self, samples: PreparedSamples) -> np.ndarray | RaggedImages:
        """Return the anomaly maps of prepared images, float32 `[N, S, S, 1]`.

        Maps are in the method's units, higher = more anomalous; those of large images are
        `RaggedImages` `[H, W, 1]`. `ImagePreprocessing.to_original_size` resizes maps to their
        images.
        """
        chunks = (self._normalized(samples[part]) for part in self._chunks(samples, None))
        with self._bundle_errors():
            maps = [self.method.maps(chunk) for chunk in chunks]
        if isinstance(samples, RaggedImages):
            return RaggedImages([one for chunk in maps for one in chunk])
        return np.concatenate(maps)

    def _bundle_errors(self) -> AbstractContextManager[None]:
        return nullcontext() if self.bundle is None else bundle_errors(self.bundle, "detector")

    def _normalized(self, samples: Any) -> Any:
        return self.preprocessing.normalize(samples)

    def _chunks(self, samples: PreparedSamples, rows: np.ndarray | None) -> Iterator[np.ndarray]:
        rows = np.arange(len(samples)) if rows is None else rows
        size = _CHUNK_SIZE_LARGE if isinstance(samples, RaggedImages) else _CHUNK_SIZE
        return (rows[start : start + size] for start in range(0, len(rows), size))

    @classmethod
    def from_bundle(cls, bundle: Bundle, method: str | None = None) -> Self:
        """Restore a detector of a bundle: that of `method`, or the default.

        Raises
        ------
        BundleError
            If the bundle has no detector, not this one, or one that this version does not support.
        """
        name = _resolve_method(bundle, method)
        preprocessing = restore_preprocessing(bundle.preprocessing)
        spec = get_method_spec(name, preprocessing)
        with bundle_errors(bundle, "detector"):
            state = bundle.tables[f"detector{_suffix(name, bundled_methods(bundle)[0])}"]
            fitted = _build_method(bundle, spec).set_state(state)
        return cls(fitted, preprocessing, *_read_calibrations(bundle, name), bundle)


def load_calibrations(
    bundle: Bundle, method: str | None = None
) -> tuple[Calibration, Calibration | None]:
    """Return the calibration of scores and that of maps, without building the method.

    Raises
    ------
    BundleError
        If the bundle has no detector of this method, or the detector was never calibrated.
    """
    calibration, map_calibration = _read_calibrations(bundle, _resolve_method(bundle, method))
    if calibration is None:
        raise BundleError(NOT_CALIBRATED)
    return calibration, map_calibration


def _resolve_method(bundle: Bundle, method: str | None) -> str:
    """Return the name of a method of the bundle; None is the default method."""
    bundle.require("detector")
    available = bundled_methods(bundle)
    name = available[0] if method is None else method
    if name not in available:
        raise BundleError(
            f"{bundle.path or 'this bundle'} has no detector '{name}', only "
            f"{', '.join(available)}; choose one of these, or train with --set "
            f"detect.methods=[{name}]"
        )
    if name not in DETECTION_METHODS:
        raise BundleError(
            f"{bundle.path} was calibrated for the method '{name}', which this version of "
            f"augan does not have; known methods: {', '.join(DETECTION_METHODS)}"
        )
    return name


def _read_calibrations(bundle: Bundle, name: str) -> tuple[Calibration | None, Calibration | None]:
    suffix = _suffix(name, bundled_methods(bundle)[0])
    tables = [bundle.tables.get(f"{table}{suffix}") for table in ("calibration", "map_calibration")]
    calibration, map_calibration = (
        None if table is None else Calibration.from_arrays(table) for table in tables
    )
    return calibration, map_calibration


def add_detectors(
    bundle: Bundle, detectors: Sequence[Detector], trim_fraction: float = 0.0
) -> None:
    """Add detectors to a bundle; the first is the default.

    `trim_fraction` is the share of samples that was removed before the detectors were fitted and
    calibrated.
    """
    from augan.detect.cross_conformal_ensemble import CrossConformalEnsemble

    components = {
        detector.method.name: [component.name for component in detector.method.components]
        for detector in detectors
    }
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
        calibrations = {
            "calibration": detector.calibration,
            "map_calibration": detector.map_calibration,
        }
        bundle.tables[f"detector{suffix}"] = detector.method.get_state()
        bundle.tables |= {
            f"{name}{suffix}": calibration.to_arrays()
            for name, calibration in calibrations.items()
            if calibration
        }


def fold_network(role: str, fold: int) -> str:
    """Return a bundle's name of the network with this role in a fold, counted from 1."""
    return f"fold{fold}-{role}"


def _build_method(bundle: Bundle, spec: MethodSpec) -> Scorer:
    """Build a method, or the ensemble of all folds, on the networks of a bundle."""
    from augan.detect.cross_conformal_ensemble import CrossConformalEnsemble

    method_class = spec.load_class()

    def build(network_name: Callable[[str], str]) -> DetectionMethod:
        roles = [
            *spec.required_networks,
            *(role for role in spec.optional_networks if network_name(role) in bundle.networks),
        ]
        return method_class({role: restore_network(bundle, network_name(role)) for role in roles})

    num_folds = (bundle.detector or {}).get("num_folds")
    if not num_folds:
        return build(str)
    return CrossConformalEnsemble(
        [build(partial(fold_network, fold=k)) for k in range(1, num_folds + 1)]
    )


def _suffix(method: str, first: str) -> str:
    return "" if method == first else f"-{method}"
