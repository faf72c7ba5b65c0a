"""Over-sampler for imbalanced-learn, which generates the samples of minority classes with a GAN."""

import time
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.utils import check_target_type
from sklearn.utils import check_array, column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_consistent_length, validate_data

from augan.augment.domains import CameraRows, find_domain, old_reference, train_on_rows
from augan.augment.generator import GeneratorSampler, Sampler, TranslatorSampler
from augan.augment.methods.base import CHUNK_SIZE
from augan.augment.methods.registry import AUGMENTATION_METHODS, method_names
from augan.augment.training_reference import TrainingReference
from augan.bundle import Bundle, DatasetInfo, as_bundle, load_bundle
from augan.config import Config
from augan.data.dataset import Dataset, from_arrays
from augan.data.modalities.base import Preprocessing
from augan.data.modalities.tables import as_frame, is_frame
from augan.data.sequences import ConcatRows
from augan.data.splits import make_split
from augan.data.validation import check_image_array, check_labels, check_seed, ndim_of
from augan.exceptions import ConfigError, DataError
from augan.progress import Progress
from augan.training.budget import TrainingBudget, compute_deadline
from augan.training.defaults import resolve_reproducible_defaults

if TYPE_CHECKING:
    from augan.training.trainer import TrainingData

DEFAULT_AUTOENCODER_STEPS = 1500  # training steps of the autoencoder without a number from the user


