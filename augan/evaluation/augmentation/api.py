"""Which GAN is judged: the one place that says so, declared before any result is seen."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from augan.augment.methods.registry import METHODS
from augan.augment.oversampler import GANOverSampler
from augan.augment.transforms import TRANSFORMS
from augan.bundle import current_versions
from augan.config import Config
from augan.evaluation.augmentation.arms import GAN, choose_arms, usual_base
from augan.evaluation.augmentation.classifiers import forest, logistic
from augan.evaluation.augmentation.data import EvaluationData, Leakage, guard, read_material
from augan.evaluation.augmentation.experiment import (
    SHOWN_TWINS,
    AugmentationGain,
    GainExperiment,
    Made,
    conclude,
    run_draws,
)
from augan.evaluation.augmentation.preview import GALLERY, write_gallery, writing
from augan.evaluation.augmentation.protocol import EvaluationProtocol, usual_policy
from augan.evaluation.augmentation.results_log import PredictionLog
from augan.evaluation.augmentation.subsets import LabelSubset, SubsetSpec
from augan.evaluation.augmentation.synthetic import GanArm, Resampler, lacking
from augan.evaluation.augmentation.training_set import Classifier
from augan.exceptions import ConfigError
from augan.io.atomic import atomic_write
from augan.metrics.statistics import LEAST_DRAWS
from augan.seeding import child_seed


def gan_over_sampler(
    steps: int | None = None, config: Config | None = None, method: str = "sample"
) -> GanArm:
    """Return the arm of `GANOverSampler`, trained on the draw's labels.

    It makes what the draw is `lacking`. Steps end its training, those of `config` or of the data,
    and never minutes: what is judged must not depend on how busy the machine is.
    """
    settings = None if config is None else config.replace(training__max_minutes=None)

    def make(draw: LabelSubset) -> Resampler:
        counts = np.bincount(draw.labels, minlength=draw.num_classes)
        wanted = {label: int(counts[label]) + more for label, more in lacking(draw).items()}
        seed = child_seed(draw.seed, "gan")
        return GANOverSampler(
            sampling_strategy=wanted,
            steps=steps,
            config=settings,
            method=method,
            unlabeled=draw.unlabeled,
            random_state=seed,
        )

    return GanArm(method, make)


GAN_ARMS: dict[str, Callable[..., GanArm]] = {
    method: partial(gan_over_sampler, method=method) for method in METHODS
}
"""Name -> function of the GAN's updates and settings (None: the defaults) that returns the arm."""

GAN_ARM = "transfer"


