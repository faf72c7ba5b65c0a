"""The detector as a scikit-learn estimator, of images and of tables."""

import time
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from augan.bundle import Bundle, load_bundle
from augan.config import Config, validate_config
from augan.data.dataset import Dataset, from_arrays, plural
from augan.data.modalities.registry import PreparedSamples, prepare_samples, training_samples
from augan.data.modalities.tables import as_frame, is_frame
from augan.data.modalities.tabular import TabularPreprocessing
from augan.data.modalities.tiles import TiledPreprocessing
from augan.data.splits import evenly_spaced, split_dataset
from augan.data.validation import as_image_array, num_axes, seed_from
from augan.detect.conformal.calibration import min_calibration_size
from augan.detect.conformal.guarantee import CALIBRATION_KEY
from augan.detect.detector import Detector, add_detectors
from augan.detect.fitting import fit_detector, trimmed_size
from augan.detect.ignore_mask import IGNORE_MASK_TABLE
from augan.detect.methods.registry import get_method_spec
from augan.exceptions import ConfigError, DataError
from augan.training.budget import TrainingBudget, compute_deadline
from augan.training.defaults import resolve_reproducible_defaults

LEAST = 4  # samples to train on
MOST_SEARCHED = 1000  # training images that the quantile of a method that searches is taken of
AUTO_CONTAMINATION = 0.05  # quantile of the training scores for contamination="auto"


