"""Manifest of the samples in a result folder, and the log to resume an interrupted call from."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from augan.bundle import Bundle
from augan.io.hashing import sha256_file
from augan.io.manifest import JobLog, unmanaged_except_listed, write_rows

COLUMNS = (
    "file",
    "sha256",
    "class",
    "seed",
    "index",
    "method",
    "sources",
    "transform",
    "bundle",
    "data",
    "realness",
    "class_probability",
    "distance",
    "nearest",
    "decision",
)
HASH_DIGITS = 12


@dataclass(frozen=True)
class ManifestHeader:
    """Values of the manifest that are the same for every sample of a folder.

    Attributes
    ----------
    seed : int
    method : str
        Name of the augmentation method.
    transform : str
        Name of the classic transform of the images; "none" without a transform.
    bundle : str
        First 12 hexadecimal digits of the SHA-256 of the bundle.
    data : str
        First 12 hexadecimal digits of the fingerprint of the training data; empty if the bundle has
        no fingerprint.
    """

    seed: int
    method: str
    transform: str
    bundle: str
    data: str

    @classmethod
    def from_bundle(
        cls, bundle: Bundle, seed: int, method: str, transform: str
    ) -> "ManifestHeader":
        """Return the header for samples of a bundle, with the hashes of bundle and data."""
        data = (bundle.data.fingerprint or "")[:HASH_DIGITS]
        return cls(seed, method, transform, bundle.bundle_id, data)


@dataclass(frozen=True)
class ManifestRow:
    """Manifest entry of one generated sample. A value is None where it was not computed.

    Attributes
    ----------
    file : str
        File that holds the sample, relative to the folder; with "npz" and "csv" the same for all
        samples.
    class_name : str
        Name of the class; empty for a generator without classes.
    index : int
        Index of the candidate within its class, or within all samples in a folder of
        `generate_folder`. The same seed and index give the same sample.
    decision : {"accepted", "unchecked"}
        "unchecked": no filter compared the sample with the training data.
    sources : tuple of str
        Names of the training samples that the sample was computed from; empty for random noise.
    realness : float or None
        Logit of the discriminator for the class; higher = more like a real sample.
    class_probability : float or None
        The classifier's probability of the class, 0 to 1.
    distance : float or None
        Root mean square difference to the nearest training sample, in the range of the networks (-1
        to 1).
    nearest : str or None
        Name of the nearest training sample.
    """

    file: str
    class_name: str
    index: int
    decision: str
    sources: tuple[str, ...] = ()
    realness: float | None = None
    class_probability: float | None = None
    distance: float | None = None
    nearest: str | None = None


def write_manifest(folder: Path, rows: Sequence[ManifestRow], header: ManifestHeader) -> None:
    """Write `manifest.csv`: a row for each sample, in order, with the SHA-256 of its file.

    Text cells are escaped, so that a spreadsheet reads no formula. Source samples are a JSON list
    in one cell, because names may contain any character.

    Parameters
    ----------
    folder : Path
        Folder that holds the files of all rows.
    rows : sequence of ManifestRow
    header : ManifestHeader
        Values that are repeated in every row.
    """
    files = dict.fromkeys(row.file for row in rows)
    digests = {f: sha256_file(folder / f) for f in files}
    shared = asdict(header)

    def cells(row: ManifestRow) -> dict[str, Any]:
        values = {**shared, **vars(row), "sha256": digests[row.file]}
        values["class"] = values.pop("class_name")
        values["sources"] = json.dumps(row.sources, ensure_ascii=False) if row.sources else ""
        return values

    write_rows(folder, COLUMNS, map(cells, rows))


unmanaged_files = unmanaged_except_listed(COLUMNS)


@dataclass(frozen=True)
class ChunkRecord:
    """Log entry of a chunk of candidates whose accepted samples have been written.

    Attributes
    ----------
    class_index : int
    chunk_index : int
        Number of the chunk within the class, from 0.
    decisions : list of str
        Decisions about the candidates, up to the last candidate that was needed.
    rows : list of ManifestRow
        Rows of the manifest for the accepted candidates.
    """

    class_index: int
    chunk_index: int
    decisions: list[str]
    rows: list[ManifestRow]

    def to_dict(self) -> dict[str, Any]:
        """Return the log entry as JSON-able values, for `ChunkRecord.from_dict`."""
        return {**vars(self), "rows": [vars(row) for row in self.rows]}

    @classmethod
    def from_dict(cls, entry: Any) -> "ChunkRecord":
        """Return the log entry from values of `ChunkRecord.to_dict`.

        Raises
        ------
        KeyError, TypeError, ValueError
            The values are damaged.
        """
        rows = [ManifestRow(**{**row, "sources": tuple(row["sources"])}) for row in entry["rows"]]
        class_index, chunk_index = int(entry["class_index"]), int(entry["chunk_index"])
        return cls(class_index, chunk_index, list(entry["decisions"]), rows)


class ResumeLog:
    """Log of the written chunks of a job, from which the next call resumes after an interruption.

    Creating the log reads the chunks of an earlier call. If the log in the folder is missing or
    belongs to another job, all files in the folder are deleted.

    Parameters
    ----------
    folder : Path
        The temporary folder with the samples.
    job : dict
        JSON-able values that all samples depend on. A changed value means another job.
    """

    def __init__(self, folder: Path, job: dict[str, Any]) -> None:
        self._log = JobLog(folder, job)
        records = list(_valid_records(self._log.entries))
        self._records = {(r.class_index, r.chunk_index): r for r in records}
        self._log.rewrite([record.to_dict() for record in self._records.values()])

    def find(self, class_index: int, chunk_index: int) -> ChunkRecord | None:
        """Return the log entry of a chunk, or None if the chunk has not been written."""
        return self._records.get((class_index, chunk_index))

    def add(self, record: ChunkRecord) -> None:
        """Append the log entry of a chunk whose files have been written."""
        self._log.append(record.to_dict())

    def close(self) -> None:
        """Delete the log file, because the folder of samples is complete."""
        self._log.close()


def _valid_records(entries: list[Any]) -> Iterator[ChunkRecord]:
    """Yield log entries up to the first damaged entry; the chunks after it are generated again."""
    for entry in entries:
        try:
            record = ChunkRecord.from_dict(entry)
        except (KeyError, TypeError, ValueError):
            return
        yield record
