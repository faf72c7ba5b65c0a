"""Which GAN is judged: the one place that says so, declared before any result is seen."""

from collections.abc import Callable
from functools import partial

import numpy as np

from augan.augment.judging.draws import Draw
from augan.augment.judging.synthetic import GanArm, Resampler, lacking
from augan.augment.methods.registry import METHODS
from augan.augment.oversampler import GANOverSampler
from augan.config import Config
from augan.seeding import child_seed


def gan_over_sampler(
    steps: int | None = None, config: Config | None = None, method: str = "sample"
) -> GanArm:
    """Return the arm of `GANOverSampler`, trained on the draw's labels.

    It makes what the draw is `lacking`. Steps end its training, those of `config` or of the data,
    and never minutes: what is judged must not depend on how busy the machine is.
    """
    settings = None if config is None else config.replace(training__max_minutes=None)

    def make(draw: Draw) -> Resampler:
        counts = np.bincount(draw.labels, minlength=draw.num_classes)
        wanted = {label: int(counts[label]) + more for label, more in lacking(draw).items()}
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
