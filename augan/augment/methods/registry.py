"""Registry of the augmentation methods by their names on the command line.

A file of this package declares a method, and registers a function or class that builds the method:
`(Sampler, TrainingReference or None) -> CandidateGenerator`. Names and descriptions are
known without importing these files.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from augan.checks import check_choice
from augan.exceptions import ConfigError
from augan.registry import Registry

AUTO = "auto"  # the first method that suits the bundle
PRIOR_SAMPLING = "sample"  # the method that needs no classes, which `augan generate` uses


@dataclass(frozen=True)
class AugmentationMethod:
    """Declaration of an augmentation method.

    Attributes
    ----------
    name : str
        Name on the command line, in the manifest and in reports.
    description : str
        Phrase that says what the samples are, such as "generated from random noise".
    sample_types : tuple of {"image", "row"}
        Samples that the method generates.
    required_parts : tuple of str
        Parts that the bundle needs besides a generator with classes, such as "latents"; see
        `Bundle.has`.
    needs_generator : bool
        Whether the method needs a generator with classes. False: it translates images of the old
        camera to the look of a new camera.
    min_class_size : int
        Smallest number of training samples of a class.
    uses_training_data : bool
        Whether the training data is loaded for the method. The data may no longer exist.
    requires_training_data : bool
        Whether the method cannot work without the data.
    fallback : mapping of str to str
        Type of sample -> clause that says what the method does if the training data is missing, for
        a warning. Types without an entry give no warning.
    training_stage : {"gan", "autoencoder", "translation"}
        Stage that trains a bundle for the method in `GANOverSampler`. The autoencoder also gives
        latent codes.
    rank : int
        Place in lists, and in the order in which "auto" tries the methods: the smallest is first.
    """

    name: str
    description: str
    sample_types: tuple[str, ...] = ("image", "row")
    required_parts: tuple[str, ...] = ()
    needs_generator: bool = True
    min_class_size: int = 0
    uses_training_data: bool = False
    requires_training_data: bool = False
    fallback: Mapping[str, str] = field(default_factory=dict)
    training_stage: str = "gan"
    rank: int = 100

    def suits(self, sample_type: str, has_part: Callable[[str], bool]) -> bool:
        """Return whether the method generates a type of sample, with the parts of a bundle."""
        parts = (*(["classes"] if self.needs_generator else []), *self.required_parts)
        return sample_type in self.sample_types and all(map(has_part, parts))


AUGMENTATION_METHODS: Registry[AugmentationMethod, Callable[..., Any]] = Registry(
    "augmentation method", AugmentationMethod, "augan.augment.methods"
)


def method_names() -> tuple[str, ...]:
    """Return the names of all methods, ordered by rank."""
    ordered = sorted(AUGMENTATION_METHODS, key=lambda method: method.rank)
    return tuple(method.name for method in ordered)


def generator_method_names() -> tuple[str, ...]:
    """Return the names of the methods that learn from one data set, ordered by rank."""
    return tuple(n for n in method_names() if AUGMENTATION_METHODS.get(n).needs_generator)


def check_method(name: str) -> None:
    """Raise ConfigError unless a name is "auto" or the name of a method."""
    check_choice("method", name, (AUTO, *method_names()))


def resolve_method(
    name: str, sample_type: str, has_part: Callable[[str], bool]
) -> AugmentationMethod:
    """Return the declaration of a method; "auto" is the first method that suits the bundle.

    If no method suits the bundle, "auto" is the first method, whose missing parts can be named.

    Parameters
    ----------
    name : str
        Name of a method, or "auto".
    sample_type : {"image", "row"}
        Samples of the bundle.
    has_part : callable
        Function that returns whether the bundle has a part: `Bundle.has`.

    Raises
    ------
    ConfigError
        There is no such method, or the method does not generate this type of sample.
    """
    check_method(name)
    if name == AUTO:
        declared = [AUGMENTATION_METHODS.get(method) for method in method_names()]
        suitable = (method for method in declared if method.suits(sample_type, has_part))
        return next(suitable, declared[0])
    method = AUGMENTATION_METHODS.get(name)
    if sample_type not in method.sample_types:
        raise ConfigError(
            f"the method {name} generates {' and '.join(method.sample_types)}s only, but the "
            f"samples of this bundle are {sample_type}s; choose another `method`"
        )
    return method
