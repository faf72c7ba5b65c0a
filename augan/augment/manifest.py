"""Records of a result folder: the manifest of its samples, and the log to resume from."""

import csv
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from augan.bundle import Bundle
from augan.io.atomic import atomic_write
from augan.io.csv_safety import UNDECODABLE, escape_formula, unescape_formula
from augan.io.hashing import sha256_file
from augan.io.layout import MANIFEST_FILE, REPORT_FILE, RESUME_LOG_FILE, SUMMARY_FILE

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
    """Values that all samples of a folder share.

    Attributes
    ----------
    seed, method, transform
        The options of the request.
    bundle, data
        The first 12 digits of the SHA-256 of the bundle, and of its training data.
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
        """Return the header with the hashes of a bundle."""
        data = str(bundle.data.get("fingerprint") or "")[:HASH_DIGITS]
        return cls(seed, method, transform, bundle.bundle_id, data)


@dataclass(frozen=True)
class ManifestRow:
    """One sample. A value is None where it was not computed.

    Attributes
    ----------
    file, class_name
        The file relative to the folder, and the class.
    index
        Index of the candidate within its class; the same seed and index give the same sample.
    decision
        "accepted" or "unchecked".
    sources
        Names of the training samples that the sample was made of.
    realness, class_probability, distance, nearest
        See `augan.augment.filters.filter.FilterResult`.
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

    Several source samples are a JSON list, because names may contain any character.
    """
    files = dict.fromkeys(row.file for row in rows)
    digests = {f: sha256_file(folder / f) for f in files}
    shared = asdict(header)
    path = folder / MANIFEST_FILE
    with open(path, "w", newline="", encoding="utf-8", errors=UNDECODABLE) as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        for row in rows:
            cells = {**shared, **vars(row), "sha256": digests[row.file]}
            cells["class"] = cells.pop("class_name")
            cells["sources"] = json.dumps(row.sources, ensure_ascii=False) if row.sources else ""
            writer.writerow(
                {k: escape_formula(v) if isinstance(v, str) else v for k, v in cells.items()}
            )


def unmanaged_files(folder: Path) -> list[str]:
    """Return the files below a folder that no earlier call has written.

    These may be real images that a user put next to synthetic ones, so replacing the folder must
    not delete them.
    """
    listed = _listed_files(folder / MANIFEST_FILE)
    managed = set() if listed is None else {MANIFEST_FILE, SUMMARY_FILE, REPORT_FILE, *listed}
    present = (
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in os.walk(folder)
        for name in names
        if name != ".DS_Store"
    )
    return sorted(name for name in present if name not in managed)


def _listed_files(manifest: Path) -> set[str] | None:
    """Return the files that a manifest lists, or None if augan did not write it."""
    try:
        with open(manifest, newline="", encoding="utf-8", errors=UNDECODABLE) as stream:
            rows = csv.DictReader(stream)
            if tuple(rows.fieldnames or ()) != COLUMNS:
                return None
            return {unescape_formula(row["file"] or "") for row in rows}
    except (OSError, csv.Error):
        return None


@dataclass(frozen=True)
class ChunkRecord:
    """A chunk of candidates of a class that has been written.

    Attributes
    ----------
    class_index, chunk_index
        Which chunk.
    decisions
        Decisions about the candidates, up to the last one that was needed.
    rows
        Rows of the manifest for the accepted candidates.
    """

    class_index: int
    chunk_index: int
    decisions: list[str]
    rows: list[ManifestRow]

    def to_dict(self) -> dict[str, Any]:
        """Return the record, JSON-able."""
        return {**vars(self), "rows": [vars(row) for row in self.rows]}

    @classmethod
    def from_dict(cls, entry: Any) -> "ChunkRecord":
        """Return the record; KeyError, TypeError or ValueError if the entry is damaged."""
        rows = [ManifestRow(**{**row, "sources": tuple(row["sources"])}) for row in entry["rows"]]
        class_index, chunk_index = int(entry["class_index"]), int(entry["chunk_index"])
        return cls(class_index, chunk_index, list(entry["decisions"]), rows)


class ResumeLog:
    """Log of the written chunks, from which the next call resumes after an interruption.

    Parameters
    ----------
    folder : Path
        The folder with the samples. Its content is removed if another job has written it.
    job : dict
        JSON-able values that all samples depend on.
    """

    def __init__(self, folder: Path, job: dict[str, Any]) -> None:
        self.path = folder / RESUME_LOG_FILE
        header, *entries = _read_json_lines(self.path) or [None]
        if header != job:
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            header, entries = job, []
        records = list(_valid_records(entries))
        self._records = {(r.class_index, r.chunk_index): r for r in records}
        # Rewritten, because a killed process may have left an incomplete last line.
        lines = [header, *(record.to_dict() for record in self._records.values())]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        atomic_write(self.path, text.encode("utf-8"))

    def find(self, class_index: int, chunk_index: int) -> ChunkRecord | None:
        """Return the record of a chunk, or None if it has not been written."""
        return self._records.get((class_index, chunk_index))

    def add(self, record: ChunkRecord) -> None:
        """Add a chunk whose files have been written."""
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(record.to_dict()) + "\n")

    def close(self) -> None:
        """Remove the log, because the folder is complete."""
        self.path.unlink()


def _read_json_lines(path: Path) -> list[Any]:
    """Return the lines of a file up to the first that is no JSON; none if it cannot be read."""
    values: list[Any] = []
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return values
    for line in text.splitlines():
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError):
            break
    return values


def _valid_records(entries: list[Any]) -> Iterator[ChunkRecord]:
    """Yield records up to the first damaged entry; the chunks after it are generated again."""
    for entry in entries:
        try:
            record = ChunkRecord.from_dict(entry)
        except (KeyError, TypeError, ValueError):
            return
        yield record
