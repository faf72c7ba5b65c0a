"""Typed sections of a bundle, and the only validation of their content.

A section is a frozen pydantic dataclass. Its constructor checks the type and the range of every
value, and whether the values fit each other. Code that makes a section and the decoder of a file
call the same constructor, so a section that exists is valid, and no reader of a section checks it
again. pydantic also validates `augan.config`, and names the path of a wrong value.

The types below are strict: the text "5" is not a number, and 1.0 is not a whole number. Unknown
keys of a file are ignored, so that a later version of augan can add keys.
"""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from augan.exceptions import BundleError

Text = Annotated[str, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=0, lt=2**53)]  # JSON readers hold it exactly
PositiveCount = Annotated[int, Field(strict=True, ge=1, lt=2**53)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Ratio = Annotated[float, Field(strict=True, ge=0, le=1)]
Flag = Annotated[bool, Field(strict=True)]
VALIDATION = ConfigDict(arbitrary_types_allowed=True, extra="ignore")
MAX_QUOTE_LENGTH = 40  # characters of a wrong value in a message
MAX_FOLDS = 100


def _check_array(kinds: str, ndim: int, *, finite: bool = False) -> AfterValidator:
    """Return the check of an array: the kinds of its type, its dimensions, and finite values."""

    def check(array: np.ndarray) -> np.ndarray:
        if array.dtype.kind not in kinds or array.ndim != ndim:
            raise ValueError(
                f"its type is {array.dtype} {list(array.shape)}, expected {ndim} dimensions of "
                f"{', '.join(_KINDS[kind] for kind in kinds)}"
            )
        if finite and not np.isfinite(array).all():
            raise ValueError("a value is not finite")
        return array

    return AfterValidator(check)


_KINDS = {"i": "integers", "u": "unsigned integers", "f": "floats", "b": "booleans"}
Indices = Annotated[np.ndarray, _check_array("iu", 1)]
Scores = Annotated[np.ndarray, _check_array("f", 1, finite=True)]
Matrix = Annotated[np.ndarray, _check_array("f", 2, finite=True)]
Mask = Annotated[np.ndarray, _check_array("b", 2)]
ArrayName = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]


@dataclass(frozen=True, eq=False, config=VALIDATION)
class Section:
    """Base class of the sections: comparison by content, and conversion to JSON."""

    def __eq__(self, other: object) -> bool:
        """Whether `other` is a section of the same class with equal values and arrays."""
        return type(self) is type(other) and has_equal_content(vars(self), vars(other))

    def to_dict(self) -> dict[str, Any]:
        """Return all values but the arrays as a JSON-able dict, by field name."""
        return split_arrays(self)[0]


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

    def __post_init__(self) -> None:
        if len(set(self.class_names)) != len(self.class_names):
            raise ValueError("two classes have the same name")
        if len(self.class_names) != len(self.class_counts):
            raise ValueError(
                f"there are {len(self.class_names)} class names and {len(self.class_counts)} class "
                "counts"
            )


@dataclass(frozen=True, eq=False, config=VALIDATION)
class GanMetrics(Section):
    """Metrics of one evaluation of the averaged generator and the discriminator.

    Attributes
    ----------
    step : int
        Number of training steps.
    progress : float
        Fraction of the budget that is used.
    kernel_distance : float
        Kernel distance between the features of held-out real images and of generated images.
    diversity : float
        Mean pairwise feature distance of generated images within a class, divided by that of real
        images.
    coverage : float
        Fraction of held-out images with a generated image in their neighborhood.
    r_t : float
        Mean sign of the discriminator's logits of training images, relative to the decision
        boundary of the loss (Karras et al. 2020, "Training Generative Adversarial Networks with
        Limited Data", eq. 1).
    r_v : float
        (train - held out) / (train - generated), of mean logits (Karras et al. 2020, eq. 1).
    """

    step: Count
    progress: Number
    kernel_distance: Number
    diversity: Number
    coverage: Number
    r_t: Number
    r_v: Number


