"""Detector: a fitted detection method with its preprocessing and its calibration.

A detector scores prepared images or prepared rows in memory. `augan.detect.api` applies detectors
to files, `augan.detect.estimator` to arrays and data frames.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from augan.bundle import (
    Bundle,
    CalibrationSamples,
    DetectorSection,
    FittedMethod,
    bundle_errors,
    restore_network,
)
from augan.choices import DETECTION_METHODS
from augan.config import DetectSection
from augan.data.modalities.base import PreparedSamples, Preprocessing
from augan.data.sequences import RaggedImages, join_like
from augan.data.splits import evenly_spaced
from augan.detect.conformal.calibration import Calibration
from augan.detect.methods.base import Scorer
from augan.detect.methods.registry import build_scorer, get_method
from augan.exceptions import BundleError

if TYPE_CHECKING:  # options are checked before TensorFlow, which takes seconds, is loaded
    from augan.gan import keras

NOT_CALIBRATED = "this detector was never calibrated; train with --task both"


def configured_methods(settings: DetectSection) -> tuple[str, ...]:
    """Return the detection methods that training is to fit, without duplicates.

    The first, `detect.method`, becomes the default of the bundle; those of `detect.methods` follow.
    """
    return tuple(dict.fromkeys((settings.method, *settings.methods)))


@dataclass
class Detector:
    """Fitted detection method with its preprocessing and, after calibration, its calibration.

    The anomaly score of a sample is the sum of the method's components: higher = more anomalous.
    Files and reports have this sign; scikit-learn's `score_samples` is the negative.

    Attributes
    ----------
    method : Scorer
        The fitted method, or the cross-conformal ensemble of all folds.
    preprocessing : Preprocessing
        Conversion of prepared samples to the inputs of the networks.
    calibration : Calibration or None
        Scores of the calibration samples; None: not calibrated.
    map_calibration : Calibration or None
        Maximum of each calibration image's anomaly map; None for rows, or if not calibrated.
    bundle : Bundle or None
        The bundle from which the detector was restored; named in error messages.
    """

    method: Scorer
    preprocessing: Preprocessing
    calibration: Calibration | None = None
    map_calibration: Calibration | None = None
    bundle: Bundle | None = None

    @classmethod
    def fit(
        cls,
        method: str,
        models: "Mapping[str, keras.Model]",
        preprocessing: Preprocessing,
        samples: PreparedSamples,
        *,
        train: np.ndarray,
        val: np.ndarray,
    ) -> Self:
        """Fit a detection method on normal samples; the result is not calibrated.

        Parameters
        ----------
        method : str
            Name of the detection method, a key of `DETECTION_METHODS`.
        models : mapping of str to keras.Model
            Trained networks by role, such as "discriminator".
        preprocessing : Preprocessing
        samples : PreparedSamples
            Prepared samples of all splits.
        train : ndarray of int
            Indices of the samples on which the networks were trained. At most
            `preprocessing.max_fitting_samples`, evenly spaced, are used.
        val : ndarray of int
            Indices of the samples on which the score components are standardized.

        Raises
        ------
        ConfigError
            If the method does not score samples of this modality.
        """
        limit = preprocessing.max_fitting_samples
        splits = (
            preprocessing.normalize(samples[rows]) for rows in (evenly_spaced(train, limit), val)
        )
        return cls(build_scorer(method, preprocessing, models).fit(*splits), preprocessing)

    def without_calibration(self) -> Self:
        """Return an uncalibrated detector with the same method.

        A cross-conformal ensemble then scores by the mean of its folds.
        """
        from augan.detect.cross_conformal_ensemble import CrossConformalEnsemble

        method = self.method
        if isinstance(method, CrossConformalEnsemble):
            method = method.without_pooling()
        return type(self)(method, self.preprocessing, bundle=self.bundle)

    def require_calibration(self) -> Calibration:
        """Return the calibration of the scores.

        Raises
        ------
        BundleError
            If the detector was never calibrated.
        """
        if self.calibration is None:
            raise BundleError(NOT_CALIBRATED)
        return self.calibration

    def calibrate(
        self,
        samples: PreparedSamples,
        groups: Sequence[str] | np.ndarray | None,
        rows: np.ndarray | None = None,
    ) -> None:
        """Calibrate scores and maps on normal samples that no part of the detector has seen.

        Parameters
        ----------
        samples : PreparedSamples
            Prepared samples.
        groups : sequence or None
            The group (part, patient) of each calibration sample; None: each sample is its own
            group.
        rows : ndarray of int or None
            Indices of the calibration samples in `samples`; None: all samples.
        """
        scores = [self.calibration_scores(samples[part]) for part in self._chunks(samples, rows)]
        self.set_calibration(np.concatenate(scores), groups)

    def calibration_scores(self, samples: PreparedSamples) -> np.ndarray:
        """Return scores of prepared samples, from which `set_calibration` builds calibrations.

        Returns
        -------
        ndarray of float64 [N, 2] or [N, 1]
            For images the anomaly score and the maximum of the anomaly map; for rows the anomaly
            score.
        """
        if not self.preprocessing.supports_maps:
            return self.score(samples)[:, None]
        components, maps = self.score_and_maps(samples)
        return np.column_stack([components.sum(axis=1), [float(one.max()) for one in maps]])

    def set_calibration(
        self, scores: np.ndarray, groups: Sequence[str] | np.ndarray | None
    ) -> None:
        """Set the calibrations of scores and maps from scores of normal samples.

        Parameters
        ----------
        scores : ndarray of float64 [N, 1] or [N, 2]
            Result of `calibration_scores` for samples on which nothing was fitted.
        groups : sequence or None
            The group of each sample; None: each sample is its own group.

        Raises
        ------
        DataError
            If a score is not finite, there is none, or `groups` has another length.
        """
        calibrations = [Calibration.fit(column, groups) for column in scores.T]
        self.calibration, self.map_calibration = (*calibrations, None)[:2]

    def score_components(
        self,
        samples: PreparedSamples,
        rows: np.ndarray | None = None,
        *,
        small_batches: bool = False,
    ) -> np.ndarray:
        """Return score components of prepared samples, float64 `[N, T]`; higher = more anomalous.

        Parameters
        ----------
        samples : PreparedSamples
        rows : ndarray of int or None
            Indices of the samples to score; None: all.
        small_batches : bool
            Whether fewer than 48 samples are scored fast, with scores that differ by rounding from
            those of more samples; see `augan.gan.inference.BatchInference`.
        """
        chunks = (self._normalized(samples[part]) for part in self._chunks(samples, rows))
        with self._bundle_errors():
            return np.concatenate(
                [
                    self.method.score_components(chunk, small_batches=small_batches)
                    for chunk in chunks
                ]
            )

    def score(self, samples: PreparedSamples, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the anomaly score of each prepared sample, float64 `[N]`; higher = more anomalous.

        Parameters
        ----------
        samples : PreparedSamples
        rows : ndarray of int or None
            Indices of the samples to score; None: all.
        """
        return self.score_components(samples, rows).sum(axis=1)

    def reconstruct(self, samples: PreparedSamples) -> np.ndarray | None:
        """Return the GAN's reconstructions of prepared samples, in prepared units.

        None if the method computes no reconstructions. All samples are normalized at once, so
        callers pass few samples.
        """
        with self._bundle_errors():
            reconstructions = self.method.reconstruct(self._normalized(samples))
        return None if reconstructions is None else self.preprocessing.denormalize(reconstructions)

    def maps(self, samples: PreparedSamples) -> np.ndarray | RaggedImages:
        """Return the anomaly maps of prepared images, see `score_and_maps`."""
        return self.score_and_maps(samples)[1]

    def score_and_maps(
        self, samples: PreparedSamples, *, small_batches: bool = False
    ) -> tuple[np.ndarray, np.ndarray | RaggedImages]:
        """Return score components and anomaly maps of prepared images, computed together.

        Parameters
        ----------
        samples : ndarray [N, S, S, C] or RaggedImages
            Prepared images; rows have no maps.
        small_batches : bool
            As for `score_components`.

        Returns
        -------
        components : ndarray of float64 [N, T]
        maps : ndarray of float32 [N, S, S, 1] or RaggedImages [H, W, 1]
            In the units of the method; higher = more anomalous. `Preprocessing.resize_map` resizes
            maps to the original images.

        Raises
        ------
        DataError
            If the samples are rows.
        """
        chunks = (self._normalized(samples[part]) for part in self._chunks(samples, None))
        with self._bundle_errors():
            scored = [
                self.method.score_and_maps(chunk, small_batches=small_batches) for chunk in chunks
            ]
        components, maps = zip(*scored)
        return np.concatenate(components), join_like(samples, maps)

    def _bundle_errors(self) -> AbstractContextManager[None]:
        """Return a context manager that names the bundle, if any, in errors of its networks."""
        return nullcontext() if self.bundle is None else bundle_errors(self.bundle, "detector")

    def _normalized(self, samples: Any) -> Any:
        """Return prepared samples as inputs of the networks, float32."""
        return self.preprocessing.normalize(samples)

    def _chunks(self, samples: PreparedSamples, rows: np.ndarray | None) -> Iterator[np.ndarray]:
        """Return the indices `rows` (None: all) in chunks whose samples fit into memory."""
        rows = np.arange(len(samples)) if rows is None else rows
        size = self.preprocessing.scoring_chunk_size
        return (rows[start : start + size] for start in range(0, len(rows), size))

    @classmethod
    def from_bundle(cls, bundle: Bundle, method: str | None = None) -> Self:
        """Restore a fitted detector, with its calibration, from a bundle.

        Parameters
        ----------
        bundle : Bundle
        method : str or None
            Name of a detection method of the bundle; None: the default method.

        Raises
        ------
        BundleError
            If the bundle has no detector, not this one, or one that this version does not support.
        """
        stored = _find_method(bundle, method)
        get_method(stored.name, bundle.preprocessing)
        with bundle_errors(bundle, "detector"):
            fitted = _build_method(bundle, stored.name).set_state(stored.state)
        return cls(fitted, bundle.preprocessing, *_restore_calibrations(stored), bundle)


