"""Selection of an arm for a new camera without labels of the missing classes.

Two groups of common classes are hidden in turn on the new camera, as if they were missing. Every
arm is trained without the labels of the group, and classifies the hidden images and held-out images
of the other common classes. The arm and the share of translated images with the highest mean
balanced accuracy are chosen. The share 0 is one of the options, as an arm without a GAN.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from augan.choices import CAMERA_ARMS
from augan.evaluation.translation.camera_shift import CameraShift
from augan.exceptions import ConfigError
from augan.seeding import child_rng

VALIDATION_SHARE = 0.2  # of the new images of a class that stays, where other classes are hidden
DEFAULT_SHARE = 0.5  # of translated images among the samples of a class
SHARES = {"gan": (0.5, 0.75)}  # shares to choose from, where there are several
ADAPTED_SUFFIX = "+adabn"

Hidden = tuple[int, ...]
"""Classes that are hidden on the new camera."""


@dataclass(frozen=True)
class ArmOption:
    """One option of the selection: an arm, perhaps with a share of translated images.

    Attributes
    ----------
    arm : str
        A name in `augan.choices.CAMERA_ARMS`.
    share : float or None
        Share of translated images among the samples of a class; None: the arm has no translator.
    is_adapted : bool
        Whether the classifier has batch statistics of the new camera (AdaBN).
    """

    arm: str
    share: float | None = None
    is_adapted: bool = False

    @property
    def uses_translator(self) -> bool:
        """Whether the arm trains on translated images."""
        return self.share is not None

    @property
    def training(self) -> str:
        """Name of the training, the same without and with AdaBN, such as "gan:0.5"."""
        return self.arm if self.share is None else f"{self.arm}:{self.share:g}"

    @property
    def key(self) -> str:
        """Name in results, such as "gan:0.5+adabn"."""
        return self.training + ADAPTED_SUFFIX * self.is_adapted

    @property
    def label(self) -> str:
        """Description in sentences and tables, such as "GAN, 50 % translated, AdaBN"."""
        label = CAMERA_ARMS.get(self.arm).label
        if self.share is not None:
            label += f", {100 * self.share:.0f} % translated"
        return f"{label}, AdaBN" if self.is_adapted else label


def arm_options(shift: CameraShift, arms: Sequence[str] | None = None) -> tuple[ArmOption, ...]:
    """Return the options of the images of two cameras, all without AdaBN.

    Parameters
    ----------
    shift : CameraShift
    arms : sequence of str or None
        Names of arms. None: all arms that the images allow.

    Raises
    ------
    ConfigError
        An arm does not exist, or needs unlabeled images or common classes that are missing.
    """
    eligible = [
        arm.name
        for arm in CAMERA_ARMS
        if (shift.common or not arm.needs_common_classes)
        and (shift.unlabeled is not None or not arm.uses_unlabeled)
    ]
    for name in arms or ():
        if name not in CAMERA_ARMS:
            raise ConfigError(f"there is no arm {name!r}; choose from {', '.join(eligible)}")
        if name not in eligible:
            needs = (
                "unlabeled images of the new camera"
                if CAMERA_ARMS.get(name).uses_unlabeled
                else "classes with labels on both cameras"
            )
            raise ConfigError(f"the arm {name} needs {needs}; choose from {', '.join(eligible)}")
    return tuple(
        ArmOption(name, share)
        for name in arms or eligible
        for share in (
            SHARES.get(name, (DEFAULT_SHARE,)) if CAMERA_ARMS.get(name).uses_translator else (None,)
        )
    )


def hidden_groups(shift: CameraShift) -> tuple[Hidden, ...]:
    """Return two disjoint groups of common classes, each as large as the missing classes if it can.

    Fewer than two common classes have no groups.
    """
    common = child_rng(shift.seed, "hidden-groups").permutation(shift.common)
    size = min(len(shift.missing), len(common) // 2)
    groups = [common[:size], common[size : 2 * size]] if size else []
    return tuple(tuple(sorted(int(label) for label in group)) for group in groups)


def hide_classes(
    shift: CameraShift, hidden: Hidden, num_labels: int = 0
) -> tuple[CameraShift, np.ndarray, np.ndarray]:
    """Return what arms see without some classes of the new camera, and images that measure them.

    The new images of the hidden classes, and a share of those of each other common class, leave the
    training.

    Parameters
    ----------
    shift : CameraShift
    hidden : tuple of int
        Common classes.
    num_labels : int
        Labeled images that each hidden class keeps, as many as a missing class has.

    Returns
    -------
    shift : CameraShift
        What arms see; the hidden classes are among its missing classes.
    images : ndarray of uint8 [v, S, S, C]
        New images of the common classes that left the training.
    labels : ndarray of int64 [v]
        Their classes.
    """
    rng = child_rng(shift.seed, "hide", *hidden)
    held_out = np.zeros(len(shift.new_labels), bool)
    for label in shift.common:
        rows = rng.permutation(np.flatnonzero(shift.new_labels == label))
        validation = max(1, round(VALIDATION_SHARE * len(rows)))
        kept = num_labels if label in hidden else len(rows) - validation
        held_out[rows[kept:]] = True
    seen = replace(shift.without_new(held_out), missing=(*shift.missing, *hidden))
    return seen, shift.new_images[held_out], shift.new_labels[held_out]


def recall_by_class(predicted: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """Return the share of the images of each class that have the right prediction."""
    return {
        int(label): float((predicted[labels == label] == label).mean())
        for label in np.unique(labels)
    }


def mean_recall(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Return the balanced accuracy over the classes that occur."""
    return float(np.mean(list(recall_by_class(predicted, labels).values())))


def choose(
    scores: Mapping[ArmOption, Sequence[float]], uses_translator: bool | None = None
) -> ArmOption | None:
    """Return the option with the highest mean balanced accuracy on the hidden groups.

    Ties go to options without a translator, then to the option that comes first.

    Parameters
    ----------
    scores : mapping of ArmOption to sequence of float
        Balanced accuracy for each hidden group.
    uses_translator : bool or None
        Whether to choose among arms with or without a translator. None: among all.

    Returns
    -------
    ArmOption or None
        None: there is no such option.
    """
    eligible = [
        option
        for option in sorted(scores, key=lambda option: option.uses_translator)
        if uses_translator is None or option.uses_translator == uses_translator
    ]
    # `max` returns the first of equal options.
    return max(eligible, key=lambda option: float(np.mean(scores[option])), default=None)
