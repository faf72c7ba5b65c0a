"""Assembly of a bundle from trained networks, fitted detectors and metrics."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from augan.augment.filters.acceptance import generator_warnings
from augan.bundle import (
    Bundle,
    BundleMetrics,
    ClassifierAccuracy,
    DetectorSection,
    Latents,
    Network,
    Splits,
    TrainingMetrics,
)
from augan.detect.detector import configured_methods, detector_section, fold_network
from augan.detect.fitting import fit_folds
from augan.detect.methods.registry import get_method
from augan.gan.inference import BatchInference
from augan.training.folds import Fold
from augan.training.stages.encoder import encode
from augan.training.trainer import TrainedNetworks
from augan.workflow.prepare import PreparedData, has_detector
from augan.workflow.translation import CheckedTranslation


def assemble_bundle(
    data: PreparedData,
    folds: Sequence[Fold],
    trained: Sequence[TrainedNetworks],
    translation: CheckedTranslation | None = None,
) -> Bundle:
    """Fit the detectors of a training and return the complete bundle, not yet saved.

    Parameters
    ----------
    data : PreparedData
        Samples, split and settings of the training.
    folds : sequence of Fold
        Folds of a cross-conformal training, or the single fold of a plain training.
    trained : sequence of TrainedNetworks
        The networks of each fold.
    translation : CheckedTranslation or None
        Result of `check_translation`; None (default): no translation was trained.
    """
    if data.folds:
        return _assemble_folds(data, folds, trained)
    networks, training = trained[0], _training_metrics(trained[0])
    bundle = Bundle(
        config=data.config,
        data=data.description,
        preprocessing=data.preprocessing,
        networks=networks.for_bundle(),
        splits=Splits(data.split.train, data.split.val, data.split.calibration),
        latents=_latents(data, networks),
        detector=_fit_detectors(data, [networks]),
        translation=translation.section if translation else None,
        metrics=BundleMetrics(
            steps=training.steps,
            failure=training.failure,
            fidelity=training.fidelity,
            gan_metrics=training.gan_metrics,
            classifier=_classifier_accuracy(data, networks),
            pseudo_labels=networks.pseudo_labels,
            warnings=(
                *data.warnings,
                *([networks.failure.message] if networks.failure else []),
                *(translation.warnings if translation else []),
            ),
        ),
    )
    more = generator_warnings(bundle)
    metrics = replace(bundle.metrics, warnings=(*bundle.metrics.warnings, *more))
    return replace(bundle, metrics=metrics)


def _assemble_folds(
    data: PreparedData,
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
    return Bundle(
        config=data.config,
        data=data.description,
        preprocessing=data.preprocessing,
        networks=_networks_for_detector(data, folds, trained),
        splits=Splits(
            data.split.train, data.split.val, data.split.calibration, fold=fold_of_sample
        ),
        detector=_fit_detectors(data, trained),
        metrics=BundleMetrics(
            folds=tuple(_training_metrics(networks) for networks in trained),
            warnings=(*data.warnings, *failures),
        ),
    )


def _networks_for_detector(
    data: PreparedData, folds: Sequence[Fold], trained: Sequence[TrainedNetworks]
) -> dict[str, Network]:
    """Return the networks of all folds that a configured detection method uses, by name.

    The name of a network holds its role and the number of its fold.
    """
    methods = configured_methods(data.config.detect)
    specs = [get_method(method, data.preprocessing) for method in methods]
    used = {role for spec in specs for role in (*spec.required_networks, *spec.optional_networks)}
    return {
        fold_network(role, fold.number): network
        for fold, networks in zip(folds, trained)
        for role, network in networks.for_bundle().items()
        if role in used
    }


def _training_metrics(networks: TrainedNetworks) -> TrainingMetrics:
    """Return the steps, failure, fidelity and evaluations of a training."""
    return TrainingMetrics(
        networks.steps, networks.failure, networks.fidelity, tuple(networks.gan_metrics)
    )


def _latents(data: PreparedData, networks: TrainedNetworks) -> Latents | None:
    """Return the latent codes of the training split, for augmentation around real images.

    None without an encoder, or if the configuration does not ask for latent codes.
    """
    if "encoder" not in networks.models or not data.config.training.store_latents:
        return None
    indices, normalize = data.split.train, data.preprocessing.normalize
    latents = encode(networks.models["encoder"], data.pixels, indices, normalize)
    if latents.class_probabilities is None:
        return latents
    return replace(latents, labels=np.asarray(data.dataset.labels)[indices])


def _classifier_accuracy(
    data: PreparedData, networks: TrainedNetworks
) -> ClassifierAccuracy | None:
    """Return the classifier's accuracy on the validation split; None without a classifier."""
    if "classifier" not in networks.models:
        return None
    classify = BatchInference.from_model(networks.models["classifier"])
    indices = data.split.val
    (logits,) = classify(data.preprocessing.normalize(data.pixels[indices]))
    labels = np.asarray(data.dataset.labels)[indices]
    is_right = logits.argmax(axis=1) == labels
    of_class = [is_right[labels == label] for label in range(data.dataset.num_classes)]
    by_class = tuple(float(right.mean()) if len(right) else None for right in of_class)
    return ClassifierAccuracy(float(is_right.mean()), len(indices), "val", by_class)


def _fit_detectors(
    data: PreparedData, trained: Sequence[TrainedNetworks]
) -> DetectorSection | None:
    """Fit and calibrate every configured detection method; None if the task has no detector."""
    settings = data.config.detect
    if not has_detector(data.config):
        return None
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
    return detector_section(detectors, settings.trim_fraction, doubts=data.doubts)
