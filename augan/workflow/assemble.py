"""Assembly of a bundle from trained networks, fitted detectors and metrics."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from augan.bundle import Bundle, DatasetInfo, Network, TrainingMetrics
from augan.data.splits import Split
from augan.detect.detector import add_detectors, configured_methods, fold_network
from augan.detect.fitting import fit_folds
from augan.detect.methods.registry import get_method_spec
from augan.gan.inference import BatchInference
from augan.training.folds import Fold
from augan.training.stages.encoder import encode
from augan.training.trainer import TrainedNetworks
from augan.workflow.prepare import PreparedData


def assemble_bundle(
    data: PreparedData,
    description: DatasetInfo,
    folds: Sequence[Fold],
    trained: Sequence[TrainedNetworks],
) -> Bundle:
    """Fit the detectors of a training and return the complete bundle, not yet saved.

    Parameters
    ----------
    data : PreparedData
        Samples, split and settings of the training.
    description : DatasetInfo
        `PreparedData.describe()`, which hashes the data.
    folds : sequence of Fold
        Folds of a cross-conformal training, or the single fold of a plain training.
    trained : sequence of TrainedNetworks
        The networks of each fold.
    """
    if data.folds:
        return _assemble_folds(data, description, folds, trained)
    networks = trained[0]
    bundle = Bundle(
        config=data.config.to_dict(),
        data=description,
        preprocessing=data.preprocessing.to_dict(),
        networks=networks.for_bundle(),
        tables={"split": _split_table(data.split)},
        metrics={
            "warnings": data.warnings + ([networks.failure.message] if networks.failure else []),
            **_training_metrics(networks),
        },
    )
    if networks.pseudo_labels:
        bundle.metrics["pseudo_labels"] = networks.pseudo_labels
    if "encoder" in networks.models and data.config.training.store_latents:
        bundle.tables["latents"] = _latents(data, networks)
    if "classifier" in networks.models:
        bundle.metrics["classifier"] = _classifier_accuracy(data, networks)
    if data.config.task != "generate":
        _add_detectors(bundle, data, [networks])
    return bundle


def _assemble_folds(
    data: PreparedData,
    description: DatasetInfo,
    folds: Sequence[Fold],
    trained: Sequence[TrainedNetworks],
) -> Bundle:
    """Return the bundle of a cross-conformal training, with one detector for each fold.

    The bundle holds only the networks that a configured detection method uses.
    """
    fold_of_sample = np.empty(len(data.dataset), np.int64)
    for fold, split in zip(folds, data.folds):
        fold_of_sample[split.calibration] = fold.number
    failures = [
        f"{fold.title}: {networks.failure.message}"
        for fold, networks in zip(folds, trained)
        if networks.failure
    ]
    bundle = Bundle(
        config=data.config.to_dict(),
        data=description,
        preprocessing=data.preprocessing.to_dict(),
        networks=_networks_for_detector(data, folds, trained),
        tables={"split": {**_split_table(data.split), "fold": fold_of_sample}},
        metrics={
            "warnings": data.warnings + failures,
            "folds": [_training_metrics(networks) for networks in trained],
        },
    )
    _add_detectors(bundle, data, trained)
    return bundle


def _split_table(split: Split) -> dict[str, np.ndarray]:
    """Return the sample indices of each split, in the form that a bundle stores."""
    return {"train": split.train, "val": split.val, "calibration": split.calibration}


def _networks_for_detector(
    data: PreparedData, folds: Sequence[Fold], trained: Sequence[TrainedNetworks]
) -> dict[str, Network]:
    """Return the networks of all folds that a configured detection method uses, by name.

    The name of a network holds its role and the number of its fold.
    """
    methods = configured_methods(data.config.detect)
    specs = [get_method_spec(method, data.preprocessing) for method in methods]
    used = {role for spec in specs for role in (*spec.required_networks, *spec.optional_networks)}
    return {
        fold_network(role, fold.number): network
        for fold, networks in zip(folds, trained)
        for role, network in networks.for_bundle().items()
        if role in used
    }


def _training_metrics(networks: TrainedNetworks) -> TrainingMetrics:
    """Return the steps, failure, fidelity and evaluations of a training, JSON-able."""
    return {
        "steps": networks.steps,
        "failure": networks.failure.to_dict() if networks.failure else None,
        "fidelity": networks.fidelity,
        "gan_metrics": [metrics.to_dict() for metrics in networks.gan_metrics],
    }


def _latents(data: PreparedData, networks: TrainedNetworks) -> dict[str, np.ndarray]:
    """Return the latent codes of the training split, for augmentation around real images.

    The arrays are those of `augan.training.stages.encoder.encode`; with classes also `labels`.
    """
    indices, normalize = data.split.train, data.preprocessing.normalize
    latents = encode(networks.models["encoder"], data.pixels, indices, normalize)
    if "class_probabilities" in latents:
        latents["labels"] = np.asarray(data.dataset.labels)[indices]
    return latents


def _classifier_accuracy(data: PreparedData, networks: TrainedNetworks) -> dict[str, Any]:
    """Return the classifier's accuracy on the validation split, JSON-able.

    The keys are `accuracy`, `n` (number of samples) and `split`.
    """
    classify = BatchInference.from_model(networks.models["classifier"])
    indices = data.split.val
    (logits,) = classify(data.preprocessing.normalize(data.pixels[indices]))
    is_right = logits.argmax(axis=1) == np.asarray(data.dataset.labels)[indices]
    return {"accuracy": float(is_right.mean()), "n": len(indices), "split": "val"}


def _add_detectors(bundle: Bundle, data: PreparedData, trained: Sequence[TrainedNetworks]) -> None:
    """Fit and calibrate every configured detection method, and add the detectors to the bundle."""
    settings = data.config.detect
    detectors = [
        fit_folds(
            method,
            [networks.models for networks in trained],
            data.preprocessing,
            data.samples,
            data.folds or (data.split,),
            groups=data.dataset.groups,
            trim_fraction=settings.trim_fraction,
        )
        for method in configured_methods(settings)
    ]
    add_detectors(bundle, detectors, settings.trim_fraction)