class GANOverSampler(BaseOverSampler):
    """Over-sampler that fills up minority classes with images or rows from a conditional GAN.

    Without a `bundle`, `fit_resample` trains a model on the samples that it receives, so in an
    imbalanced-learn Pipeline the model sees the training folds only. The new samples are not
    filtered, unlike those of `augan.augment_folder`.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable
        Classes to over-sample and their sizes afterwards, as in imbalanced-learn.
    bundle : Bundle, path or None
        A model trained with classes. None: `fit_resample` trains a model.
    image_shape : tuple (H, W) or (H, W, C), or None
        Shape in pixels of the images in flat rows `[N, H * W * C]`; not needed for arrays `[N, H,
        W, C]`. None with two-dimensional input: the rows are those of a table, a DataFrame or an
        array `[N, F]` of numbers.
    steps : int or None
        Training steps of the GAN or the autoencoder. None: the number in `config`. If
        `config` has none, it is computed from the data for a GAN, and 1,500 for an autoencoder.
    config : Config or None
        Settings of the training, see `augan.train`. None: the defaults. The seed and the task in
        `config` are ignored. `training.max_minutes` counts from the start of `fit_resample`, and
        the result then depends on the speed of the machine.
    method : str
        A name in `augan.augment.methods.registry.AUGMENTATION_METHODS`.
        "sample": random noise through a conditional GAN. "interpolate" and "transfer": latent codes
        through an adversarial autoencoder. Interpolated codes lie between the codes of two samples
        of the class. Transferred codes are codes of the class, moved by the difference of two codes
        of another class. With a model trained here, "transfer" adds the change of the autoencoder's
        output to the real image, so images stay sharp. With a `bundle`, the latent codes in the
        bundle are decoded. "translate": images of an old camera in the look of a new camera; needs
        `domain`.
    domain : str, int or None
        For the method "translate": column of `X` that marks the camera of each image, by its name
        in a DataFrame or its position: 0 for the old camera, 1 for the new camera. New rows have a
        1. The other columns are pixels, see `image_shape`. Sizes of classes count both cameras.
        None (default): there is one camera.
    unlabeled : array or DataFrame, or None
        Samples without classes, in the form of X. The networks are trained on these samples too.
        For the GAN, a classifier of the labeled samples assigns pseudo-labels.
    random_state : int, RandomState or None
        Seed of all random numbers.
    verbose : int
        0: `fit_resample` shows no progress on standard error.

    Attributes
    ----------
    bundle_ : Bundle or None
        The model; None if no class needed new samples.
    sampling_strategy_ : dict
        Class -> number of new samples.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> keep = (y == 0) | ((y == 1) & (np.arange(len(y)) % 9 == 0))
    >>> sampler = GANOverSampler(image_shape=(8, 8), steps=20, random_state=0)
    >>> X_new, y_new = sampler.fit_resample(X[keep], y[keep])
    >>> bool((y_new == 0).sum() == (y_new == 1).sum())
    True
    """

    @property
    def _parameter_constraints(self) -> dict:
        """Legal values of the parameters, which imbalanced-learn checks before fitting."""
        return {
            **BaseOverSampler._parameter_constraints,
            "bundle": "no_validation",
            "image_shape": [tuple, list, None],
            "steps": [int, None],
            "config": [Config, None],
            "method": [StrOptions(set(method_names()))],
            "domain": [str, Integral, None],
            "unlabeled": "no_validation",
            "random_state": ["random_state"],
            "verbose": ["verbose"],
        }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        bundle: Any = None,
        image_shape: tuple[int, ...] | None = None,
        steps: int | None = None,
        config: Config | None = None,
        method: str = "sample",
        domain: str | int | None = None,
        unlabeled: Any = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 1,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.bundle = bundle
        self.image_shape = image_shape
        self.steps = steps
        self.config = config
        self.method = method
        self.domain = domain
        self.unlabeled = unlabeled
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's estimator tags: sparse input is not supported."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags

    def _check_X_y(self, X: Any, y: Any, accept_sparse: Any = None) -> tuple[Any, np.ndarray, bool]:
        """Check the input of `fit_resample`: image arrays and tables are accepted too.

        Returns
        -------
        X : ndarray or DataFrame
            Images `[N, H, W, C]` or `[N, H, W]`, flat rows `[N, F]`, or a DataFrame with a new
            index.
        y : ndarray [N]
            Classes.
        is_one_vs_all : bool
            Whether `y` was one-hot encoded.
        """
        if self._translates:
            self._domain_position = find_domain(X, self.domain)
            return super()._check_X_y(X, y, accept_sparse=False)
        # imbalanced-learn's check refuses images as arrays [N, H, W, C], and text in tables.
        if is_frame(X) and self.image_shape is None:
            y, is_one_vs_all = check_target_type(y, indicate_one_vs_all=True)
            validate_data(self, X, skip_check_array=True)
            check_consistent_length(X, y)
            as_frame(X)  # refuses tables that augan cannot learn from
            return X.reset_index(drop=True), column_or_1d(y), is_one_vs_all
        if ndim_of(X) in (3, 4):
            y, is_one_vs_all = check_target_type(y, indicate_one_vs_all=True)
            array = check_array(X, allow_nd=True, dtype=None, ensure_2d=False)
            check_consistent_length(array, y)
            return array, column_or_1d(y), is_one_vs_all
        return super()._check_X_y(X, y, accept_sparse=False)

    def _fit_resample(self, X: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
        """Train or load the model, and return `X` and `y` followed by the new samples.

        The base class calls this method with checked input and sets `sampling_strategy_` before. If
        the model must be trained but no class needs new samples, `X` and `y` are returned
        unchanged.

        Raises
        ------
        BundleError
            The bundle cannot be loaded, or lacks classes or latent codes.
        DataError
            The samples cannot be used, do not fit the bundle, or a class does not exist in the
            bundle.
        """
        seed = check_seed(self.random_state)
        if self._translates:
            return self._translate_rows(X, y, seed)
        if self.domain is not None:
            raise ConfigError(
                f"`domain` goes with method='translate', but the method is {self.method}; leave "
                "out `domain`, or choose method='translate'"
            )
        samples, reference = self._to_samples(X), None
        if self.bundle is None and not any(self.sampling_strategy_.values()):
            self.bundle_ = None  # no class needs new samples
            return X, y
        if self.bundle is None:
            self._check_class_sizes(y)
            dataset = from_arrays(samples, y, unlabeled=self._unlabeled_samples(samples))
            with Progress(self.verbose) as progress:
                self.bundle_, reference = _train(
                    dataset, seed, self.steps, self.config, self.method, progress
                )
        else:
            self.bundle_ = self._load_bundle()
        sampler = GeneratorSampler(self.bundle_)
        first = from_arrays(samples[:1])
        sampler.preprocessing.prepare_samples(first.images)  # refuses samples of another shape
        self._check_dtype(samples, sampler.preprocessing)
        new_samples, new_labels = self._generate(
            sampler,
            reference,
            lambda native: _match_input_type(native, sampler.preprocessing, X),
            seed,
        )
        labels = [np.asarray(part, y.dtype) for part in new_labels]
        return _concat([X, *new_samples]), np.concatenate([y, *labels])

    def _generate(
        self,
        sampler: Sampler,
        reference: TrainingReference | None,
        to_input: Callable[[np.ndarray], Any],
        seed: int,
    ) -> tuple[list[Any], list[list[Any]]]:
        """Return the new samples and their classes, in parts.

        Parameters
        ----------
        sampler : Sampler
            The generator or the translator.
        reference : TrainingReference or None
            Training samples, which the method may change.
        to_input : callable
            Converts samples in their original size to the form of the input.
        seed : int
        """
        method = AUGMENTATION_METHODS.load(self.method)(sampler, reference)
        samples, labels = [], []
        for label, count in self.sampling_strategy_.items():
            if self._translates and not count:
                continue  # perhaps a class that the old camera lacks
            class_index = self._class_index(sampler, label)
            for chunk_index, start in enumerate(range(0, count, CHUNK_SIZE)):
                candidates = method.generate(class_index, chunk_index, seed)
                native = sampler.preprocessing.to_original_size(candidates.samples[: count - start])
                samples.append(to_input(native))
                labels.append([label] * len(native))
        return samples, labels

    @property
    def _translates(self) -> bool:
        """Whether the method translates images of an old camera to a new camera."""
        return not AUGMENTATION_METHODS.get(self.method).needs_generator

    def _translate_rows(self, X: np.ndarray, y: np.ndarray, seed: int) -> Any:
        """Train or load the translator, and return `X` and `y` followed by translated images."""
        rows = CameraRows.from_rows(X, self._domain_position, self.image_shape)
        if not any(self.sampling_strategy_.values()):
            self.bundle_ = None  # no class needs new images
            return X, y
        if self.bundle is None:
            with Progress(self.verbose) as progress:
                self.bundle_ = train_on_rows(
                    rows, y, seed=seed, steps=self.steps, config=self.config, progress=progress
                )
        else:
            self.bundle_ = as_bundle(self.bundle)
            self.bundle_.require("translator")
        sampler = TranslatorSampler(self.bundle_)
        of_old = self.bundle_.preprocessing.require_images()
        self._check_dtype(rows.images, of_old)
        reference = old_reference(rows, y, of_old, sampler.class_names)
        samples, labels = self._generate(
            sampler, reference, lambda native: rows.to_rows(native, X.dtype), seed
        )
        new_labels = [np.asarray(part, y.dtype) for part in labels]
        return np.concatenate([X, *samples]), np.concatenate([y, *new_labels])

    def _to_samples(self, X: Any) -> Any:
        """Return input in augan's form: a DataFrame for tables, otherwise images `[N, H, W, C]`."""
        is_table = ndim_of(X) == 2 and self.image_shape is None
        return as_frame(X) if is_table else check_image_array(X, self.image_shape)

    def _unlabeled_samples(self, samples: Any) -> Any:
        """Return the unlabeled samples in augan's form, or None without unlabeled samples.

        Raises
        ------
        DataError
            Unlabeled images differ in shape or type from the labeled images.
        """
        if self.unlabeled is None:
            return None
        unlabeled = self._to_samples(self.unlabeled)
        if not is_frame(samples) and _describe_shape(unlabeled) != _describe_shape(samples):
            raise DataError(
                f"the unlabeled images are {_describe_shape(unlabeled)}, but those to over-sample "
                f"are {_describe_shape(samples)}; give both in the same shape and type"
            )
        return unlabeled

    @staticmethod
    def _check_dtype(samples: Any, preprocessing: Preprocessing) -> None:
        """Refuse images of another type than the model's, whose values have another range.

        Raises
        ------
        DataError
            The types differ. Table rows are never refused.
        """
        pixel_type = preprocessing.pixel_type
        if pixel_type is None or pixel_type == samples.dtype:
            return
        raise DataError(
            f"the model generates {pixel_type} images, but those to over-sample are "
            f"{samples.dtype}; convert them to the model's range and type"
        )

    def _check_class_sizes(self, y: np.ndarray) -> None:
        """Raise DataError before training if a class is too small for the method."""
        minimum = AUGMENTATION_METHODS.get(self.method).min_class_size
        for label, count in self.sampling_strategy_.items():
            size = (y == label).sum()
            if count and size < minimum:
                raise DataError(
                    f"class '{label}' has {size} sample{'s' * int(size != 1)}, but "
                    f"method='{self.method}' needs at least {minimum}; add samples, or choose "
                    "method='sample'"
                )

    @staticmethod
    def _class_index(sampler: Sampler, label: Any) -> int:
        """Return the model's index of a class label; DataError if the model has no such class."""
        _, (name,) = check_labels([label], 1)  # the name as in training: 1.0 and True are "1"
        if name not in sampler.class_names:
            names = ", ".join(sampler.class_names)
            raise DataError(f"unknown class '{name}'; the classes of this model are: {names}")
        return sampler.class_names.index(name)

    def _load_bundle(self) -> Bundle:
        """Return the `bundle` parameter, loaded; BundleError if the bundle has no classes."""
        bundle = self.bundle if isinstance(self.bundle, Bundle) else load_bundle(self.bundle)
        bundle.require("classes")
        return bundle


def _train(
    dataset: Dataset,
    seed: int,
    steps: int | None,
    config: Config | None,
    method: str,
    progress: Progress,
) -> tuple[Bundle, TrainingReference]:
    """Train the networks that an augmentation method needs on all samples of a data set.

    The method declares the stage. A GAN is preceded by a classifier for pseudo-labels if there are
    unlabeled samples. With an autoencoder, the bundle gets the latent codes of all labeled samples.

    Returns
    -------
    bundle : Bundle
        The trained networks, not saved.
    reference : TrainingReference
        The labeled training samples, which a method may edit.
    """
    from augan.training.loop import TrainingSession
    from augan.training.stages.encoder import encode
    from augan.training.trainer import train_stages

    started = time.monotonic()
    settings = (config or Config()).replace(seed=seed, task="generate")
    stage = AUGMENTATION_METHODS.get(method).training_stage
    if stage == "autoencoder" and settings.training.steps is None:
        steps = steps or DEFAULT_AUTOENCODER_STEPS
    settings = settings if steps is None else settings.replace(training__steps=steps)
    config, preprocessing = resolve_reproducible_defaults(settings, dataset)
    prepared = preprocessing.prepare_all(dataset.images)
    labels = np.asarray(dataset.labels)
    split = make_split(len(dataset), seed=seed, labels=labels, calibrate=False)
    rows = np.sort(np.concatenate([split.train, split.val]))
    data = _training_data(dataset, prepared, rows, preprocessing)
    needs_pseudo_labels = stage == "gan" and len(data.unlabeled)
    stages = ("classifier", stage) if needs_pseudo_labels else (stage,)
    deadline = compute_deadline(config.training.max_minutes, started)
    limits = TrainingBudget(config.training.steps, deadline)
    networks = train_stages(config, data, stages, limits, TrainingSession((progress,)))
    latents = None
    if stage == "autoencoder":
        positions = np.arange(len(rows))
        codes = encode(
            networks.models["encoder"], prepared[rows], positions, preprocessing.normalize
        )
        latents = replace(codes, indices=rows, labels=labels[rows])
    bundle = Bundle(
        config=config,
        data=DatasetInfo(
            name=dataset.name,
            num_samples=len(dataset),
            class_names=tuple(dataset.class_names),
            class_counts=tuple(np.bincount(labels, minlength=dataset.num_classes).tolist()),
        ),
        preprocessing=preprocessing,
        networks=networks.for_bundle(),
        latents=latents,
    )
    return bundle, TrainingReference(prepared, labels, dataset.names, rows, rows[:0])


def _training_data(
    dataset: Dataset, prepared: np.ndarray, rows: np.ndarray, preprocessing: Preprocessing
) -> "TrainingData":
    """Return the labeled and the unlabeled samples of a data set, prepared for training.

    Unlabeled samples follow the labeled samples and have the class -1.
    """
    from augan.training.trainer import TrainingData

    samples: np.ndarray | ConcatRows = prepared
    classes = np.asarray(dataset.labels)
    if dataset.unlabeled is not None:
        unlabeled = preprocessing.prepare_all(dataset.unlabeled.images)
        samples = ConcatRows(prepared, unlabeled)
        classes = np.concatenate([classes, np.full(len(unlabeled), -1)])
    return TrainingData(
        samples,
        classes,
        dataset.num_classes,
        preprocessing,
        train=rows,
        unlabeled=np.arange(len(prepared), len(samples)),
    )


def _describe_shape(images: np.ndarray) -> str:
    """Return the size, channels and type of images `[N, H, W, C]` in words, for error messages."""
    height, width, channels = images.shape[1:]
    return f"{height} x {width} pixels with {channels} channels, {images.dtype}"


def _match_input_type(native: np.ndarray, preprocessing: Preprocessing, X: Any) -> Any:
    """Return generated samples in the shape and type of the input `X`, so that both concatenate.

    Parameters
    ----------
    native : ndarray
        Generated images `[N, H, W, C]` in their original size, or rows `[N, F]`.
    preprocessing : Preprocessing
        Preprocessing of the model.
    X : ndarray or DataFrame
        Input of `fit_resample`.

    Raises
    ------
    DataError
        The model does not generate a column of `X`, or generates images of another size.
    """
    if not preprocessing.has_pixels:
        frame = preprocessing.require_rows().to_frame(native)
        if not is_frame(X):
            return frame.to_numpy().astype(X.dtype)
        names = [str(name) for name in X.columns]  # a model knows columns by their text
        missing = [name for name in names if name not in frame.columns]
        if missing:
            raise DataError(
                f"the model does not generate the columns {', '.join(missing)}; train on a table "
                "that has them"
            )
        return frame[names].set_axis(X.columns, axis=1).astype(X.dtypes)
    if native[0].size != X[0].size:
        raise DataError(
            f"the model generates images {list(native.shape[1:])}, but those to over-sample are "
            f"{list(X.shape[1:])}; train on images of one size"
        )
    native = native.reshape((len(native), *X.shape[1:]))
    # True is 255 for the model, see `augan.data.validation.check_images`.
    return native >= 128 if np.asarray(X).dtype == np.bool_ else native.astype(X.dtype)


def _concat(parts: list[Any]) -> Any:
    """Return DataFrames or arrays joined along the rows; DataFrames get a new index."""
    if is_frame(parts[0]):
        import pandas as pd

        return pd.concat(parts, ignore_index=True)
    return np.concatenate(parts)
