"""Ways to make candidates of a class; which of them becomes an image, the filters decide.

Candidate i of a class depends on the class, the seed and i only: neither on how many are asked for
nor on which of the others were kept.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from augan.augment.filters.filter import TrainingReference
from augan.augment.methods.latent import LatentCodes, LatentSampler, LatentSMOTE, LatentTransfer
from augan.augment.methods.prior import NOISE_BLOCK_SIZE, GeneratorSampler
from augan.bundle import Bundle, bundle_errors
from augan.exceptions import BundleError, ConfigError

CHUNK_SIZE = 256  # candidates that are made and judged together; a divisor of BLOCK
AUTO = "sample"  # what `auto` means


@dataclass(frozen=True, eq=False)
class Candidates:
    """Some candidates of one class.

    Attributes
    ----------
    samples
        Stored squares `[CHUNK_SIZE, S, S, C]`, or stored rows.
    sources
        For each the names of the real images that it was made of; empty where it is of none.
    """

    samples: np.ndarray
    sources: list[list[str]] = field(default_factory=lambda: [[]] * CHUNK_SIZE)


class Method(Protocol):
    """Makes candidates."""

    def chunk(self, index: int, number: int, seed: int) -> Candidates:
        """Return candidates number * CHUNK to (number + 1) * CHUNK - 1 of class `index`."""


class PriorSampling:
    """Random noise through the generator."""

    def __init__(self, sampler: GeneratorSampler) -> None:
        self.sampler = sampler

    def chunk(self, index: int, number: int, seed: int) -> Candidates:
        """Return candidates; see `Method`."""
        block, part = divmod(number, NOISE_BLOCK_SIZE // CHUNK_SIZE)
        noise = self.sampler.noise_of_class(index, block, seed)[part * CHUNK_SIZE :][:CHUNK_SIZE]
        return Candidates(self.sampler.decode(noise, np.full(CHUNK_SIZE, index)))


class LatentDecoding:
    """Codes made of those of real images, through the generator."""

    def __init__(self, sampler: GeneratorSampler, law: LatentSampler) -> None:
        self.sampler, self.law = sampler, law

    def chunk(self, index: int, number: int, seed: int) -> Candidates:
        """Return candidates; see `Method`."""
        with bundle_errors(self.sampler.bundle, "latents"):
            drawn = self.law.draw(index, CHUNK_SIZE, seed, number)
        samples = self.sampler.decode(drawn.noise, np.full(CHUNK_SIZE, index))
        return Candidates(samples, drawn.sources)


class ResidualEditing:
    """Real images, changed as the generator's pictures of them change with their codes.

    So they stay as sharp as they are, where pictures of the generator would be blurred.
    """

    def __init__(
        self, sampler: GeneratorSampler, law: LatentSampler, reference: TrainingReference
    ) -> None:
        self.sampler, self.law, self.reference = sampler, law, reference

    def chunk(self, index: int, number: int, seed: int) -> Candidates:
        """Return candidates; see `Method`."""
        with bundle_errors(self.sampler.bundle, "latents"):
            drawn = self.law.draw(index, CHUNK_SIZE, seed, number)
            codes = self.sampler.bundle.tables["latents"]
            before = codes["latents"][drawn.own]
            real = self.reference.pixels[codes["indices"][drawn.own]]  # of what may be a memory map
        scale = self.sampler.preprocessing.normalize
        classes = np.full(CHUNK_SIZE, index)
        change = scale(self.sampler.decode(drawn.noise, classes))
        change -= scale(self.sampler.decode(before, classes))
        changed = np.clip(scale(real) + change, -1, 1)
        return Candidates(self.sampler.preprocessing.denormalize(changed), drawn.sources)


def _sample(
    sampler: GeneratorSampler, bundle: Bundle, reference: TrainingReference | None
) -> Method:
    return PriorSampling(sampler)


def _interpolate(
    sampler: GeneratorSampler, bundle: Bundle, reference: TrainingReference | None
) -> Method:
    with bundle_errors(bundle, "latents"):
        return LatentDecoding(sampler, LatentSMOTE(_codes(bundle, reference)))


def _transfer(
    sampler: GeneratorSampler, bundle: Bundle, reference: TrainingReference | None
) -> Method:
    """Change the real images where they are at hand; a row's categories cannot be added to."""
    with bundle_errors(bundle, "latents"):
        law = LatentTransfer(_codes(bundle, reference))
    if reference is None or sampler.preprocessing.sample_type != "image":
        return LatentDecoding(sampler, law)
    return ResidualEditing(sampler, law, reference)


def _codes(bundle: Bundle, reference: TrainingReference | None) -> LatentCodes:
    """Return the codes that a bundle carries; without a reference they are called by their row."""
    bundle.require("latents")
    codes = bundle.tables["latents"]
    if "labels" not in codes:
        raise BundleError(
            f"{bundle.path or 'this bundle'} does not say of which class its codes are; train "
            "again, or choose --method sample"
        )
    rows = codes["indices"]
    called = [f"row {row}" if reference is None else reference.names[row] for row in rows]
    return LatentCodes(codes["latents"], codes["labels"], called)


METHODS: dict[str, Callable[[GeneratorSampler, Bundle, TrainingReference | None], Method]] = {
    "sample": _sample,
    "interpolate": _interpolate,
    "transfer": _transfer,
}


def resolve_method(name: str) -> str:
    """Return the key of `METHODS` that `name` means; ConfigError if there is none."""
    if name != "auto" and name not in METHODS:
        raise ConfigError(
            f"there is no method '{name}'; choose --method auto, {', '.join(METHODS)}"
        )
    return AUTO if name == "auto" else name
