"""Protocol of an evaluation of augmentation: all options of the user, checked before any data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from augan.augment.transforms import TRANSFORMS
from augan.config import Config
from augan.evaluation.augmentation.arms import requested_baselines
from augan.evaluation.augmentation.subsets import SubsetSpec
from augan.evaluation.augmentation.synthetic import GanArm
from augan.evaluation.augmentation.training_set import Classifier
from augan.exceptions import ConfigError
from augan.metrics.statistics import MIN_REPEATS

CLASSIFIERS = ("cnn", "logistic", "forest")
DEFAULT_REPEATS = 20


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
    arms : sequence of str or None
        Arms without a GAN, see `augan.evaluation.augmentation.arms`. None: all arms that the data
        and the classifier allow.
    gan : GanArm or None
        The GAN arm. None: the augmentation method "transfer", see
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
        Seed of all random numbers.

    Raises
    ------
    ConfigError
        An option is invalid, or two options contradict each other.

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
    classifier: str | Classifier = "cnn"
    steps: int | None = None
    transform: str | None = None
    repeats: int = DEFAULT_REPEATS
    arms: Sequence[str] | None = None
    gan: GanArm | None = None
    gan_steps: int | None = None
    synthetic_fraction: float | None = None
    tune_fraction: bool = False
    config: Config | None = None
    drop_duplicates: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        self.subset_spec()  # checks the numbers of labels
        self._check_training()
        if self.test_size is not None and not 0 < self.test_size < 1:
            raise ConfigError(
                f"--test-size must lie between 0 and 1, but is {self.test_size:g}; try 0.3"
            )
        if self.repeats < MIN_REPEATS:
            raise ConfigError(
                f"--repeats must be {MIN_REPEATS} or more, but is {self.repeats}; the default is "
                f"{DEFAULT_REPEATS}"
            )
        if self.arms is not None:
            requested_baselines(self.arms)
        if self.synthetic_fraction is None:
            return
        if not 0 <= self.synthetic_fraction <= 1:
            raise ConfigError(
                f"--synthetic-fraction must lie between 0 and 1, but is {self.synthetic_fraction:g}"
            )
        if self.tune_fraction:
            raise ConfigError(
                "--tune-fraction selects the synthetic fraction; leave out one of "
                "--synthetic-fraction and --tune-fraction"
            )

    def subset_spec(self) -> SubsetSpec:
        """Return the specification of the label subset of each repeat."""
        return SubsetSpec(self.labels_per_class, dict(self.rare), self.rest_unlabeled)

    def _check_training(self) -> None:
        """Raise ConfigError for an invalid classifier, transform or number of training steps."""
        for option, number in (("--steps", self.steps), ("--gan-steps", self.gan_steps)):
            if number is not None and number < 1:
                raise ConfigError(f"{option} must be 1 or more, but is {number}")
        if isinstance(self.classifier, str):
            if self.classifier not in CLASSIFIERS:
                raise ConfigError(
                    f"unknown classifier '{self.classifier}'; choose one of "
                    f"{', '.join(CLASSIFIERS)}"
                )
            if self.steps is not None and self.classifier != "cnn":
                raise ConfigError(
                    f"--steps requires --classifier cnn; the classifier is {self.classifier}"
                )
        if self.transform is not None and self.transform not in TRANSFORMS:
            raise ConfigError(
                f"unknown transform '{self.transform}'; choose one of {', '.join(TRANSFORMS)}"
            )
