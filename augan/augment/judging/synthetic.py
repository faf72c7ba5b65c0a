"""The GAN arm: whatever has `fit_resample`, and how its images are added.

`GAN_ARM` is the one place that says which sampler is judged unless the caller says otherwise; it is
declared before any result is seen. Others that are worth a comparison stand in `GAN_ARMS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from augan.augment.judging.draws import Draw
from augan.exceptions import DataError
from augan.seeding import child_seed

EACH = 500  # images made of every class where none is rarer than another


class Resampler(Protocol):
    """What is judged: a sampler as in imbalanced-learn.

    It is given images `[N, H, W, C]` and labels, and returns them with more behind them. One that
    has a true attribute `accepts_unlabelled` is also given the unlabelled images, with label -1.
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
        A draw -> an unfitted sampler, whose seed is the draw's.
    share : float
        Of the draws of a class that has synthetic images, the share that is synthetic; 0: none.
    base : str
        The arm that they are added to, a key of `ARMS`; alone it is the ablation.
    """

    name: str
    make: Callable[[Draw], Resampler]
    share: float = 0.5
    base: str = "oversampling"


def gan_over_sampler(steps: int | None = None) -> GanArm:
    """Return the arm of `GANOverSampler`: a conditional GAN trained on the draw's labels.

    Classes that are rarer than the largest are filled up to it; where all have as many, 500 images
    of each are made.
    """

    def make(draw: Draw) -> Resampler:
        from augan.augment.oversampler import GANOverSampler

        counts = np.bincount(draw.labels, minlength=draw.num_classes)
        wanted: Any = "auto"
        if counts.min() == counts.max():
            wanted = {label: int(count) + EACH for label, count in enumerate(counts)}
        return GANOverSampler(
            sampling_strategy=wanted, steps=steps, random_state=child_seed(draw.seed, "gan")
        )

    return GanArm("gan-over-sampler", make)


GAN_ARMS: dict[str, Callable[[int | None], GanArm]] = {"gan-over-sampler": gan_over_sampler}
"""Name -> function of the updates of the GAN (None: its default) that returns the arm."""

GAN_ARM = "gan-over-sampler"


def synthetic_images(arm: GanArm, draw: Draw) -> tuple[np.ndarray, np.ndarray]:
    """Return what the sampler makes of a draw: images `[m, S, S, C]` and their classes.

    Raises
    ------
    DataError
        The sampler returned something else than the originals and more images like them.
    """
    sampler, images, labels = arm.make(draw), draw.images, draw.labels
    if draw.unlabelled is not None and getattr(sampler, "accepts_unlabelled", False):
        images = np.concatenate([images, draw.unlabelled])
        labels = np.concatenate([labels, np.full(len(draw.unlabelled), -1)])
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