def load_calibrations(
    bundle: Bundle, method: str | None = None
) -> tuple[Calibration, Calibration | None]:
    """Return the calibrations of a bundled detector without restoring its networks.

    Parameters
    ----------
    bundle : Bundle
    method : str or None
        Name of a detection method of the bundle; None: the default method.

    Returns
    -------
    calibration : Calibration
        Calibration of the scores.
    map_calibration : Calibration or None
        Calibration of the map maxima; None for rows, or if maps were never calibrated.

    Raises
    ------
    BundleError
        If the bundle has no detector of this method, or the detector was never calibrated.
    """
    calibration, map_calibration = _restore_calibrations(_find_method(bundle, method))
    if calibration is None:
        raise BundleError(NOT_CALIBRATED)
    return calibration, map_calibration


def _find_method(bundle: Bundle, name: str | None) -> FittedMethod:
    """Return a fitted method of the bundle by name; None selects the default method.

    Raises
    ------
    BundleError
        If the bundle has no detector, or not this one, or this version does not have the method.
    """
    detector = bundle.require_detector()
    stored = next((m for m in detector.methods if name in (None, m.name)), None)
    if stored is None:
        raise BundleError(
            f"{bundle.path or 'this bundle'} has no detector '{name}', only "
            f"{', '.join(detector.method_names)}; choose one of these, or train with --set "
            f"detect.methods=[{name}]"
        )
    if stored.name not in DETECTION_METHODS:
        raise BundleError(
            f"{bundle.path} was calibrated for the method '{stored.name}', which this version of "
            f"augan does not have; known methods: {', '.join(DETECTION_METHODS.names())}"
        )
    return stored


