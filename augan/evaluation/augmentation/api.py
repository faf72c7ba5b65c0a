"""Evaluation of augmentation: the gain of a classifier from synthetic images.

An arm is one way to make a training set from labeled images. The GAN arm adds synthetic images; the
other arms use classic augmentation, oversampling, unlabeled images or a combination.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from augan.augment.transforms import TRANSFORMS
from augan.bundle import current_versions
from augan.config import Config
from augan.evaluation.augmentation.arms import GAN, default_base, select_arms
from augan.evaluation.augmentation.classifiers import forest, logistic
from augan.evaluation.augmentation.data import (
    EvaluationData,
    Leakage,
    check_leakage,
    load_evaluation_data,
)
from augan.evaluation.augmentation.experiment import (
    AugmentationGain,
    GainExperiment,
    run_experiment,
    summarize,
)
from augan.evaluation.augmentation.gan_arms import DEFAULT_GAN_ARM, GAN_ARMS
from augan.evaluation.augmentation.preview import write_preview
from augan.evaluation.augmentation.protocol import (
    EvaluationProtocol,
    Synthetic,
    default_transform,
)
from augan.evaluation.augmentation.results_log import PredictionLog, report_write_errors
from augan.evaluation.augmentation.subsets import LabelSubset, SubsetSpec
from augan.evaluation.augmentation.synthetic import GanArm
from augan.evaluation.augmentation.training_set import Classifier
from augan.exceptions import ConfigError
from augan.io.atomic import atomic_write
from augan.io.hashing import sha256_json
from augan.io.layout import EVALUATION_FILE, PREVIEW_FILE, RUNS_FOLDER
from augan.metrics.statistics import MIN_REPEATS

CLASSIFIERS = ("cnn", "logistic", "forest")
DEFAULT_REPEATS = 20
RECOMMENDED_REPEATS = 5  # fewer repeats give a warning
MAX_LISTED_DUPLICATES = 20  # near-duplicates in the summary


def evaluate_augmentation(
    data: str | Path | tuple[Any, ...],
    *,
    labels_per_class: int | None = None,
    rare: Mapping[str, int] | None = None,
    rest_unlabeled: bool = False,
    test_size: float | None = None,
    groups: str | Path | None = None,
    classifier: str | Classifier = "cnn",
    steps: int | None = None,
    transform: str | None = None,
    repeats: int = DEFAULT_REPEATS,
    arms: Sequence[str] | None = None,
    gan: GanArm | None = None,
    gan_steps: int | None = None,
    synthetic_fraction: float | None = None,
    tune_fraction: bool = False,
    config: Config | None = None,
    drop_duplicates: bool = False,
    seed: int = 0,
    out: str | Path | None = None,
    runs_dir: str | Path = RUNS_FOLDER,
    callback: Callable[[int, str, Mapping[str, Any]], None] = lambda repeat, arm, metadata: None,
) -> AugmentationGain:
    """Measure on held-out real images whether synthetic images improve a classifier.

    In each repeat, a random subset of the training images is labeled, the GAN trains on that
    subset, and a classifier is trained with each arm. The gain is the balanced accuracy of the GAN
    arm minus that of the best arm without a GAN.

    Parameters
    ----------
    data : str, path or tuple
        A dataset as `augan.load_dataset` takes it: with a test part, or with `test_size`.
    labels_per_class : int or None
        Labeled images of each class in a repeat, at least 2. None: all images.
    rare : mapping of str to int
        Rare classes and their number of labeled images, in place of `labels_per_class`. None: no
        rare class.
    rest_unlabeled : bool
        Whether the remaining training images stay in the subset without their labels.
    test_size : float or None
        Fraction of each class held out for the test, between 0 and 1, where the dataset has no test
        part. None: the dataset has a test part.
    groups : path or None
        CSV file with the columns `path` and `group`, where several images show one object. All
        images of a group are on one side of the split, and the interval counts groups, not images.
        None: each image is a group of its own.
    classifier : {"cnn", "logistic", "forest"} or Classifier
        The classifier that every arm trains.
    steps : int or None
        Training steps of the classifier "cnn", equal in all arms. None: 1,500.
    transform : str or None
        Classic augmentation of all arms except `real`. None: `shift` for images of up to 8 pixels,
        otherwise `shift-flip`.
    repeats : int
        Number of repeats, at least 2. Each repeat samples another label subset and trains a new GAN
        and new classifiers.
    arms : sequence of str or None
        Arms without a GAN, see `augan.evaluation.augmentation.arms`. None: all arms that the data
        and the classifier allow.
    gan : GanArm or None
        The GAN arm. None: `GAN_ARMS[DEFAULT_GAN_ARM]`, the augmentation method "transfer".
    gan_steps, config : int, Config, or None
        Training steps and settings of the GAN. `training.max_minutes` has no effect. Without
        `gan_steps` and without steps in `config`, `GANOverSampler` chooses the number of steps.
    synthetic_fraction : float or None
        Fraction of synthetic images in the samples of each class that has synthetic images, 0 to 1.
        None: the fraction of the GAN arm, 0.5 by default.
    tune_fraction : bool
        Select the GAN arm and `synthetic_fraction` (0 included) by cross-validation within each
        repeat.
    drop_duplicates : bool
        Drop test images that equal training images. Default: refuse such images.
    seed : int
        Seed of all random numbers.
    out : path or None
        Folder for all results. A folder with the same evaluation is continued. None: a folder in
        `runs_dir` that is named after the data and the settings.
    runs_dir : path
        Parent of the default `out`.
    callback : callable
        Called after each newly finished arm with the number of the repeat, the arm, and its
        metrics.

    Returns
    -------
    AugmentationGain

    Raises
    ------
    ConfigError
        The settings are invalid, or `out` holds an evaluation with other settings.
    DataError
        The images cannot be used, test images equal training images, or `out` cannot be used.
    RunInterruptedError
        The user stopped the evaluation. Finished arms are kept; the same call continues.
    """
    _check_options(
        repeats,
        transform,
        synthetic_fraction,
        tune_fraction,
        {"--steps": steps, "--gan-steps": gan_steps},
    )
    spec = SubsetSpec(labels_per_class, dict(rare or {}), rest_unlabeled)
    size = None if config is None else config.data.size
    evaluation_data = load_evaluation_data(data, test_size, size, seed, groups)
    pool = evaluation_data.pool
    counts = spec.class_counts(pool)
    evaluation_data, leakage, num_dropped = check_leakage(
        evaluation_data, spec, repeats, seed, drop_duplicates
    )
    model = _get_classifier(classifier, evaluation_data, steps)
    has_unlabeled = spec.num_unlabeled(pool) > 0
    base = default_base(has_unlabeled, model.supports_consistency)
    gan_arm = gan or replace(GAN_ARMS[DEFAULT_GAN_ARM](gan_steps, config), base=base)
    if synthetic_fraction is not None:
        gan_arm = replace(gan_arm, synthetic_fraction=synthetic_fraction)
    test_images = evaluation_data.test_images
    transform = transform or default_transform(test_images.shape[1])
    experiment = GainExperiment(
        pool=pool,
        spec=spec,
        protocol=EvaluationProtocol(model, transform, gan_arm, test_images),
        test_labels=evaluation_data.test_labels,
        arms=select_arms(
            arms, has_unlabeled, model.supports_consistency, counts.min() < counts.max()
        ),
        num_repeats=repeats,
        seed=seed,
        candidates=_candidates(gan, gan_steps, config, base) if tune_fraction else (),
        test_groups=evaluation_data.test_groups,
    )
    _check_baselines(experiment)
    settings = _settings(experiment, config, gan_steps, steps, test_size, drop_duplicates)
    folder = Path(out) if out else Path(runs_dir) / _folder_name(evaluation_data.name, settings)
    return _run_and_save(
        experiment, evaluation_data, settings, folder, leakage, num_dropped, callback
    )


def _check_options(
    repeats: int,
    transform: str | None,
    synthetic_fraction: float | None,
    tune_fraction: bool,
    steps: Mapping[str, int | None],
) -> None:
    """Raise ConfigError for an invalid option of `evaluate_augmentation`, before the data is read.

    `steps` maps the option's name on the command line to its number of training steps or None.
    """
    if repeats < MIN_REPEATS:
        raise ConfigError(
            f"--repeats must be {MIN_REPEATS} or more, but is {repeats}; the default is "
            f"{DEFAULT_REPEATS}"
        )
    if transform is not None and transform not in TRANSFORMS:
        raise ConfigError(f"unknown transform '{transform}'; choose one of {', '.join(TRANSFORMS)}")
    if synthetic_fraction is not None and not 0 <= synthetic_fraction <= 1:
        raise ConfigError(
            f"--synthetic-fraction must lie between 0 and 1, but is {synthetic_fraction:g}"
        )
    if synthetic_fraction is not None and tune_fraction:
        raise ConfigError(
            "--tune-fraction selects the synthetic fraction; leave out one of "
            "--synthetic-fraction and --tune-fraction"
        )
    for option, number in steps.items():
        if number is not None and number < 1:
            raise ConfigError(f"{option} must be 1 or more, but is {number}")


def _check_baselines(experiment: GainExperiment) -> None:
    """Raise ConfigError if no baseline trains on the unlabeled images that the GAN trains on.

    Without such a baseline, the gain could come from the additional images instead of the GAN.
    """
    if experiment.has_unlabeled and not any(map(experiment.uses_unlabeled, experiment.baselines)):
        raise ConfigError(
            "the GAN trains on the unlabeled images, so at least one arm without a GAN must do so "
            "too: add self-training to --arms, or leave out --arms"
        )


def _get_classifier(name: str | Classifier, data: EvaluationData, steps: int | None) -> Classifier:
    """Return the classifier of a name, or the given classifier unchanged.

    Parameters
    ----------
    name : {"cnn", "logistic", "forest"} or Classifier
    data : EvaluationData
        Provides the scaling of images.
    steps : int or None
        Training steps of "cnn"; None: its default.

    Raises
    ------
    ConfigError
        The name is unknown, or `steps` is given for a classifier without training steps.
    """
    if not isinstance(name, str):
        return name
    if name == "cnn":
        # The other classifiers work without TensorFlow.
        from augan.evaluation.augmentation.cnn import STEPS, CnnClassifier

        return CnnClassifier(data.scale, steps=STEPS if steps is None else steps)
    pixel_classifiers = {"logistic": logistic, "forest": forest}
    if name not in pixel_classifiers:
        raise ConfigError(f"unknown classifier '{name}'; choose one of {', '.join(CLASSIFIERS)}")
    if steps is not None:
        raise ConfigError(f"--steps requires --classifier cnn; the classifier is {name}")
    return pixel_classifiers[name](data.scale)


def _candidates(
    gan: GanArm | None, gan_steps: int | None, config: Config | None, base: str
) -> tuple[GanArm, ...]:
    """Return the GAN arms to select from: `gan` alone, or one for each augmentation method."""
    if gan:
        return (gan,)
    return tuple(replace(build(gan_steps, config), base=base) for build in GAN_ARMS.values())


def _settings(
    experiment: GainExperiment,
    config: Config | None,
    gan_steps: int | None,
    steps: int | None,
    test_size: float | None,
    drop_duplicates: bool,
) -> dict[str, Any]:
    """Return all settings that the predictions depend on, without the number of repeats, JSON-able.

    The number of repeats is missing, because repeats may be added to a finished evaluation.
    """
    protocol, spec = experiment.protocol, experiment.spec
    return {
        "augan": current_versions().get("augan"),
        "labels_per_class": spec.labels_per_class,
        "rare": dict(spec.rare),
        "rest_unlabeled": spec.rest_unlabeled,
        "test_size": test_size,
        "drop_duplicates": drop_duplicates,
        "classifier": protocol.classifier.name,
        "steps": steps,
        "transform": protocol.transform,
        "gan": protocol.gan_arm.name,
        "synthetic_fraction": protocol.gan_arm.synthetic_fraction,
        "base": protocol.gan_arm.base,
        "gan_steps": gan_steps,
        "config": None if config is None else config.to_dict(),
        "candidates": [arm.name for arm in experiment.candidates],
        "seed": experiment.seed,
    }


def _folder_name(data: str, settings: Mapping[str, Any]) -> str:
    """Return the name of the result folder: `gain-<data>-<hash of the settings>`."""
    return f"gain-{data}-{sha256_json(settings)[:8]}"


def _run_and_save(
    experiment: GainExperiment,
    data: EvaluationData,
    settings: dict[str, Any],
    folder: Path,
    leakage: Leakage,
    num_dropped: int,
    callback: Callable[[int, str, Mapping[str, Any]], None],
) -> AugmentationGain:
    """Run the experiment and write the result and the preview image into a folder.

    Parameters
    ----------
    experiment : GainExperiment
    data : EvaluationData
    settings : dict
        Result of `_settings`.
    folder : Path
        New folder, or the folder of the same evaluation, which is continued.
    leakage : Leakage
        Near-duplicates among the test images.
    num_dropped : int
        Number of test images that were dropped as duplicates.
    callback : callable
        Called after each newly finished arm with the number of the repeat, the arm, and its
        metadata.
    """

    def on_synthetic(subset: LabelSubset, synthetic: Synthetic) -> None:
        write_preview(folder / PREVIEW_FILE, subset, *synthetic)

    log = PredictionLog(folder, {**settings, "data": data.sha256()})
    try:
        predictions = run_experiment(experiment, log, callback, on_synthetic)
        metadata = [log.metadata(repeat, GAN) for repeat in range(experiment.num_repeats)]
    finally:
        log.close()
    near_duplicates = np.array([index for index, _, _ in leakage.near_duplicates], np.int64)
    gain = summarize(experiment, predictions, near_duplicates)
    num_groups = None if data.test_groups is None else len(set(data.test_groups))
    gain.summary.update(
        {
            "num_repeats": experiment.num_repeats,
            "num_test": len(data.test_labels),
            "num_test_groups": num_groups,
            "num_unlabeled": experiment.spec.num_unlabeled(experiment.pool),
            "class_names": list(data.pool.class_names),
            "class_counts": experiment.spec.class_counts(data.pool).tolist(),
            "settings": settings,
            "selected": [
                {"gan": row["gan"], "synthetic_fraction": row["synthetic_fraction"]}
                for row in metadata
            ]
            if experiment.candidates
            else None,
            "num_dropped_duplicates": num_dropped,
            "num_near_duplicates": len(leakage.near_duplicates),
            "near_duplicates": [
                {
                    "test": data.test_names[test_index],
                    "train": data.names[index],
                    "correlation": correlation,
                }
                for test_index, index, correlation in leakage.near_duplicates[
                    :MAX_LISTED_DUPLICATES
                ]
            ],
            "warnings": _warnings(experiment, data, leakage, num_dropped, gain),
            "data": data.name,
            "out": str(folder),
        }
    )
    with report_write_errors(folder / EVALUATION_FILE):
        atomic_write(folder / EVALUATION_FILE, json.dumps(gain.to_dict(), indent=2).encode("utf-8"))
    return gain


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
