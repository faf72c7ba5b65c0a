"""Worker that generates and filters chunks of candidates, in this process or in another."""

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from augan.augment.filters.filter import CandidateFilter, FilterContext, FilterResult, NoFilter
from augan.augment.methods.base import AugmentationMethod, Candidates
from augan.augment.methods.prior import GeneratorSampler
from augan.augment.methods.registry import AUGMENTATION_METHODS
from augan.bundle import Bundle
from augan.bundle.reference import BundleRef
from augan.exceptions import DataError
from augan.parallel.sharding import ShardRecord

_ARRAYS = ("realness", "class_probability", "distance")  # of a FilterResult


@dataclass(frozen=True)
class ChunkRequest:
    """Request for a chunk of candidates of one class.

    Attributes
    ----------
    class_index, chunk_index, seed
        Together they determine the candidates.
    filtered
        Whether the candidates are evaluated by the filter too.
    required
        Whether the chunk is needed; if not, the worker returns None.
    """

    class_index: int
    chunk_index: int
    seed: int
    filtered: bool = True
    required: bool = True

    @property
    def key(self) -> str:
        """Name of the chunk in a shard."""
        return f"{self.class_index:05d}-{self.chunk_index:08d}"


@dataclass(frozen=True, eq=False)
class CandidateChunk:
    """Candidates, and the filter's result for each by itself, without duplicates rejected."""

    candidates: Candidates
    filter_result: FilterResult | None

    def to_record(self) -> ShardRecord:
        """Return the chunk in the form that a shard stores."""
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
        """Return the filtered chunk that a shard has stored."""
        values, arrays = record.values, record.arrays
        results = {name: arrays.get(name) for name in _ARRAYS}
        filter_result = FilterResult(values["decisions"], nearest=values["nearest"], **results)
        return cls(Candidates(arrays["samples"], values["sources"]), filter_result)


@dataclass(eq=False)
class CandidateWorker:
    """State of a process that generates and filters candidates.

    Attributes
    ----------
    sampler
        The generator.
    method_name, method
        The augmentation method.
    filtered
        Whether the user wants candidates to be filtered.
    training_data
        Location of the training data, or None for the location in the bundle.
    context
        The filter and the training data.
    """

    sampler: GeneratorSampler
    method_name: str
    method: AugmentationMethod
    filtered: bool
    training_data: str | None
    context: FilterContext
    _class_index: int | None = field(default=None, init=False)

    @classmethod
    def create(
        cls,
        sampler: GeneratorSampler,
        method_name: str,
        filtered: bool,
        training_data: str | Path | None,
    ) -> "CandidateWorker":
        """Return a worker with the method, the filter and the training data that these need.

        Parameters
        ----------
        sampler : GeneratorSampler
            The generator.
        method_name : str
            A key of `AUGMENTATION_METHODS`.
        filtered : bool
            Whether to prepare a filter; without it, candidates are left unchecked.
        training_data : path, str or None
            Location of the training data; None: the location that the bundle has recorded.

        Raises
        ------
        DataError
            The training data is needed and missing, or is not what the bundle was trained on.
        """
        context = FilterContext.load(sampler, method_name, filtered, training_data)
        method = AUGMENTATION_METHODS[method_name](sampler, context.reference)
        location = None if training_data is None else str(training_data)
        return cls(sampler, method_name, method, filtered, location, context)

    def set_class(self, class_index: int) -> CandidateFilter | NoFilter:
        """Return the filter, prepared for a class."""
        if class_index != self._class_index:
            self.context.candidate_filter.set_class(class_index)
            self._class_index = class_index
        return self.context.candidate_filter

    def spec(self) -> "CandidateWorkerSpec":
        """Return what creates the same worker in another process; see `augan.parallel.executor`."""
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
    """Specification of a `CandidateWorker`, which another process opens.

    Attributes
    ----------
    has_training_data
        Whether the training data was found by the process that started the job.
    """

    bundle: BundleRef
    method_name: str
    filtered: bool
    training_data: str | None
    has_training_data: bool

    def build(self) -> CandidateWorker:
        """Create the worker; BundleError or DataError if its candidates would differ."""
        bundle: Bundle = self.bundle.load()
        sampler = GeneratorSampler(bundle)
        worker = CandidateWorker.create(
            sampler, self.method_name, self.filtered, self.training_data
        )
        if (worker.context.reference is not None) != self.has_training_data:
            location = self.training_data or bundle.data.get("source")
            state = "lacks" if self.has_training_data else "has"
            raise DataError(
                f"the worker on {platform.node()} {state} the training data at {location}, unlike "
                "the process that started the job; all machines must see the same files"
            )
        return worker


def generate_chunk(worker: CandidateWorker, request: ChunkRequest) -> CandidateChunk | None:
    """Generate a chunk and filter it as requested; None if it is not required."""
    if not request.required:
        return None
    candidates = worker.method.generate(request.class_index, request.chunk_index, request.seed)
    if not request.filtered:
        return CandidateChunk(candidates, None)
    candidate_filter = worker.set_class(request.class_index)
    return CandidateChunk(candidates, candidate_filter.evaluate(candidates.samples))
