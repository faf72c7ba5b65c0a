"""Latent codes of the training samples, and candidates decoded from new codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from augan.augment.generator import GeneratorSampler
from augan.augment.methods.base import CHUNK_SIZE, Candidates
from augan.augment.training_reference import TrainingReference
from augan.bundle import Bundle, bundle_errors
from augan.exceptions import BundleError


@dataclass(frozen=True, eq=False)
class LatentCodes:
    """Latent codes of the training samples, with their classes.

    Attributes
    ----------
    latents : ndarray of float [N, Z]
    labels : ndarray of int [N]
        Class indices.
    names : sequence of str
        Names of the N training samples.
    """

    latents: np.ndarray
    labels: np.ndarray
    names: Sequence[str]


@dataclass(frozen=True, eq=False)
class LatentBatch:
    """New latent codes of one class, with the training samples that they come from.

    Attributes
    ----------
    latents : ndarray of float32 [N, Z]
    base_indices : ndarray of int [N]
        For each new code the index, among the codes of the training samples, of the code that it
        starts from.
    sources : list of list of str
        For each new code the names of all training samples that it was computed from; the base
        comes first.
    """

    latents: np.ndarray
    base_indices: np.ndarray
    sources: list[list[str]]


class LatentSampler(Protocol):
    """Interface of a sampler of new latent codes of a class."""

    def sample(self, class_index: int, count: int, seed: int, chunk_index: int) -> LatentBatch:
        """Return new latent codes of a class; equal arguments give equal codes.

        Parameters
        ----------
        class_index : int
        count : int
            Number of codes.
        seed : int
        chunk_index : int
            Number of the chunk from 0. Other chunks of the same seed have other codes.

        Raises
        ------
        DataError
            The class has too few training samples.
        """


def load_codes(bundle: Bundle, reference: TrainingReference | None) -> LatentCodes:
    """Return the latent codes of the training samples, with classes, from a bundle.

    Parameters
    ----------
    bundle : Bundle
    reference : TrainingReference or None
        Training data that names the samples. None: names are `row 0`, `row 1` and so on.

    Raises
    ------
    BundleError
        The bundle has no latent codes, or the codes have no classes.
    """
    bundle.require("latents")
    with bundle_errors(bundle, "latents"):
        table = bundle.tables["latents"]
        if "labels" not in table:
            raise BundleError(
                f"{bundle.path or 'this bundle'} has latent codes without classes; train again, or "
                "choose `method='sample'`"
            )
        rows = table["indices"]
        names = [f"row {row}" if reference is None else reference.names[row] for row in rows]
        return LatentCodes(table["latents"], table["labels"], names)


class LatentDecoding:
    """Generator of candidates that samples new latent codes and decodes them with the generator.

    Parameters
    ----------
    sampler : GeneratorSampler
        The generator.
    latent_sampler : LatentSampler
        Sampler of the new codes.
    """

    def __init__(self, sampler: GeneratorSampler, latent_sampler: LatentSampler) -> None:
        self.sampler, self.latent_sampler = sampler, latent_sampler

    def generate(self, class_index: int, chunk_index: int, seed: int) -> Candidates:
        """Return one chunk of decoded candidates of a class; see `CandidateGenerator.generate`."""
        with bundle_errors(self.sampler.bundle, "latents"):
            batch = self.latent_sampler.sample(class_index, CHUNK_SIZE, seed, chunk_index)
        samples = self.sampler.decode(batch.latents, np.full(CHUNK_SIZE, class_index))
        return Candidates(samples, batch.sources)
