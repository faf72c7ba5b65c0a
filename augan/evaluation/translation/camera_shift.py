"""Images of an old and a new camera, and the training sets that arms make from them.

An arm is one way to make the training set of a classifier for the new camera. The old camera has
labeled images of all classes; the new camera lacks labels of some of them, the missing classes.
"""

from dataclasses import dataclass, replace

import numpy as np

UNLABELED = -1  # class of an image without a label


@dataclass(frozen=True, eq=False)
class CameraShift:
    """Images of both cameras that the arms of one repeat may use; no test images are among them.

    Attributes
    ----------
    old_images : ndarray of uint8 [n, S, S, C]
        Images of the old camera.
    old_labels : ndarray of int64 [n]
        Class of each image of the old camera; every class occurs.
    new_images : ndarray of uint8 [m, S, S, C]
        Labeled images of the new camera; may be empty.
    new_labels : ndarray of int64 [m]
        Class of each image of the new camera.
    num_classes : int
        Number of classes of both cameras together.
    missing : tuple of int
        Classes of which the new camera has no labels or few labels.
    unlabeled : ndarray of uint8 [u, S, S, C] or None
        Images of the new camera whose labels no arm sees. None: there are none.
    seed : int
        Seed of all random numbers of the repeat.
    """

    old_images: np.ndarray
    old_labels: np.ndarray
    new_images: np.ndarray
    new_labels: np.ndarray
    num_classes: int
    missing: tuple[int, ...]
    unlabeled: np.ndarray | None = None
    seed: int = 0

    @property
    def common(self) -> tuple[int, ...]:
        """Classes that are not missing and have labels on the new camera, in ascending order."""
        labeled = np.unique(self.new_labels)
        return tuple(int(label) for label in labeled if label not in self.missing)

    def without_new(self, dropped: np.ndarray) -> "CameraShift":
        """Return the images without some labeled images of the new camera.

        Parameters
        ----------
        dropped : ndarray of bool [m]
            Which labeled images of the new camera are left out.
        """
        return replace(
            self, new_images=self.new_images[~dropped], new_labels=self.new_labels[~dropped]
        )


@dataclass(frozen=True, eq=False)
class CameraTrainingSet:
    """Training images of one arm with their sampling probabilities.

    Attributes
    ----------
    images : ndarray of uint8 [n, S, S, C]
    labels : ndarray of int64 [n]
        Class of each image.
    is_new : ndarray of bool [n]
        Whether each image is of the new camera or looks like it, such as a translated image.
    probabilities : ndarray of float [n]
        Probability that each image is sampled into a batch; the sum is 1.
    augmentation : {"classic", "strong"}
        Random changes of every sampled image, see `augan.evaluation.translation.classifier`.
    adaptation : str
        Use of `unlabeled` in the training: "none", "coral" (deep CORAL), "adversarial" (DANN),
        "self-training" (as in AdaMatch) or "adversarial-self-training" (both).
    unlabeled : ndarray of uint8 [u, S, S, C] or None
        Images of the new camera without labels. None: the arm uses none.
    """

    images: np.ndarray
    labels: np.ndarray
    is_new: np.ndarray
    probabilities: np.ndarray
    augmentation: str = "classic"
    adaptation: str = "none"
    unlabeled: np.ndarray | None = None
