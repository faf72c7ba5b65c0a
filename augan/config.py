"""Configuration of a run: typed sections of settings, YAML files and dotted overrides.

A setting of `None` is derived from the data by `augan.training.defaults.resolve_defaults`. The
resolved configuration is printed, saved in the run folder as `config.yaml`, and part of the bundle.
"""

import difflib
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from augan.choices import (
    ARCHITECTURES,
    CORRUPTIONS,
    DETECTION_METHODS,
    DIFFAUGMENT_POLICIES,
    LOSSES,
    REGULARIZERS,
    OneOf,
)
from augan.exceptions import ConfigError

Rate = Annotated[float, Field(gt=0, lt=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
MAX_VALUES = 10_000  # in a configuration
MAX_PROBLEMS = 10  # named in a message
_MAX_NAME_LENGTH = 100  # characters
_MAX_MESSAGE_LENGTH = 300  # characters of an error of another library
_T = TypeVar("_T")
# Errors that PyYAML raises for values that do not fit their tag.
_PYYAML_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
ImageSize = Literal[8, 16, 32, 64, 128, 256]
Norm = Literal["none", "batch", "layer", "spectral"]
Task = Literal["auto", "generate", "detect", "both", "translate"]
DetectionMethodName = Annotated[str, OneOf(DETECTION_METHODS)]
TransformName = Literal[
    "none", "shift", "flip", "shift-flip", "shift-flip-light", "strong", "strong-flip"
]


class Section(BaseModel):
    """Base class of the sections: a frozen group of settings that refuses unknown names."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


class DataSection(Section):
    """Settings of the preprocessing of images (`data`)."""

    size: ImageSize | None = None  # height and width of the network input, pixels
    # Whether large images keep their scale and are cut into tiles of that size.
    tiling: bool | None = None


class GanSection(Section):
    """Settings of the adversarial training that concern both networks (`gan`)."""

    # None: the architecture that declares itself the default of images, or of rows of a table
    architecture: Annotated[str, OneOf(ARCHITECTURES, lambda entry: entry.is_gan)] | None = None
    loss: Annotated[str, OneOf(LOSSES)] | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0  # target of real images: 1 - this
    label_noise: Annotated[float, Field(ge=0, lt=0.5)] = 0.0  # fraction of swapped real/fake labels
    # Regularizer of the discriminator; None: r1 for tables, else none
    regularizer: Annotated[str, OneOf(REGULARIZERS, more=("none",))] | None = None
    regularizer_weight: Annotated[float, Field(gt=0)] | None = None  # None: as in its paper
    # Discriminator updates between two applications; None: as in its paper, or 1 for tables
    regularizer_interval: Count | None = None
    unrolled_steps: Annotated[int, Field(ge=0, le=10)] = 0
    unrolled_learning_rate: Annotated[float, Field(gt=0)] = 0.05  # SGD of the unrolled steps
    latent_dim: Count | None = None  # None: 64, fewer for narrow tables
    latent_prior: Literal["normal", "uniform"] = "normal"
    diffaug: tuple[Annotated[str, OneOf(DIFFAUGMENT_POLICIES)], ...] | None = None
    # Corrupted real images that the discriminator learns to reject (Sinha et al. 2021).
    negative_augmentations: tuple[Annotated[str, OneOf(CORRUPTIONS)], ...] | None = None
    # Whether the discriminator also learns to classify rotations, shifts and stretches.
    self_supervision: bool | None = None
    # Training steps for one step of the generator; the steps between train the discriminator only.
    generator_interval: Count | None = None
    localization_head: bool | None = None  # whether a head learns where an image is corrupted
    # Adam's, of both networks; None: (0, 0.99) for tables, else (0.5, 0.999)
    betas: tuple[Beta, Beta] | None = None
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999  # decay of the averaged generator
    # Labels of the unlabeled images (Lee 2013): probabilities, the most probable class, or the
    # most probable class where its probability reaches a threshold.
    pseudo_labels: Literal["soft", "hard", "thresholded"] = "soft"

    @property
    def has_gradient_penalty(self) -> bool:
        """Whether the discriminator loss contains a gradient penalty; False while unresolved."""
        return self.regularizer not in (None, "none")


class GeneratorSection(Section):
    """Settings of the generator and its optimizer (`generator`)."""

    width: Count = 32  # channels of the last hidden block
    # How the generator receives the class: by conditional normalization, or by an embedding that is
    # concatenated with the latent code.
    conditioning: Literal["norm", "embedding"] = "norm"
    steps: Annotated[int, Field(ge=1, le=10)] = 1  # updates in one training step
    learning_rate: Annotated[float, Field(gt=0)] | None = None


class DiscriminatorSection(Section):
    """Settings of the discriminator and its optimizer (`discriminator`)."""

    width: Count = 32  # channels of the first block
    norm: Norm | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_clip: Annotated[float, Field(gt=0)] | None = None  # largest absolute value of a weight
    steps: Annotated[int, Field(ge=1, le=10)] = 1  # n_critic: updates in one training step
    learning_rate: Annotated[float, Field(gt=0)] | None = None


class EncoderSection(Section):
    """Settings of the encoder from images to latent codes and its optimizer (`encoder`)."""

    width: Count = 32
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    feature_weight: Annotated[float, Field(ge=0)] = 1.0  # kappa of f-AnoGAN's izi_f loss


class ClassifierSection(Section):
    """Settings of the classifier of the training classes and its optimizer (`classifier`)."""

    width: Count = 32
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3


class TranslationSection(Section):
    """Settings of the translation of images to the look of a new camera (`translation`)."""

    width: Count = 24  # channels of the translator's first layer
    blocks: Annotated[int, Field(ge=0, le=16)] = 2  # residual blocks of the translator
    discriminator_width: Count = 32  # channels of the patch discriminator's first layer
    # "one-sided": old -> new -> old; "two-sided": new -> old -> new as well (CycleGAN).
    cycle: Literal["one-sided", "two-sided", "none"] = "one-sided"
    cycle_weight: Annotated[float, Field(ge=0)] = 10.0  # of the L1 distance after a cycle
    # Weight of the L1 distance of an image of the new camera and its translation, and the reverse.
    identity_weight: Annotated[float, Field(ge=0)] = 0.0
    # Weight of the cross-entropy of a classifier of the old camera after the translation back.
    class_weight: Annotated[float, Field(ge=0)] = 0.0
    contrastive_weight: Annotated[float, Field(ge=0)] = 0.0  # PatchNCE loss (Park et al. 2020)
    # Earlier translations that the discriminators see again (Shrivastava et al. 2017); 0: none.
    history: Annotated[int, Field(ge=0, le=10_000)] = 0
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4  # of translators; falls as a cosine to 0
    discriminator_learning_rate: Annotated[float, Field(gt=0)] = 4e-4
    betas: tuple[Beta, Beta] = (0.5, 0.99)  # Adam's, of all networks
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995  # decay of the averaged translators


class EvaluationSection(Section):
    """Settings of the evaluations of the GAN during training (`evaluation`)."""

    enabled: bool = True  # compute GAN metrics during training and keep the best weights
    interval: Count | None = None  # training steps between two evaluations


class TrainingSection(Section):
    """Settings of the training loop of all stages (`training`)."""

    steps: Count | None = None  # steps of the GAN or translators; other stages get a share of it
    max_minutes: Annotated[float, Field(gt=0)] | None = None  # of the whole command
    batch_size: Annotated[int, Field(ge=2)] | None = None  # None: 64; 32 for the task translate
    sample_interval: Count = 500  # steps between two image grids in samples/
    # Data type of the GAN computations; weights, losses and scores are always float32. None:
    # float32; for the task translate bfloat16, if the machine multiplies it.
    dtype: Literal["float32", "bfloat16"] | None = None
    store_latents: bool = True  # whether the bundle contains the latents of the training images


class DetectSection(Section):
    """Settings of anomaly detectors and their calibration (`detect`)."""

    method: DetectionMethodName = "auto"
    methods: tuple[
        DetectionMethodName, ...
    ] = ()  # further methods in the bundle, for `detect --method`
    # Suspected fraction of anomalies among the training images. The images with the highest
    # scores are left out, and the false-alarm rate is not guaranteed.
    trim_fraction: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    far: Rate | None = None  # false-alarm rate (FAR); None: 0.05, or the smallest supported rate
    # Whether to train five detectors, each without one fold of the images and calibrated on
    # that fold, so that every image is used for both. For fewer than 200 images.
    cross_conformal: bool = False


class AugmentSection(Section):
    """Settings of the samples that `augan augment` writes (`augment`)."""

    # Classic augmentation of the generated images, a key of `augan.augment.transforms.TRANSFORMS`
    transform: TransformName = "none"


class Config(Section):
    """All settings of a run, in sections; frozen, so every change returns a copy.

    Settings outside of the sections are `seed`, from which all random numbers derive (default: 0),
    and `task`: "generate", "detect", "both", "translate", or "auto" (default), which is "translate"
    with images of a new camera, else "both" with two or more classes, else "detect".

    Raises
    ------
    ValidationError
        pydantic's error if the constructor gets an invalid setting; the methods raise ConfigError.

    Examples
    --------
    >>> Config().override(["generator.width=64"]).generator.width
    64
    """

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    task: Task = "auto"
    data: DataSection = DataSection()
    gan: GanSection = GanSection()
    generator: GeneratorSection = GeneratorSection()
    discriminator: DiscriminatorSection = DiscriminatorSection()
    encoder: EncoderSection = EncoderSection()
    classifier: ClassifierSection = ClassifierSection()
    translation: TranslationSection = TranslationSection()
    evaluation: EvaluationSection = EvaluationSection()
    training: TrainingSection = TrainingSection()
    detect: DetectSection = DetectSection()
    augment: AugmentSection = AugmentSection()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build a configuration from nested dicts; missing settings keep their default.

        Parameters
        ----------
        values : dict
            Section -> setting -> value, as `to_dict` returns.

        Raises
        ------
        ConfigError
            A setting is unknown or invalid; the message names up to ten such settings.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(_format_errors(error)) from None

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a configuration from a YAML file; missing settings keep their default.

        Parameters
        ----------
        path : path-like
            A UTF-8 file with sections of settings; an empty file gives the defaults.

        Raises
        ------
        ConfigError
            The file cannot be read, is not valid YAML, or has an unknown or invalid setting.
        """
        try:
            values = _parse_yaml(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError(
                f"the configuration {path} cannot be read ({reason}); give a YAML file of settings"
            ) from None
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"the configuration {path} cannot be read as UTF-8 ({error}); save it as UTF-8"
            ) from None
        except yaml.YAMLError as error:
            message = " ".join(str(error).split())
            raise ConfigError(
                f"the configuration {path} is not valid YAML: {message[:_MAX_MESSAGE_LENGTH]}"
            ) from None
        if values is None:
            values = {}
        if not isinstance(values, dict):
            raise ConfigError(f"the configuration {path} must be a mapping of sections to settings")
        return cls.from_dict(values)

    def override(self, assignments: str | Sequence[str]) -> Self:
        """Return a copy with the assignments of the option `--set` applied in order.

        Parameters
        ----------
        assignments : str or sequence of str
            Texts such as "generator.width=64"; the value is parsed as YAML, so `null` is None.

        Raises
        ------
        ConfigError
            The assignments are no list of texts, an assignment has another form, or its setting is
            unknown or invalid.
        """
        texts = [assignments] if isinstance(assignments, str) else assignments
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            raise ConfigError(
                'the assignments must be a list of texts "section.key=value", but are '
                f"{assignments!r:.80}; give a list such as ['generator.width=64'], or use "
                "Config.replace(generator__width=64)"
            )
        values = self.to_dict()
        for assignment in texts:
            key, equals, text = assignment.partition("=")
            if not equals or not key.strip():
                raise ConfigError(f"'{assignment}' is not of the form section.key=value")
            try:
                value = _parse_yaml(text)
            except yaml.YAMLError:
                raise ConfigError(f"the value in '{assignment}' is not valid YAML") from None
            _assign(values, key.strip().split("."), value)
        return type(self).from_dict(values)

    def replace(self, **dotted: Any) -> Self:
        """Return a copy with some settings changed.

        Parameters
        ----------
        **dotted
            Values by section and setting, such as `generator__width=64` or `seed=1`.

        Raises
        ------
        ConfigError
            A setting is unknown or invalid.
        """
        values = self.to_dict()
        for key, value in dotted.items():
            _assign(values, key.split("__"), value)
        return type(self).from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Return all settings as nested JSON-able dicts; tuples become lists."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Return all settings as YAML text, in the order of their definition."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)


def validate_config(config: Any) -> Config:
    """Return the argument `config` of a public function; ConfigError if it is no `Config`."""
    if isinstance(config, Config):
        return config
    raise ConfigError(
        f"config must be an augan.Config, got {type(config).__name__}: convert a dict with "
        "Config.from_dict, or read a file with Config.from_yaml"
    )


def require_resolved(value: _T | None) -> _T:
    """Return a setting that is derived from the data, with a type without None.

    Raises
    ------
    ConfigError
        The setting is still None: `resolve_defaults` was not called.
    """
    if value is None:
        raise ConfigError(
            "a setting that is derived from the data is still None: resolve the configuration first"
        )
    return value


def _parse_yaml(text: str) -> Any:
    """Return the value of a YAML text, or None for an empty text.

    PyYAML also raises other errors, for example for a 13th month or thousands of brackets. Nested
    aliases can describe more values than fit into memory, so the values are counted first.

    Raises
    ------
    yaml.YAMLError
        The text is not valid YAML, or describes more than 10,000 values.
    """
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _has_too_many_values(node):
            raise yaml.YAMLError(f"its aliases describe more than {MAX_VALUES} values")
        return loader.construct_document(node)
    except yaml.YAMLError:
        raise
    except _PYYAML_ERRORS as error:
        raise yaml.YAMLError(f"a value cannot be read ({error})") from error
    finally:
        if loader is not None:
            loader.dispose()


def _has_too_many_values(node: yaml.Node) -> bool:
    """Whether a YAML node has more than 10,000 values, each alias counted with its values."""
    nodes: list[Any] = [node]
    for _ in range(MAX_VALUES):
        if not nodes:
            return False
        children = getattr(nodes.pop(), "value", "")
        if isinstance(children, list):  # pairs of nodes in a mapping
            nodes += [
                child
                for item in children
                for child in (item if isinstance(item, tuple) else (item,))
            ]
    return True


def _assign(values: dict[str, Any], keys: list[str], value: Any) -> None:
    """Set the value at a path of keys in nested dicts; missing dicts on the path are created."""
    for key in keys[:-1]:
        section = values.setdefault(key, {})
        if not isinstance(section, dict):
            raise ConfigError(f"'{key}' is a setting, not a section, in '{'.'.join(keys)}'")
        values = section
    values[keys[-1]] = value


def _setting_names() -> list[str]:
    """Return the dotted names of all settings, such as "gan.loss"."""
    keys = []
    for name, field in Config.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            keys += [f"{name}.{key}" for key in section.model_fields]
        else:
            keys.append(name)
    return keys


def _format_errors(error: ValidationError) -> str:
    """Return a message with one sentence per pydantic error, with similar names of settings."""
    problems = []
    for item in error.errors(include_url=False):
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            names = [*_setting_names(), *Config.model_fields]
            similar = difflib.get_close_matches(where[:_MAX_NAME_LENGTH], names, 1, 0.4)
            hint = f"; did you mean '{similar[0]}'?" if similar else ""
            problems.append(f"there is no setting '{where[:_MAX_NAME_LENGTH]}'{hint}")
        else:
            problems.append(f"{where}: {item['msg'].lower()}, got {_short.repr(item['input'])}")
    more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
    return "; ".join(dict.fromkeys(problems[:MAX_PROBLEMS])) + more