def _restore_calibrations(stored: FittedMethod) -> tuple[Calibration | None, Calibration | None]:
    """Return a method's calibrations of scores and of maps, each None if not calibrated."""
    calibration, map_calibration = (
        None if scores is None else Calibration.from_section(scores)
        for scores in (stored.calibration, stored.map_calibration)
    )
    return calibration, map_calibration


def detector_section(
    detectors: Sequence[Detector],
    trim_fraction: float = 0.0,
    calibrated_on: CalibrationSamples | None = None,
    ignore_mask: np.ndarray | None = None,
    doubts: Sequence[str] = (),
) -> DetectorSection:
    """Return fitted detectors with their calibrations as the section of a bundle.

    Parameters
    ----------
    detectors : sequence of Detector
        One detector for each method; the first becomes the default.
    trim_fraction : float
        Share of samples that was removed as contaminated before the detectors were fitted and
        calibrated; 0.0: none.
    calibrated_on : CalibrationSamples or None
        The samples of a calibration after the training; None: calibrated in the training.
    ignore_mask : ndarray of bool [H, W] or None
        Pixels that were ignored in that calibration; None: none.
    doubts : sequence of str
        Why the calibration guarantees nothing, in full sentences; default: none.
    """
    from augan.detect.cross_conformal_ensemble import CrossConformalEnsemble

    first = detectors[0].method
    return DetectorSection(
        methods=tuple(_store_method(detector) for detector in detectors),
        trim_fraction=trim_fraction,
        num_folds=len(first) if isinstance(first, CrossConformalEnsemble) else None,
        calibrated_on=calibrated_on,
        ignore_mask=ignore_mask,
        doubts=tuple(doubts),
    )


def _store_method(detector: Detector) -> FittedMethod:
    """Return a fitted method with its calibrations in the form that a bundle stores."""
    calibration, map_calibration = (
        None if calibration is None else calibration.to_section()
        for calibration in (detector.calibration, detector.map_calibration)
    )
    return FittedMethod(
        name=detector.method.name,
        components=tuple(component.name for component in detector.method.components),
        state=detector.method.get_state(),
        calibration=calibration,
        map_calibration=map_calibration,
    )


def fold_network(role: str, fold: int) -> str:
    """Return the name of a fold's network in a bundle, such as "fold1-discriminator".

    Parameters
    ----------
    role : str
        Role of the network, for example "discriminator".
    fold : int
        Number of the fold, counted from 1.
    """
    return f"fold{fold}-{role}"


def _build_method(bundle: Bundle, name: str) -> Scorer:
    """Build a detection method, not yet fitted, on the networks of a bundle.

    A bundle with folds gives a `CrossConformalEnsemble` of one method for each fold.
    """
    from augan.detect.cross_conformal_ensemble import CrossConformalEnsemble

    declared = get_method(name, bundle.preprocessing)

    def build(network_name: Callable[[str], str]) -> Scorer:
        roles = [
            *declared.required_networks,
            *(role for role in declared.optional_networks if network_name(role) in bundle.networks),
        ]
        models = {role: restore_network(bundle, network_name(role)) for role in roles}
        return build_scorer(name, bundle.preprocessing, models)

    num_folds = bundle.require_detector().num_folds
    if num_folds is None:
        return build(str)
    return CrossConformalEnsemble(
        [build(partial(fold_network, fold=k)) for k in range(1, num_folds + 1)]
    )
