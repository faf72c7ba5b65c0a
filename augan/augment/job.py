"""Make the candidates of a class, chunk by chunk, and keep those that pass until they suffice."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from augan.augment.filters.checks import Checker, Judged, Unfiltered
from augan.augment.filters.rules import KEPT, UNCHECKED
from augan.augment.filters.yields import Yield
from augan.augment.methods.sampling import Sampler
from augan.augment.methods.table import CHUNK, Candidates, Method
from augan.augment.output.manifest import Line
from augan.augment.output.progress import Done, Progress
from augan.augment.output.writers import SampleWriter
from augan.exceptions import Interrupted

OnKept = Callable[[str, int, int], None]


@dataclass
class Job:
    """What one call of `augment_folder` works with.

    Attributes
    ----------
    seed
        Of all candidates.
    accuracy
        Share of held-out real samples that the classifier is right on, where it is known.
    stop
        Returns the name of a signal when the work is to stop.
    on_kept
        Told of the class, how many samples of it are made, and how many were asked for.
    lines
        Of the manifest, as far as it is done.
    """

    sampler: Sampler
    method: Method
    checker: Checker | Unfiltered
    writer: SampleWriter
    progress: Progress
    seed: int
    accuracy: float | None
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
        names = self.sampler.class_names
        noun = self.sampler.preprocessing.noun
        found = Yield(names[index], n, len(names), noun, self.accuracy)
        self.checker.begin(index)
        found.limits = self.checker.limits()
        number = 0
        while found.kept < n:
            if signal := self.stop():
                raise Interrupted(
                    f"stopped by {signal} after {len(self.lines):,} {noun}; the same command goes "
                    "on from there"
                )
            done = self._again(index, number, below, found)
            done = done or self._new(index, number, below, found)
            found.count(done.verdicts)
            self.lines += done.lines
            number += 1
            self.on_kept(found.name, found.kept, n)
        return found

    def _again(self, index: int, number: int, below: str, found: Yield) -> Done | None:
        """Return a chunk that an earlier call made, after taking from it what later ones need."""
        done = self.progress.find(index, number)
        if done is None:
            return None
        found.check(done.verdicts)
        if self.checker.compares or not self.writer.has([line.file for line in done.lines], index):
            candidates = self.method.chunk(index, number, self.seed)
            self._keep(index, number, below, candidates, _passed(done.verdicts))
        return done

    def _new(self, index: int, number: int, below: str, found: Yield) -> Done:
        candidates = self.method.chunk(index, number, self.seed)
        judged = self.checker.judge(candidates.samples)
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
        self.checker.remember(kept)
        native = self.sampler.preprocessing.to_native(kept)
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
