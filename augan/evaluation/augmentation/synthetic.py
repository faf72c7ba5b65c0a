"""The GAN arm: whatever has `fit_resample`, and how its images are used."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from augan.evaluation.augmentation.subsets import LabelSubset
from augan.exceptions import DataError


class Resampler(Protocol):
    """What is judged: a sampler as in imbalanced-learn.

    It is given images `[N, H, W, C]` and labels, and returns them with more behind them.
    """

    def fit_resample(self, X: np.ndarray, y: np.ndarray) -> tuple[Any, Any]:
        """Return the images and labels given, followed by new ones."""


@dataclass(frozen=True)
class GanArm:
    """One way to make images and to use them.

    Attributes
    ----------
    name : str
    make : callable
        A draw -> an unfitted sampler, whose seed is the draw's, and which may know its unlabeled
        images.
    share : float
        Of the draws of a class that has synthetic images, the share that is synthetic; 0: none.
    base : str
        The arm that they are added to, a key of `ARMS`; alone it is the ablation.
    """

    name: str
    make: Callable[[LabelSubset], Resampler]
    share: float = 0.5
    base: str = "oversampling"


EACH = 500  # images made of every class where none is rarer than another


def lacking(draw: LabelSubset) -> dict[int, int]:
    """Return how many images of which classes are to be made.

    Classes that are rarer than the largest are filled up to it; where all have as many, 500 images
    of each are made.
    """
    counts = np.bincount(draw.labels, minlength=draw.num_classes)
    if counts.min() == counts.max():
        return dict.fromkeys(range(draw.num_classes), EACH)
    return {c: int(counts.max() - n) for c, n in enumerate(counts) if n < counts.max()}


def synthetic_images(arm: GanArm, draw: LabelSubset) -> tuple[np.ndarray, np.ndarray]:
    """Return what the sampler makes of a draw: images `[m, S, S, C]` and their classes.

    Raises
    ------
    DataError
        The sampler returned something else than the originals and more images like them.
    """
    sampler, images, labels = arm.make(draw), draw.images, draw.labels
    new_images, new_labels = map(np.asarray, sampler.fit_resample(images, labels))
    n = len(labels)
    fits = new_images.shape[1:] == images.shape[1:] and new_images.dtype == images.dtype
    if not fits or len(new_images) != len(new_labels):
        raise DataError(
            f"the sampler {arm.name} returned {new_images.dtype} {list(new_images.shape)} and "
            f"{len(new_labels)} labels for {images.dtype} {list(images.shape)}; it must return the "
            "images that it was given, and more in the same form"
        )
    if not np.array_equal(new_images[:n], images):
        raise DataError(
            f"the sampler {arm.name} changed or moved the images that it was given; they must come "
            "first, as they are"
        )
    made = new_labels[n:].astype(np.int64)
    if made.size and not 0 <= made.min() <= made.max() < draw.num_classes:
        raise DataError(
            f"the sampler {arm.name} made images of the classes {made.min()} to {made.max()}, but "
            f"there are 0 to {draw.num_classes - 1}"
        )
    return new_images[n:], made
