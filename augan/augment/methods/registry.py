"""Registry of the augmentation methods by their names on the command line."""

from collections.abc import Callable

from augan.augment.filters.filter import TrainingReference
from augan.augment.methods.base import AugmentationMethod
from augan.augment.methods.decoding import LatentDecoding, ResidualEditing, load_codes
from augan.augment.methods.latent import LatentInterpolation, LatentTransfer
from augan.augment.methods.prior import GeneratorSampler, PriorSampling
from augan.bundle import bundle_errors
from augan.exceptions import ConfigError

MethodFactory = Callable[[GeneratorSampler, TrainingReference | None], AugmentationMethod]
AUTO = "sample"  # the method that "auto" means


def _prior_sampling(
    sampler: GeneratorSampler, reference: TrainingReference | None
) -> AugmentationMethod:
    return PriorSampling(sampler)


def _latent_interpolation(
    sampler: GeneratorSampler, reference: TrainingReference | None
) -> AugmentationMethod:
    codes = load_codes(sampler.bundle, reference)
    with bundle_errors(sampler.bundle, "latents"):
        return LatentDecoding(sampler, LatentInterpolation(codes))


def _latent_transfer(
    sampler: GeneratorSampler, reference: TrainingReference | None
) -> AugmentationMethod:
    """Edit the real images if they are available. Rows cannot be edited: categories do not add."""
    codes = load_codes(sampler.bundle, reference)
    with bundle_errors(sampler.bundle, "latents"):
        latent_sampler = LatentTransfer(codes)
    if reference is None or sampler.preprocessing.sample_type != "image":
        return LatentDecoding(sampler, latent_sampler)
    return ResidualEditing(sampler, latent_sampler, reference)


AUGMENTATION_METHODS: dict[str, MethodFactory] = {
    "sample": _prior_sampling,
    "interpolate": _latent_interpolation,
    "transfer": _latent_transfer,
}


def resolve_method(name: str) -> str:
    """Return the key of `AUGMENTATION_METHODS` for a name or "auto".

    Raises
    ------
    ConfigError
        The name is unknown.
    """
    if name != "auto" and name not in AUGMENTATION_METHODS:
        raise ConfigError(
            f"unknown method '{name}'; choose --method "
            f"{' or '.join(['auto', *AUGMENTATION_METHODS])}"
        )
    return AUTO if name == "auto" else name
