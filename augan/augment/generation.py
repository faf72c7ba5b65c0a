"""Make the candidates of a class, chunk by chunk, and keep those that pass until they suffice."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from augan.augment.filters.acceptance import Yield
from augan.augment.filters.criteria import KEPT, UNCHECKED
from augan.augment.filters.filter import Judged
from augan.augment.manifest import Done, Line, Progress
from augan.augment.methods.registry import CHUNK, Candidates
from augan.augment.worker import Chunk, Maker, Request
from augan.augment.writers import SampleWriter
from augan.exceptions import Interrupted
from augan.parallel.executor import ahead

OnKept = Callable[[str, int, int], None]
Chunks = Callable[[Iterator[Request]], Generator[Chunk | None, None, None]]


@dataclass
class Job:
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
    on_kept
        Told of the class, how many samples of it are made, and how many were asked for.
    lines
        Of the manifest, as far as it is done.
    """

    maker: Maker
    chunks: Chunks
    writer: SampleWriter
    progress: Progress
    seed: int
    stop: Callable[[], str | None]
    on_kept: OnKept
    lines: list[Line] = field(default_factory=list)

    def make(self, index: int, n: int, below: str) -> Yield:
        """Write the first `n` samples of class `index` that pass, into the folder `below`.

        Raises
        ------
        Refused
            Too few candidates pass.
        Interrupted
            `stop` named a signal; what is done is noted.
        """
        sampler = self.maker.sampler
        names, noun = sampler.class_names, sampler.preprocessing.noun
        found = Yield(names[index], n, len(names), noun, self.maker.real.accuracy)
        found.limits = self.maker.turn_to(index).limits()
        # Closed when there are enough, so that nobody works on more.
        with closing(ahead(self.chunks(self._requests(index)))) as chunks:
            for number, chunk in enumerate(chunks):
                done = self._again(index, number, below, chunk, found)
                done = done or self._new(index, number, below, chunk, found)
                found.count(done.verdicts)
                self.lines += done.lines
                self.on_kept(found.name, found.kept, n)
                if found.kept >= n:
                    break
                if signal := self.stop():
                    raise Interrupted(
                        f"stopped by {signal} after {len(self.lines):,} {noun}; the same command "
                        "goes on from there"
                    )
        return found

    def _requests(self, index: int) -> Iterator[Request]:
        for number in count():
            done = self.progress.find(index, number)
            wanted = (
                done is None
                or self.maker.real.checker.compares
                or not self.writer.has([line.file for line in done.lines], index)
            )
            yield Request(index, number, self.seed, judged=done is None, wanted=wanted)

    def _again(
        self, index: int, number: int, below: str, chunk: Chunk | None, found: Yield
    ) -> Done | None:
        """Return a chunk that an earlier call made, after taking from it what later ones need."""
        done = self.progress.find(index, number)
        if done is None:
            return None
        if len(done.verdicts) == CHUNK:  # else it ends with the last that was wanted, and passed
            found.check(done.verdicts)
        if chunk is not None:
            self._keep(index, number, below, chunk.candidates, _passed(done.verdicts))
        return done

    def _new(self, index: int, number: int, below: str, chunk: Chunk | None, found: Yield) -> Done:
        if chunk is None or chunk.judged is None:
            raise RuntimeError("a chunk that nobody had made was not requested")
        candidates = chunk.candidates
        judged = self.maker.real.checker.without_repeats(chunk.judged, candidates.samples)
        found.check(judged.verdicts)
        # Later ones are not wanted any more once there are enough.
        passed = _passed(judged.verdicts)[: found.asked - found.kept]
        enough = found.kept + len(passed) == found.asked
        looked_at = int(passed[-1]) + 1 if enough else CHUNK
        files = self._keep(index, number, below, candidates, passed)
        lines = [
            _line(found.name, number, place, file, candidates, judged)
            for place, file in zip(passed.tolist(), files)
        ]
        done = Done(index, number, judged.verdicts[:looked_at], lines)
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
        native = self.maker.sampler.preprocessing.to_native(kept)
        classes = np.full(len(kept), index)
        return self.writer.add(native, classes, number * CHUNK + passed, below)


def _passed(verdicts: list[str]) -> np.ndarray:
    return np.array([i for i, v in enumerate(verdicts) if v in (KEPT, UNCHECKED)], np.int64)


def _line(
    name: str, number: int, place: int, file: str, candidates: Candidates, judged: Judged
) -> Line:
    def rounded(values: Any, digits: int) -> float | None:
        return None if values is None else round(float(values[place]), digits)

    return Line(
        file,
        name,
        number * CHUNK + place,
        judged.verdicts[place],
        tuple(candidates.sources[place]),
        rounded(judged.score, 4),
        rounded(judged.agreement, 4),
        rounded(judged.distance, 5),
        None if judged.nearest is None else judged.nearest[place],
    )
