"""GAN arms of the comparison, one for each augmentation method."""

from collections.abc import Callable
from functools import partial

from augan.augment.methods.registry import AUGMENTATION_METHODS
from augan.augment.oversampler import GANOverSampler
from augan.config import Config
from augan.evaluation.augmentation.subsets import LabelSubset
from augan.evaluation.augmentation.synthetic import GanArm, Resampler, missing_counts
from augan.seeding import child_seed

DEFAULT_GAN_ARM = "transfer"


def gan_arm(
    steps: int | None = None, config: Config | None = None, method: str = "sample"
) -> GanArm:
    """Return the arm of a `GANOverSampler` that is trained on each label subset.

    The sampler generates the `missing_counts` of the subset. The training ends after
    `steps`, or after the steps of `config` or of the data. A time limit of `config` has no effect,
    because the result must not depend on the load of the machine.
    """
    settings = None if config is None else config.replace(training__max_minutes=None)

    def make_sampler(subset: LabelSubset) -> Resampler:
        counts = subset.class_counts
        return GANOverSampler(
            sampling_strategy={
                label: int(counts[label]) + missing
                for label, missing in missing_counts(subset).items()
            },
            steps=steps,
            config=settings,
            method=method,
            unlabeled=subset.unlabeled,
            random_state=child_seed(subset.seed, "gan"),
        )

    return GanArm(method, make_sampler)


GAN_ARMS: dict[str, Callable[..., GanArm]] = {
    method: partial(gan_arm, method=method) for method in AUGMENTATION_METHODS
}
"""Name -> function of the steps and the settings of the GAN (None: defaults) -> GAN arm."""
