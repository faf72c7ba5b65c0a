"""Experiment of an evaluation of translation: training and test of all arms in all repeats.

Before the repeats, the arms are trained on the images of the first repeat with hidden classes, see
`augan.evaluation.translation.selection`. Each training is classified without and with AdaBN, and
kept in the log of results, so that a stopped experiment continues.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from augan.choices import CAMERA_ARMS
from augan.config import Config
from augan.evaluation.augmentation.results_log import PredictionLog
from augan.evaluation.translation.camera_shift import CameraShift, CameraTrainingSet
from augan.evaluation.translation.classifier import CameraClassifier, TrainedClassifier
from augan.evaluation.translation.selection import (
    ArmOption,
    Hidden,
    choose,
    hidden_groups,
    hide_classes,
    mean_recall,
)
from augan.exceptions import RunInterruptedError
from augan.seeding import child_seed
from augan.translate.translator import Translator, train_translator

TRANSLATIONS = 3  # of each image of the old camera, with other noise

Translations = tuple[np.ndarray, np.ndarray]
"""Translated images of the old camera `[t, S, S, C]` uint8, and their classes `[t]`."""

OnTraining = Callable[[int, str, Mapping[str, Any]], None]
"""Called after each training with the repeat, the stage and arm, and `balanced_accuracy`."""


class ArmTrainer:
    """Trainings of all arms on the images of two cameras; the translator is trained once.

    Parameters
    ----------
    shift : CameraShift
    classifier : CameraClassifier
        The classifier that every arm trains.
    config : Config or None
        Settings of the translator. None: the defaults.
    """

    def __init__(
        self, shift: CameraShift, classifier: CameraClassifier, config: Config | None = None
    ) -> None:
        self.shift, self._classifier, self._config = shift, classifier, config
        self._translations: Translations | None = None

    @property
    def has_translations(self) -> bool:
        """Whether the translator was trained."""
        return self._translations is not None

    def train(self, option: ArmOption) -> TrainedClassifier:
        """Train the classifier with an arm; the seed is the same for all arms."""
        seed = child_seed(self.shift.seed, "classifier")
        return self._classifier.train(self.training_set(option), seed)

    def training_set(self, option: ArmOption) -> CameraTrainingSet:
        """Return the training set of an arm; the first arm with a translator trains it."""
        build = CAMERA_ARMS.load(option.arm)
        if option.share is None:
            return build(self.shift)
        return build(self.shift, *self.translations(), option.share)

    def translations(self) -> Translations:
        """Return `TRANSLATIONS` translations of all images of the old camera, and their classes."""
        if self._translations is None:
            shift = self.shift
            translator = self._train_translator()
            images = [
                translator.translate(shift.old_images, seed=child_seed(shift.seed, "noise", number))
                for number in range(TRANSLATIONS)
            ]
            labels = np.tile(shift.old_labels, TRANSLATIONS)
            self._translations = np.concatenate(images), labels
        return self._translations

    def _train_translator(self) -> Translator:
        """Train a translator on the labeled images of both cameras."""
        shift = self.shift
        has_labels = len(shift.new_labels) > 0
        new_images = shift.new_images if has_labels else shift.unlabeled
        if new_images is None:
            raise ValueError("the new camera has no images")
        return train_translator(
            shift.old_images,
            shift.old_labels,
            new_images,
            shift.new_labels if has_labels else None,
            shift.num_classes,
            config=self._config,
            seed=child_seed(shift.seed, "translator"),
        )


@dataclass(frozen=True, eq=False)
class ShiftExperiment:
    """Images, arms and settings of an evaluation of translation.

    Attributes
    ----------
    shifts : tuple of CameraShift
        Images that the arms may use, for each of at least two repeats.
    test_images : ndarray of uint8 [m, S, S, C]
        Images of the new camera that nothing is trained on.
    test_labels : ndarray of int64 [m]
        Their classes; every class occurs.
    pool : ndarray of uint8 [p, S, S, C]
        Images of the new camera without labels, for the statistics of AdaBN; no test images.
    options : tuple of ArmOption
        Arms to compare, without AdaBN.
    classifier : CameraClassifier
    config : Config or None
        Settings of the translator. None: the defaults.
    num_labels : int
        Labels of each missing class on the new camera.
    test_groups : ndarray [m] or None
        Group of each test image, such as the object it shows. None: each image is its own group.
    """

    shifts: tuple[CameraShift, ...]
    test_images: np.ndarray
    test_labels: np.ndarray
    pool: np.ndarray
    options: tuple[ArmOption, ...]
    classifier: CameraClassifier
    config: Config | None = None
    num_labels: int = 0
    test_groups: np.ndarray | None = None

    @property
    def all_options(self) -> tuple[ArmOption, ...]:
        """All options, each without and with AdaBN."""
        return tuple(
            replace(option, is_adapted=is_adapted)
            for option in self.options
            for is_adapted in (False, True)
        )


@dataclass(frozen=True, eq=False)
class ShiftPredictions:
    """Result of an experiment.

    Attributes
    ----------
    predicted : dict of ArmOption to ndarray of int64 [R, m]
        Predicted classes of the test images in each repeat.
    scores : dict of ArmOption to list of float
        Balanced accuracy for each group of hidden classes. Empty lists without a selection.
    groups : tuple of tuple of int
        The groups of hidden classes.
    """

    predicted: dict[ArmOption, np.ndarray]
    scores: dict[ArmOption, list[float]]
    groups: tuple[Hidden, ...] = field(default=())

    def choose(self, uses_translator: bool | None = None) -> ArmOption | None:
        """Return the chosen option, see `augan.evaluation.translation.selection.choose`."""
        return choose(self.scores, uses_translator) if self.groups else None


def run_shift(
    experiment: ShiftExperiment,
    log: PredictionLog,
    on_training: OnTraining = lambda repeat, arm, metrics: None,
    on_translations: Callable[[CameraShift, Translations], None] = lambda shift, images: None,
) -> ShiftPredictions:
    """Train and test all arms, except for trainings that the log already has.

    Parameters
    ----------
    experiment : ShiftExperiment
    log : PredictionLog
        Log that keeps each finished training.
    on_training : callable
        See `OnTraining`.
    on_translations : callable
        Called with the images of the first repeat and their translations, if it is computed.

    Raises
    ------
    RunInterruptedError
        The user stopped the experiment. Finished trainings are kept in the log.
    """
    scores: dict[ArmOption, list[float]] = {option: [] for option in experiment.all_options}
    predicted: dict[ArmOption, list[np.ndarray]] = {option: [] for option in scores}
    groups = hidden_groups(experiment.shifts[0])
    try:
        for number, hidden in enumerate(groups):
            shift, images, labels = hide_classes(
                experiment.shifts[0], hidden, experiment.num_labels
            )
            shift = replace(shift, seed=child_seed(shift.seed, "hidden", number))
            trainer = ArmTrainer(shift, experiment.classifier, experiment.config)
            stage = (0, f"hidden-{number + 1} ")
            found = _run_trainer(experiment, trainer, (images, labels), log, on_training, stage)
            for option, classes in found.items():
                scores[option].append(mean_recall(classes, labels))
        for repeat, shift in enumerate(experiment.shifts):
            test = experiment.test_images, experiment.test_labels
            trainer = ArmTrainer(shift, experiment.classifier, experiment.config)
            found = _run_trainer(experiment, trainer, test, log, on_training, (repeat, ""))
            for option, classes in found.items():
                predicted[option].append(classes)
            if repeat == 0 and trainer.has_translations:
                on_translations(shift, trainer.translations())
    except KeyboardInterrupt:
        total = len(experiment.options) * (len(groups) + len(experiment.shifts))
        raise RunInterruptedError(
            f"interrupted: {len(log)} of {total} trainings are finished and kept in {log.folder}; "
            "the same command continues from there"
        ) from None
    stacked = {option: np.stack(of_repeats) for option, of_repeats in predicted.items()}
    return ShiftPredictions(stacked, scores, groups)


def _run_trainer(
    experiment: ShiftExperiment,
    trainer: ArmTrainer,
    test: tuple[np.ndarray, np.ndarray],
    log: PredictionLog,
    on_training: OnTraining,
    stage: tuple[int, str],
) -> dict[ArmOption, np.ndarray]:
    """Train and test all options that the log lacks.

    Parameters
    ----------
    test : (ndarray [v, S, S, C], ndarray of int [v])
        Images that measure the arms, and their classes.
    stage : (int, str)
        Number of the repeat, and the beginning of the names in the log.

    Returns
    -------
    dict of ArmOption to ndarray of int64 [v]
        Predicted classes of the images.
    """
    images, labels = test
    (repeat, prefix), found = stage, {}
    for option in experiment.options:
        name = prefix + option.training
        classes = log.get(repeat, name)
        if classes is None:
            trained = trainer.train(option)
            plain = trained.predict(images)
            adapted = trained.adapted(experiment.pool).predict(images)
            classes = np.concatenate([plain, adapted])
            accuracies = [mean_recall(part, labels) for part in (plain, adapted)]
            metrics = {"balanced_accuracy": accuracies[0], "balanced_accuracy_adabn": accuracies[1]}
            log.add(repeat, name, classes, metrics)
            on_training(repeat, name, metrics)
        found[option], found[replace(option, is_adapted=True)] = np.split(classes, 2)
    return found
