"""Registry of the augmentation methods by their names on the command line.

A `MethodFactory` builds a method from the generator and the training data, which may be None.
"""

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
    """Build the method "sample", which needs no training data."""
    return PriorSampling(sampler)


def _latent_interpolation(
    sampler: GeneratorSampler, reference: TrainingReference | None
) -> AugmentationMethod:
    """Build the method "interpolate"; BundleError if the bundle has no labeled latent codes."""
    codes = load_codes(sampler.bundle, reference)
    with bundle_errors(sampler.bundle, "latents"):
        return LatentDecoding(sampler, LatentInterpolation(codes))


def _latent_transfer(
    sampler: GeneratorSampler, reference: TrainingReference | None
) -> AugmentationMethod:
    """Build the method "transfer": edits of real images, or decoded codes where images are missing.

    Table rows are decoded, never edited, because categories cannot be added. BundleError if the
    bundle has no latent codes with classes.
    """
    codes = load_codes(sampler.bundle, reference)
    with bundle_errors(sampler.bundle, "latents"):
        latent_sampler = LatentTransfer(codes)
    if reference is None or not sampler.preprocessing.supports_residuals:
        return LatentDecoding(sampler, latent_sampler)
    return ResidualEditing(sampler, latent_sampler, reference)


AUGMENTATION_METHODS: dict[str, MethodFactory] = {
    "sample": _prior_sampling,
    "interpolate": _latent_interpolation,
    "transfer": _latent_transfer,
}


def check_method(name: str) -> None:
    """Raise ConfigError unless a name is "auto" or a key of `AUGMENTATION_METHODS`."""
    if name != "auto" and name not in AUGMENTATION_METHODS:
        raise ConfigError(
            f"unknown method '{name}'; choose `method` "
            f"{' or '.join(['auto', *AUGMENTATION_METHODS])}"
        )


def resolve_method(name: str) -> str:
    """Return the name of an augmentation method; "auto" becomes "sample"."""
    return AUTO if name == "auto" else name
