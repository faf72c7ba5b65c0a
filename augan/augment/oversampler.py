"""The generator as an imbalanced-learn sampler."""

import time
from typing import Any

import numpy as np
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.utils import check_target_type
from sklearn.utils import check_array, column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_consistent_length, validate_data

from augan.augment.filters.filter import TrainingReference
from augan.augment.methods.prior import GeneratorSampler
from augan.augment.methods.registry import CHUNK_SIZE, METHODS
from augan.bundle import Bundle, load_bundle
from augan.config import Config
from augan.data.dataset import Dataset, from_arrays
from augan.data.modalities.registry import AnyPreprocessing, prepare_samples
from augan.data.modalities.tables import as_frame, is_frame
from augan.data.modalities.tabular import TabularPreprocessing
from augan.data.sequences import ConcatRows
from augan.data.splits import make_split
from augan.data.validation import as_image_array, as_labels, num_axes, seed_from
from augan.exceptions import DataError
from augan.training.budget import Plan, deadline_of
from augan.training.defaults import fill_in_steps
from augan.training.stages.encoder import encode
from augan.training.trainer import TrainingData, train_networks

DEFAULT_AE_STEPS = 1500  # unless told


class GANOverSampler(BaseOverSampler):
    """Over-sample minority classes with images or rows from a conditional GAN.

    Trains on the rows that `fit_resample` is given, so inside an imbalanced-learn Pipeline it sees
    the training folds only. What it makes is not filtered; what
    `augan.augment_folder` writes is.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable
        How many to make of each class, as in imbalanced-learn.
    bundle : Bundle, path or None
        A trained model to draw from; None trains one.
    image_shape : tuple (H, W) or (H, W, C), or None
        How rows `[N, H * W * C]` become images; not needed for arrays `[N, H, W, C]`. None: rows
        are those of a table, a DataFrame or an array `[N, F]` of numbers.
    steps : int or None
        Updates of the GAN; None decides by the data.
    method : {"sample", "interpolate", "transfer"}
        Where new images come from: random noise through a conditional GAN; or codes through an
        adversarial autoencoder, which lie between those of two images of the class, or are one of
        the class varied as other classes vary; images are changed as their pictures are by the
        autoencoder, and so stay sharp. Of a given `bundle` its own codes serve.
    unlabeled : array or DataFrame, or None
        More images or rows in the form of X, of classes that nobody has named: what is trained
        learns from them too. A classifier of the labeled ones guesses their classes.
    config : Config or None
        Settings of the training, as `augan.train` takes them; None: the defaults. Its seed and task
        do not count. Its `training.max_minutes` count from the start of `fit_resample`, and the
        result then depends on how busy the machine is; without them only steps count, also where
        the data decides.
    random_state : int, RandomState or None
        Seed of everything random.

    Attributes
    ----------
    bundle_ : Bundle or None
        What was drawn from; None where nothing was to be made.
    sampling_strategy_ : dict
        Class -> number of images or rows made.

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

    # Declared for imbalanced-learn, which checks them before fitting.
    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseOverSampler._parameter_constraints,
        "bundle": "no_validation",
        "image_shape": [tuple, list, None],
        "steps": [int, None],
        "config": [Config, None],
        "method": [StrOptions(set(METHODS))],
        "unlabeled": "no_validation",
        "random_state": ["random_state"],
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
        unlabeled: Any = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.bundle = bundle
        self.image_shape = image_shape
        self.steps = steps
        self.config = config
        self.method = method
        self.unlabeled = unlabeled
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags

    def _check_X_y(self, X: Any, y: Any, accept_sparse: Any = None) -> tuple[Any, np.ndarray, bool]:
        # imbalanced-learn's own check refuses images as arrays [N, H, W, C], and text in tables.
        if is_frame(X) and self.image_shape is None:
            y, is_one_vs_all = check_target_type(y, indicate_one_vs_all=True)
            validate_data(self, X, skip_check_array=True)
            check_consistent_length(X, y)
            as_frame(X)  # refuses what is no table to learn from
            return X.reset_index(drop=True), column_or_1d(y), is_one_vs_all
        if num_axes(X) in (3, 4):
            y, is_one_vs_all = check_target_type(y, indicate_one_vs_all=True)
            array = check_array(X, allow_nd=True, dtype=None, ensure_2d=False)
            check_consistent_length(array, y)
            return array, column_or_1d(y), is_one_vs_all
        return super()._check_X_y(X, y, accept_sparse=False)

    def _fit_resample(self, X: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
        seed = seed_from(self.random_state)
        samples, reference = self._samples(X), None
        if self.bundle is None and not any(self.sampling_strategy_.values()):
            self.bundle_ = None  # nothing is to be made, so nothing is to be learned
            return X, y
        if self.bundle is None:
            self._check_counts(y)
            dataset = from_arrays(samples, y, unlabeled=self._more(samples))
            self.bundle_, reference = _train(dataset, seed, self.steps, self.config, self.method)
        else:
            self.bundle_ = self._given()
        sampler = GeneratorSampler(self.bundle_)
        first = from_arrays(samples[:1])
        prepare_samples(first.images, sampler.preprocessing)  # refuses what the model is not of
        self._check_type(samples, sampler.preprocessing)
        method = METHODS[self.method](sampler, self.bundle_, reference)
        new_samples, new_labels = [], []
        for label, count in self.sampling_strategy_.items():
            index = self._index(sampler, label)
            for number, start in enumerate(range(0, count, CHUNK_SIZE)):
                made = method.chunk(index, number, seed).samples[: count - start]
                block = sampler.preprocessing.to_original_size(made)
                new_samples.append(_match_input_type(block, sampler.preprocessing, X))
                new_labels.append(np.full(len(block), label, y.dtype))
        return _concat([X, *new_samples]), np.concatenate([y, *new_labels])

    def _samples(self, X: Any) -> Any:
        is_table = num_axes(X) == 2 and self.image_shape is None
        return as_frame(X) if is_table else as_image_array(X, self.image_shape)

    def _more(self, samples: Any) -> Any:
        """Return the unlabeled samples; images of another form are refused before any training."""
        if self.unlabeled is None:
            return None
        more = self._samples(self.unlabeled)
        if not is_frame(samples) and _describe_shape(more) != _describe_shape(samples):
            raise DataError(
                f"the unlabeled images are {_describe_shape(more)}, but those to over-sample are "
                f"{_describe_shape(samples)}; give both in one form"
            )
        return more

    @staticmethod
    def _check_type(samples: Any, preprocessing: AnyPreprocessing) -> None:
        """Refuse images of another type than the model's, whose values mean something else."""
        if isinstance(preprocessing, TabularPreprocessing) or preprocessing.dtype == samples.dtype:
            return
        raise DataError(
            f"the model makes {preprocessing.dtype} images, but those to over-sample are "
            f"{samples.dtype}; bring them to the model's values and type"
        )

    def _check_counts(self, y: np.ndarray) -> None:
        """Refuse before any training what there is nothing to interpolate from."""
        if self.method != "interpolate":
            return
        for label, count in self.sampling_strategy_.items():
            if count and (y == label).sum() < 2:
                raise DataError(
                    f"class '{label}' has one sample to interpolate from, at least 2 are needed; "
                    "add some, or take method='sample'"
                )

    @staticmethod
    def _index(sampler: GeneratorSampler, label: Any) -> int:
        _, (name,) = as_labels([label], 1)  # named as in training: 1.0 and True are "1"
        if name not in sampler.class_names:
            known = ", ".join(sampler.class_names)
            raise DataError(f"there is no class '{name}'; this model's classes are: {known}")
        return sampler.class_names.index(name)

    def _given(self) -> Bundle:
        bundle = self.bundle if isinstance(self.bundle, Bundle) else load_bundle(self.bundle)
        bundle.require("classes")
        return bundle