@dataclass(frozen=True, eq=False, config=VALIDATION)
class TrainingFailure(Section):
    """Failure of an adversarial training that the monitor detected.

    Attributes
    ----------
    kind : {"collapse", "overfitting", "divergence"}
        Name of the failure.
    step : int
        Training step at which the failure was detected.
    message : str
        What happened and which settings to change.
    """

    kind: Literal["collapse", "overfitting", "divergence"]
    step: Count
    message: Text


@dataclass(frozen=True, eq=False, config=VALIDATION)
class FidelityMetrics(Section):
    """Fidelity of generated samples, or of a half of the real samples.

    The attributes are those of `augan.metrics.fidelity.Fidelity`.
    """

    n_real: Count
    n_generated: Count
    extractor: Text
    frechet_distance: Number
    kernel_distance: Number
    precision: Number
    recall: Number
    density: Number
    coverage: Number
    is_small_sample: Flag


@dataclass(frozen=True, eq=False, config=VALIDATION)
class GeneratorFidelity(FidelityMetrics):
    """Fidelity of the generator in a bundle, with two references.

    Attributes
    ----------
    floor : FidelityMetrics
        The same metrics of two halves of the real held-out samples.
    untrained_kernel_distance : float
        Kernel distance of the generator before training.
    """

    floor: FidelityMetrics
    untrained_kernel_distance: Number


@dataclass(frozen=True, eq=False, config=VALIDATION)
class PseudoLabelCounts(Section):
    """Number of unlabeled samples on which the GAN trained.

    Attributes
    ----------
    n : int
        Number of unlabeled samples.
    used : int
        Number of them on which the GAN trained.
    class_counts : tuple of float
        Number of used samples of each class; with soft pseudo-labels, sums of probabilities.
    """

    n: Count
    used: Count
    class_counts: tuple[Number, ...]


@dataclass(frozen=True, eq=False, config=VALIDATION)
class ClassifierAccuracy(Section):
    """Accuracy of the classifier on real held-out samples.

    Attributes
    ----------
    accuracy : float
        Fraction of correct classes, 0 to 1.
    n : int
        Number of samples.
    split : str
        Name of the split of the samples.
    """

    accuracy: Ratio
    n: Count
    split: Text


@dataclass(frozen=True, eq=False, config=VALIDATION)
class TrainingMetrics(Section):
    """Metrics of one training.

    Attributes
    ----------
    steps : mapping of str to int
        Training stage -> number of steps; empty (default) if an estimator trained in memory.
    failure : TrainingFailure or None
        Why the training of the GAN was stopped; None (default): it was not.
    fidelity : GeneratorFidelity or None
        Fidelity of the selected generator; None (default): not measured.
    gan_metrics : tuple of GanMetrics
        Metrics of every evaluation of the GAN, oldest first.
    """

    steps: Mapping[Text, Count] = Field(default_factory=dict)
    failure: TrainingFailure | None = None
    fidelity: GeneratorFidelity | None = None
    gan_metrics: tuple[GanMetrics, ...] = ()


