"""Manifests of result folders, and the log from which an interrupted job resumes.

A manifest is a CSV file with a row for each written image or table row. It tells the files of augan
from those of the user.
"""

import csv
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from augan.io.atomic import UnmanagedFiles, atomic_write
from augan.io.csv_safety import UNDECODABLE, escape_formula, unescape_formula
from augan.io.layout import MANIFEST_FILE, REPORT_FILE, RESUME_LOG_FILE, SUMMARY_FILE


def write_rows(folder: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `manifest.csv` into a folder; text cells are escaped, so that none is a formula.

    Parameters
    ----------
    folder : Path
    columns : sequence of str
        Names of the columns, among them "file": the file relative to the folder.
    rows : iterable of mapping
        Column -> value.
    """
    path = folder / MANIFEST_FILE
    with open(path, "w", newline="", encoding="utf-8", errors=UNDECODABLE) as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {k: escape_formula(v) if isinstance(v, str) else v for k, v in row.items()}
            )


def unmanaged_except_listed(columns: Sequence[str]) -> UnmanagedFiles:
    """Return a function that lists the files below a result folder that augan did not write.

    Unmanaged files may be real images that a user put next to written images, so replacing the
    folder must not delete them. Without a manifest of augan, every file except `.DS_Store` is
    unmanaged.

    Parameters
    ----------
    columns : sequence of str
        Columns of the manifest; a manifest with other columns is not one of these results.

    Returns
    -------
    callable
        Takes the path of a folder, and returns the sorted relative paths of the unmanaged files.
    """

    def unmanaged(folder: Path) -> list[str]:
        listed = _listed_files(folder / MANIFEST_FILE, tuple(columns))
        managed = set() if listed is None else {MANIFEST_FILE, SUMMARY_FILE, REPORT_FILE, *listed}
        present = (
            os.path.relpath(os.path.join(parent, name), folder)
            for parent, _, names in os.walk(folder)
            for name in names
            if name != ".DS_Store"
        )
        return sorted(name for name in present if name not in managed)

    return unmanaged


def _listed_files(manifest: Path, columns: tuple[str, ...]) -> set[str] | None:
    """Return the files that a manifest lists, relative to its folder.

    None: the manifest does not exist, cannot be read, or has other columns.
    """
    try:
        with open(manifest, newline="", encoding="utf-8", errors=UNDECODABLE) as stream:
            rows = csv.DictReader(stream)
            if tuple(rows.fieldnames or ()) != columns:
                return None
            return {unescape_formula(row["file"] or "") for row in rows}
    except (OSError, csv.Error):
        return None


class JobLog:
    """Log of the finished parts of a job, as lines of JSON in the temporary folder of the job.

    Creating the log reads the entries of an earlier call. If the log in the folder is missing or
    belongs to another job, all files in the folder are deleted.

    Parameters
    ----------
    folder : Path
        The temporary folder with the results.
    job : dict
        JSON-able values that all results depend on. A changed value means another job.

    Attributes
    ----------
    path : Path
        The log file.
    entries : list
        Entries of an earlier call, up to the first line that is not JSON.
    """

    def __init__(self, folder: Path, job: dict[str, Any]) -> None:
        self.path = folder / RESUME_LOG_FILE
        header, *entries = _read_json_lines(self.path) or [None]
        if header != job:
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            entries = []
        self.entries, self._job = entries, job
        self.rewrite(entries)

    def rewrite(self, entries: Sequence[Any]) -> None:
        """Replace all entries: a killed process may have left an incomplete last line."""
        text = "".join(json.dumps(line) + "\n" for line in (self._job, *entries))
        atomic_write(self.path, text.encode("utf-8"))

    def append(self, entry: Any) -> None:
        """Append the entry of a part whose files have been written."""
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")

    def close(self) -> None:
        """Delete the log file, because the folder is complete."""
        self.path.unlink()


def _read_json_lines(path: Path) -> list[Any]:
    """Return the JSON value of each line of a file, up to the first line that is not JSON.

    A file that does not exist or is not UTF-8 gives an empty list.
    """
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
