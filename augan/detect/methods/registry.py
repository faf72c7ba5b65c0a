"""Detection methods by modality, from the declarations in `augan.choices.DETECTION_METHODS`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from augan.choices import DETECTION_METHODS, DetectionMethod
from augan.data.modalities.base import Preprocessing
from augan.exceptions import ConfigError

if TYPE_CHECKING:
    from augan.detect.methods.base import TensorScorer
    from augan.gan import keras


def supported_methods(modality: str) -> dict[str, DetectionMethod]:
    """Return the detection methods for a modality: name -> declaration, in the registry's order.

    `modality` is "images", "rows" or "tiles".
    """
    return {method.name: method for method in DETECTION_METHODS if modality in method.modalities}


def get_method(name: str, preprocessing: Preprocessing) -> DetectionMethod:
    """Return the declaration of a detection method for samples with this preprocessing.

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


def build_scorer(
    name: str, preprocessing: Preprocessing, models: "Mapping[str, keras.Model]"
) -> "TensorScorer":
    """Build a detection method, not yet fitted, which loads TensorFlow.

    Parameters
    ----------
    name : str
        A key of `DETECTION_METHODS`.
    preprocessing : Preprocessing
        Preprocessing of the samples; it chooses the class of a method that has several.
    models : mapping of str to keras.Model
        Trained networks by role.

    Raises
    ------
    ConfigError
        If no method of this name scores the modality of the samples.
    """
    get_method(name, preprocessing)
    implementation = DETECTION_METHODS.load(name)
    if isinstance(implementation, Mapping):
        implementation = implementation[preprocessing.modality]
    scorer: TensorScorer = implementation(models)
    scorer.name = name
    return scorer