@dataclass(frozen=True, eq=False, config=VALIDATION)
class BundleMetrics(TrainingMetrics):
    """Metrics of the training of a bundle.

    Attributes
    ----------
    folds : tuple of TrainingMetrics
        Metrics of each fold of a cross-conformal training, in place of the inherited metrics.
    classifier : ClassifierAccuracy or None
        Accuracy of the classifier; None (default) without a classifier.
    pseudo_labels : PseudoLabelCounts or None
        Use of the unlabeled samples; None (default): there were none.
    warnings : tuple of str
        Warnings for the user, in full sentences.
    """

    folds: tuple[TrainingMetrics, ...] = ()
    classifier: ClassifierAccuracy | None = None
    pseudo_labels: PseudoLabelCounts | None = None
    warnings: tuple[Text, ...] = ()


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
    """

    methods: tuple[FittedMethod, ...]
    trim_fraction: Annotated[float, Field(strict=True, ge=0, le=0.5)] = 0.0
    num_folds: Annotated[int, Field(strict=True, ge=2, le=MAX_FOLDS)] | None = None
    calibrated_on: CalibrationSamples | None = None
    ignore_mask: Mask | None = None

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


SectionT = TypeVar("SectionT", bound=Section)


def build_section(
    kind: type[SectionT], name: str, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> SectionT:
    """Build a section from the two parts that `split_arrays` returns, with all validation.

    Parameters
    ----------
    kind : type
        Class of the section.
    name : str
        Name of the section in error messages.
    values : mapping
        The JSON values.
    arrays : mapping of str to ndarray
        Path of each array -> array.

    Raises
    ------
    BundleError
        A value is missing or wrong; one sentence without the remedy.
    """
    try:
        section: SectionT = TypeAdapter(kind).validate_python(_insert_arrays(values, arrays, name))
        return section
    except ValidationError as error:
        raise BundleError(describe_error(error, name)) from None


def describe_error(error: ValidationError, name: str) -> str:
    """Return a sentence on the first problem that pydantic found in the section `name`."""
    problem = error.errors(include_url=False)[0]
    path = ".".join([name, *(str(part) for part in problem["loc"])])
    if problem["type"] == "value_error":
        return f"{path}: {problem['msg'].removeprefix('Value error, ')}"
    if problem["type"] == "missing":
        return f"{path} is missing"
    value = repr(problem["input"]).replace("\n", " ")[:MAX_QUOTE_LENGTH]
    return f"{path} is {value}, but {problem['msg'][0].lower()}{problem['msg'][1:]}"


def split_arrays(section: Section) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a section as JSON-able values and as arrays, for the two members of a file.

    Returns
    -------
    values : dict
        Field -> value. Nested sections become dicts, and tuples become lists.
    arrays : dict of str to ndarray
        Path of each array -> array. A path holds field names, indices and keys with "/" between
        them, such as "methods/0/state/mean".
    """
    arrays: dict[str, np.ndarray] = {}

    def convert(value: Any, path: str) -> Any:
        if isinstance(value, Section):
            value = {field.name: getattr(value, field.name) for field in fields(value)}
        if isinstance(value, Mapping):
            result = {}
            for key, item in value.items():
                if isinstance(item, np.ndarray):
                    arrays[f"{path}{key}"] = item
                else:
                    result[key] = convert(item, f"{path}{key}/")
            return result
        if isinstance(value, tuple | list):
            return [convert(item, f"{path}{i}/") for i, item in enumerate(value)]
        return value

    return convert(section, ""), arrays


def _insert_arrays(
    values: Mapping[str, Any], arrays: Mapping[str, np.ndarray], name: str
) -> dict[str, Any]:
    """Return the values with each array at its path, the reverse of `split_arrays`.

    BundleError if a path leads through a value that is no dict and no list.
    """
    tree = dict(values)
    for path, array in arrays.items():
        node: Any = tree
        *parents, last = path.split("/")
        for key in parents:
            index: Any = int(key) if isinstance(node, list) and key.isdecimal() else key
            try:
                node = node[index]
            except (KeyError, IndexError, TypeError):
                node = None
        if not isinstance(node, dict):
            raise BundleError(
                f"{name} has an array at {path[:MAX_QUOTE_LENGTH]!r}, which is no place of one"
            )
        node[last] = array
    return tree


def has_equal_content(one: Any, other: Any) -> bool:
    """Whether two values are equal; arrays are, if type, shape and all elements are equal."""
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and (one.dtype, one.shape) == (other.dtype, other.shape)
            and one.tobytes() == other.tobytes()  # NaN equals NaN
        )
    if isinstance(one, Mapping):
        return (
            isinstance(other, Mapping)
            and one.keys() == other.keys()
            and all(has_equal_content(value, other[key]) for key, value in one.items())
        )
    if isinstance(one, tuple):
        return (
            isinstance(other, tuple)
            and len(one) == len(other)
            and all(map(has_equal_content, one, other))
        )
    return bool(one == other)
