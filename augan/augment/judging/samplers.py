"""Which GAN is judged: the one place that says so, declared before any result is seen."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from augan.augment.judging.draws import Draw
from augan.augment.judging.synthetic import GanArm, Resampler
from augan.augment.methods.table import METHODS
from augan.augment.oversampler import GANOverSampler
from augan.config import Config
from augan.seeding import child_seed

EACH = 500  # images made of every class where none is rarer than another


def gan_over_sampler(
    steps: int | None = None, config: Config | None = None, method: str = "sample"
) -> GanArm:
    """Return the arm of `GANOverSampler`, trained on the draw's labels.

    Classes that are rarer than the largest are filled up to it; where all have as many, 500 images
    of each are made. Steps end its training, those of `config` or of the data, and never minutes:
    what is judged must not depend on how busy the machine is.
    """
    settings = None if config is None else config.replace(training__max_minutes=None)

    def make(draw: Draw) -> Resampler:
        counts = np.bincount(draw.labels, minlength=draw.num_classes)
        wanted: Any = "auto"
        if counts.min() == counts.max():
            wanted = {label: int(count) + EACH for label, count in enumerate(counts)}
        seed = child_seed(draw.seed, "gan")
        return GANOverSampler(
            sampling_strategy=wanted,
            steps=steps,
            config=settings,
            method=method,
            unlabelled=draw.unlabelled,
            random_state=seed,
        )

    return GanArm(method, make)


GAN_ARMS: dict[str, Callable[..., GanArm]] = {
    method: partial(gan_over_sampler, method=method) for method in METHODS
}
"""Name -> function of the GAN's updates and settings (None: the defaults) that returns the arm."""

GAN_ARM = "transfer"
