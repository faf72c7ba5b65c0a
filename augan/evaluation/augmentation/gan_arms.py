"""GAN arms of an evaluation of augmentation, one for each augmentation method."""

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
    """Return the arm that trains a `GANOverSampler` on each label subset.

    The sampler fills up minority classes; see `missing_counts` for the number of images. A time
    limit in `config` has no effect, because the result must not depend on the load of the machine.

    Parameters
    ----------
    steps : int or None
        Training steps of the GAN or autoencoder. None: the number in `config`, or else the default
        of `GANOverSampler`.
    config : Config or None
        Settings of the training. None: the defaults.
    method : str
        Name of the augmentation method, a key of `AUGMENTATION_METHODS`; also the name of the arm.
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
