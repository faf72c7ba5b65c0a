"""Worker that generates and filters chunks of candidates, in this process or in another.

A candidate is a generated sample that may still be rejected; a chunk has `CHUNK_SIZE` candidates of
one class.
"""

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from augan.augment.filters.filter import CandidateFilter, FilterContext, FilterResult, NoFilter
from augan.augment.generator import Sampler, open_sampler
from augan.augment.methods.base import CandidateGenerator, Candidates
from augan.augment.methods.registry import AUGMENTATION_METHODS
from augan.bundle import Bundle
from augan.bundle.reference import BundleRef
from augan.exceptions import DataError
from augan.parallel.sharding import ShardRecord

_ARRAYS = ("realness", "class_probability", "distance")  # arrays of a FilterResult


@dataclass(frozen=True)
class ChunkRequest:
    """Request for one chunk of candidates of a class, sent to a worker.

    Attributes
    ----------
    class_index : int
    chunk_index : int
        Number of the chunk within the class, from 0.
    seed : int
        Class, chunk number and seed together determine the candidates.
    filtered : bool
        Whether the filter evaluates the candidates too.
    required : bool
        Whether the chunk is needed. The worker returns None for a chunk that is not.
    """

    class_index: int
    chunk_index: int
    seed: int
    filtered: bool = True
    required: bool = True

    @property
    def key(self) -> str:
        """Name under which a shard stores the chunk."""
        return f"{self.class_index:05d}-{self.chunk_index:08d}"


@dataclass(frozen=True, eq=False)
class CandidateChunk:
    """Chunk of candidates with the decision of the filter about each candidate alone.

    Duplicates between candidates are not rejected yet, because another process may hold them.

    Attributes
    ----------
    candidates : Candidates
    filter_result : FilterResult or None
        None if the request did not ask for filtering.
    """

    candidates: Candidates
    filter_result: FilterResult | None

    def to_record(self) -> ShardRecord:
        """Return the chunk as the values and arrays that a shard stores."""
        values: dict[str, Any] = {"sources": self.candidates.sources}
        arrays = {"samples": self.candidates.samples}
        if self.filter_result is not None:
            values["decisions"] = self.filter_result.decisions
            values["nearest"] = self.filter_result.nearest
            results = {name: getattr(self.filter_result, name) for name in _ARRAYS}
            arrays |= {name: array for name, array in results.items() if array is not None}
        return ShardRecord(values, arrays)

    @classmethod
    def from_record(cls, record: ShardRecord) -> "CandidateChunk":
        """Return the filtered chunk that `to_record` has stored in a shard."""
        values, arrays = record.values, record.arrays
        results = {name: arrays.get(name) for name in _ARRAYS}
        filter_result = FilterResult(values["decisions"], nearest=values["nearest"], **results)
        return cls(Candidates(arrays["samples"], values["sources"]), filter_result)


@dataclass(eq=False)
class CandidateWorker:
    """Generator, augmentation method and filter of one process, ready to produce chunks.

    Attributes
    ----------
    sampler : Sampler
        The generator or the translator of the bundle.
    method_name : str
        A name in `AUGMENTATION_METHODS`.
    method : CandidateGenerator
        The method of this name.
    filtered : bool
        Whether the user wants candidates to be filtered.
    training_data : str or None
        Location of the training data; None: the location that the bundle records.
    context : FilterContext
        The filter, the training data and the warnings about both.
    """

    sampler: Sampler
    method_name: str
    method: CandidateGenerator
    filtered: bool
    training_data: str | None
    context: FilterContext
    _class_index: int | None = field(default=None, init=False)

    @classmethod
    def create(
        cls,
        sampler: Sampler,
        method_name: str,
        filtered: bool,
        training_data: str | Path | None,
    ) -> "CandidateWorker":
        """Load the training data and build the method and the filter of a worker.

        Parameters
        ----------
        sampler : Sampler
            The generator or the translator.
        method_name : str
            A name in `AUGMENTATION_METHODS`.
        filtered : bool
            Whether to prepare a filter; without a filter, candidates stay unchecked.
        training_data : path, str or None
            Location of the training data. None: the location that the bundle records.

        Raises
        ------
        BundleError
            The bundle lacks latent codes or a network that the method or the filter needs.
        DataError
            `training_data` does not exist, or the data is not what the bundle was trained on.
        """
        declaration = AUGMENTATION_METHODS.get(method_name)
        context = FilterContext.load(sampler, declaration, filtered, training_data)
        method = AUGMENTATION_METHODS.load(method_name)(sampler, context.reference)
        location = None if training_data is None else str(training_data)
        return cls(sampler, method_name, method, filtered, location, context)

    def set_class(self, class_index: int) -> CandidateFilter | NoFilter:
        """Return the filter, prepared for candidates of a class.

        A change of the class makes the filter forget the accepted candidates of the last class.
        """
        if class_index != self._class_index:
            self.context.candidate_filter.set_class(class_index)
            self._class_index = class_index
        return self.context.candidate_filter

    def spec(self) -> "CandidateWorkerSpec":
        """Return the specification from which another process builds an equal worker.

        Raises
        ------
        BundleError
            The bundle was never saved, so that no other process can load it.
        """
        location = self.training_data
        if location is not None and os.path.exists(location):
            location = os.path.abspath(location)
        return CandidateWorkerSpec(
            BundleRef.of(self.sampler.bundle),
            self.method_name,
            self.filtered,
            location,
            has_training_data=self.context.reference is not None,
        )


@dataclass(frozen=True)
class CandidateWorkerSpec:
    """Specification of a `CandidateWorker` that can be sent to another process.

    Attributes
    ----------
    bundle : BundleRef
        Path and hash of the bundle.
    method_name : str
        A name in `AUGMENTATION_METHODS`.
    filtered : bool
    training_data : str or None
        Location of the training data; None: the location that the bundle records.
    has_training_data : bool
        Whether the process that started the job found the training data.
    """

    bundle: BundleRef
    method_name: str
    filtered: bool
    training_data: str | None
    has_training_data: bool

    def build(self) -> CandidateWorker:
        """Load the bundle and build the worker in this process.

        Raises
        ------
        BundleError
            The bundle cannot be loaded or has changed.
        DataError
            The training data is found here but not by the process that started the job, or the
            reverse; or the training data has changed.
        """
        bundle: Bundle = self.bundle.load()
        sampler = open_sampler(bundle, AUGMENTATION_METHODS.get(self.method_name))
        worker = CandidateWorker.create(
            sampler, self.method_name, self.filtered, self.training_data
        )
        if (worker.context.reference is not None) != self.has_training_data:
            location = self.training_data or bundle.data.source
            state = "lacks" if self.has_training_data else "has"
            raise DataError(
                f"the worker on {platform.node()} {state} the training data at {location}, unlike "
                "the process that started the job; all machines must see the same files"
            )
        return worker


def generate_chunk(worker: CandidateWorker, request: ChunkRequest) -> CandidateChunk | None:
    """Generate one chunk of candidates, and filter the chunk if the request asks for filtering.

    Returns
    -------
    CandidateChunk or None
        None if the request says that the chunk is not required.
    """
    if not request.required:
        return None
    candidates = worker.method.generate(request.class_index, request.chunk_index, request.seed)
    if not request.filtered:
        return CandidateChunk(candidates, None)
    candidate_filter = worker.set_class(request.class_index)
    return CandidateChunk(candidates, candidate_filter.evaluate(candidates.samples))
