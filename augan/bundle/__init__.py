"""Bundle: one inspectable file with the result of a training.

`bundle.augan` is a zip of JSON, safetensors and npz members. None of them can contain code: there
is not a pickle, and Keras deserializes nothing. `augan.gan` builds each network from its spec, and
`assign_weights` compares names and shapes before it sets a value.

Layout of format version 2
--------------------------
- `manifest.json`: format, format version, versions of the packages that wrote it, time of
  writing, and size and SHA-256 of every other member.
- `config.json`, `data.json`, `preprocessing.json`, `metrics.json`: always present.
- `detector.json`: present if a detector was fitted.
- `networks/<name>.json` and `networks/<name>.safetensors`: one pair for each network.
- `tables/<name>.npz`: named groups of numeric arrays.

A SHA-256 shows that a file is complete. It does not show who made the file.

Policy on format versions
-------------------------
augan writes and reads one version, `FORMAT_VERSION`; a bundle of another version is refused with a
message that says what to do. A new network, a new table or a new key in a JSON member keeps the
version: earlier readers ignore the addition. The version rises when a new kind of member appears
(earlier readers refuse unknown member names) or when a key gets another name or meaning.
"""

from augan.bundle.bundle import Bundle, bundle_errors, current_versions
from augan.bundle.io import inspect_bundle, load_bundle, parse_bundle, save_bundle
from augan.bundle.sections import (
    BundleMetrics,
    CalibrationSamples,
    CalibrationScores,
    ClassifierAccuracy,
    DatasetInfo,
    DetectorSection,
    FidelityMetrics,
    FittedMethod,
    GanMetrics,
    GeneratorFidelity,
    Latents,
    Network,
    NetworkSpec,
    PseudoLabelCounts,
    Splits,
    TrainingFailure,
    TrainingMetrics,
)
from augan.bundle.weights import assign_weights, read_weights, restore_network

__all__ = [
    "Bundle",
    "BundleMetrics",
    "CalibrationSamples",
    "CalibrationScores",
    "ClassifierAccuracy",
    "DatasetInfo",
    "DetectorSection",
    "FidelityMetrics",
    "FittedMethod",
    "GanMetrics",
    "GeneratorFidelity",
    "Latents",
    "Network",
    "NetworkSpec",
    "PseudoLabelCounts",
    "Splits",
    "TrainingFailure",
    "TrainingMetrics",
    "assign_weights",
    "bundle_errors",
    "current_versions",
    "inspect_bundle",
    "load_bundle",
    "parse_bundle",
    "read_weights",
    "restore_network",
    "save_bundle",
]
