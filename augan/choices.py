"""Declarations and registries of the entries that settings choose by name.

The entries are in the files that each registry names, so this module needs no TensorFlow.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from augan.exceptions import ConfigError
from augan.registry import Registry


@dataclass(frozen=True)
class Architecture:
    """Declaration of a network architecture; implementation: builders of networks by role.

    A builder maps the shape of a sample and further arguments to a Keras model, see
    `augan.gan.networks.build.build_network`.

    Attributes
    ----------
    name, description, paper : str
        Name in settings and bundles; a phrase for the user; authors and year, may be empty.
    roles : tuple of str
        Roles of its networks, such as "generator". An architecture with a generator and a
        discriminator is a value of `gan.architecture`.
    sample_types : tuple of {"image", "row"}
        Samples that the networks take.
    default_for : tuple of {"image", "row"}
        Samples for which this architecture is the default of its roles.
    arguments : tuple of str
        Optional arguments that the builders take from the settings: "conditioning" and "groups" of
        the generator, "norm", "dropout" and "weights" of the discriminator. A setting that the
        architecture does not take must keep its default.
    min_size : int
        Smallest side of images in pixels.
    has_feature_maps : bool
        Whether the blocks of the discriminator are feature maps, on which a localization head can
        work.
    """

    name: str
    description: str
    roles: tuple[str, ...]
    paper: str = ""
    sample_types: tuple[str, ...] = ("image",)
    default_for: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    min_size: int = 1
    has_feature_maps: bool = False

    @property
    def is_gan(self) -> bool:
        """Whether the architecture has the networks of a GAN."""
        return {"generator", "discriminator"} <= set(self.roles)


@dataclass(frozen=True)
class Loss:
    """Declaration of an adversarial loss; implementation: `augan.gan.losses.AdversarialLoss`.

    Attributes
    ----------
    name, description, paper : str
        Name in settings; a phrase for the user; authors and year.
    has_soft_labels : bool
        Whether label smoothing and label noise have a meaning for the loss.
    requires_lipschitz : bool
        Whether the discriminator must be Lipschitz continuous: by a gradient penalty, spectral
        normalization or weight clipping.
    """

    name: str
    description: str
    paper: str = ""
    has_soft_labels: bool = True
    requires_lipschitz: bool = False


@dataclass(frozen=True)
class Regularizer:
    """Declaration of a gradient penalty of the discriminator; implementation: a function.

    The function maps (discriminator, real images, generated images, seed) to a scalar, see
    `augan.gan.regularizers`.

    Attributes
    ----------
    name, description, paper : str
        Name in settings; a phrase for the user; authors and year.
    weight : float
        Default of `gan.regularizer_weight`: factor of the penalty in the loss.
    interval : int
        Default of `gan.regularizer_interval`: steps of the discriminator between two applications
        (lazy regularization).
    norm : str
        The value of `discriminator.norm` to use instead of "batch", which excludes penalties.
    is_lipschitz : bool
        Whether the penalty makes the discriminator about 1-Lipschitz.
    """

    name: str
    description: str
    paper: str = ""
    weight: float = 1.0
    interval: int = 1
    norm: str = "none"
    is_lipschitz: bool = False


@dataclass(frozen=True)
class DiffAugmentPolicy:
    """Declaration of a policy of differentiable augmentation; implementation: a function.

    The function maps (images, seed) to images, see `augan.gan.diffaug`.
    """

    name: str
    description: str


@dataclass(frozen=True)
class Corruption:
    """Declaration of a corruption of images; implementation: a function.

    The function maps (images, seed) to images, see `augan.gan.corruptions`.

    Attributes
    ----------
    name, description : str
        Value of `gan.negative_augmentations`; a phrase for the user.
    default_for : tuple of {"images", "tiles"}
        Detectors that learn to reject the corruption by default.
    """

    name: str
    description: str
    default_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class DetectionMethod:
    """Declaration of a detection method; implementation: a class, or classes by modality.

    The class is a subclass of `augan.detect.methods.base.TensorScorer`.

    Attributes
    ----------
    name, description, paper : str
        Value of `detect.method` and of `--method`; what the score is, as a phrase for the user;
        authors and year, may be empty.
    modalities : tuple of {"images", "rows", "tiles"}
        Modalities that the method scores: images of a fixed size, rows of a table, large images in
        tiles.
    required_networks : tuple of str
        Roles of the networks that the method is built on; "discriminator" is always one.
    optional_networks : tuple of str
        Roles of networks that the method also uses if they were trained.
    auxiliary_losses : tuple of {"detect", "both"}
        Tasks in which the discriminator trains on auxiliary losses, which improve its features, if
        this is the value of `detect.method`. They take time and do not improve generated images.
    is_iterative : bool
        Whether scoring a sample takes hundreds of optimization steps; such methods cannot be
        exported.
    """

    name: str
    description: str
    modalities: tuple[str, ...]
    required_networks: tuple[str, ...] = ("discriminator",)
    optional_networks: tuple[str, ...] = ()
    auxiliary_losses: tuple[str, ...] = ()
    is_iterative: bool = False
    paper: str = ""


@dataclass(frozen=True)
class Arm:
    """Declaration of an arm without a GAN; implementation: a function.

    The function is an `augan.evaluation.augmentation.arms.BuildTrainingSet`.

    Attributes
    ----------
    name : str
        Name on the command line and in results.
    label : str
        Name in sentences and tables, such as "SMOTE + classic".
    description : str
        Phrase for the user: what the classifier trains on.
    uses_unlabeled : bool
        Whether the arm needs unlabeled images, on which the classifier trains.
    needs_consistency : bool
        Whether the arm needs a classifier with consistency training on unlabeled images.
    is_redundant_if_balanced : bool
        Whether the arm equals `oversampling` if all classes have the same number of labels. Such an
        arm then runs only on request.
    """

    name: str
    label: str
    description: str
    uses_unlabeled: bool = False
    needs_consistency: bool = False
    is_redundant_if_balanced: bool = False


@dataclass(frozen=True)
class CameraArm:
    """Declaration of an arm that makes a training set for a new camera; implementation: a function.

    The function is a `BuildTrainingSet` of `augan.evaluation.translation.arms`, with a translator a
    `BuildTranslatedSet`.

    Attributes
    ----------
    name : str
        Name on the command line and in results.
    label : str
        Name in sentences and tables, such as "Fourier domain adaptation".
    description : str
        Phrase for the user: what the classifier trains on.
    paper : str
        Authors and year, may be empty.
    uses_translator : bool
        Whether the arm needs translated images of a GAN.
    uses_unlabeled : bool
        Whether the classifier trains on unlabeled images of the new camera.
    needs_common_classes : bool
        Whether the arm needs classes with labels on both cameras.
    """

    name: str
    label: str
    description: str
    paper: str = ""
    uses_translator: bool = False
    uses_unlabeled: bool = False
    needs_common_classes: bool = False


ARCHITECTURES: Registry[Architecture, Mapping[str, Callable[..., Any]]] = Registry(
    "architecture", Architecture, "augan.gan.networks"
)
LOSSES: Registry[Loss, Any] = Registry("loss", Loss, "augan.gan.losses")
REGULARIZERS: Registry[Regularizer, Callable[..., Any]] = Registry(
    "regularizer", Regularizer, "augan.gan.regularizers"
)
DIFFAUGMENT_POLICIES: Registry[DiffAugmentPolicy, Callable[..., Any]] = Registry(
    "policy of differentiable augmentation", DiffAugmentPolicy, "augan.gan.diffaug"
)
CORRUPTIONS: Registry[Corruption, Callable[..., Any]] = Registry(
    "corruption", Corruption, "augan.gan.corruptions"
)
DETECTION_METHODS: Registry[DetectionMethod, Any] = Registry(
    "detection method", DetectionMethod, "augan.detect.methods"
)
ARMS: Registry[Arm, Callable[..., Any]] = Registry("arm", Arm, "augan.evaluation.augmentation.arms")
CAMERA_ARMS: Registry[CameraArm, Callable[..., Any]] = Registry(
    "arm", CameraArm, "augan.evaluation.translation.arms"
)


def gan_architectures() -> tuple[str, ...]:
    """Return the names of the architectures of a GAN, the values of `gan.architecture`."""
    return tuple(entry.name for entry in ARCHITECTURES if entry.is_gan)


def default_architecture(role: str, sample_type: str) -> Architecture:
    """Return the architecture of a network whose architecture is no setting, or by default.

    Parameters
    ----------
    role : str
        Role of the network, such as "classifier".
    sample_type : {"image", "row"}
        Type of the samples.

    Raises
    ------
    ConfigError
        No architecture is the default of the role for such samples.
    """
    for entry in ARCHITECTURES:
        if role in entry.roles and sample_type in entry.default_for:
            return entry
    raise ConfigError(f"no architecture of a {role} takes samples of the type {sample_type}")


@dataclass(frozen=True)
class OneOf:
    """Annotation of a setting whose value is the name of an entry of a registry.

    The names are read when a value is checked, so entries that were registered after the import of
    the configuration are legal values. Errors have the wording of `Literal`.

    Parameters
    ----------
    registry : Registry
        Registry of the entries.
    accepts : callable
        Declaration -> whether the entry is a value of the setting; by default every entry is.
    more : tuple of str
        Legal values that are no entries, such as "none".
    """

    registry: Registry[Any, Any]
    accepts: Callable[[Any], bool] = lambda entry: True
    more: tuple[str, ...] = ()

    def entries(self) -> list[Any]:
        """Return the declarations of the entries that are values of the setting."""
        return [entry for entry in self.registry if self.accepts(entry)]

    def values(self) -> tuple[str, ...]:
        """Return all legal values."""
        return (*self.more, *(entry.name for entry in self.entries()))

    def _checked(self, value: Any) -> str:
        """Return a legal value; raise the error of `Literal` for others."""
        values = self.values()
        if isinstance(value, str) and value in values:
            return value
        *first, last = map(repr, values)
        expected = f"{', '.join(first)} or {last}" if first else last
        raise PydanticCustomError(
            "literal_error", "Input should be {expected}", {"expected": expected}
        )

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._checked)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.values())}
