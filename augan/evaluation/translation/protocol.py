"""Protocol of an evaluation of translation: all options of the user, checked before any data."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augan.checks import (
    check_choice,
    check_flag,
    check_fraction,
    check_path,
    check_seed_number,
    check_whole_number,
)
from augan.choices import CAMERA_ARMS
from augan.config import Config, validate_config
from augan.exceptions import ConfigError
from augan.metrics.statistics import MIN_REPEATS

DEFAULT_REPEATS = 2
DEFAULT_STEPS = 500  # of the classifier
TRANSFORMS = ("shift", "shift-flip")


@dataclass(frozen=True, kw_only=True)
class TranslationProtocol:
    """Options of `augan.evaluate_translation`.

    Attributes
    ----------
    missing : str or sequence of str
        Classes without labels on the new camera. The old camera and the test images of the new
        camera have them.
    labels_per_class : int
        Labels of each missing class that the arms nevertheless see on the new camera; default: 0.
    test_size : float or None
        Fraction of each class of the new camera held out for the test, between 0 and 1. None: the
        new camera has a test part.
    groups : path or None
        CSV file with the columns `path` and `group` of the new camera's images, where several
        images show one object. A group is on one side of the split.
    class_map : path or None
        CSV file with the columns `old` and `new`, where classes have other names on the new camera.
    repeats : int
        Number of repeats with other seeds, at least 2; default: 2. Each trains a translator.
    arms : str, sequence of str or None
        Arms of `augan.choices.CAMERA_ARMS`. None: all arms that the images allow.
    steps : int
        Training steps of the classifier, equal in all arms; default: 500.
    transform : {"shift", "shift-flip"} or None
        Whether training images are mirrored, in addition to small shifts; not for images such as
        digits. None: `shift` for images of up to 8 pixels, otherwise `shift-flip`.
    gan_steps, config : int, Config, or None
        Updates and settings of the translator. None: the defaults, with 1,500 updates.
    drop_duplicates : bool
        Whether to drop test images that equal training images, instead of refusing them.
    seed : int
        Seed of all random numbers, 0 to 2**31 - 1.

    Raises
    ------
    ConfigError
        An option is invalid or has the wrong type.

    Examples
    --------
    >>> TranslationProtocol(missing="dent").missing
    ('dent',)
    """

    missing: str | Sequence[str]
    labels_per_class: int = 0
    test_size: float | None = None
    groups: str | Path | None = None
    class_map: str | Path | None = None
    repeats: int = DEFAULT_REPEATS
    arms: str | Sequence[str] | None = None
    steps: int = DEFAULT_STEPS
    transform: str | None = None
    gan_steps: int | None = None
    config: Config | None = None
    drop_duplicates: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        missing = _check_names("missing", self.missing, "dent")
        if not missing:
            raise ConfigError(
                "`missing` names no class; give the classes without labels on the new camera, such "
                "as 'dent'"
            )
        self._set("missing", missing)
        self._set("drop_duplicates", check_flag("drop_duplicates", self.drop_duplicates))
        if self.transform is not None:
            check_choice("transform", self.transform, TRANSFORMS)
        for name, low in (("labels_per_class", 0), ("repeats", MIN_REPEATS), ("steps", 1)):
            self._set(name, check_whole_number(name, getattr(self, name), low))
        self._set("seed", check_seed_number(self.seed))
        if self.gan_steps is not None:
            self._set("gan_steps", check_whole_number("gan_steps", self.gan_steps, 1))
        if self.test_size is not None:
            self._set("test_size", check_fraction("test_size", self.test_size))
        for name in ("groups", "class_map"):
            if getattr(self, name) is not None:
                self._set(name, check_path(name, getattr(self, name)))
        if self.config is not None:
            validate_config(self.config)
        if self.arms is not None:
            self._set("arms", _check_arms(self.arms))

    def _set(self, name: str, value: Any) -> None:
        """Replace an attribute by its normal form; only for the constructor."""
        object.__setattr__(self, name, value)

    def translator_config(self) -> Config | None:
        """Return the settings of the translator; None: the defaults."""
        if self.gan_steps is None:
            return self.config
        return (self.config or Config()).replace(training__steps=self.gan_steps)


def _check_names(name: str, names: Any, example: str) -> tuple[str, ...]:
    """Return names as a tuple without repeats; one text is one name.

    Raises
    ------
    ConfigError
        The names are no list of texts, or a name occurs twice.
    """
    listed = (names,) if isinstance(names, str) else names
    if not isinstance(listed, list | tuple) or not all(isinstance(text, str) for text in listed):
        raise ConfigError(
            f"`{name}` must be a list of names, but is {names!r}; give a list such as ['{example}']"
        )
    twice = [text for text, count in Counter(listed).items() if count > 1]
    if twice:
        raise ConfigError(f"`{name}` has {twice[0]} twice; keep one of the two")
    return tuple(listed)


def _check_arms(arms: Any) -> tuple[str, ...]:
    """Return the names of arms; there must be one without a translator and one with a translator.

    Raises
    ------
    ConfigError
        An arm does not exist or occurs twice, or one of the two kinds is missing.
    """
    names = _check_names("arms", arms, "pooled")
    for name in names:
        if name not in CAMERA_ARMS:
            available = ", ".join(arm.name for arm in CAMERA_ARMS)
            raise ConfigError(f"`arms` has {name!r}, which is no arm; choose from {available}")
    for uses_translator, kind in ((True, "with a translator"), (False, "without a translator")):
        if not any(CAMERA_ARMS.get(name).uses_translator == uses_translator for name in names):
            example = next(a.name for a in CAMERA_ARMS if a.uses_translator == uses_translator)
            raise ConfigError(f"`arms` has no arm {kind} to compare; add one such as {example}")
    return names
