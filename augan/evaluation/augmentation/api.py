"""Evaluation of augmentation: the gain of a classifier from synthetic images.

An arm is one way to make a training set from labeled images. The GAN arm adds synthetic images; the
other arms use classic augmentation, oversampling, unlabeled images or a combination.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from augan.bundle import current_versions
from augan.checks import check_instance, check_out
from augan.data.dataset import Dataset
from augan.data.files import describe_not_looked_at
from augan.evaluation.augmentation.arms import GAN, default_base, select_arms
from augan.evaluation.augmentation.classifiers import forest, logistic
from augan.evaluation.augmentation.data import (
    EvaluationData,
    Leakage,
    check_leakage,
    load_evaluation_data,
)
from augan.evaluation.augmentation.evaluator import ArmEvaluator, Synthetic, default_transform
from augan.evaluation.augmentation.experiment import GainExperiment, run_experiment
from augan.evaluation.augmentation.gan_arms import gan_arm, gan_arms
from augan.evaluation.augmentation.protocol import DEFAULT_REPEATS, EvaluationProtocol
from augan.evaluation.augmentation.result import AugmentationGain, summarize, write_preview
from augan.evaluation.augmentation.results_log import PredictionLog, report_write_errors
from augan.evaluation.augmentation.subsets import LabelSubset
from augan.evaluation.augmentation.training_set import Classifier
from augan.exceptions import ConfigError
from augan.io.atomic import atomic_write
from augan.io.hashing import sha256_json
from augan.io.layout import EVALUATION_FILE, PREVIEW_FILE, RUNS_FOLDER
from augan.progress import ExperimentProgress
from augan.training.defaults import native_dtype

RECOMMENDED_REPEATS = 5  # fewer repeats give a warning
MAX_LISTED_DUPLICATES = 20  # near-duplicates in the summary

OnArm = Callable[[int, str, Mapping[str, Any]], None]
"""Called after each newly finished arm with the number of the repeat, the arm, and its metrics."""


def evaluate_augmentation(
    data: str | Path | tuple[Any, ...] | Dataset,
    protocol: EvaluationProtocol | None = None,
    *,
    out: str | Path | None = None,
    runs_dir: str | Path = RUNS_FOLDER,
    verbose: int = 1,
    callback: OnArm = lambda repeat, arm, metrics: None,
) -> AugmentationGain:
    """Measure on held-out real images whether synthetic images improve a classifier.

    In each repeat, a random subset of the training images is labeled, the GAN trains on that
    subset, and a classifier is trained with each arm. The gain is the balanced accuracy of the GAN
    arm minus that of the best arm without a GAN.

    Parameters
    ----------
    data : str, path, tuple or Dataset
        A dataset as `augan.load_dataset` takes it: with a test part, or with
        `EvaluationProtocol.test_size`. A loaded `Dataset` has no test part, and keeps its groups.
    protocol : EvaluationProtocol or None
        Labels, arms, classifier and GAN. None: the defaults.
    out : path or None
        Folder for all results. A folder with the same evaluation is continued. None: a folder in
        `runs_dir` that is named after the data and the settings.
    runs_dir : path
        Parent of the default `out`.
    verbose : int
        0: silent; 1: each finished arm is printed to standard error.
    callback : callable
        Called after each newly finished arm with the number of the repeat, the arm, and its
        metrics.

    Returns
    -------
    AugmentationGain

    Raises
    ------
    ConfigError
        The options do not fit the data, or `out` holds an evaluation with other settings.
    DataError
        The images cannot be used, test images equal training images, or `out` cannot be used.
    RunInterruptedError
        The user stopped the evaluation. Finished arms are kept; the same call continues.
    """
    protocol = EvaluationProtocol() if protocol is None else protocol
    check_instance(
        "protocol", protocol, EvaluationProtocol, "EvaluationProtocol(labels_per_class=20)"
    )
    out = check_out(out)
    size = None if protocol.config is None else protocol.config.data.size
    loaded = load_evaluation_data(
        data, protocol.test_size, size, protocol.seed, protocol.groups, protocol.load_options()
    )
    spec = protocol.subset_spec()
    spec.class_counts(loaded.pool)  # refuses labels that the data does not have
    loaded, leakage, num_dropped = check_leakage(
        loaded, spec, protocol.repeats, protocol.seed, protocol.drop_duplicates
    )
    experiment = _experiment(protocol, loaded)
    settings = _settings(experiment, protocol)
    folder = out or Path(runs_dir) / _folder_name(loaded.name, settings)
    progress = ExperimentProgress(protocol.repeats)

    def on_arm(repeat: int, arm: str, metrics: Mapping[str, Any]) -> None:
        if verbose:
            progress(repeat, arm, metrics)
        callback(repeat, arm, metrics)

    gain = _run(experiment, folder, {**settings, "data": loaded.sha256()}, leakage, on_arm)
    gain.summary.update(
        {
            **_describe_data(experiment, loaded, leakage),
            "num_dropped_duplicates": num_dropped,
            "settings": settings,
            "warnings": _warnings(experiment, loaded, leakage, num_dropped, gain),
            "out": str(folder),
        }
    )
    with report_write_errors(folder / EVALUATION_FILE):
        atomic_write(folder / EVALUATION_FILE, json.dumps(gain.to_dict(), indent=2).encode("utf-8"))
    return gain


def _experiment(protocol: EvaluationProtocol, data: EvaluationData) -> GainExperiment:
    """Return the experiment of a protocol on some data, with every default resolved.

    Raises
    ------
    ConfigError
        An arm does not fit the data, or no baseline trains on the unlabeled images that the GAN
        trains on. The gain could then come from the additional images instead of the GAN.
    """
    spec, pool, test_images = protocol.subset_spec(), data.pool, data.test_images
    counts, has_unlabeled = spec.class_counts(pool), spec.num_unlabeled(pool) > 0
    classifier = _classifier(protocol, data)
    base = default_base(has_unlabeled, classifier.supports_consistency)
    steps, config = protocol.gan_steps, protocol.config
    given = protocol.gan
    if isinstance(given, str):
        given = gan_arm(given, steps, config, base)
    arm = given or gan_arm(steps=steps, config=config, base=base)
    if protocol.synthetic_fraction is not None:
        arm = replace(arm, synthetic_fraction=protocol.synthetic_fraction)
    candidates: tuple = ()
    if protocol.tune_fraction:
        candidates = (given,) if given else gan_arms(steps, config, base)
    experiment = GainExperiment(
        pool=pool,
        spec=spec,
        evaluator=ArmEvaluator(
            classifier,
            protocol.transform or default_transform(test_images.shape[1]),
            arm,
            test_images,
        ),
        test_labels=data.test_labels,
        arms=select_arms(
            protocol.arms,
            has_unlabeled,
            classifier.supports_consistency,
            counts.min() < counts.max(),
        ),
        num_repeats=protocol.repeats,
        seed=protocol.seed,
        candidates=candidates,
        test_groups=data.test_groups,
    )
    if has_unlabeled and not any(map(experiment.uses_unlabeled, experiment.baselines)):
        raise ConfigError(
            "the GAN trains on the unlabeled images, so at least one arm without a GAN must do so "
            "too: add self-training to `arms`, or leave out `arms`"
        )
    return experiment


def _classifier(protocol: EvaluationProtocol, data: EvaluationData) -> Classifier:
    """Return the classifier of a protocol, built for the scaling of the images."""
    if not isinstance(protocol.classifier, str):
        return protocol.classifier
    if protocol.classifier == "cnn":
        # The other classifiers work without TensorFlow.
        from augan.evaluation.augmentation.cnn import STEPS, CnnClassifier

        return CnnClassifier(data.scale, steps=protocol.steps or STEPS, dtype=native_dtype())
    return {"logistic": logistic, "forest": forest}[protocol.classifier](data.scale)


def _settings(experiment: GainExperiment, protocol: EvaluationProtocol) -> dict[str, Any]:
    """Return all settings that the predictions depend on, without the number of repeats, JSON-able.

    The number of repeats is missing, because repeats may be added to a finished evaluation.
    """
    evaluator, config = experiment.evaluator, protocol.config
    return {
        "augan": current_versions().get("augan"),
        "labels_per_class": protocol.labels_per_class,
        "rare": dict(protocol.rare),
        "rest_unlabeled": protocol.rest_unlabeled,
        "test_size": protocol.test_size,
        "drop_duplicates": protocol.drop_duplicates,
        "classifier": evaluator.classifier.name,
        "steps": protocol.steps,
        "transform": evaluator.transform,
        "gan": evaluator.gan_arm.name,
        "synthetic_fraction": evaluator.gan_arm.synthetic_fraction,
        "base": evaluator.gan_arm.base,
        "gan_steps": protocol.gan_steps,
        "dtype": native_dtype(),
        "config": None if config is None else config.to_dict(),
        "candidates": [arm.name for arm in experiment.candidates],
        "seed": protocol.seed,
    }


def _folder_name(data: str, settings: Mapping[str, Any]) -> str:
    """Return the name of the result folder: `gain-<data>-<hash of the settings>`."""
    return f"gain-{data}-{sha256_json(settings)[:8]}"


def _run(
    experiment: GainExperiment,
    folder: Path,
    identity: dict[str, Any],
    leakage: Leakage,
    callback: OnArm,
) -> AugmentationGain:
    """Run or continue the experiment in a folder, and compare its arms.

    Parameters
    ----------
    experiment : GainExperiment
    folder : Path
        New folder, or the folder of the same evaluation, which is continued. The preview image is
        written there too.
    identity : dict
        Settings, and the hash of the data, by which the same evaluation is recognized.
    leakage : Leakage
        Near-duplicates among the test images.
    callback : callable
        See `OnArm`.
    """

    def on_synthetic(subset: LabelSubset, synthetic: Synthetic) -> None:
        write_preview(folder / PREVIEW_FILE, subset, *synthetic)

    log = PredictionLog(folder, identity)
    try:
        predictions = run_experiment(experiment, log, callback, on_synthetic)
        metadata = [log.metadata(repeat, GAN) for repeat in range(experiment.num_repeats)]
    finally:
        log.close()
    near_duplicates = np.array([index for index, _, _ in leakage.near_duplicates], np.int64)
    gain = summarize(experiment, predictions, near_duplicates)
    selected = (
        [{key: row[key] for key in ("gan", "synthetic_fraction")} for row in metadata]
        if experiment.candidates
        else None
    )
    gain.summary["selected"] = selected
    return gain


def _describe_data(
    experiment: GainExperiment, data: EvaluationData, leakage: Leakage
) -> dict[str, Any]:
    """Return the numbers of images and the near-duplicates of the summary, JSON-able."""
    num_groups = None if data.test_groups is None else len(set(data.test_groups))
    listed = leakage.near_duplicates[:MAX_LISTED_DUPLICATES]
    return {
        "data": data.name,
        "num_repeats": experiment.num_repeats,
        "num_test": len(data.test_labels),
        "num_test_groups": num_groups,
        "num_unlabeled": experiment.spec.num_unlabeled(experiment.pool),
        "class_names": list(data.pool.class_names),
        "class_counts": experiment.spec.class_counts(data.pool).tolist(),
        "num_near_duplicates": len(leakage.near_duplicates),
        "near_duplicates": [
            {"test": data.test_names[test], "train": data.names[index], "correlation": correlation}
            for test, index, correlation in listed
        ],
    }


def _warnings(
    experiment: GainExperiment,
    data: EvaluationData,
    leakage: Leakage,
    num_dropped: int,
    gain: AugmentationGain,
) -> list[str]:
    """Return sentences about repeats, images and options that limit what the result says."""
    warnings, pool, spec = [], experiment.pool, experiment.spec
    if experiment.num_repeats < RECOMMENDED_REPEATS:
        warnings.append(
            f"{experiment.num_repeats} repeats say little about the influence of the choice of "
            f"labeled images on the gain; use {RECOMMENDED_REPEATS} or more (default: "
            f"{DEFAULT_REPEATS})"
        )
    if (spec.class_counts(pool) == np.bincount(pool.labels)).all():
        warnings.append(
            "every repeat has all labeled images, so that only the seeds differ: the interval does "
            "not cover the choice of labeled images; --labels-per-class N samples some of them"
        )
    if spec.rest_unlabeled and not spec.num_unlabeled(pool):
        warnings.append(
            "--rest-unlabeled has no effect, because every image is labeled in every repeat"
        )
    if data.num_unreadable:
        warnings.append(f"{data.num_unreadable} files could not be read and are left out")
    if data.not_looked_at:
        warnings.append(describe_not_looked_at(data.not_looked_at))
    warnings += data.warnings
    if num_dropped:
        warnings.append(f"{num_dropped} test images equal training images and are left out")
    if leakage.near_duplicates:
        has_second_result = gain.summary["without_near_duplicates"] is not None
        also = "the result is also given" if has_second_result else "a class has too few"
        warnings.append(
            f"{len(leakage.near_duplicates)} of {len(data.test_labels)} test images are nearly "
            f"identical to training images; {also} without them"
        )
    return warnings
