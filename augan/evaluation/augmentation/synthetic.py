"""Synthetic images of the GAN arm, from any sampler with `fit_resample`.

The GAN arm is the training set with synthetic images, whose gain an evaluation measures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from augan.evaluation.augmentation.subsets import LabelSubset
from augan.exceptions import DataError

DEFAULT_PER_CLASS = 500  # synthetic images of every class where all classes are equally frequent


class Resampler(Protocol):
    """Interface of an over-sampler of imbalanced-learn, which generates the synthetic images."""

    def fit_resample(self, X: np.ndarray, y: np.ndarray) -> tuple[Any, Any]:
        """Return the given images and labels, followed by new images and their labels.

        Parameters
        ----------
        X : ndarray [n, S, S, C]
            Real images.
        y : ndarray of int [n]
            Their classes.

        Returns
        -------
        images : ndarray [n + k, S, S, C]
        labels : ndarray [n + k]
        """


@dataclass(frozen=True)
class GanArm:
    """Source of synthetic images, and the use of the synthetic images in the training set.

    Attributes
    ----------
    name : str
        Name in settings and messages.
    make_sampler : callable
        Label subset -> unfitted sampler. The sampler takes its seed from the subset and may use the
        unlabeled images of the subset.
    synthetic_fraction : float
        Fraction of synthetic images in the samples of each class that has synthetic images, 0 to 1.
        0: no synthetic images are generated.
    base : str
        Arm that the synthetic images are added to, a name in `ARMS`; alone it is the ablation.
    """

    name: str
    make_sampler: Callable[[LabelSubset], Resampler]
    synthetic_fraction: float = 0.5
    base: str = "oversampling"


def missing_counts(subset: LabelSubset) -> dict[int, int]:
    """Return the number of images to generate for each class of a label subset.

    Each minority class is filled up to the size of the largest class. In a balanced subset,
    `DEFAULT_PER_CLASS` images of every class are generated.

    Returns
    -------
    dict of int to int
        Class index -> number of images; classes that need none are left out.
    """
    counts = subset.class_counts
    if counts.min() == counts.max():
        return dict.fromkeys(range(subset.num_classes), DEFAULT_PER_CLASS)
    return {c: int(counts.max() - n) for c, n in enumerate(counts) if n < counts.max()}


def generate_synthetic(arm: GanArm, subset: LabelSubset) -> tuple[np.ndarray, np.ndarray]:
    """Fit the sampler of a GAN arm to a label subset and return the synthetic images.

    Returns
    -------
    images : ndarray [m, S, S, C]
        Images of the type of the subset's images.
    labels : ndarray of int64 [m]
        Class of each image.

    Raises
    ------
    DataError
        The sampler returned something other than the given images followed by similar images.
    """
    sampler, images, labels = arm.make_sampler(subset), subset.images, subset.labels
    new_images, new_labels = map(np.asarray, sampler.fit_resample(images, labels))
    n = len(labels)
    fits = new_images.shape[1:] == images.shape[1:] and new_images.dtype == images.dtype
    if not fits or len(new_images) != len(new_labels):
        raise DataError(
            f"the sampler {arm.name} returned {new_images.dtype} {list(new_images.shape)} and "
            f"{len(new_labels)} labels for {images.dtype} {list(images.shape)}; it must return the "
            "given images, followed by images of the same type and size, and a label for each"
        )
    if not np.array_equal(new_images[:n], images):
        raise DataError(
            f"the sampler {arm.name} changed or moved the given images; it must return the given "
            "images first and unchanged"
        )
    classes = new_labels[n:].astype(np.int64)
    if classes.size and not 0 <= classes.min() <= classes.max() < subset.num_classes:
        raise DataError(
            f"the sampler {arm.name} returned images of the classes {classes.min()} to "
            f"{classes.max()}, but the classes are 0 to {subset.num_classes - 1}"
        )
    return new_images[n:], classes
