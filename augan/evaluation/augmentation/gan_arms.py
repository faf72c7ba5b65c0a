"""GAN arms of an evaluation of augmentation, one for each augmentation method."""

from augan.augment.methods.registry import method_names
from augan.augment.oversampler import GANOverSampler
from augan.config import Config
from augan.evaluation.augmentation.subsets import LabelSubset
from augan.evaluation.augmentation.synthetic import GanArm, Resampler, missing_counts
from augan.seeding import child_seed
from augan.training.defaults import native_dtype

DEFAULT_GAN_ARM = "transfer"
BATCH_SIZE = 32  # images in a batch of the GAN by default


def gan_arm(
    method: str = DEFAULT_GAN_ARM,
    steps: int | None = None,
    config: Config | None = None,
    base: str = "oversampling",
) -> GanArm:
    """Return the arm that trains a `GANOverSampler` on each label subset.

    The sampler fills up minority classes; see `missing_counts` for the number of images. A time
    limit in `config` has no effect, because the result must not depend on the load of the machine.

    Parameters
    ----------
    method : str
        Name of the augmentation method in `AUGMENTATION_METHODS`; also the name of the arm.
    steps : int or None
        Training steps of the GAN or autoencoder. None: the number in `config`, or else the default
        of `GANOverSampler`.
    config : Config or None
        Settings of the training. None: the defaults, except that batches are small and layers
        compute in bfloat16 where the machine multiplies it, so that the training is faster.
    base : str
        Arm that the synthetic images are added to, a name in `ARMS`.
    """
    if config is None:
        config = Config().replace(training__batch_size=BATCH_SIZE, training__dtype=native_dtype())
    settings = config.replace(training__max_minutes=None)

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
            verbose=0,
        )

    return GanArm(method, make_sampler, base=base)


def gan_arms(
    steps: int | None = None, config: Config | None = None, base: str = "oversampling"
) -> tuple[GanArm, ...]:
    """Return a GAN arm for each registered augmentation method; see `gan_arm`."""
    return tuple(gan_arm(method, steps, config, base) for method in method_names())
