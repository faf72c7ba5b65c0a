"""Protocol of an evaluation of augmentation: all options of the user, checked before any data."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from augan.augment.methods.registry import generator_method_names
from augan.augment.transforms import TRANSFORMS
from augan.checks import (
    check_choice,
    check_flag,
    check_fraction,
    check_path,
    check_seed_number,
    check_whole_number,
)
from augan.config import Config, validate_config
from augan.evaluation.augmentation.arms import requested_baselines
from augan.evaluation.augmentation.subsets import SubsetSpec
from augan.evaluation.augmentation.synthetic import GanArm
from augan.evaluation.augmentation.training_set import Classifier
from augan.exceptions import ConfigError
from augan.metrics.statistics import MIN_REPEATS

CLASSIFIERS = ("cnn", "logistic", "forest")
DEFAULT_REPEATS = 20
_CLASSIFIER_ATTRIBUTES = ("name", "supports_consistency", "train")  # of the protocol `Classifier`


@dataclass(frozen=True, kw_only=True)
class EvaluationProtocol:
    """Options of `augan.evaluate_augmentation`, all of which have a default.

    Attributes
    ----------
    labels_per_class : int or None
        Labeled images of each class in a repeat, at least 2. None: all images.
    rare : mapping of str to int
        Rare classes and their number of labeled images, in place of `labels_per_class`. Default: no
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
    labels, label_column, path_column : path or str, or None
        File of labels and its columns, as `augan.load_dataset` takes them. None: the folders.
    follow_links : bool
        Whether links to folders are searched for images too.
    classifier : {"cnn", "logistic", "forest"} or Classifier
        The classifier that every arm trains.
    steps : int or None
        Training steps of the classifier "cnn", equal in all arms. None: the default of
        `augan.evaluation.augmentation.cnn`.
    transform : str or None
        Classic augmentation of all arms except `real`. None: `shift` for images of up to 8 pixels,
        otherwise `shift-flip`.
    repeats : int
        Number of repeats, at least 2. Each repeat samples another label subset and trains a new GAN
        and new classifiers.
    arms : str, sequence of str or None
        Arms without a GAN, see `augan.evaluation.augmentation.arms`. None: all arms that the data
        and the classifier allow.
    gan : str, GanArm or None
        The GAN arm, or the augmentation method of the GAN arm. None: the method "transfer", see
        `augan.evaluation.augmentation.gan_arms`.
    gan_steps, config : int, Config, or None
        Training steps and settings of the GAN. `training.max_minutes` has no effect. Without
        `config`, the settings are those of `gan_arms.default_config`. Without steps in either,
        `GANOverSampler` chooses the number of steps.
    synthetic_fraction : float or None
        Fraction of synthetic images in the samples of each class that has synthetic images, 0 to 1.
        None: the fraction of the GAN arm, 0.5 by default.
    tune_fraction : bool
        Whether to select the GAN arm and `synthetic_fraction` (0 included) by cross-validation
        within each repeat.
    drop_duplicates : bool
        Whether to drop test images that equal training images, instead of refusing such images.
    seed : int
        Seed of all random numbers, 0 to 2**31 - 1.

    Raises
    ------
    ConfigError
        An option is invalid or has the wrong type, or two options contradict each other.

    Examples
    --------
    >>> EvaluationProtocol(labels_per_class=20, rare={"coat": 8}).repeats
    20
    """

    labels_per_class: int | None = None
    rare: Mapping[str, int] = field(default_factory=dict)
    rest_unlabeled: bool = False
    test_size: float | None = None
    groups: str | Path | None = None
    labels: str | Path | None = None
    label_column: str | None = None
    path_column: str | None = None
    follow_links: bool = False
    classifier: str | Classifier = "cnn"
    steps: int | None = None
    transform: str | None = None
    repeats: int = DEFAULT_REPEATS
    arms: str | Sequence[str] | None = None
    gan: str | GanArm | None = None
    gan_steps: int | None = None
    synthetic_fraction: float | None = None
    tune_fraction: bool = False
    config: Config | None = None
    drop_duplicates: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rest_unlabeled", "tune_fraction", "drop_duplicates", "follow_links"):
            self._set(name, check_flag(name, getattr(self, name)))
        self._set("seed", check_seed_number(self.seed))
        self._set("repeats", check_whole_number("repeats", self.repeats, MIN_REPEATS))
        self._check_data()
        self._check_training()
        self._check_gan()
        if self.arms is not None:
            self._set("arms", _check_arms(self.arms))

    def load_options(self) -> dict[str, Any]:
        """Return the options of `load_dataset` that are given, except the groups."""
        names = ("labels", "label_column", "path_column", "follow_links")
        options = {name: getattr(self, name) for name in names}
        return {name: value for name, value in options.items() if value}

    def _set(self, name: str, value: Any) -> None:
        """Replace an attribute by its normal form; only for the constructor."""
        object.__setattr__(self, name, value)

    def _check_data(self) -> None:
        """Raise ConfigError for invalid labels, groups or an invalid size of the test."""
        if not isinstance(self.rare, Mapping):
            raise ConfigError(
                "`rare` must be a dict of the number of labeled images by class, but is "
                f"{self.rare!r}; give a dict such as {{'coat': 8}}"
            )
        spec = self.subset_spec()  # checks the numbers of labels
        self._set("labels_per_class", spec.labels_per_class)
        self._set("rare", spec.rare)
        if self.rest_unlabeled and self.labels_per_class is None and not self.rare:
            raise ConfigError(
                "`rest_unlabeled` keeps the images that lose their label, but every image is "
                "labeled; give `labels_per_class` or `rare`, or leave out `rest_unlabeled`"
            )
        if self.test_size is not None:
            self._set("test_size", check_fraction("test_size", self.test_size))
        if self.groups is not None:
            self._set("groups", check_path("groups", self.groups))

    def subset_spec(self) -> SubsetSpec:
        """Return the specification of the label subset of each repeat."""
        return SubsetSpec(self.labels_per_class, dict(self.rare), self.rest_unlabeled)

    def _check_training(self) -> None:
        """Raise ConfigError for an invalid classifier, transform or number of training steps."""
        for name in ("steps", "gan_steps"):
            if getattr(self, name) is not None:
                self._set(name, check_whole_number(name, getattr(self, name), 1))
        if isinstance(self.classifier, str):
            check_choice("classifier", self.classifier, CLASSIFIERS)
            if self.steps is not None and self.classifier != "cnn":
                raise ConfigError(
                    f"`steps` requires `classifier='cnn'`; the classifier is {self.classifier}"
                )
        elif not all(hasattr(self.classifier, name) for name in _CLASSIFIER_ATTRIBUTES):
            raise ConfigError(
                f"`classifier` must be {', '.join(CLASSIFIERS)} or a `Classifier`, but is "
                f"{self.classifier!r}; give one of the names, or an object with "
                f"{', '.join(_CLASSIFIER_ATTRIBUTES)}"
            )
        if self.transform is not None:
            check_choice("transform", self.transform, TRANSFORMS)

    def _check_gan(self) -> None:
        """Raise ConfigError for an invalid GAN arm or invalid settings of the GAN."""
        if isinstance(self.gan, str):
            check_choice("gan", self.gan, generator_method_names())
        elif self.gan is not None and not isinstance(self.gan, GanArm):
            raise ConfigError(
                f"`gan` must be a GAN arm or its name, but is {self.gan!r}; give one of "
                f"{', '.join(generator_method_names())}, or a `GanArm`"
            )
        if self.config is not None:
            validate_config(self.config)
        if self.synthetic_fraction is None:
            return
        fraction = check_fraction("synthetic_fraction", self.synthetic_fraction, include_ends=True)
        self._set("synthetic_fraction", fraction)
        if self.tune_fraction:
            raise ConfigError(
                "`tune_fraction` selects the synthetic fraction; leave out one of "
                "`synthetic_fraction` and `tune_fraction`"
            )


def _check_arms(arms: Any) -> tuple[str, ...]:
    """Return the names of arms as a tuple; one text is one arm.

    Raises
    ------
    ConfigError
        The arms are no list of names, an arm does not exist or is named twice, or no arm without a
        GAN is named.
    """
    names = (arms,) if isinstance(arms, str) else arms
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f"`arms` must be a list of names of arms, but is {arms!r}; give a list such as "
            "['real', 'gan']"
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ConfigError(f"`arms` names the arm {twice[0]} twice; keep one of the two")
    requested_baselines(names)
    return tuple(names)
