"""Rejection sampling: candidates of a class are generated in chunks until enough are accepted.

A candidate is a generated sample about which the filter has not decided yet. `ProgressCallback`
takes a class name, the number of accepted samples and the number of requested samples.
`ChunkGenerator` turns an iterator of chunk requests into the chunks, in the same order; a chunk
that is not required is None.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from augan.augment.filters.acceptance import AcceptanceStats
from augan.augment.filters.criteria import ACCEPTED, UNCHECKED
from augan.augment.filters.filter import FilterResult
from augan.augment.manifest import ChunkRecord, ManifestRow, ResumeLog
from augan.augment.methods.base import CHUNK_SIZE, Candidates
from augan.augment.worker import CandidateChunk, CandidateWorker, ChunkRequest
from augan.augment.writers import SampleWriter
from augan.data.dataset import plural
from augan.exceptions import RunInterruptedError
from augan.parallel.executor import prefetch

ProgressCallback = Callable[[str, int, int], None]
ChunkGenerator = Callable[[Iterator[ChunkRequest]], Generator[CandidateChunk | None, None, None]]


@dataclass
class RejectionSampler:
    """Rejection sampler that writes the first accepted candidates of each class of one request.

    Attributes
    ----------
    worker : CandidateWorker
        The worker of this process. Its filter remembers the accepted candidates, to find
        duplicates.
    generate_chunks : ChunkGenerator
        Function that generates the requested chunks in order, in this process or in others.
    writer : SampleWriter
        Writer of the accepted samples.
    resume_log : ResumeLog
        Log of the chunks that this call and an earlier, interrupted call have written.
    seed : int
        Seed of all candidates.
    stop : callable
        Function that returns the name of a signal if sampling should stop, else None.
    on_accepted : ProgressCallback
        Called after each chunk with the class name, the number of accepted samples and the number
        of requested samples.
    rows : list of ManifestRow
        Rows of the manifest for the samples written so far, over all classes.
    """

    worker: CandidateWorker
    generate_chunks: ChunkGenerator
    writer: SampleWriter
    resume_log: ResumeLog
    seed: int
    stop: Callable[[], str | None]
    on_accepted: ProgressCallback
    rows: list[ManifestRow] = field(default_factory=list)

    def sample_class(self, class_index: int, n: int, subfolder: str) -> AcceptanceStats:
        """Write the first `n` accepted samples of a class into a subfolder.

        Parameters
        ----------
        class_index : int
        n : int
            Number of samples to write, at least 1.
        subfolder : str
            Folder of the class, relative to the folder of the request.

        Returns
        -------
        AcceptanceStats
            Counts of the accepted and rejected candidates of the class.

        Raises
        ------
        RefusedError
            Too few candidates are accepted.
        RunInterruptedError
            `stop` returned a signal. The chunks written so far are in the resume log, so the same
            request resumes.
        """
        sampler = self.worker.sampler
        stats = AcceptanceStats(
            sampler.class_names[class_index],
            n,
            len(sampler.class_names),
            sampler.preprocessing.sample_type,
            self.worker.context.classifier_accuracy,
            thresholds=self.worker.set_class(class_index).thresholds(),
        )
        # Closed when there are enough samples, so that no process works on further chunks.
        with closing(prefetch(self.generate_chunks(self._requests(class_index)))) as chunks:
            for chunk_index, chunk in enumerate(chunks):
                record = self.resume_log.find(class_index, chunk_index)
                if record is not None:
                    self._replay_chunk(record, chunk, subfolder, stats)
                else:
                    record = self._process_chunk(class_index, chunk_index, chunk, subfolder, stats)
                stats.update(record.decisions)
                self.rows += record.rows
                self.on_accepted(stats.class_name, stats.accepted, n)
                if stats.accepted >= n:
                    break
                if signal := self.stop():
                    samples = plural(sampler.preprocessing.sample_type)
                    raise RunInterruptedError(
                        f"stopped by {signal} after {len(self.rows):,} {samples}; repeat the same "
                        "command to resume"
                    )
        return stats

    def _requests(self, class_index: int) -> Iterator[ChunkRequest]:
        """Yield a request for each chunk of a class, without end.

        A chunk that an earlier call has written is required only if the filter compares samples
        with each other, or if a file of the chunk is missing or incomplete.
        """
        for chunk_index in count():
            record = self.resume_log.find(class_index, chunk_index)
            required = (
                record is None
                or self.worker.context.candidate_filter.compares_samples
                or not self.writer.has_files([row.file for row in record.rows], class_index)
            )
            yield ChunkRequest(class_index, chunk_index, self.seed, record is None, required)

    def _replay_chunk(
        self,
        record: ChunkRecord,
        chunk: CandidateChunk | None,
        subfolder: str,
        stats: AcceptanceStats,
    ) -> None:
        """Bring counts and filter to the state after a chunk that an earlier call has written.

        `chunk` is None if the files of the chunk are complete and the filter compares no samples;
        otherwise the accepted samples of the chunk are written again.
        """
        if len(record.decisions) == CHUNK_SIZE:  # a shorter record ends with the last needed sample
            stats.check_rates(record.decisions)
        if chunk is not None:
            accepted = _accepted_positions(record.decisions)
            self._write_accepted(
                record.class_index, record.chunk_index, chunk.candidates, accepted, subfolder
            )

    def _process_chunk(
        self,
        class_index: int,
        chunk_index: int,
        chunk: CandidateChunk | None,
        subfolder: str,
        stats: AcceptanceStats,
    ) -> ChunkRecord:
        """Reject duplicates in a new chunk, write its accepted samples, and log the chunk.

        Only as many samples are written as the class still lacks.

        Returns
        -------
        ChunkRecord
            Decisions up to the last candidate that was needed, and the rows of the manifest.

        Raises
        ------
        RefusedError
            Too few of the last candidates are accepted.
        """
        if chunk is None or chunk.filter_result is None:
            raise RuntimeError("a new chunk was not requested, or not filtered")
        candidates = chunk.candidates
        candidate_filter = self.worker.context.candidate_filter
        result = candidate_filter.reject_duplicates(chunk.filter_result, candidates.samples)
        stats.check_rates(result.decisions)
        num_missing = stats.requested - stats.accepted
        accepted = _accepted_positions(result.decisions)[:num_missing]
        num_evaluated = int(accepted[-1]) + 1 if len(accepted) == num_missing else CHUNK_SIZE
        files = self._write_accepted(class_index, chunk_index, candidates, accepted, subfolder)
        rows = [
            _manifest_row(stats.class_name, chunk_index, position, file, candidates, result)
            for position, file in zip(accepted.tolist(), files)
        ]
        record = ChunkRecord(class_index, chunk_index, result.decisions[:num_evaluated], rows)
        self.resume_log.add(record)
        return record

    def _write_accepted(
        self,
        class_index: int,
        chunk_index: int,
        candidates: Candidates,
        positions: np.ndarray,
        subfolder: str,
    ) -> list[str]:
        """Write the accepted candidates of a chunk and tell the filter about the accepted samples.

        Parameters
        ----------
        positions : ndarray of int [k]
            Positions of the accepted candidates within the chunk.

        Returns
        -------
        list of str
            File of each written sample, relative to the folder of the request.
        """
        if not len(positions):
            return []
        accepted = candidates.samples[positions]
        self.worker.context.candidate_filter.add_accepted(accepted)
        native = self.worker.sampler.preprocessing.to_original_size(accepted)
        classes = np.full(len(accepted), class_index)
        indices = chunk_index * CHUNK_SIZE + positions
        return self.writer.add(native, classes, indices, subfolder)


def _accepted_positions(decisions: list[str]) -> np.ndarray:
    """Return the positions, int64 `[k]`, of the decisions "accepted" and "unchecked"."""
    accepted = [i for i, decision in enumerate(decisions) if decision in (ACCEPTED, UNCHECKED)]
    return np.array(accepted, np.int64)


def _manifest_row(
    class_name: str,
    chunk_index: int,
    position: int,
    file: str,
    candidates: Candidates,
    result: FilterResult,
) -> ManifestRow:
    """Return the manifest row of the candidate at `position` of a chunk, with rounded scores."""

    def rounded(values: np.ndarray | None, digits: int) -> float | None:
        return None if values is None else round(float(values[position]), digits)

    return ManifestRow(
        file,
        class_name,
        chunk_index * CHUNK_SIZE + position,
        result.decisions[position],
        tuple(candidates.sources[position]),
        rounded(result.realness, 4),
        rounded(result.class_probability, 4),
        rounded(result.distance, 5),
        None if result.nearest is None else result.nearest[position],
    )
