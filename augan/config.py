"""Settings of a run: typed sections, YAML in and out, dotted overrides, unknown keys refused.

`None` always means "decide from the data", which `augan.training.defaults.resolve_defaults` does;
what it chose is printed, saved in the run folder as `config.yaml`, and carried by the bundle.
"""

import difflib
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from augan.exceptions import ConfigError

Rate = Annotated[float, Field(gt=0, lt=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
MOST_VALUES = 10_000  # of a configuration
MOST_PROBLEMS = 10  # that a message names
LONGEST_NAME = 100  # characters
MESSAGE = 300  # characters of what others say
_T = TypeVar("_T")
# What PyYAML lets out on values that are not what their tag says.
_ESCAPING = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
Task = Literal["auto", "generate", "detect", "both"]
NegativeAugmentation = Literal[
    "cut_paste",
    "jigsaw",
    "perlin",
    "scar",
    "crack",
    "scratch",
    "spots",
    "soft_blob",
    "blob",
    "noise_patch",
    "blur_patch",
    "texture_patch",
    "edge_wear",
]
Method = Literal["auto", "features", "fanogan", "anogan"]
Transform = Literal[
    "none", "shift", "flip", "shift-flip", "shift-flip-light", "strong", "strong-flip"
]


class Section(BaseModel):
    """A frozen group of settings."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


class DataSection(Section):
    size: Literal[8, 16, 32, 64, 128] | None = None  # height and width of the network input, pixels
    # Whether large images keep their scale and are cut into tiles of that size.
    tiling: bool | None = None


class GanSection(Section):
    # None: dcgan for images, mlp for the rows of a table
    architecture: Literal["mlp", "dcgan", "dcgan-upsampling"] | None = None
    loss: Literal["minimax", "nonsaturating", "least_squares", "hinge", "wasserstein"] | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0  # real images count as 1 - this
    label_noise: Annotated[float, Field(ge=0, lt=0.5)] = 0.0  # share of labels that are swapped
    # Regularizer of the discriminator; None: r1 for tables, else none
    regularizer: Literal["none", "r1", "wgan_gp"] | None = None
    regularizer_weight: Annotated[float, Field(gt=0)] | None = None  # None: as in its paper
    # Discriminator updates between two applications; None: as in its paper, or 1 for tables
    regularizer_interval: Count | None = None
    unrolled_steps: Annotated[int, Field(ge=0, le=10)] = 0
    unrolled_learning_rate: Annotated[float, Field(gt=0)] = 0.05  # of the unrolled steps (SGD)
    latent_dim: Count | None = None  # None: 64, of narrow tables fewer
    latent_prior: Literal["normal", "uniform"] = "normal"
    diffaug: tuple[Literal["translation", "color", "cutout"], ...] | None = None
    # Corrupted real images that the discriminator learns to reject (Sinha et al. 2021).
    negative_augmentations: tuple[NegativeAugmentation, ...] | None = None
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
        """Whether the discriminator loss contains a gradient penalty."""
        return self.regularizer not in (None, "none")


class GeneratorSection(Section):
    width: Count = 32  # channels of the last hidden block
    conditioning: Literal["norm", "embedding"] = "norm"  # how the class enters
    steps: Annotated[int, Field(ge=1, le=10)] = 1  # updates in one step of training
    learning_rate: Annotated[float, Field(gt=0)] | None = None


class DiscriminatorSection(Section):
    width: Count = 32  # channels of the first block
    norm: Literal["none", "batch", "layer", "spectral"] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_clip: Annotated[float, Field(gt=0)] | None = None  # weights stay within +- this
    steps: Annotated[int, Field(ge=1, le=10)] = 1  # n_critic: updates in one step of training
    learning_rate: Annotated[float, Field(gt=0)] | None = None


class EncoderSection(Section):
    width: Count = 32
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    feature_weight: Annotated[float, Field(ge=0)] = 1.0  # k of f-AnoGAN's izi_f loss


class ClassifierSection(Section):
    width: Count = 32
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3


class EvaluationSection(Section):
    enabled: bool = True  # compute GAN metrics during training and keep the best weights
    interval: Count | None = None  # steps between evaluations


class TrainingSection(Section):
    steps: Count | None = None  # updates of the GAN; the other parts follow in proportion
    max_minutes: Annotated[float, Field(gt=0)] | None = None  # of everything the command does
    batch_size: Annotated[int, Field(ge=2)] = 64
    sample_interval: Count = 500  # steps between two image grids in samples/
    # In which the GAN computes; weights, losses and everything that scores stay float32.
    dtype: Literal["float32", "bfloat16"] = "float32"
    store_latents: bool = True  # whether the bundle carries the latent codes of the training images


class DetectSection(Section):
    method: Method = "auto"
    methods: tuple[Method, ...] = ()  # more that the bundle carries, for `detect --method`
    # Suspected share of dirty training images, which are set aside; then nothing is guaranteed.
    trim_fraction: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    far: Rate | None = None  # false-alarm rate; None: 0.05, or the smallest one supported
    cross_conformal: bool = (
        False  # whether five folds calibrate each other, so that all images do both
    )


class AugmentSection(Section):
    # Classic augmentation of what `augan augment` writes, a key of
    # `augan.augment.transforms.TRANSFORMS`
    transform: Transform = "none"


class Config(Section):
    """All settings of a run.

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
    evaluation: EvaluationSection = EvaluationSection()
    training: TrainingSection = TrainingSection()
    detect: DetectSection = DetectSection()
    augment: AugmentSection = AugmentSection()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Check nested `values` and return the settings; ConfigError names what is wrong."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(_explain(error)) from None

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read settings from a YAML file; what it leaves out keeps its default."""
        try:
            values = _parsed(Path(path).read_text(encoding="utf-8"))
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
                f"the configuration {path} is not valid YAML: {message[:MESSAGE]}"
            ) from None
        if values is None:
            values = {}
        if not isinstance(values, dict):
            raise ConfigError(f"the configuration {path} must be a mapping of sections to settings")
        return cls.from_dict(values)

    def override(self, assignments: Sequence[str]) -> Self:
        """Return a copy with `section.key=value` assignments applied; values are read as YAML."""
        values = self.to_dict()
        for assignment in [assignments] if isinstance(assignments, str) else assignments:
            key, equals, text = assignment.partition("=")
            if not equals or not key.strip():
                raise ConfigError(f"'{assignment}' is not of the form section.key=value")
            try:
                value = _parsed(text)
            except yaml.YAMLError:
                raise ConfigError(f"the value in '{assignment}' is not valid YAML") from None
            _assign(values, key.strip().split("."), value)
        return type(self).from_dict(values)

    def replace(self, **dotted: Any) -> Self:
        """Return a copy with `section__key=value` replaced, for callers in Python."""
        values = self.to_dict()
        for key, value in dotted.items():
            _assign(values, key.split("__"), value)
        return type(self).from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Return nested, JSON-able settings."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Return the settings as YAML, in the order of this file."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)


def validate_config(given: Any) -> Config:
    """Return settings as they came; ConfigError if they are something else, such as a dict."""
    if isinstance(given, Config):
        return given
    raise ConfigError(
        f"config is a {type(given).__name__}, an augan.Config is needed; Config.from_dict takes a "
        "dict, Config.from_yaml a file"
    )


def require_resolved(value: _T | None) -> _T:
    """Return a setting that is left to the data, once it has been filled in."""
    if value is None:
        raise ConfigError("a setting is still None: the configuration was not resolved with data")
    return value


def _parsed(text: str) -> Any:
    """Return what YAML says, or raise YAMLError.

    PyYAML lets other errors out: of a 13th month, of digits or brackets without end. And a few
    lines of aliases of aliases stand for more values than memory holds.
    """
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _is_endless(node):
            raise yaml.YAMLError(f"its aliases stand for more than {MOST_VALUES} values")
        return loader.construct_document(node)
    except yaml.YAMLError:
        raise
    except _ESCAPING as error:
        raise yaml.YAMLError(f"a value cannot be read ({error})") from error
    finally:
        if loader is not None:
            loader.dispose()


def _is_endless(node: yaml.Node) -> bool:
    waiting: list[Any] = [node]
    for _ in range(MOST_VALUES):
        if not waiting:
            return False
        inner = getattr(waiting.pop(), "value", "")
        if isinstance(inner, list):  # of nodes, of a mapping in pairs
            waiting += [
                one for item in inner for one in (item if isinstance(item, tuple) else (item,))
            ]
    return True


def _assign(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        section = values.setdefault(key, {})
        if not isinstance(section, dict):
            raise ConfigError(f"'{key}' is a setting, not a section, in '{'.'.join(keys)}'")
        values = section
    values[keys[-1]] = value


def _known_keys() -> list[str]:
    keys = []
    for name, field in Config.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            keys += [f"{name}.{key}" for key in section.model_fields]
        else:
            keys.append(name)
    return keys


def _explain(error: ValidationError) -> str:
    """Turn pydantic's list into one sentence for each problem, with the nearest known name."""
    problems = []
    for item in error.errors(include_url=False):
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            known = [*_known_keys(), *Config.model_fields]
            near = difflib.get_close_matches(where[:LONGEST_NAME], known, 1, 0.4)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            problems.append(f"there is no setting '{where[:LONGEST_NAME]}'{hint}")
        else:
            problems.append(f"{where}: {item['msg'].lower()}, got {_short.repr(item['input'])}")
    more = f"; and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
    return "; ".join(dict.fromkeys(problems[:MOST_PROBLEMS])) + more
