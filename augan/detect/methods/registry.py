"""Registry of the detection methods and of their requirements.

The registry holds the properties that are needed before a method is built, so that a command checks
its options without loading TensorFlow. A new method is one module and one entry here.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from augan.data.modalities.base import Preprocessing
from augan.exceptions import ConfigError

if TYPE_CHECKING:
    from augan.detect.methods.base import DetectionMethod


@dataclass(frozen=True)
class MethodSpec:
    """Entry of the registry: properties of a detection method that are known without TensorFlow.

    Attributes
    ----------
    name : str
        Value of `detect.method` and of `--method`. Two entries may share a name if their modalities
        differ.
    location : str
        Module and class, `"package.module:Class"`.
    modalities : tuple of {"images", "rows", "tiles"}
        Modalities that the method scores: images of a fixed size, rows of a table, large images in
        tiles.
    required_networks : tuple of str
        Roles of the networks that the method is built on.
    optional_networks : tuple of str
        Roles of networks that the method also uses if they were trained.
    is_iterative : bool
        Whether scoring a sample takes hundreds of optimization steps; such methods cannot be
        exported.
    """

    name: str
    location: str
    modalities: tuple[str, ...]
    required_networks: tuple[str, ...]
    optional_networks: tuple[str, ...] = ()
    is_iterative: bool = False

    def load_class(self) -> "type[DetectionMethod]":
        """Import and return the class of the method, which loads TensorFlow."""
        module, _, name = self.location.partition(":")
        loaded: type[DetectionMethod] = getattr(import_module(module), name)
        return loaded


METHOD_SPECS: tuple[MethodSpec, ...] = (
    MethodSpec(
        "auto",
        "augan.detect.methods.auto:Auto",
        ("images", "rows"),
        ("discriminator",),
        optional_networks=("transformation_head",),
    ),
    MethodSpec(
        "features",
        "augan.detect.methods.features:DiscriminatorFeatures",
        ("images", "rows"),
        ("discriminator",),
        optional_networks=("transformation_head",),
    ),
    MethodSpec(
        "fanogan",
        "augan.detect.methods.fanogan:FAnoGAN",
        ("images", "rows"),
        ("generator", "discriminator", "encoder"),
    ),
    MethodSpec(
        "anogan",
        "augan.detect.methods.anogan:AnoGAN",
        ("images", "rows"),
        ("generator", "discriminator"),
        is_iterative=True,
    ),
    # Methods of large images: `RaggedImages` in, `RaggedImages` of maps out.
    MethodSpec(
        "auto",
        "augan.detect.methods.tiles:PatchAuto",
        ("tiles",),
        ("discriminator",),
        optional_networks=("localization_head",),
    ),
    MethodSpec(
        "features",
        "augan.detect.methods.tiles:PatchFeatures",
        ("tiles",),
        ("discriminator",),
        optional_networks=("localization_head",),
    ),
)


def supported_methods(modality: str) -> dict[str, MethodSpec]:
    """Return the detection methods for a modality: name -> spec, in the order of the registry.

    `modality` is "images", "rows" or "tiles".
    """
    return {spec.name: spec for spec in METHOD_SPECS if modality in spec.modalities}


DETECTION_METHODS = supported_methods("images")


def get_method_spec(name: str, preprocessing: Preprocessing) -> MethodSpec:
    """Return the registry entry of a detection method for samples with this preprocessing.

    Raises
    ------
    ConfigError
        If no method of this name scores the modality of the samples.
    """
    supported = supported_methods(preprocessing.modality)
    if name not in supported:
        hint = ", or train with --set data.tiling=false" if name in DETECTION_METHODS else ""
        raise ConfigError(
            f"the method '{name}' does not score {preprocessing.modality}; choose one of "
            f"{', '.join(supported)}{hint}"
        )
    return supported[name]