CLASSIFIERS = ("cnn", "logistic", "forest")
REPEATS = 20
RECOMMENDED_REPEATS = 5
RESULT = "evaluation.json"
RUNS = Path("runs")


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
    policy: str | None = None,
    repeats: int = REPEATS,
    arms: Sequence[str] | None = None,
    gan: GanArm | None = None,
    gan_steps: int | None = None,
    synthetic_fraction: float | None = None,
    tune_fraction: bool = False,
    config: Config | None = None,
    drop_duplicates: bool = False,
    seed: int = 0,
    out: str | Path | None = None,
    runs_dir: str | Path = RUNS,
    callback: Callable[[int, str, Mapping[str, Any]], None] = lambda repeat, arm, metrics: None,
) -> AugmentationGain:
    """Find out, on real held-out images, whether synthetic images lift a classifier.

    Parameters
    ----------
    data : str or path
        A dataset as `augan.load_dataset` takes it: with a test part, or with `test_size`.
    labels_per_class : int or None
        Labeled images of each class in a repeat. None: all.
    rare : mapping of str to int
        Rare classes and their number of labeled images, in place of `labels_per_class`.
    rest_unlabeled : bool
        Whether the remaining training images stay as unlabeled images.
    test_size : float or None
        Fraction of each class held out for the test, where the dataset has no test part.
    groups : path or None
        CSV file with the columns `path` and `group`, where several images show one object. All
        images of a group are on one side of the split, and the interval counts groups, not images.
    classifier : {"cnn", "logistic", "forest"} or Classifier
        The classifier that every arm trains.
    steps : int or None
        Updates of the classifier `cnn`, equal in all arms.
    policy : str or None
        Classic augmentation of all arms except `real`. None: `shift` for images of up to 8 pixels,
        otherwise `shift-flip`.
    repeats : int
        Number of repeats, at least 2. Each repeat samples the labels and trains GAN and classifier
        anew.
    arms : sequence of str or None
        Arms without a GAN. None: all arms that the data and the classifier allow.
    gan : GanArm or None
        The GAN arm. None: `GAN_ARMS[DEFAULT_GAN_ARM]`.
    gan_steps, config : int, Config, or None
        Updates and settings of the GAN. `training.max_minutes` has no effect: without `gan_steps`
        and without steps in `config`, the data decides the number of updates.
    synthetic_fraction : float or None
        Fraction of synthetic images in the samples of each class that has synthetic images.
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
        Called after each arm with the number of the repeat, the arm, and its metrics.

    Raises
    ------
    ConfigError
        The settings are invalid, or `out` holds an evaluation with other settings.
    DataError
        The images cannot be used, or test images equal training images.
    Interrupted
        The user stopped the evaluation. Finished arms are kept; the same call continues.
    """
    _check(
        repeats,
        policy,
        synthetic_fraction,
        tune_fraction,
        {"--steps": steps, "--gan-steps": gan_steps},
    )
    recipe = SubsetSpec(labels_per_class, dict(rare or {}), rest_unlabeled)
    size = None if config is None else config.data.size
    material = read_material(data, test_size, size, seed, groups)
    counts = recipe.counts(material.pool)
    material, leaked, dropped = guard(material, recipe, repeats, seed, drop_duplicates)
    judge = _classifier(classifier, material, steps)
    has_more = recipe.num_unlabeled(material.pool) > 0
    base = usual_base(has_more, judge.can_be_consistent)
    arm = gan or replace(GAN_ARMS[GAN_ARM](gan_steps, config), base=base)
    arm = arm if synthetic_fraction is None else replace(arm, share=synthetic_fraction)
    question = GainExperiment(
        material.pool,
        recipe,
        EvaluationProtocol(
            judge, policy or usual_policy(material.test.shape[1]), arm, material.test
        ),
        material.labels,
        choose_arms(arms, has_more, judge.can_be_consistent, counts.min() < counts.max()),
        repeats,
        seed,
        _candidates(gan, gan_steps, config, base) if tune_fraction else (),
        material.groups,
    )
    _check_data(question)
    settings = _settings(question, config, gan_steps, steps, test_size, drop_duplicates)
    folder = Path(out) if out else Path(runs_dir) / _folder_name(material.name, settings)
    return _evaluate(question, material, settings, folder, leaked, dropped, callback)


def _check(
    repeats: int,
    policy: str | None,
    fraction: float | None,
    tune_fraction: bool,
    updates: Mapping[str, int | None],
) -> None:
    """Refuse what cannot be before anything is read, or learned for an hour."""
    if repeats < LEAST_DRAWS:
        raise ConfigError(f"--repeats must be {LEAST_DRAWS} or more, but is {repeats}; 20 is usual")
    if policy is not None and policy not in TRANSFORMS:
        raise ConfigError(f"there is no policy '{policy}'; choose one of {', '.join(TRANSFORMS)}")
    if fraction is not None and not 0 <= fraction <= 1:
        raise ConfigError(f"--synthetic-fraction must lie between 0 and 1, but is {fraction:g}")
    if fraction is not None and tune_fraction:
        raise ConfigError(
            "--tune-fraction selects the synthetic fraction; leave out one of --synthetic-fraction "
            "and --tune-fraction"
        )
    for option, number in updates.items():
        if number is not None and number < 1:
            raise ConfigError(f"{option} must be 1 or more, but is {number}")


def _check_data(question: GainExperiment) -> None:
    """Refuse rivals that see less than the GAN does: what more data brings is no lift."""
    if question.has_unlabeled and all(map(question.is_labeled_only, question.rivals)):
        raise ConfigError(
            "the GAN may learn from the unlabeled images, and so must an arm that it is compared "
            "with: add self-training to --arms, or leave --arms out"
        )


def _classifier(name: str | Classifier, material: EvaluationData, steps: int | None) -> Classifier:
    if not isinstance(name, str):
        return name
    if name == "cnn":
        # Only this one needs TensorFlow.
        from augan.evaluation.augmentation.cnn import STEPS, CnnClassifier

        return CnnClassifier(material.scale, steps=STEPS if steps is None else steps)
    makers = {"logistic": logistic, "forest": forest}
    if name not in makers:
        raise ConfigError(
            f"there is no classifier '{name}'; choose one of {', '.join(CLASSIFIERS)}"
        )
    if steps is not None:
        raise ConfigError(f"--steps are those of the classifier cnn; {name} has none")
    return makers[name](material.scale)


