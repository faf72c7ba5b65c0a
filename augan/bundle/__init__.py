"""Bundle: one inspectable file with the result of a training.

`bundle.augan` is a zip of JSON, safetensors and npz members. None of them can contain code: there
is not a pickle, and Keras deserializes nothing. `augan.gan` builds each network from its spec, and
`assign_weights` compares names and shapes before it sets a value.

The modules, from the file to the values:

- `archive`: the zip, read as untrusted input.
- `io`: saving, loading and inspection of files; the manifest with sizes and hashes.
- `members`: the members of the file, as parts of a bundle.
- `serialization`: JSON, npz and safetensors, decoded strictly.
- `section`: the base class of the sections, and their parts for JSON and arrays.
- `sections`, `metrics`: the typed sections, and all validation of their values.
- `bundle`: the bundle, which checks that the sections fit each other.
- `weights`, `reference`: networks of a bundle; a bundle in another process.

`docs/reference/bundle-format.md` describes the members, the sections and the policy on format
versions.
"""

from augan.bundle.bundle import Bundle, bundle_errors, current_versions
from augan.bundle.io import as_bundle, inspect_bundle, load_bundle, parse_bundle, save_bundle
from augan.bundle.metrics import (
    BundleMetrics,
    ClassifierAccuracy,
    ClassTranslation,
    FidelityMetrics,
    GanMetrics,
    GeneratorFidelity,
    PseudoLabelCounts,
    TrainingFailure,
    TrainingMetrics,
    TranslationMetrics,
)
from augan.bundle.sections import (
    CalibrationSamples,
    CalibrationScores,
    DatasetInfo,
    DetectorSection,
    FittedMethod,
    Latents,
    Network,
    NetworkSpec,
    Splits,
    TranslationSection,
)
from augan.bundle.weights import assign_weights, read_weights, restore_network

__all__ = [
    "Bundle",
    "BundleMetrics",
    "CalibrationSamples",
    "CalibrationScores",
    "ClassTranslation",
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
    "TranslationMetrics",
    "TranslationSection",
    "as_bundle",
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
