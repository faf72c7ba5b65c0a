"""Toolkit that trains GANs on your own data, generates labeled samples and detects anomalies.

Public names are imported on first use, so that `import augan` does not load TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_MODULES = {
    "AuganError": "augan.exceptions",
    "AugmentRequest": "augan.augment.request",
    "Config": "augan.config",
    "load_dataset": "augan.data.loading",
    "from_arrays": "augan.data.dataset",
    "load_bundle": "augan.bundle",
    "save_bundle": "augan.bundle",
    "train": "augan.workflow.train",
    "augment_folder": "augan.augment.api",
    "generate_folder": "augan.augment.api",
    "detect_folder": "augan.detect.api",
    "DetectionRequest": "augan.detect.request",
    "Prediction": "augan.detect.prediction",
    "Predictor": "augan.detect.predictor",
    "load_detector": "augan.detect.predictor",
    "recalibrate": "augan.detect.recalibration",
    "export_onnx": "augan.export.api",
    "evaluate_detection": "augan.evaluation.detection.api",
    "evaluate_augmentation": "augan.evaluation.augmentation.api",
    "EvaluationProtocol": "augan.evaluation.augmentation.protocol",
    "evaluate_translation": "augan.evaluation.translation.api",
    "TranslationProtocol": "augan.evaluation.translation.protocol",
    "GANDetector": "augan.detect.estimator",
    "GANOverSampler": "augan.augment.oversampler",
    "get_transform": "augan.augment.transforms",
    "TranslationRequest": "augan.translate.request",
    "Translator": "augan.translate.translator",
    "load_translator": "augan.translate.translator",
    "translate_folder": "augan.translate.api",
}

__all__ = [
    "AuganError",
    "AugmentRequest",
    "Config",
    "DetectionRequest",
    "EvaluationProtocol",
    "GANDetector",
    "GANOverSampler",
    "Prediction",
    "Predictor",
    "TranslationProtocol",
    "TranslationRequest",
    "Translator",
    "augment_folder",
    "detect_folder",
    "evaluate_augmentation",
    "evaluate_detection",
    "evaluate_translation",
    "export_onnx",
    "from_arrays",
    "generate_folder",
    "get_transform",
    "load_bundle",
    "load_dataset",
    "load_detector",
    "load_translator",
    "recalibrate",
    "save_bundle",
    "train",
    "translate_folder",
]

if TYPE_CHECKING:
    from augan.augment.api import augment_folder, generate_folder
    from augan.augment.oversampler import GANOverSampler
    from augan.augment.request import AugmentRequest
    from augan.augment.transforms import get_transform
    from augan.bundle import load_bundle, save_bundle
    from augan.config import Config
    from augan.data.dataset import from_arrays
    from augan.data.loading import load_dataset
    from augan.detect.api import detect_folder
    from augan.detect.estimator import GANDetector
    from augan.detect.prediction import Prediction
    from augan.detect.predictor import Predictor, load_detector
    from augan.detect.recalibration import recalibrate
    from augan.detect.request import DetectionRequest
    from augan.evaluation.augmentation.api import evaluate_augmentation
    from augan.evaluation.augmentation.protocol import EvaluationProtocol
    from augan.evaluation.detection.api import evaluate_detection
    from augan.evaluation.translation.api import evaluate_translation
    from augan.evaluation.translation.protocol import TranslationProtocol
    from augan.exceptions import AuganError
    from augan.export.api import export_onnx
    from augan.translate.api import translate_folder
    from augan.translate.request import TranslationRequest
    from augan.translate.translator import Translator, load_translator
    from augan.workflow.train import train


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'augan' has no attribute '{name}'")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
