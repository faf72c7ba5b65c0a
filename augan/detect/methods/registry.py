"""Registry of detection methods."""

from augan.data.modalities.registry import AnyPreprocessing
from augan.detect.methods.anogan import AnoGAN
from augan.detect.methods.auto import Auto
from augan.detect.methods.base import DetectionMethod
from augan.detect.methods.fanogan import FAnoGAN
from augan.detect.methods.features import DiscriminatorFeatures
from augan.detect.methods.tiles import PatchAuto, PatchFeatures
from augan.exceptions import ConfigError

METHOD_CLASSES: tuple[type[DetectionMethod], ...] = (
    *(Auto, DiscriminatorFeatures, FAnoGAN, AnoGAN),
    *(PatchAuto, PatchFeatures),  # of large images
)


def supported_methods(modality: str) -> dict[str, type[DetectionMethod]]:
    """Return name -> class of the methods for a modality.

    The modalities are "images", "rows" and "tiles".
    """
    return {method.name: method for method in METHOD_CLASSES if modality in method.modalities}


METHODS = supported_methods("images")


def get_method_class(name: str, preprocessing: AnyPreprocessing) -> type[DetectionMethod]:
    """Return the class of a method for this preprocessing; ConfigError if there is none."""
    supported = supported_methods(preprocessing.modality)
    if name not in supported:
        hint = ", or train with --set data.tiling=false" if name in METHODS else ""
        raise ConfigError(
            f"the method '{name}' does not score {preprocessing.modality}; choose one of "
            f"{', '.join(supported)}{hint}"
        )
    return supported[name]
