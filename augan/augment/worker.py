"""What one process needs to make candidates, and the same in another process."""

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from augan.augment.filters.filter import CandidateFilter, FilterContext, FilterResult, NoFilter
from augan.augment.methods.prior import GeneratorSampler
from augan.augment.methods.registry import METHODS, Candidates, Method
from augan.bundle import Bundle
from augan.bundle.reference import BundleRef
from augan.exceptions import DataError
from augan.parallel.sharding import Record

_JUDGED = ("realness", "class_probability", "distance")


@dataclass(frozen=True)
class ChunkRequest:
    """A chunk of candidates of one class.

    Attributes
    ----------
    judged
        Whether they are to be judged, too.
    wanted
        Whether they are needed at all.
    """

    index: int
    number: int
    seed: int
    filter_result: bool = True
    wanted: bool = True

    @property
    def key(self) -> str:
        """What a shard calls it."""
        return f"{self.index:05d}-{self.number:08d}"


@dataclass(frozen=True, eq=False)
class CandidateChunk:
    """Candidates, and what was found of each by itself."""

    candidates: Candidates
    filter_result: FilterResult | None

    def record(self) -> Record:
        """Return what a shard keeps of judged candidates."""
        values: dict[str, Any] = {"sources": self.candidates.sources}
        arrays = {"samples": self.candidates.samples}
        if self.filter_result is not None:
            values |= {
                "decisions": self.filter_result.decisions,
                "nearest": self.filter_result.nearest,
            }
            found = {name: getattr(self.filter_result, name) for name in _JUDGED}
            arrays |= {name: value for name, value in found.items() if value is not None}
        return Record(values, arrays)

    @classmethod
    def of(cls, record: Record) -> "CandidateChunk":
        """Return what `record` kept."""
        values, arrays = record.values, record.arrays
        found = {name: arrays.get(name) for name in _JUDGED}
        filter_result = FilterResult(values["decisions"], nearest=values["nearest"], **found)
        return cls(Candidates(arrays["samples"], values["sources"]), filter_result)


@dataclass(eq=False)
class CandidateWorker:
    """Makes and judges candidates of one class after another.

    Attributes
    ----------
    sampler, method
        Behind a bundle's generator.
    real
        What is known of real samples, among it the checker.
    asked
        The name of the method, whether candidates are filtered, and where the training data is.
    """

    sampler: GeneratorSampler
    method: Method
    real: FilterContext
    asked: tuple[str, bool, str | None]
    _index: int | None = field(default=None, init=False)

    @classmethod
    def of(
        cls, sampler: GeneratorSampler, name: str, filtered: bool, data: str | Path | None
    ) -> "CandidateWorker":
        """Find what is needed; for parameters and errors see `augan.augment_folder`."""
        real = FilterContext.of(sampler, name, filtered, data)
        method = METHODS[name](sampler, sampler.bundle, real.reference)
        return cls(sampler, method, real, (name, filtered, None if data is None else str(data)))

    def turn_to(self, index: int) -> CandidateFilter | NoFilter:
        """Return the checker, when it is about this class."""
        if index != self._index:
            self.real.checker.begin(index)
            self._index = index
        return self.real.checker

    def plan(self) -> "WorkerSpec":
        """Return what makes the same elsewhere; see `augan.parallel.executor`."""
        name, filtered, data = self.asked
        if data is not None and os.path.exists(data):
            data = os.path.abspath(data)
        same = BundleRef.of(self.sampler.bundle)
        return WorkerSpec(same, name, filtered, data, self.real.reference is not None)


@dataclass(frozen=True)
class WorkerSpec:
    """How to make a maker.

    Attributes
    ----------
    compared
        Whether the training data was found where the job began.
    """

    bundle: BundleRef
    method: str
    filtered: bool
    data: str | None
    compared: bool

    def open(self) -> CandidateWorker:
        """Make it; BundleError or DataError if it would not make the same."""
        bundle: Bundle = self.bundle.load()
        maker = CandidateWorker.of(GeneratorSampler(bundle), self.method, self.filtered, self.data)
        if (maker.real.reference is not None) != self.compared:
            place = self.data or bundle.data.get("source")
            raise DataError(
                f"the worker on {platform.node()} {'lacks' if self.compared else 'has'} the "
                f"training data at {place}, unlike the process that began; all machines must see "
                "the same files"
            )
        return maker


def make(maker: CandidateWorker, request: ChunkRequest) -> CandidateChunk | None:
    """Make a chunk, unless it is not wanted."""
    if not request.wanted:
        return None
    candidates = maker.method.chunk(request.index, request.number, request.seed)
    if not request.filter_result:
        return CandidateChunk(candidates, None)
    return CandidateChunk(candidates, maker.turn_to(request.index).judge(candidates.samples))
