"""Typed sections of a bundle, and the only validation of their content.

A section is a frozen pydantic dataclass. Its constructor checks the type and the range of every
value, and whether the values fit each other. Code that makes a section and the decoder of a file
call the same constructor, so a section that exists is valid, and no reader of a section checks it
again. pydantic also validates `augan.config`, and names the path of a wrong value.

`augan.bundle.section` has the base class, and `augan.bundle.metrics` the sections of metrics.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from augan.bundle.metrics import TranslationMetrics
from augan.bundle.section import (
    VALIDATION,
    ArrayName,
    Count,
    Flag,
    Indices,
    Mask,
    Matrix,
    PositiveCount,
    Scores,
    Section,
    StoredPreprocessing,
    Text,
    split_arrays,
)

MAX_FOLDS = 100


@dataclass(frozen=True, eq=False, config=VALIDATION)
class DatasetInfo(Section):
    """Description of the training data.

    Attributes
    ----------
    name : str
        Name of the dataset in reports.
    num_samples : int
        Number of training samples, without unlabeled samples.
    source : str or None
        Path or address of the data; None (default): the data was given as arrays.
    num_unlabeled : int
        Number of training samples without labels next to labeled samples; default: 0.
    class_names : tuple of str
        Names of the classes, all different; empty (default) without labels.
    class_counts : tuple of int
        Number of labeled samples of each class in `class_names`.
    labels, label_column, path_column : str or None
        File of labels (or "folders") and its columns, as `load_dataset` takes them; None (default):
        not given.
    follow_links : bool
        Whether links to folders were searched for images too; default: False.
    fingerprint : str or None
        SHA-256 of the prepared samples and their labels, see `dataset_fingerprint`; None (default):
        trained in memory by an estimator, which does not hash its samples.
    """

    name: Text
    num_samples: Count
    source: Text | None = None
    num_unlabeled: Count = 0
    class_names: tuple[Text, ...] = ()
    class_counts: tuple[Count, ...] = ()
    fingerprint: Text | None = None
    labels: Text | None = None
    label_column: Text | None = None
    path_column: Text | None = None
    follow_links: Flag = False

    def __post_init__(self) -> None:
        if len(set(self.class_names)) != len(self.class_names):
            raise ValueError("two classes have the same name")
        if len(self.class_names) != len(self.class_counts):
            raise ValueError(
                f"there are {len(self.class_names)} class names and {len(self.class_counts)} class "
                "counts"
            )


@dataclass(frozen=True, eq=False, config=VALIDATION)
class Splits(Section):
    """Indices of the training samples in each split, see `augan.data.splits.Split`.

    Attributes
    ----------
    train, val, calibration : ndarray of int
        Indices of the samples of each split. A sample is in one split only, except with folds.
    fold : ndarray of int [num_samples] or None
        Number of the fold of each sample, from 1; None (default): there are no folds. With folds,
        `train` and `calibration` are all samples.
    """

    train: Indices
    val: Indices
    calibration: Indices
    fold: Indices | None = None

    def __post_init__(self) -> None:
        if self.fold is None:
            rows = np.concatenate([self.train, self.val, self.calibration])
            if len(np.unique(rows)) != len(rows) or rows.min(initial=0) < 0:
                raise ValueError(
                    "a sample is in two splits, or twice in one, or has no valid index"
                )
            return
        everything = np.arange(len(self.fold))
        for split in (self.train, self.calibration):
            if not np.array_equal(np.sort(split), everything):
                raise ValueError("with folds, train and calibration must have every sample once")
        if (
            len(self.val)
            or not 1 <= self.fold.min(initial=1) <= self.fold.max(initial=1) <= MAX_FOLDS
        ):
            raise ValueError(f"with folds, val must be empty, and a fold a number to {MAX_FOLDS}")


@dataclass(frozen=True, eq=False, config=VALIDATION)
class Latents(Section):
    """Latent codes of training samples, from which augmentation starts.

    Attributes
    ----------
    indices : ndarray of int [n]
        Index of each sample.
    latents : ndarray of float [n, Z]
        Latent code of each sample.
    class_probabilities : ndarray of float [n, K] or None
        The encoder's probabilities of the classes; None (default) without classes.
    labels : ndarray of int [n] or None
        Class of each sample; None (default) without classes.
    """

    indices: Indices
    latents: Matrix
    class_probabilities: Matrix | None = None
    labels: Indices | None = None

    def __post_init__(self) -> None:
        if len({len(array) for array in _arrays_of(self)}) != 1:
            raise ValueError("the arrays have different lengths")
        if min(map(_min, (self.indices, self.labels))) < 0:
            raise ValueError("an index or a label is negative")


@dataclass(frozen=True, eq=False, config=VALIDATION)
class CalibrationScores(Section):
    """Scores of a calibration, see `augan.detect.conformal.calibration.Calibration`.

    Attributes
    ----------
    scores : ndarray of float64 [n]
        Scores of the calibration samples, finite and ascending; at least one.
    num_groups : int
        Number of groups of the samples, 1 to n.
    fold_sizes : tuple of int
        Number of samples of each fold; empty (default) without folds.
    """

    scores: Scores
    num_groups: Count
    fold_sizes: tuple[Count, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.scores)
        if n == 0 or (np.diff(self.scores) < 0).any():
            raise ValueError("the calibration scores are not in ascending order, or there is none")
        if not 1 <= self.num_groups <= n:
            raise ValueError(f"num_groups is {self.num_groups}, expected 1 to {n}")
        if self.fold_sizes and (sum(self.fold_sizes) != n or min(self.fold_sizes) < 1):
            raise ValueError(f"the fold sizes do not add up to the {n} calibration scores")


@dataclass(frozen=True, eq=False, config=VALIDATION)
class FittedMethod(Section):
    """Fitted detection method.

    Attributes
    ----------
    name : str
        Name of the method.
    components : tuple of str
        Names of its score components.
    state : mapping of str to ndarray
        Fitted arrays of the method, see `DetectionMethod.get_state`.
    calibration : CalibrationScores or None
        Scores of the calibration samples; None (default): not calibrated.
    map_calibration : CalibrationScores or None
        Maximum of each calibration image's anomaly map; None (default): maps are not calibrated.
    """

    name: Text
    components: tuple[Text, ...]
    state: Mapping[ArrayName, np.ndarray] = Field(default_factory=dict)
    calibration: CalibrationScores | None = None
    map_calibration: CalibrationScores | None = None


@dataclass(frozen=True, eq=False, config=VALIDATION)
class CalibrationSamples(Section):
    """Description of the samples of a calibration after the training.

    Attributes
    ----------
    name : str
        Name of the folder or file of the samples.
    num_samples, num_groups : int
        Number of samples, and of their groups.
    num_left_out : int
        Number of samples that could not be read.
    warnings : tuple of str
        Warnings for the user, in full sentences.
    image_shape : tuple (H, W) or None
        Size of all images in pixels; None (default): of different sizes, or unknown.
    """

    name: Text
    num_samples: Count
    num_groups: Count
    num_left_out: Count = 0
    warnings: tuple[Text, ...] = ()
    image_shape: tuple[PositiveCount, PositiveCount] | None = None


@dataclass(frozen=True, eq=False, config=VALIDATION)
class DetectorSection(Section):
    """Detectors of a bundle: one for each detection method, on the same networks.

    Attributes
    ----------
    methods : tuple of FittedMethod
        The fitted methods, with different names; the first is the default.
    trim_fraction : float
        Fraction of the samples that were left out of fitting and calibration because their scores
        were the highest, 0 (default) to 0.5.
    num_folds : int or None
        Number of folds of cross-conformal detectors; None (default) without folds.
    calibrated_on : CalibrationSamples or None
        The samples of a later calibration; None (default): calibrated in the training.
    ignore_mask : ndarray of bool [H, W] or None
        Pixels that never affect scores, some but not all; None (default): every pixel counts.
    doubts : tuple of str
        Why the calibration guarantees nothing, in full sentences; empty (default): it holds.
    """

    methods: tuple[FittedMethod, ...]
    trim_fraction: Annotated[float, Field(strict=True, ge=0, le=0.5)] = 0.0
    num_folds: Annotated[int, Field(strict=True, ge=2, le=MAX_FOLDS)] | None = None
    calibrated_on: CalibrationSamples | None = None
    ignore_mask: Mask | None = None
    doubts: tuple[Text, ...] = ()

    def __post_init__(self) -> None:
        if not self.methods or len(set(self.method_names)) != len(self.methods):
            raise ValueError("two detection methods have the same name, or there is none")
        for method in self.methods:
            for calibration in (method.calibration, method.map_calibration):
                sizes = () if calibration is None else calibration.fold_sizes
                if sizes and len(sizes) != self.num_folds:
                    raise ValueError(f"there are {len(sizes)} fold sizes of {self.num_folds} folds")
        if self.ignore_mask is not None and len(np.unique(self.ignore_mask)) != 2:
            raise ValueError("the ignore mask marks no pixel or every pixel")

    @property
    def method_names(self) -> tuple[str, ...]:
        """Names of the detection methods; the first is the default."""
        return tuple(method.name for method in self.methods)


def _arrays_of(section: Section) -> list[np.ndarray]:
    """Return the arrays of a section without nested sections."""
    return list(split_arrays(section)[1].values())


def _min(array: np.ndarray | None) -> int:
    """Return the smallest value of an array; 1 if there is none."""
    return 1 if array is None else int(array.min(initial=1))


@dataclass(frozen=True, eq=False, config=VALIDATION)
class TranslationSection(Section):
    """Images of the new camera of a translation, and the quality of the translation.

    `data`, `preprocessing` and `splits` of the bundle are those of the old camera. The networks are
    "translator" (old to new), and if they were trained "back_translator" (new to old),
    "patch_discriminator" (of the new camera) and "old_patch_discriminator".

    Attributes
    ----------
    data : DatasetInfo
        Description of the images of the new camera. A class that both cameras have has one name.
    preprocessing : Preprocessing
        Preprocessing of the images of the new camera; its samples are whole images.
    class_names : tuple of str
        Joint list of the classes: those of the old camera in their order, then those that only the
        new camera has. The networks number the classes by this list.
    common_classes : tuple of str
        Classes that both cameras have, in the order of `class_names`; empty (default) if a camera
        has no labels.
    splits : Splits or None
        Indices of the images of the new camera in each split; None (default): trained in memory.
    metrics : TranslationMetrics or None
        Metrics on held-out images; None (default): there were too few.
    """

    data: DatasetInfo
    preprocessing: StoredPreprocessing
    class_names: tuple[Text, ...] = ()
    common_classes: tuple[Text, ...] = ()
    splits: Splits | None = None
    metrics: TranslationMetrics | None = None

    def __post_init__(self) -> None:
        if not self.preprocessing.has_pixels or not self.preprocessing.has_fixed_size:
            raise ValueError("the preprocessing is not one of whole images")
        if len(set(self.class_names)) != len(self.class_names):
            raise ValueError("two classes have the same name")
        if not set(self.data.class_names) <= set(self.class_names):
            raise ValueError("a class of the new camera is not in the list of classes")
        if self.splits is not None:
            check_splits(self.splits, self.data.num_samples)
            if self.splits.fold is not None:
                raise ValueError("splits: a translation has no folds")


def check_splits(splits: Splits, num_samples: int) -> None:
    """Raise ValueError unless splits are those of `num_samples` samples."""
    rows = np.concatenate([splits.train, splits.val, splits.calibration])
    if rows.max(initial=-1) >= num_samples:
        raise ValueError(f"splits: an index is not below the {num_samples} samples")
    if splits.fold is not None and len(splits.fold) != num_samples:
        raise ValueError(f"splits.fold has {len(splits.fold)} values for {num_samples} samples")


def _as_json(value: Any) -> Any:
    """Return a JSON-able value with tuples as lists; ValueError if JSON cannot hold the value."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _as_json(item) for key, item in value.items()}
    raise ValueError(f"{value!r} is not JSON: expected text, numbers, lists or dicts")


def _sort_by_name(weights: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    return {name: weights[name] for name in sorted(weights)}


@dataclass(frozen=True, eq=False, config=VALIDATION)
class NetworkSpec(Section):
    """Description of a network, from which `augan.gan.networks.build` builds the network.

    Attributes
    ----------
    architecture, role : str
        Names of the architecture and of the role, such as "dcgan" and "generator".
    arguments : mapping
        Arguments of the architecture, JSON-able; each architecture has other names.
    """

    architecture: Text
    role: Text
    arguments: Annotated[Mapping[Text, Any], AfterValidator(_as_json)]


@dataclass(frozen=True, eq=False, config=VALIDATION)
class Network(Section):
    """A saved network: the spec that builds the network, and the values of its variables.

    Attributes
    ----------
    spec : NetworkSpec
        Description of the network.
    weights : mapping of str to ndarray
        Variable path -> value; sorted by path.
    """

    spec: NetworkSpec
    weights: Annotated[Mapping[Text, np.ndarray], AfterValidator(_sort_by_name)]

    @property
    def parameters(self) -> int:
        """Number of values in all variables of the network."""
        return sum(int(np.size(value)) for value in self.weights.values())