class GANDetector(OutlierMixin, BaseEstimator):
    """Detect images or rows unlike those of training by how badly a GAN reproduces them.

    Parameters
    ----------
    method : {"auto", "features", "fanogan", "anogan"}
        How images or rows are scored.
    far : float or None
        False-alarm rate. With a number, part of the rows is held out and the threshold is
        conformal: on average at most this share of new normal images is flagged. None:
        `contamination` counts.
    contamination : "auto" or float in (0, 0.5]
        With `far=None`, the share of the training rows that is flagged; "auto" is 0.05. No
        statement about new images follows from it. `anogan`, which searches long for each image,
        counts it on at most 1,000 rows, evenly chosen.
    trim_fraction : float in [0, 0.5]
        Suspected share of dirty rows. So many of the highest scores are set aside before the
        detector is fitted for good, and `far` then guarantees nothing.
    bundle : Bundle, path or None
        A trained bundle or run folder with a detector of `method`: nothing is trained, and all rows
        given to `fit`, which must be new to it, only draw the line. None: train.
    image_shape : tuple (H, W) or (H, W, C), or None
        How rows `[N, H * W * C]` become images; not needed for arrays `[N, H, W, C]`. None: rows
        are those of a table, a DataFrame or an array `[N, F]` of numbers.
    steps : int or None
        Updates of the GAN; None: those of `config`, else the data decides.
    config : Config or None
        Settings of the training, as `augan.train` takes them; None: the defaults. Its seed and task
        do not count, nor what it says of detection. Its `training.max_minutes` count from the
        start of `fit`, and the result then depends on how busy the machine is; without them only
        steps count, also where the data decides.
    random_state : int, RandomState or None
        Seed of everything random; None draws one.

    Attributes
    ----------
    bundle_ : Bundle
        The trained networks and calibration; `augan.save_bundle` writes it.
    offset_ : float
        `decision_function` is `score_samples` minus this; below 0 is an anomaly.
    n_features_in_ : int
        Values of one image, or columns of the table.
    feature_names_in_ : ndarray of str
        Names of the columns, if it was fitted on a DataFrame.

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

    def fit(self, X: Any, y: Any = None, groups: Sequence[Any] | np.ndarray | None = None) -> Self:
        """Train on normal images or rows.

        Parameters
        ----------
        X : array [N, H, W, C], [N, H, W] or [N, F], or DataFrame
        y : ignored
        groups : array [N] or None
            Images of one group (a part, a patient) stay on one side of every split.

        Raises
        ------
        ConfigError
            If a parameter is out of range, or the rows are too few for `far`.
        """
        started = time.monotonic()
        contamination, trim_fraction = self._checked_contamination(), self._checked_trim()
        dataset = from_arrays(self._samples(X, reset=True), groups=groups)
        if self.bundle is None:
            stored = self._train(dataset, trim_fraction, started)
        else:
            stored = self._take_over(dataset, self.bundle)
        self.offset_ = self._offset(stored, contamination)
        return self

    def _train(self, dataset: Dataset, trim_fraction: float, started: float) -> PreparedSamples:
        """Train networks, fit and perhaps calibrate the detector; return the stored samples."""
        from augan.training.trainer import TrainingData, train_stages

        if len(dataset) < LEAST:
            raise DataError(
                f"{len(dataset)} {plural(dataset.sample_type)} came; at least {LEAST} are needed, "
                "and some hundred to learn what is usual"
            )
        calibrate = self.far is not None
        config, preprocessing = resolve_reproducible_defaults(
            self._settings(trim_fraction), dataset, calibrate=calibrate
        )
        stored = prepare_samples(dataset.images, preprocessing)
        split = split_dataset(config, dataset, calibrate=calibrate)
        self._check_count(
            trimmed_size(len(split.calibration), trim_fraction), len(dataset), dataset.sample_type
        )
        samples, rows_of = training_samples(stored, preprocessing)
        data = TrainingData(samples, None, 0, preprocessing, train=rows_of(split.train))
        needs = get_method_spec(config.detect.method, preprocessing).required_networks
        stages = ("gan", "encoder") if "encoder" in needs else ("gan",)
        deadline = compute_deadline(config.training.max_minutes, started)
        limits = TrainingBudget(config.training.steps, deadline)
        networks = train_stages(config, data, stages, limits)
        self._detector = fit_detector(
            config.detect.method,
            networks.models,
            preprocessing,
            stored,
            split,
            groups=dataset.groups,
            trim_fraction=trim_fraction,
        )
        self.bundle_ = Bundle(
            config=config.to_dict(),
            data={"name": dataset.name, "num_samples": len(dataset)},
            preprocessing=preprocessing.to_dict(),
            networks=networks.for_bundle(),
        )
        add_detectors(self.bundle_, [self._detector], trim_fraction)
        return stored

    def _settings(self, trim_fraction: float) -> Config:
        given = validate_config(Config() if self.config is None else self.config)
        return given.replace(
            seed=seed_from(self.random_state),
            task="detect",
            training__steps=given.training.steps if self.steps is None else self.steps,
            detect={"far": self.far, "method": self.method, "trim_fraction": trim_fraction},
        )

    def _take_over(self, dataset: Dataset, given: Bundle | str | Path) -> PreparedSamples:
        """Take the networks and the scorer of a bundle; X only draws the line."""
        if self.trim_fraction:
            raise ConfigError(
                f"trim_fraction={self.trim_fraction:g} came with a bundle, which is not trained "
                "again: give clean normal images or rows, and leave trim_fraction out"
            )
        bundle = given if isinstance(given, Bundle) else load_bundle(given)
        if IGNORE_MASK_TABLE in bundle.tables:
            raise ConfigError(
                "this bundle ignores some pixels, and arrays are scored with all of theirs; give "
                "one that was calibrated without --ignore-mask"
            )
        detector = Detector.from_bundle(bundle, self.method).without_calibration()
        stored = prepare_samples(dataset.images, detector.preprocessing)
        self._check_count(len(dataset), len(dataset), dataset.sample_type)
        detector.calibrate(stored, dataset.groups)
        self._detector = detector
        config = {**bundle.config, "detect": {**bundle.config.get("detect", {}), "far": self.far}}
        self.bundle_ = replace(bundle, path=None, config=config, tables=dict(bundle.tables))
        add_detectors(self.bundle_, [detector])
        described = self.bundle_.detector or {}
        self.bundle_.detector = {**described, CALIBRATION_KEY: _origin(dataset, detector)}
        return stored

    def _check_count(self, calibrating: int, total: int, sample_type: str) -> None:
        samples = plural(sample_type)
        if self.far is not None and calibrating < min_calibration_size(self.far):
            raise ConfigError(
                f"a false-alarm rate of {self.far} needs {min_calibration_size(self.far)} "
                f"calibration {samples}, but of {total} rows {calibrating} calibrate; "
                f"choose a larger far, or give more normal {samples}"
            )

    def score_samples(self, X: Any) -> np.ndarray:
        """Return how normal each image or row is, float64 `[N]`, higher = more normal."""
        check_is_fitted(self, "bundle_")
        preprocessing = self._loaded().preprocessing
        if isinstance(preprocessing, TabularPreprocessing):
            samples = self._samples(X, reset=False)
            if not (is_frame(X) and self._has_names):
                samples.columns = [column.name for column in preprocessing.columns]
        else:
            samples = self._samples(_of_type(X, preprocessing.dtype), reset=False)
        images = from_arrays(samples).images
        return -self._loaded().score(prepare_samples(images, preprocessing))

    def decision_function(self, X: Any) -> np.ndarray:
        """Return `score_samples(X) - offset_`: negative for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return +1 for normal images and -1 for anomalies, int `[N]`."""
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def _samples(self, X: Any, *, reset: bool) -> Any:
        """Return images as an array or rows as a DataFrame, once they are what `fit` learns."""
        is_rows = self.image_shape is None and (is_frame(X) or num_axes(X) not in (3, 4))
        if is_rows and not is_frame(X):
            X = check_array(X, ensure_min_samples=1 + reset)
        if is_rows or num_axes(X) == 2:
            validate_data(self, X, reset=reset, skip_check_array=True)
        if is_rows:
            if reset:
                self._has_names = is_frame(X)
            return as_frame(X)
        images = as_image_array(X, self.image_shape)
        if reset:
            self.n_features_in_, self._form = int(np.prod(images.shape[1:])), images.shape[1:]
        elif images.shape[1:] != self._form:
            self._refuse_form(images.shape)
        return images

    def _refuse_form(self, shape: tuple[int, ...]) -> None:
        """Refuse images unlike those of `fit`, unless the model is one of any size."""
        is_any_size = isinstance(self._loaded().preprocessing, TiledPreprocessing)
        if is_any_size and shape[-1] == self._form[-1]:
            return
        one = "; a single image is X[None]" if shape[:1] + shape[1:2] == self._form[:2] else ""
        raise DataError(
            f"images [N, H, W, C] came as {list(shape)}, but those of fit were "
            f"[N, {', '.join(map(str, self._form))}]; give them in the same form{one}"
        )

    def _offset(self, squares: PreparedSamples, contamination: float) -> float:
        if self.far is not None:
            calibration = self._detector.require_calibration()
            rate, _ = calibration.choose_rate(self.far)
            return -calibration.threshold(rate)
        rows, detector = np.arange(len(squares)), self._detector
        if get_method_spec(detector.method.name, detector.preprocessing).is_iterative:
            rows = evenly_spaced(rows, MOST_SEARCHED)
        return float(np.quantile(-detector.score(squares, rows), contamination))

    def _checked_contamination(self) -> float:
        if self.contamination == "auto":
            return AUTO_CONTAMINATION
        if isinstance(self.contamination, Real) and 0 < self.contamination <= 0.5:
            return float(self.contamination)
        raise ConfigError(
            f"contamination must be 'auto' or a number in (0, 0.5], got {self.contamination!r}"
        )

    def _checked_trim(self) -> float:
        if isinstance(self.trim_fraction, Real) and 0 <= self.trim_fraction <= 0.5:
            return float(self.trim_fraction)
        raise ConfigError(f"trim_fraction must be a number in [0, 0.5], got {self.trim_fraction!r}")

    def _loaded(self) -> Detector:
        if not hasattr(self, "_detector"):
            self._detector = Detector.from_bundle(self.bundle_)
        return self._detector

    def __getstate__(self) -> dict[str, Any]:
        # Compiled functions cannot be pickled; the bundle holds all they are built from.
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_detector"}


def _origin(dataset: Dataset, detector: Detector) -> dict[str, Any]:
    """Say where a calibration comes from, as `augan.detect.recalibration` does."""
    calibration = detector.require_calibration()
    return {
        "name": dataset.name,
        "num_samples": calibration.n,
        "num_groups": calibration.num_groups,
        "num_left_out": 0,
        "warnings": [],
    }


def _of_type(X: Any, dtype: str) -> Any:
    """Give plain integers the type they had in fit: alone, a dark image may fit into 8 bits."""
    array = np.asarray(X)
    plain = array.dtype.kind in "iu" and array.dtype not in (np.uint8, np.uint16)
    if not plain or dtype == "float32" or not array.size:
        return X
    info = np.iinfo(dtype)
    fits = info.min <= array.min() and array.max() <= info.max
    return (X if is_frame(X) else array).astype(dtype) if fits else X
