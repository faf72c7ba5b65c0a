"""The manifest of a folder of synthetic samples: where each came from, and why it was kept."""

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
from augan.io.csv_safety import ANY_BYTES, escape_formula, unescape_formula
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
    "policy",
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
    """What all samples of a folder have in common.

    Attributes
    ----------
    seed, method, policy
        As asked for.
    bundle, data
        The first 12 digits of the SHA-256 of the bundle, and of what it was trained on.
    """

    seed: int
    method: str
    policy: str
    bundle: str
    data: str

    @classmethod
    def of(cls, bundle: Bundle, seed: int, method: str, policy: str) -> "ManifestHeader":
        """Take the hashes from a bundle."""
        data = str(bundle.data.get("fingerprint") or "")[:HASH_DIGITS]
        return cls(seed, method, policy, bundle.bundle_id, data)


@dataclass(frozen=True)
class ManifestRow:
    """One sample; what is None was not looked at.

    Attributes
    ----------
    file, class_name
        Where it is, relative to the folder, and of what class.
    index
        Its place among the candidates of its class: with the same seed always the same sample.
    verdict
        "accepted" or "unchecked".
    sources
        Names of the training samples that it was made of.
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


def write_manifest(folder: Path, lines: Sequence[ManifestRow], about: ManifestHeader) -> None:
    """Write `manifest.csv`: a line a sample, in order, with the SHA-256 of its file.

    Several source samples are a JSON list, because names may hold any character.
    """
    files = dict.fromkeys(line.file for line in lines)
    digests = {f: sha256_file(folder / f) for f in files}
    common = asdict(about)
    place = folder / MANIFEST_FILE
    with open(place, "w", newline="", encoding="utf-8", errors=ANY_BYTES) as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        for line in lines:
            row = {**common, **vars(line), "sha256": digests[line.file]}
            row["class"] = row.pop("class_name")
            row["sources"] = json.dumps(line.sources, ensure_ascii=False) if line.sources else ""
            writer.writerow(
                {k: escape_formula(v) if isinstance(v, str) else v for k, v in row.items()}
            )


def unmanaged_files(folder: Path) -> list[str]:
    """Name the files in a folder, and below it, that no earlier call has written there.

    Real images that were put beside synthetic ones are such: they must not be lost with these.
    """
    listed = _listed(folder / MANIFEST_FILE)
    own = set() if listed is None else {MANIFEST_FILE, SUMMARY_FILE, REPORT_FILE, *listed}
    there = (
        os.path.relpath(os.path.join(place, name), folder)
        for place, _, names in os.walk(folder)
        for name in names
        if name != ".DS_Store"
    )
    return sorted(name for name in there if name not in own)


def _listed(manifest: Path) -> set[str] | None:
    """Return the files of a manifest, None of what is none of ours."""
    try:
        with open(manifest, newline="", encoding="utf-8", errors=ANY_BYTES) as stream:
            rows = csv.DictReader(stream)
            if tuple(rows.fieldnames or ()) != COLUMNS:
                return None
            return {unescape_formula(row["file"] or "") for row in rows}
    except (OSError, csv.Error):
        return None


@dataclass(frozen=True)
class ChunkRecord:
    """A chunk of candidates of a class: the verdicts of those looked at, the lines of the kept."""

    index: int
    number: int
    decisions: list[str]
    lines: list[ManifestRow]


class ResumeLog:
    """The chunks that are done.

    Parameters
    ----------
    folder : Path
        Where the samples are written. What another job left in it is removed.
    job : dict
        JSON-able: all that the samples depend on.
    """

    def __init__(self, folder: Path, job: dict[str, Any]) -> None:
        self.path = folder / RESUME_LOG_FILE
        header, *entries = _whole_lines(self.path) or [None]
        if header != job:
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            header, entries = job, []
        self._done = {(done.index, done.number): done for done in _whole(entries)}
        # Written anew, because the last line of a call that was killed may be torn.
        text = [json.dumps(line) + "\n" for line in (header, *map(_plain, self._done.values()))]
        atomic_write(self.path, "".join(text).encode("utf-8"))

    def find(self, index: int, number: int) -> ChunkRecord | None:
        """Return chunk `number` of class `index` if it is done."""
        return self._done.get((index, number))

    def add(self, done: ChunkRecord) -> None:
        """Note a chunk whose files are written."""
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(_plain(done)) + "\n")

    def close(self) -> None:
        """Remove the notes: everything is done."""
        self.path.unlink()


def _plain(done: ChunkRecord) -> dict[str, Any]:
    return {**vars(done), "lines": [vars(line) for line in done.lines]}


def _whole_lines(path: Path) -> list[Any]:
    found: list[Any] = []
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return found
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):
            break
    return found


def _whole(entries: list[Any]) -> Iterator[ChunkRecord]:
    """Yield chunks up to the first that is not as it was written: from there on, all is made."""
    for entry in entries:
        try:
            lines = [
                ManifestRow(**{**line, "sources": tuple(line["sources"])})
                for line in entry["lines"]
            ]
            done = ChunkRecord(
                int(entry["index"]), int(entry["number"]), list(entry["decisions"]), lines
            )
        except (KeyError, TypeError, ValueError):
            return
        yield done
