"""The manifest of a folder of synthetic samples: where each came from, and why it was kept."""

import csv
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from augan.bundle import Bundle
from augan.io.csv_safety import ANY_BYTES, plain_cell, safe_cell

MANIFEST = "manifest.csv"
YIELD = "yield.json"
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
    "score",
    "agreement",
    "distance",
    "nearest",
    "verdict",
)
HASH_DIGITS = 12


@dataclass(frozen=True)
class About:
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
    def of(cls, bundle: Bundle, seed: int, method: str, policy: str) -> "About":
        """Take the hashes from a bundle."""
        data = str(bundle.data.get("sha256") or "")[:HASH_DIGITS]
        return cls(seed, method, policy, bundle.bundle_id, data)


@dataclass(frozen=True)
class Line:
    """One sample; what is None was not looked at.

    Attributes
    ----------
    file, class_name
        Where it is, relative to the folder, and of what class.
    index
        Its place among the candidates of its class: with the same seed always the same sample.
    verdict
        "kept" or "unchecked".
    sources
        Names of the training samples that it was made of.
    score, agreement, distance, nearest
        See `augan.augment.filters.checks.Judged`.
    """

    file: str
    class_name: str
    index: int
    verdict: str
    sources: tuple[str, ...] = ()
    score: float | None = None
    agreement: float | None = None
    distance: float | None = None
    nearest: str | None = None


def write_manifest(folder: Path, lines: Sequence[Line], about: About) -> None:
    """Write `manifest.csv`: a line a sample, in order, with the SHA-256 of its file.

    Several source samples are a JSON list, because names may hold any character.
    """
    files = dict.fromkeys(line.file for line in lines)
    digests = {f: hashlib.sha256((folder / f).read_bytes()).hexdigest() for f in files}
    common = asdict(about)
    place = folder / MANIFEST
    with open(place, "w", newline="", encoding="utf-8", errors=ANY_BYTES) as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        for line in lines:
            row = {**common, **vars(line), "sha256": digests[line.file]}
            row["class"] = row.pop("class_name")
            row["sources"] = json.dumps(line.sources, ensure_ascii=False) if line.sources else ""
            writer.writerow({k: safe_cell(v) if isinstance(v, str) else v for k, v in row.items()})


def foreign(folder: Path) -> list[str]:
    """Name the files in a folder, and below it, that no earlier call has written there.

    Real images that were put beside synthetic ones are such: they must not be lost with these.
    """
    listed = _listed(folder / MANIFEST)
    own = set() if listed is None else {MANIFEST, YIELD, "report.html", *listed}
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
            return {plain_cell(row["file"] or "") for row in rows}
    except (OSError, csv.Error):
        return None
