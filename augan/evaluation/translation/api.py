"""Evaluation of translation: whether images translated to a new camera improve a classifier.

The old camera has labeled images of all classes, the new camera lacks labels of some. Arms make a
training set of both; arms with a GAN translate images of the old camera to the look of the new one.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from augan.bundle import current_versions
from augan.checks import check_instance, check_out
from augan.data.dataset import Dataset
from augan.evaluation.augmentation.data import check_leakage
from augan.evaluation.augmentation.evaluator import default_transform
from augan.evaluation.augmentation.results_log import PredictionLog, report_write_errors
from augan.evaluation.augmentation.subsets import SubsetSpec
from augan.evaluation.translation.camera_shift import CameraShift
from augan.evaluation.translation.classifier import CameraClassifier
from augan.evaluation.translation.data import CameraData, load_camera_data
from augan.evaluation.translation.experiment import (
    OnTraining,
    ShiftExperiment,
    Translations,
    run_shift,
)
from augan.evaluation.translation.protocol import TranslationProtocol
from augan.evaluation.translation.result import TranslationGain, summarize_shift
from augan.evaluation.translation.selection import arm_options
from augan.io.atomic import atomic_write
from augan.io.hashing import sha256_array, sha256_json
from augan.io.images import write_png
from augan.io.layout import EVALUATION_FILE, PREVIEW_FILE, RUNS_FOLDER
from augan.progress import ExperimentProgress
from augan.training.defaults import native_dtype
from augan.translate.preview import translation_preview

MAX_LISTED_DUPLICATES = 20  # near-duplicates in the summary


def evaluate_translation(
    old: str | Path | tuple[Any, ...] | Dataset,
    new: str | Path | tuple[Any, ...] | Dataset,
    protocol: TranslationProtocol,
    *,
    out: str | Path | None = None,
    runs_dir: str | Path = RUNS_FOLDER,
    verbose: int = 1,
    callback: OnTraining = lambda repeat, arm, metrics: None,
) -> TranslationGain:
    """Measure whether images translated to a new camera improve a classifier there.

    Some classes count as missing on the new camera: their labels are hidden from all arms. An arm
    is chosen without these labels, by two groups of common classes that are hidden in turn. The
    gain is the balanced accuracy on test images of the new camera, of the chosen arm with a
    translator minus that of the chosen arm without.

    Parameters
    ----------
    old, new : str, path, tuple or Dataset
        Labeled images of each camera, as `augan.load_dataset` takes them. The new camera has a test
        part, or `TranslationProtocol.test_size` splits it.
    protocol : TranslationProtocol
        Missing classes, arms, classifier and translator.
    out : path or None
        Folder for all results. A folder with the same evaluation is continued. None: a folder in
        `runs_dir` that is named after the data and the settings.
    runs_dir : path
        Parent of the default `out`.
    verbose : int
        0: silent; 1: each finished training is printed to standard error.
    callback : callable
        Called after each newly finished training with the number of the repeat, the arm and its
        metrics.

    Returns
    -------
    TranslationGain

    Raises
    ------
    ConfigError
        The options do not fit the data, or `out` holds an evaluation with other settings.
    DataError
        The images cannot be used, test images equal training images, or `out` cannot be used.
    RunInterruptedError
        The user stopped the evaluation. Finished trainings are kept; the same call continues.
    """
    check_instance("protocol", protocol, TranslationProtocol, 'TranslationProtocol(missing="dent")')
    out = check_out(out)
    data = load_camera_data(old, new, protocol)
    # All images are compared: the pool and the images of missing classes are trained on, too.
    checked, leakage, num_dropped = check_leakage(
        data.leakage, SubsetSpec(), 1, protocol.seed, protocol.drop_duplicates
    )
    data = replace(data, leakage=checked)
    experiment = _experiment(protocol, data)
    settings = _settings(protocol, experiment)
    folder = out or Path(runs_dir) / f"translation-{checked.name}-{sha256_json(settings)[:8]}"
    progress = ExperimentProgress(protocol.repeats)

    def on_training(repeat: int, arm: str, metrics: Mapping[str, Any]) -> None:
        if verbose:
            progress(repeat, arm, metrics)
        callback(repeat, arm, metrics)

    def on_translations(shift: CameraShift, translations: Translations) -> None:
        translated = translations[0][: len(shift.old_images)]
        preview = translation_preview(
            (shift.old_images, shift.old_labels),
            translated,
            (data.test_images, checked.test_labels),
            shift.num_classes,
        )
        with report_write_errors(folder / PREVIEW_FILE):
            write_png(folder / PREVIEW_FILE, preview)

    log = PredictionLog(folder, {**settings, "data": _sha256(data)})
    try:
        predictions = run_shift(experiment, log, on_training, on_translations)
    finally:
        log.close()
    gain = summarize_shift(experiment, predictions, data.class_names)
    listed = leakage.near_duplicates[:MAX_LISTED_DUPLICATES]
    gain.summary.update(
        {
            "data": checked.name,
            "num_repeats": protocol.repeats,
            "num_test": len(checked.test_labels),
            "num_pool": len(data.pool),
            "num_near_duplicates": len(leakage.near_duplicates),
            "near_duplicates": [
                {"test": checked.test_names[test], "train": checked.names[row], "correlation": c}
                for test, row, c in listed
            ],
            "num_dropped_duplicates": num_dropped,
            "settings": settings,
            "warnings": _warnings(data, len(leakage.near_duplicates), num_dropped, gain),
            "out": str(folder),
        }
    )
    with report_write_errors(folder / EVALUATION_FILE):
        atomic_write(folder / EVALUATION_FILE, json.dumps(gain.to_dict(), indent=2).encode("utf-8"))
    return gain


def _experiment(protocol: TranslationProtocol, data: CameraData) -> ShiftExperiment:
    """Return the experiment of a protocol on some data."""
    shifts = tuple(
        data.shift(protocol.seed, repeat, protocol.labels_per_class)
        for repeat in range(protocol.repeats)
    )
    shape, num_classes = data.new[0].shape[1:], len(data.class_names)
    classifier = CameraClassifier(
        (shape[0], shape[1], shape[2]),
        num_classes,
        steps=protocol.steps,
        flips="flip" in (protocol.transform or default_transform(shape[0])),
        dtype=native_dtype(),
    )
    return ShiftExperiment(
        shifts=shifts,
        test_images=data.test_images,
        test_labels=data.leakage.test_labels,
        pool=data.pool,
        options=arm_options(shifts[0], protocol.arms),
        classifier=classifier,
        config=protocol.translator_config(),
        num_labels=protocol.labels_per_class,
        test_groups=data.leakage.test_groups,
    )


def _sha256(data: CameraData) -> str:
    """Return the hexadecimal SHA-256 of all images and labels."""
    old_images, pool = (sha256_array(images) for images in (data.old[0], data.pool))
    return sha256_json([data.leakage.sha256(), old_images, pool])


def _settings(protocol: TranslationProtocol, experiment: ShiftExperiment) -> dict[str, Any]:
    """Return all settings that the predictions depend on, JSON-able.

    The number of repeats and the arms are missing, because both may be added to a finished
    evaluation.
    """
    return {
        "augan": current_versions().get("augan"),
        "missing": list(protocol.missing),
        "labels_per_class": protocol.labels_per_class,
        "test_size": protocol.test_size,
        "drop_duplicates": protocol.drop_duplicates,
        "steps": protocol.steps,
        "transform": protocol.transform,
        "gan_steps": protocol.gan_steps,
        "config": None if experiment.config is None else experiment.config.to_dict(),
        "dtype": native_dtype(),
        "seed": protocol.seed,
    }


def _warnings(
    data: CameraData, num_near_duplicates: int, num_dropped: int, gain: TranslationGain
) -> list[str]:
    """Return sentences about images and options that limit what the result says."""
    warnings, summary = list(data.warnings), gain.summary
    if not summary["hidden_groups"]:
        warnings.append(
            "fewer than two classes are common, so no arm can be chosen without labels of the "
            "missing classes"
        )
    if data.leakage.num_unreadable:
        warnings.append(f"{data.leakage.num_unreadable} files could not be read and are left out")
    if num_dropped:
        warnings.append(f"{num_dropped} test images equal training images and are left out")
    if num_near_duplicates:
        warnings.append(
            f"{num_near_duplicates} of {len(data.leakage.test_labels)} test images are nearly "
            "identical to training images"
        )
    return warnings
