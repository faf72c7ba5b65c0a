"""GAN arms of an evaluation of augmentation, one for each augmentation method."""

from augan.augment.methods.registry import AUGMENTATION_METHODS, generator_method_names
from augan.augment.oversampler import GANOverSampler
from augan.config import Config
from augan.evaluation.augmentation.subsets import LabelSubset
from augan.evaluation.augmentation.synthetic import GanArm, Resampler, missing_counts
from augan.seeding import child_seed
from augan.training.defaults import native_dtype

DEFAULT_GAN_ARM = "transfer"
AUTOENCODER_STEPS, AUTOENCODER_BATCH_SIZE = 1200, 32  # of methods that train an autoencoder


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
        Training steps of the GAN or autoencoder. None: the number in `config`.
    config : Config or None
        Settings of the training. None: the result of `default_config`.
    base : str
        Arm that the synthetic images are added to, a name in `ARMS`.
    """
    settings = (config or default_config(method)).replace(training__max_minutes=None)

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


def default_config(method: str) -> Config:
    """Return the settings of the GAN of an augmentation method without settings of the user.

    Layers compute in bfloat16 where the machine multiplies it. An autoencoder trains for fewer and
    smaller steps than in `GANOverSampler`, so that an evaluation takes less time.
    """
    config = Config().replace(training__dtype=native_dtype())
    if AUGMENTATION_METHODS.get(method).training_stage != "autoencoder":
        return config
    return config.replace(
        training__steps=AUTOENCODER_STEPS, training__batch_size=AUTOENCODER_BATCH_SIZE
    )


def gan_arms(
    steps: int | None = None, config: Config | None = None, base: str = "oversampling"
) -> tuple[GanArm, ...]:
    """Return a GAN arm for each augmentation method that needs one camera; see `gan_arm`."""
    return tuple(gan_arm(method, steps, config, base) for method in generator_method_names())
