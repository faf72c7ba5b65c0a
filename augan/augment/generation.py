"""Make the candidates of a class, chunk by chunk, and keep those that pass until they suffice."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from augan.augment.filters.acceptance import AcceptanceStats
from augan.augment.filters.criteria import ACCEPTED, UNCHECKED
from augan.augment.filters.filter import FilterResult
from augan.augment.manifest import ChunkRecord, ManifestRow, ResumeLog
from augan.augment.methods.registry import CHUNK_SIZE, Candidates
from augan.augment.worker import CandidateChunk, CandidateWorker, ChunkRequest
from augan.augment.writers import SampleWriter
from augan.data.dataset import plural
from augan.exceptions import RunInterruptedError
from augan.parallel.executor import ahead

ProgressCallback = Callable[[str, int, int], None]
ChunkGenerator = Callable[[Iterator[ChunkRequest]], Generator[CandidateChunk | None, None, None]]


@dataclass
class RejectionSampler:
    """What one call of `augment_folder` works with.

    Attributes
    ----------
    maker
        Of this process: it knows what was kept.
    chunks
        Makes what is requested, in order, here or elsewhere.
    seed
        Of all candidates.
    stop
        Returns the name of a signal when the work is to stop.
    on_accepted
        Told of the class, how many samples of it are made, and how many were asked for.
    lines
        Of the manifest, as far as it is done.
    """

    maker: CandidateWorker
    chunks: ChunkGenerator
    writer: SampleWriter
    progress: ResumeLog
    seed: int
    stop: Callable[[], str | None]
    on_accepted: ProgressCallback
    lines: list[ManifestRow] = field(default_factory=list)

    def make(self, index: int, n: int, below: str) -> AcceptanceStats:
        """Write the first `n` samples of class `index` that pass, into the folder `below`.

        Raises
        ------
        RefusedError
            Too few candidates pass.
        RunInterruptedError
            `stop` named a signal; what is done is noted.
        """
        sampler = self.maker.sampler
        names, sample_type = sampler.class_names, sampler.preprocessing.sample_type
        samples = plural(sample_type)
        found = AcceptanceStats(names[index], n, len(names), sample_type, self.maker.real.accuracy)
        found.thresholds = self.maker.turn_to(index).limits()
        # Closed when there are enough, so that nobody works on more.
        with closing(ahead(self.chunks(self._requests(index)))) as chunks:
            for number, chunk in enumerate(chunks):
                done = self._again(index, number, below, chunk, found)
                done = done or self._new(index, number, below, chunk, found)
                found.count(done.decisions)
                self.lines += done.lines
                self.on_accepted(found.class_name, found.accepted, n)
                if found.accepted >= n:
                    break
                if signal := self.stop():
                    raise RunInterruptedError(
                        f"stopped by {signal} after {len(self.lines):,} {samples}; the same "
                        "command goes on from there"
                    )
        return found

    def _requests(self, index: int) -> Iterator[ChunkRequest]:
        for number in count():
            done = self.progress.find(index, number)
            wanted = (
                done is None
                or self.maker.real.checker.compares
                or not self.writer.has([line.file for line in done.lines], index)
            )
            yield ChunkRequest(index, number, self.seed, filter_result=done is None, wanted=wanted)

    def _again(
        self,
        index: int,
        number: int,
        below: str,
        chunk: CandidateChunk | None,
        found: AcceptanceStats,
    ) -> ChunkRecord | None:
        """Return a chunk that an earlier call made, after taking from it what later ones need."""
        done = self.progress.find(index, number)
        if done is None:
            return None
        if (
            len(done.decisions) == CHUNK_SIZE
        ):  # else it ends with the last that was wanted, and passed
            found.check(done.decisions)
        if chunk is not None:
            self._keep(index, number, below, chunk.candidates, _passed(done.decisions))
        return done

    def _new(
        self,
        index: int,
        number: int,
        below: str,
        chunk: CandidateChunk | None,
        found: AcceptanceStats,
    ) -> ChunkRecord:
        if chunk is None or chunk.filter_result is None:
            raise RuntimeError("a chunk that nobody had made was not requested")
        candidates = chunk.candidates
        filter_result = self.maker.real.checker.without_repeats(
            chunk.filter_result, candidates.samples
        )
        found.check(filter_result.decisions)
        # Later ones are not wanted any more once there are enough.
        passed = _passed(filter_result.decisions)[: found.requested - found.accepted]
        enough = found.accepted + len(passed) == found.requested
        looked_at = int(passed[-1]) + 1 if enough else CHUNK_SIZE
        files = self._keep(index, number, below, candidates, passed)
        lines = [
            _line(found.class_name, number, place, file, candidates, filter_result)
            for place, file in zip(passed.tolist(), files)
        ]
        done = ChunkRecord(index, number, filter_result.decisions[:looked_at], lines)
        self.progress.add(done)
        return done

    def _keep(
        self, index: int, number: int, below: str, candidates: Candidates, passed: np.ndarray
    ) -> list[str]:
        """Write and remember what passed, and return the files."""
        if not len(passed):
            return []
        kept = candidates.samples[passed]
        self.maker.real.checker.remember(kept)
        native = self.maker.sampler.preprocessing.to_original_size(kept)
        classes = np.full(len(kept), index)
        return self.writer.add(native, classes, number * CHUNK_SIZE + passed, below)


def _passed(decisions: list[str]) -> np.ndarray:
    return np.array([i for i, v in enumerate(decisions) if v in (ACCEPTED, UNCHECKED)], np.int64)


def _line(
    name: str,
    number: int,
    place: int,
    file: str,
    candidates: Candidates,
    filter_result: FilterResult,
) -> ManifestRow:
    def rounded(values: Any, digits: int) -> float | None:
        return None if values is None else round(float(values[place]), digits)

    return ManifestRow(
        file,
        name,
        number * CHUNK_SIZE + place,
        filter_result.decisions[place],
        tuple(candidates.sources[place]),
        rounded(filter_result.realness, 4),
        rounded(filter_result.class_probability, 4),
        rounded(filter_result.distance, 5),
        None if filter_result.nearest is None else filter_result.nearest[place],
    )