def _train(
    dataset: Dataset, seed: int, steps: int | None, config: Config | None, method: str
) -> tuple[Bundle, TrainingReference]:
    """Return what was trained, and what it was trained on."""
    started = time.monotonic()
    settings = (config or Config()).replace(seed=seed, task="generate")
    if method != "sample" and settings.training.steps is None:
        steps = steps or DEFAULT_AE_STEPS
    settings = settings if steps is None else settings.replace(training__steps=steps)
    config, preprocessing = fill_in_steps(settings, dataset)
    stored = np.asarray(prepare_samples(dataset.images, preprocessing))  # never windows here
    labels = np.asarray(dataset.labels)
    split = make_split(len(dataset), seed=seed, labels=labels, calibrate=False)
    rows = np.sort(np.concatenate([split.train, split.val]))
    part = "gan" if method == "sample" else "autoencoder"
    data = _training_data(dataset, stored, rows, preprocessing)
    guesses = part == "gan" and len(data.unlabeled)
    parts = ("classifier", part) if guesses else (part,)
    deadline = deadline_of(config.training.max_minutes, started)
    plan = Plan(parts, config.training.steps, deadline)
    networks = train_networks(config, data, plan)
    bundle = Bundle(
        config=config.to_dict(),
        data={
            "name": dataset.name,
            "num_samples": len(dataset),
            "class_names": list(dataset.class_names),
            "class_counts": np.bincount(labels, minlength=dataset.num_classes).tolist(),
        },
        preprocessing=preprocessing.to_dict(),
        networks=networks.for_bundle(),
    )
    if part == "autoencoder":
        places = np.arange(len(rows))
        codes = encode(networks.models["encoder"], stored[rows], places, preprocessing.normalize)
        bundle.tables["latents"] = {**codes, "indices": rows, "labels": labels[rows]}
    return bundle, TrainingReference(stored, labels, dataset.names, rows, rows[:0])


