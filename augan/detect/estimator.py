"""`GANDetector`: GAN-based anomaly detection as a scikit-learn outlier detector."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from augan.bundle import Bundle, CalibrationSamples, DatasetInfo, load_bundle
from augan.checks import check_verbose
from augan.config import Config, validate_config
from augan.data.dataset import Dataset, from_arrays, plural
from augan.data.modalities.base import PreparedSamples
from augan.data.modalities.tables import as_frame, is_frame
from augan.data.splits import evenly_spaced, split_dataset
from augan.data.user_images import as_pixel_type
from augan.data.validation import check_image_array, check_seed, ndim_of
from augan.detect.conformal.calibration import min_calibration_size
from augan.detect.detector import Detector, detector_section
from augan.detect.fitting import fit_detector, trimmed_size
from augan.detect.methods.registry import get_method
from augan.detect.predictor import Predictor
from augan.exceptions import ConfigError, DataError
from augan.progress import Progress
from augan.training.budget import TrainingBudget, compute_deadline
from augan.training.defaults import resolve_reproducible_defaults

MIN_TRAINING_SAMPLES = 4
MAX_ITERATIVE_SAMPLES = 1000  # training samples that an iterative method scores for the offset
AUTO_CONTAMINATION = 0.05  # quantile of the training scores for contamination="auto"


class GANDetector(OutlierMixin, BaseEstimator):
    """Outlier detector for images or rows of a table, based on a GAN.

    Parameters
    ----------
    method : str
        Detection method; see the modules of `augan.detect.methods`.
    far : float in (0, 1) or None
        False-alarm rate. With a number, some samples are held out for a conformal calibration: on
        average at most this share of new normal samples is flagged. None: `contamination` sets the
        threshold.
    contamination : "auto" or float in (0, 0.5]
        With `far=None`, the share of the training samples that is flagged; "auto" is 0.05. This
        gives no guarantee for new samples. The iterative method `anogan` uses at most 1,000 evenly
        spaced training samples.
    trim_fraction : float in [0, 0.5]
        Suspected share of contaminated samples. This share of the samples, those with the highest
        scores, is removed before the final fit; this voids the guarantee of `far`.
    bundle : Bundle, path or None
        A trained bundle or run folder with a detector of `method`. Nothing is trained then: the
        samples given to `fit`, which the bundle must not have been trained on, only set the
        threshold. None: train.
    image_shape : tuple (H, W) or (H, W, C), or None
        Shape of the images in rows `[N, H * W * C]`; not needed for arrays `[N, H, W, C]`. None:
        rows are those of a table, a DataFrame or an array `[N, F]` of numbers.
    steps : int or None
        Training steps of the GAN. None: the steps of `config`, else chosen from the data.
    config : Config or None
        Settings of the training, as for `augan.train`; None: the defaults. Its seed, its task and
        its section `detect` are ignored. Its `training.max_minutes` start with `fit`, and the
        result then depends on the load of the machine; without them, only steps count.
    random_state : int, RandomState or None
        Seed of all random numbers; None: a random seed.
    verbose : int
        0: `fit` shows no progress on standard error.

    Attributes
    ----------
    bundle_ : Bundle
        The trained networks and the calibration; `augan.save_bundle` saves it.
    offset_ : float
        `decision_function` is `score_samples` minus the offset; anomalies are below 0.
    n_features_in_ : int
        Number of values of an image, or of columns of the table.
    feature_names_in_ : ndarray of str
        Names of the columns, if the detector was fitted on a DataFrame.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> detector = GANDetector(image_shape=(8, 8), steps=20, random_state=0).fit(X[y == 1])
    >>> detector.predict(X[:3]).shape
    (3,)
    """

    def __init__(
        self,
        *,
        method: str = "auto",
        far: float | None = None,
        contamination: float | Literal["auto"] = "auto",
        trim_fraction: float = 0.0,
        bundle: Bundle | str | Path | None = None,
        image_shape: tuple[int, ...] | None = None,
        steps: int | None = None,
        config: Config | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 1,
    ) -> None:
        self.method = method
        self.far = far
        self.contamination = contamination
        self.trim_fraction = trim_fraction
        self.bundle = bundle
        self.image_shape = image_shape
        self.steps = steps
        self.config = config
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None, groups: Sequence[Any] | np.ndarray | None = None) -> Self:
        """Train a GAN detector on normal samples, or calibrate the detector of `bundle`.

        Parameters
        ----------
        X : array [N, H, W, C], [N, H, W] or [N, F], or DataFrame
            Normal images or rows; up to `trim_fraction` of them may be anomalies.
        y : ignored
        groups : array [N] or None
            The group of each sample (a part, a patient); samples of one group stay in one split.
            None: each sample is its own group.

        Returns
        -------
        GANDetector
            This estimator.

        Raises
        ------
        ConfigError
            If a parameter is out of range, or the samples are too few for `far`.
        DataError
            If there are fewer than 4 training samples, or the samples have no valid shape or type.
        BundleError
            If `bundle` cannot be read, or has no detector of `method`.
        """
        started = time.monotonic()
        check_verbose(self.verbose)
        contamination, trim_fraction = self._checked_contamination(), self._checked_trim()
        dataset = from_arrays(self._samples(X, reset=True), groups=groups)
        if self.bundle is None:
            samples = self._train(dataset, trim_fraction, started)
        else:
            samples = self._use_bundle(dataset, self.bundle)
        self.offset_ = self._compute_offset(samples, contamination)
        return self

    def _train(self, dataset: Dataset, trim_fraction: float, started: float) -> PreparedSamples:
        """Train the networks, fit the detector and, with `far`, calibrate it on held-out samples.

        Sets `bundle_` and the detector.

        Parameters
        ----------
        dataset : Dataset
            All samples given to `fit`.
        trim_fraction : float
            Share of samples that is removed as contaminated.
        started : float
            Time of `time.monotonic` at which `training.max_minutes` starts.

        Returns
        -------
        PreparedSamples
            The prepared samples of `dataset`.

        Raises
        ------
        DataError
            If there are fewer than 4 samples.
        ConfigError
            If too few samples are held out for `far`.
        """
        from augan.training.loop import TrainingSession
        from augan.training.trainer import TrainingData, train_stages

        if len(dataset) < MIN_TRAINING_SAMPLES:
            raise DataError(
                f"got {len(dataset)} {plural(dataset.sample_type)}; at least "
                f"{MIN_TRAINING_SAMPLES} are needed, and several hundred for good scores"
            )
        calibrate = self.far is not None
        config, preprocessing = resolve_reproducible_defaults(
            self._settings(trim_fraction), dataset, calibrate=calibrate
        )
        prepared = preprocessing.prepare_samples(dataset.images)
        split = split_dataset(config, dataset, calibrate=calibrate)
        self._check_count(
            trimmed_size(len(split.calibration), trim_fraction), len(dataset), dataset.sample_type
        )
        samples, rows_of = preprocessing.training_samples(prepared)
        data = TrainingData(samples, None, 0, preprocessing, train=rows_of(split.train))
        needs = get_method(config.detect.method, preprocessing).required_networks
        stages = ("gan", "encoder") if "encoder" in needs else ("gan",)
        deadline = compute_deadline(config.training.max_minutes, started)
        limits = TrainingBudget(config.training.steps, deadline)
        with Progress(self.verbose) as progress:
            networks = train_stages(
                config, data, stages, limits, TrainingSession(callbacks=(progress,))
            )
        self._detector = fit_detector(
            config.detect.method,
            networks.models,
            preprocessing,
            prepared,
            split,
            groups=dataset.groups,
            trim_fraction=trim_fraction,
        )
        self.bundle_ = Bundle(
            config=config,
            data=DatasetInfo(dataset.name, len(dataset)),
            preprocessing=preprocessing,
            networks=networks.for_bundle(),
            detector=detector_section([self._detector], trim_fraction),
        )
        return prepared

    def _settings(self, trim_fraction: float) -> Config:
        """Return the training configuration: `config` with the estimator's parameters."""
        config = validate_config(Config() if self.config is None else self.config)
        return config.replace(
            seed=check_seed(self.random_state),
            task="detect",
            training__steps=config.training.steps if self.steps is None else self.steps,
            detect={"far": self.far, "method": self.method, "trim_fraction": trim_fraction},
        )

    def _use_bundle(self, dataset: Dataset, bundle: Bundle | str | Path) -> PreparedSamples:
        """Restore the detector of a trained bundle and calibrate it on normal samples.

        Returns
        -------
        PreparedSamples
            The samples of `dataset`, prepared for the detector.

        Raises
        ------
        ConfigError
            If `trim_fraction` is not 0, the bundle has an ignore mask, or the samples are too few
            for `far`.
        """
        if self.trim_fraction:
            raise ConfigError(
                f"trim_fraction={self.trim_fraction:g} was given with a bundle, which is not "
                "trained again: give clean normal images or rows, and leave out trim_fraction"
            )
        bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        if bundle.require_detector().ignore_mask is not None:
            raise ConfigError(
                "this bundle has an ignore mask, which GANDetector does not support; give a bundle "
                "that was calibrated without --ignore-mask"
            )
        detector = Detector.from_bundle(bundle, self.method).without_calibration()
        samples = detector.preprocessing.prepare_samples(dataset.images)
        self._check_count(len(dataset), len(dataset), dataset.sample_type)
        detector.calibrate(samples, dataset.groups)
        self._detector = detector
        config = bundle.config.replace(detect__far=self.far)
        section = detector_section(
            [detector], calibrated_on=_describe_calibration(dataset, detector)
        )
        self.bundle_ = replace(bundle, path=None, config=config, detector=section)
        return samples

    def _check_count(self, num_calibration: int, total: int, sample_type: str) -> None:
        """Raise ConfigError if the calibration samples are too few for the rate `far`."""
        samples = plural(sample_type)
        if self.far is not None and num_calibration < min_calibration_size(self.far):
            raise ConfigError(
                f"a false-alarm rate of {self.far} needs {min_calibration_size(self.far)} "
                f"calibration {samples}, but only {num_calibration} of {total} {samples} are held "
                f"out for calibration; choose a larger far, or give more normal {samples}"
            )

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the normality score of each image or row, float64 `[N]`; higher = more normal.

        Parameters
        ----------
        X : array or DataFrame
            Images or rows in the same form as in `fit`.

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        DataError
            If the images have another shape than in `fit`.
        """
        return self._score(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return `score_samples(X) - offset_`, float64 `[N]`; negative for anomalies."""
        return self._score(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return +1 for each normal sample and -1 for each anomaly, int `[N]`."""
        return np.where(self._score(X) >= self.offset_, 1, -1)

    def _score(self, X: Any) -> np.ndarray:
        """Return the normality scores, and warn of another range of pixels.

        Only public methods call this method, so that the warning names the line of the user.
        """
        check_is_fitted(self, "bundle_")
        detector = self._get_detector()
        preprocessing = detector.preprocessing
        if preprocessing.pixel_type is not None:
            X = as_pixel_type(X, preprocessing.pixel_type)
        samples = self._samples(X, reset=False)
        if preprocessing.has_pixels and not is_frame(samples):  # the predictor refuses rows
            of_images = preprocessing.require_images()
            text = of_images.describe_other_range(of_images.values_of(samples))
            if text is not None:
                warnings.warn(text, UserWarning, stacklevel=3)
        if not (preprocessing.has_pixels or (is_frame(X) and self._has_names)):
            columns = preprocessing.require_rows().columns
            samples.columns = [column.name for column in columns]
        return -Predictor(detector, self.bundle_).score(samples)

    def _samples(self, X: Any, *, reset: bool) -> Any:
        """Validate X, and return images as an array `[N, H, W, C]` or rows as a DataFrame.

        With `reset`, the shape of the samples is stored as in `fit`; otherwise it is compared with
        `fit`.
        """
        is_rows = self.image_shape is None and (is_frame(X) or ndim_of(X) not in (3, 4))
        if is_rows and not is_frame(X):
            X = check_array(X, ensure_min_samples=1 + reset)
        if is_rows or ndim_of(X) == 2:
            validate_data(self, X, reset=reset, skip_check_array=True)
        if is_rows:
            if reset:
                self._has_names = is_frame(X)
            return as_frame(X)
        images = check_image_array(X, self.image_shape)
        if reset:
            self.n_features_in_ = int(np.prod(images.shape[1:]))
            self._image_shape = images.shape[1:]
        elif images.shape[1:] != self._image_shape:
            self._check_image_shape(images.shape)
        return images

    def _check_image_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse images of another shape than in `fit`, unless the model accepts any size."""
        accepts_any_size = not self._get_detector().preprocessing.has_fixed_size
        if accepts_any_size and shape[-1] == self._image_shape[-1]:
            return
        is_single = shape[:2] == self._image_shape[:2]
        hint = "; a single image is X[None]" if is_single else ""
        raise DataError(
            f"got images [N, H, W, C] of the shape {list(shape)}, but those of fit were "
            f"[N, {', '.join(map(str, self._image_shape))}]; give images of the same shape{hint}"
        )

    def _compute_offset(self, samples: PreparedSamples, contamination: float) -> float:
        """Return the `score_samples` value below which a sample is an anomaly.

        With `far` it is the calibrated threshold, otherwise the `contamination` quantile of the
        scores of the training samples.
        """
        if self.far is not None:
            calibration = self._detector.require_calibration()
            rate, _ = calibration.choose_rate(self.far)
            return -calibration.threshold(rate)
        rows, detector = np.arange(len(samples)), self._detector
        if get_method(detector.method.name, detector.preprocessing).is_iterative:
            rows = evenly_spaced(rows, MAX_ITERATIVE_SAMPLES)
        return float(np.quantile(-detector.score(samples, rows), contamination))

    def _checked_contamination(self) -> float:
        """Return `contamination` as a float, 0.05 for "auto"; ConfigError outside of (0, 0.5]."""
        if self.contamination == "auto":
            return AUTO_CONTAMINATION
        if isinstance(self.contamination, Real) and 0 < self.contamination <= 0.5:
            return float(self.contamination)
        raise ConfigError(
            f"contamination must be 'auto' or a number in (0, 0.5], got {self.contamination!r}"
        )

    def _checked_trim(self) -> float:
        """Return `trim_fraction` as a float; ConfigError if it is out of [0, 0.5]."""
        if isinstance(self.trim_fraction, Real) and 0 <= self.trim_fraction <= 0.5:
            return float(self.trim_fraction)
        raise ConfigError(f"trim_fraction must be a number in [0, 0.5], got {self.trim_fraction!r}")

    def _get_detector(self) -> Detector:
        """Return the fitted detector; after unpickling it is restored from `bundle_`."""
        if not hasattr(self, "_detector"):
            self._detector = Detector.from_bundle(self.bundle_)
        return self._detector

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickling, without the detector."""
        # Compiled functions cannot be pickled; the detector is restored from the bundle.
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_detector"}


def _describe_calibration(dataset: Dataset, detector: Detector) -> CalibrationSamples:
    """Return the description of the samples of `fit` on which a detector was calibrated."""
    calibration, preprocessing = detector.require_calibration(), detector.preprocessing
    return CalibrationSamples(
        name=dataset.name,
        num_samples=calibration.n,
        num_groups=calibration.num_groups,
        image_shape=preprocessing.original_shape,
    )
