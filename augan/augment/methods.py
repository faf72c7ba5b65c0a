"""Ways to make candidates of a class; which of them becomes an image, the filters decide.

Candidate i of a class depends on the class, the seed and i only: neither on how many are asked for
nor on which of the others were kept.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from augan.augment.interpolation import Interpolation
from augan.augment.reference import Reference
from augan.augment.sampling import BLOCK, Sampler
from augan.bundle import Bundle
from augan.exceptions import ConfigError

CHUNK = 256  # candidates that are made and judged together; a divisor of BLOCK
AUTO = "sample"  # what `auto` means


@dataclass(frozen=True, eq=False)
class Candidates:
    """Some candidates of one class.

    Attributes
    ----------
    samples
        Stored squares `[CHUNK, S, S, C]`, or stored rows.
    sources
        For each the names of the real images that it was made of; empty where it is of none.
    """

    samples: np.ndarray
    sources: list[list[str]] = field(default_factory=lambda: [[]] * CHUNK)


class Method(Protocol):
    """Makes candidates."""

    def chunk(self, index: int, number: int, seed: int) -> Candidates:
        """Return candidates number * CHUNK to (number + 1) * CHUNK - 1 of class `index`."""


class Sample:
    """Random noise through the generator."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    def chunk(self, index: int, number: int, seed: int) -> Candidates:
        """Return candidates; see `Method`."""
        block, part = divmod(number, BLOCK // CHUNK)
        noise = self.sampler.noise_of_class(index, block, seed)[part * CHUNK :][:CHUNK]
        return Candidates(self.sampler.decode(noise, np.full(CHUNK, index)))


class Interpolate:
    """What lies between the codes of two real images, through the generator."""

    def __init__(self, sampler: Sampler, codes: Interpolation) -> None:
        self.sampler, self.codes = sampler, codes

    def chunk(self, index: int, number: int, seed: int) -> Candidates:
        """Return candidates; see `Method`."""
        between = self.codes.draw(index, CHUNK, seed, number)
        samples = self.sampler.decode(between.noise, np.full(CHUNK, index))
        return Candidates(samples, between.sources)


def _sample(sampler: Sampler, bundle: Bundle, reference: Reference | None) -> Method:
    return Sample(sampler)


def _interpolate(sampler: Sampler, bundle: Bundle, reference: Reference | None) -> Method:
    names = None if reference is None else reference.names
    return Interpolate(sampler, Interpolation.of(bundle, names))


METHODS: dict[str, Callable[[Sampler, Bundle, Reference | None], Method]] = {
    "sample": _sample,
    "interpolate": _interpolate,
}


def choose_method(name: str) -> str:
    """Return the key of `METHODS` that `name` means; ConfigError if there is none."""
    if name != "auto" and name not in METHODS:
        raise ConfigError(
            f"there is no method '{name}'; choose --method auto, {' or '.join(METHODS)}"
        )
    return AUTO if name == "auto" else name