def _training_data(
    dataset: Dataset, stored: np.ndarray, rows: np.ndarray, preprocessing: AnyPreprocessing
) -> TrainingData:
    samples: np.ndarray | ConcatRows = stored
    classes = np.asarray(dataset.labels)
    if dataset.unlabeled is not None:
        more = np.asarray(prepare_samples(dataset.unlabeled.images, preprocessing))
        samples = ConcatRows(stored, more)
        classes = np.concatenate([classes, np.full(len(more), -1)])
    unlabeled = np.arange(len(stored), len(samples))
    return TrainingData(
        samples, classes, dataset.num_classes, preprocessing, rows=rows, unlabeled=unlabeled
    )


def _describe_shape(images: np.ndarray) -> str:
    height, width, channels = images.shape[1:]
    return f"{height} x {width} pixels with {channels} channels, {images.dtype}"


def _match_input_type(block: np.ndarray, preprocessing: AnyPreprocessing, X: Any) -> Any:
    """Return generated samples in the form of `X`."""
    if isinstance(preprocessing, TabularPreprocessing):
        frame = preprocessing.to_frame(block)
        if not is_frame(X):
            return frame.to_numpy().astype(X.dtype)
        names = [str(name) for name in X.columns]  # a model knows columns by their text
        lacking = [name for name in names if name not in frame.columns]
        if lacking:
            raise DataError(
                f"the model makes no columns {', '.join(lacking)}; train on a table that has them"
            )
        return frame[names].set_axis(X.columns, axis=1).astype(X.dtypes)
    if block[0].size != X[0].size:
        raise DataError(
            f"the model makes images {list(block.shape[1:])}, but those to over-sample are "
            f"{list(X.shape[1:])}; train on images of one size"
        )
    block = block.reshape((len(block), *X.shape[1:]))
    # True became 255, see `augan.data.validation.as_images`.
    return block >= 128 if np.asarray(X).dtype == np.bool_ else block.astype(X.dtype)


def _concat(parts: list[Any]) -> Any:
    if is_frame(parts[0]):
        import pandas as pd

        return pd.concat(parts, ignore_index=True)
    return np.concatenate(parts)
