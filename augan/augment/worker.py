"""What one process needs to make candidates, and the same in another process."""

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from augan.augment.filters.filter import Checker, Judged, Real, Unfiltered
from augan.augment.methods.prior import Sampler
from augan.augment.methods.registry import METHODS, Candidates, Method
from augan.bundle import Bundle
from augan.bundle.reference import SameBundle
from augan.exceptions import DataError
from augan.parallel.sharding import Record

_JUDGED = ("score", "agreement", "distance")


@dataclass(frozen=True)
class Request:
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
    judged: bool = True
    wanted: bool = True

    @property
    def key(self) -> str:
        """What a shard calls it."""
        return f"{self.index:05d}-{self.number:08d}"


@dataclass(frozen=True, eq=False)
class Chunk:
    """Candidates, and what was found of each by itself."""

    candidates: Candidates
    judged: Judged | None

    def record(self) -> Record:
        """Return what a shard keeps of judged candidates."""
        values: dict[str, Any] = {"sources": self.candidates.sources}
        arrays = {"samples": self.candidates.samples}
        if self.judged is not None:
            values |= {"verdicts": self.judged.verdicts, "nearest": self.judged.nearest}
            found = {name: getattr(self.judged, name) for name in _JUDGED}
            arrays |= {name: value for name, value in found.items() if value is not None}
        return Record(values, arrays)

    @classmethod
    def of(cls, record: Record) -> "Chunk":
        """Return what `record` kept."""
        values, arrays = record.values, record.arrays
        found = {name: arrays.get(name) for name in _JUDGED}
        judged = Judged(values["verdicts"], nearest=values["nearest"], **found)
        return cls(Candidates(arrays["samples"], values["sources"]), judged)


@dataclass(eq=False)
class Maker:
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

    sampler: Sampler
    method: Method
    real: Real
    asked: tuple[str, bool, str | None]
    _index: int | None = field(default=None, init=False)

    @classmethod
    def of(cls, sampler: Sampler, name: str, filtered: bool, data: str | Path | None) -> "Maker":
        """Find what is needed; for parameters and errors see `augan.augment_folder`."""
        real = Real.of(sampler, name, filtered, data)
        method = METHODS[name](sampler, sampler.bundle, real.reference)
        return cls(sampler, method, real, (name, filtered, None if data is None else str(data)))

    def turn_to(self, index: int) -> Checker | Unfiltered:
        """Return the checker, when it is about this class."""
        if index != self._index:
            self.real.checker.begin(index)
            self._index = index
        return self.real.checker

    def plan(self) -> "MakerPlan":
        """Return what makes the same elsewhere; see `augan.parallel.executor`."""
        name, filtered, data = self.asked
        if data is not None and os.path.exists(data):
            data = os.path.abspath(data)
        same = SameBundle.of(self.sampler.bundle)
        return MakerPlan(same, name, filtered, data, self.real.reference is not None)


@dataclass(frozen=True)
class MakerPlan:
    """How to make a maker.

    Attributes
    ----------
    compared
        Whether the training data was found where the job began.
    """

    bundle: SameBundle
    method: str
    filtered: bool
    data: str | None
    compared: bool

    def open(self) -> Maker:
        """Make it; BundleError or DataError if it would not make the same."""
        bundle: Bundle = self.bundle.load()
        maker = Maker.of(Sampler(bundle), self.method, self.filtered, self.data)
        if (maker.real.reference is not None) != self.compared:
            place = self.data or bundle.data.get("source")
            raise DataError(
                f"the worker on {platform.node()} {'lacks' if self.compared else 'has'} the "
                f"training data at {place}, unlike the process that began; all machines must see "
                "the same files"
            )
        return maker


def make(maker: Maker, request: Request) -> Chunk | None:
    """Make a chunk, unless it is not wanted."""
    if not request.wanted:
        return None
    candidates = maker.method.chunk(request.index, request.number, request.seed)
    if not request.judged:
        return Chunk(candidates, None)
    return Chunk(candidates, maker.turn_to(request.index).judge(candidates.samples))