def _candidates(
    gan: GanArm | None, gan_steps: int | None, config: Config | None, base: str
) -> tuple[GanArm, ...]:
    made = (make(gan_steps, config) for make in GAN_ARMS.values())
    return (gan,) if gan else tuple(replace(one, base=base) for one in made)


def _settings(
    question: GainExperiment,
    config: Config | None,
    gan_steps: int | None,
    steps: int | None,
    test_size: float | None,
    drop_duplicates: bool,
) -> dict[str, Any]:
    """Return everything that predictions depend on, but the images and how many draws there are."""
    trial, recipe = question.trial, question.recipe
    return {
        "augan": current_versions().get("augan"),
        "labels": recipe.labels,
        "rare": dict(recipe.rare),
        "rest_unlabeled": recipe.rest_unlabeled,
        "test_size": test_size,
        "drop_duplicates": drop_duplicates,
        "classifier": trial.classifier.name,
        "steps": steps,
        "policy": trial.policy,
        "gan": trial.gan.name,
        "share": trial.gan.share,
        "base": trial.gan.base,
        "gan_steps": gan_steps,
        "config": None if config is None else config.to_dict(),
        "select": [arm.name for arm in question.candidates],
        "seed": question.seed,
    }


def _folder_name(data: str, settings: Mapping[str, Any]) -> str:
    import hashlib

    text = json.dumps(settings, sort_keys=True)
    return f"gain-{data}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _evaluate(
    question: GainExperiment,
    material: EvaluationData,
    settings: dict[str, Any],
    folder: Path,
    leaked: Leakage,
    dropped: int,
    on_arm: Callable[[int, str, Mapping[str, Any]], None],
) -> AugmentationGain:
    def on_made(draw: LabelSubset, made: Made) -> None:
        write_gallery(folder / GALLERY, draw, *made)

    journal = PredictionLog(folder, {**settings, "data": material.sha256()})
    try:
        predictions = run_draws(question, journal, on_arm, on_made)
        chosen = [journal.about(number, GAN) for number in range(question.num_draws)]
    finally:
        journal.close()
    twins = np.array([place for place, _, _ in leaked.near], np.int64)
    lift = conclude(question, predictions, twins)
    lift.summary.update(
        {
            "num_draws": question.num_draws,
            "num_test": len(material.labels),
            "num_test_groups": None if material.groups is None else len(set(material.groups)),
            "num_unlabeled": question.recipe.num_unlabeled(question.pool),
            "class_names": list(material.pool.class_names),
            "labels": question.recipe.counts(material.pool).tolist(),
            "settings": settings,
            "chosen": [{"gan": one["gan"], "share": one["share"]} for one in chosen]
            if question.candidates
            else None,
            "dropped_duplicates": dropped,
            "num_near_duplicates": len(leaked.near),
            "near_duplicates": [
                {
                    "test": material.test_names[place],
                    "seen": material.names[row],
                    "correlation": value,
                }
                for place, row, value in leaked.near[:SHOWN_TWINS]
            ],
            "warnings": _warnings(question, material, leaked, dropped, lift),
            "data": material.name,
            "out": str(folder),
        }
    )
    with writing(folder / RESULT):
        atomic_write(folder / RESULT, json.dumps(lift.to_dict(), indent=2).encode("utf-8"))
    return lift


def _warnings(
    question: GainExperiment,
    material: EvaluationData,
    leaked: Leakage,
    dropped: int,
    lift: AugmentationGain,
) -> list[str]:
    found, pool = [], question.pool
    if question.num_draws < RECOMMENDED_REPEATS:
        found.append(
            f"{question.num_draws} draws say little of how much a lift depends on which images are "
            f"labeled; from {RECOMMENDED_REPEATS} on the interval does, and {REPEATS} are usual"
        )
    if (question.recipe.counts(pool) == np.bincount(pool.labels)).all():
        found.append(
            "every draw has all labeled images, so that only the seeds differ: the interval does "
            "not cover which images happen to be labeled; --labels N draws some of them"
        )
    if question.recipe.rest_unlabeled and not question.recipe.num_unlabeled(pool):
        found.append("every image is labeled in every draw, so that --rest-unlabeled leaves none")
    if material.skipped:
        found.append(f"{material.skipped} files could not be read and are left out")
    if dropped:
        found.append(f"{dropped} test images equal seen ones and are left out")
    if leaked.near:
        also = lift.summary["without_near_duplicates"] is not None
        found.append(
            f"{len(leaked.near)} of {len(material.labels)} test images are nearly identical to "
            f"seen ones; {'the result is also given' if also else 'a class has too few'} without "
            "them"
        )
    return found
