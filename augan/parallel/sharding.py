"""Shards of a job, for schedulers that only start processes: Slurm arrays, Kubernetes jobs.

Each process computes the tasks of one shard and writes its records into a folder. A last process
merges the folders of all shards into the result.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from augan.exceptions import ConfigError, DataError
from augan.io.arrays import read_npz
from augan.io.atomic import atomic_write, resumable_folder, unmanaged_except
from augan.io.hashing import sha256_file
from augan.io.layout import JOB_FILE, SHARD_FILE

_Item = TypeVar("_Item")


@dataclass(frozen=True, order=True)
class Shard:
    """One shard of a job: every `count`-th task of the job, from task number `index` on.

    Each shard has tasks from the whole job, because tasks differ in cost and neighboring tasks have
    similar costs.

    Attributes
    ----------
    index : int
        Number of the shard, from 0 to `count` - 1.
    count : int
        Number of shards that the job is divided into.

    Raises
    ------
    ConfigError
        `index` or `count` is out of range.

    Examples
    --------
    >>> list(Shard(1, 3).select(range(8)))
    [1, 4, 7]
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(
                f"there is no shard {self.index} of {self.count}; they are numbered from 0, so the "
                f"last is {self.count - 1}/{self.count}"
                if self.count > 0
                else f"a job cannot be cut into {self.count} shards; give a number of 1 or more"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the value of `--shard`, such as "0/8"; ConfigError if the text has another form."""
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, flags=re.ASCII)
        if match is None:
            raise ConfigError(
                f"'{text}' is not a shard; expected i/n, the shard i of n, the first of four being "
                "0/4"
            )
        return cls(int(match[1]), int(match[2]))

    def select(self, tasks: Iterable[_Item]) -> Iterator[_Item]:
        """Yield those tasks of the whole job that belong to this shard, in order."""
        return islice(tasks, self.index, None, self.count)

    def folder_for(self, folder: Path) -> Path:
        """Return the folder of this shard: `NAME-shard-I-of-N` next to the result folder `NAME`."""
        return folder.with_name(f"{folder.name}-shard-{self.index}-of-{self.count}")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


_MAX_QUOTED_LENGTH = 200  # characters of a value in a message
Job = Mapping[str, Any]  # JSON-able: everything that the records depend on

_VALUES = "values"  # the array that holds the values of a record, as JSON


@dataclass(frozen=True)
class ShardRecord:
    """The stored result of one task.

    Attributes
    ----------
    values : dict
        JSON-able values.
    arrays : dict of str to ndarray
        Arrays of numbers or text; default: none.
    """

    values: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


class ShardWriter:
    """The writer of the records of one shard into a folder, one file per task.

    Parameters
    ----------
    folder : Path
        The temporary folder of the shard. Records of an interrupted call are kept; if the folder
        was begun for another job or shard, all files in it are removed.
    shard : Shard
        Which shard of the job is written.
    job : mapping
        JSON-able: everything that the records depend on.
    """

    def __init__(self, folder: Path, shard: Shard, job: Job) -> None:
        self._folder = folder
        self._header = {"shard": [shard.index, shard.count], "job": dict(job)}
        self._digests: dict[str, str] = {}
        job_file = folder / JOB_FILE
        if _read_json(job_file) != json.loads(json.dumps(self._header)):
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            atomic_write(job_file, json.dumps(self._header).encode())

    def read(self, key: str) -> ShardRecord | None:
        """Return the record that an earlier, interrupted call has written for the task `key`.

        Returns
        -------
        ShardRecord or None
            None if there is no such record, or its file is damaged: the task must run again.
        """
        path = self._folder / f"{key}.npz"
        try:
            record = _read_record(path)
        except DataError:
            return None
        self._digests[path.name] = sha256_file(path)
        return record

    def add(self, key: str, record: ShardRecord) -> None:
        """Write the record of the task `key`, unless the record has been read or written before.

        `key` is a file name without suffix, unique in the job.
        """
        path = self._folder / f"{key}.npz"
        if path.name in self._digests:
            return
        text = np.frombuffer(json.dumps(record.values).encode(), np.uint8)
        arrays: dict[str, Any] = {**record.arrays, _VALUES: text}
        partial = path.with_name(f".{path.name}.part")
        with open(partial, "wb") as stream:
            np.savez(stream, **arrays)
        os.replace(partial, path)
        self._digests[path.name] = sha256_file(path)

    def close(self) -> None:
        """Write the list of files with their digests, which marks the shard as complete."""
        content = {**self._header, "files": dict(sorted(self._digests.items()))}
        atomic_write(self._folder / SHARD_FILE, json.dumps(content, indent=1).encode() + b"\n")
        (self._folder / JOB_FILE).unlink()


@contextmanager
def shard_folder(target: str | Path, shard: Shard, job: Job) -> Iterator[ShardWriter]:
    """Yield the writer of a shard; `target` appears when the block ends without an error.

    An interrupted shard resumes with the records that it has, see `resumable_folder`.

    Parameters
    ----------
    target : path-like
        The folder of the shard, see `Shard.folder_for`.
    shard : Shard
        Which shard of the job is written.
    job : mapping
        JSON-able: everything that the records depend on.

    Raises
    ------
    DataError
        `target` holds other files than a shard, cannot be written, or is being written.
    """
    with resumable_folder(target, _unmanaged) as partial:
        writer = ShardWriter(partial, shard, job)
        yield writer
        writer.close()


def _unmanaged(folder: Path) -> list[str]:
    """Return the names of files in a folder that do not belong to the shard in it."""
    header = _read_json(folder / SHARD_FILE)
    files = header.get("files", {}) if isinstance(header, dict) else {}
    return unmanaged_except(SHARD_FILE, *files)(folder)


class ShardSet:
    """All shards of one job, from which `augan merge` makes the result.

    Parameters
    ----------
    folders : sequence of path-like
        The folders of all shards, in any order.

    Attributes
    ----------
    job : mapping
        The description of the job, equal in all shards.

    Raises
    ------
    DataError
        A folder is not a shard, the shards are of different jobs, or a shard is missing or given
        twice.
    """

    def __init__(self, folders: Sequence[str | Path]) -> None:
        shards = [_ShardFolder.read(Path(folder)) for folder in folders]
        if not shards:
            raise DataError("no shard was named; give the folders that --shard wrote")
        first, *others = shards
        for other in others:
            _check_same_job(first, other)
        _check_complete(shards)
        self.job: Job = first.job
        self._files = {
            name: (shard.path / name, digest)
            for shard in shards
            for name, digest in shard.files.items()
        }

    def settings(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the entries `names` of the job description; DataError if an entry is missing."""
        missing = [name for name in names if name not in self.job]
        if missing:
            raise DataError(
                f"the shards do not say what '{missing[0]}' was; make them again with this version"
            )
        return {name: self.job[name] for name in names}

    def check_job(self, current: Job) -> None:
        """Raise DataError if an entry of `current` differs from the job of the shards.

        `current` describes this process (versions, bundle, data). The message names the first
        difference.
        """
        for name, value in current.items():
            if self.job.get(name) != value:
                former, present = _quote(self.job.get(name)), _quote(value)
                raise DataError(
                    f"the shards cannot be merged here: {name} was {former} and is {present} now; "
                    "give this machine what the shards were made with, or make them again"
                )

    def read(self, key: str) -> ShardRecord | None:
        """Return the record of the task `key`, after a check of its digest.

        Returns
        -------
        ShardRecord or None
            None if no shard has a record of this task.

        Raises
        ------
        DataError
            The file of the record is damaged or missing.
        """
        path, digest = self._files.get(f"{key}.npz", (None, ""))
        if path is None:
            return None
        try:
            is_intact = sha256_file(path) == digest
        except OSError:
            is_intact = False
        if not is_intact:
            raise DataError(
                f"{path} is damaged or gone; make this shard again with the same command"
            )
        return _read_record(path)


@dataclass(frozen=True)
class _ShardFolder:
    """The description of one complete shard.

    Attributes
    ----------
    path : Path
        The folder of the shard.
    shard : Shard
        Which shard of the job the folder holds.
    job : mapping
        Everything that the records depend on.
    files : dict of str to str
        Name of each record file -> SHA-256 of its content.
    """

    path: Path
    shard: Shard
    job: Job
    files: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> "_ShardFolder":
        """Read the description of a complete shard; DataError if the folder holds none."""
        header = _read_json(path / SHARD_FILE)
        try:
            shard = Shard(*(int(number) for number in header["shard"]))
            job, files = dict(header["job"]), dict(header["files"])
        except (KeyError, TypeError, ValueError):
            raise DataError(
                f"{path} holds no finished shard (no {SHARD_FILE} that can be read); name folders "
                "that --shard wrote, and repeat the command of one that was interrupted"
            ) from None
        # Base names only: the name of a file could be a path to anywhere.
        return cls(path, shard, job, {os.path.basename(str(k)): str(v) for k, v in files.items()})


def _check_same_job(first: _ShardFolder, second: _ShardFolder) -> None:
    """Raise DataError, which names the first difference, if two shards are of different jobs."""
    if first.shard.count != second.shard.count:
        raise DataError(
            f"{first.path} is shard {first.shard} and {second.path} is shard {second.shard}: they "
            "are of jobs that were cut differently; name the shards of one job"
        )
    for name in {**first.job, **second.job}:
        if first.job.get(name) != second.job.get(name):
            one, other = (_quote(shard.job.get(name)) for shard in (first, second))
            raise DataError(
                f"{first.path} and {second.path} are shards of different jobs: {name} is {one} in "
                f"one and {other} in the other; make both with the same command, model and data"
            )


def _check_complete(shards: Sequence[_ShardFolder]) -> None:
    """Raise DataError if a shard of the job is missing or was given twice."""
    paths: dict[int, Path] = {}
    count = shards[0].shard.count
    for folder in shards:
        former = paths.setdefault(folder.shard.index, folder.path)
        if former is not folder.path:
            raise DataError(
                f"shard {folder.shard} was given twice, as {former} and {folder.path}; name one"
            )
    missing = [f"{index}/{count}" for index in range(count) if index not in paths]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise DataError(
            f"{len(missing)} of {count} shards are missing: {', '.join(missing[:5])}{more}; make "
            "them, and name all"
        )


def _quote(value: Any) -> str:
    """Return a value as JSON for a message, shortened to 200 characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_QUOTED_LENGTH else f"{text[:_MAX_QUOTED_LENGTH]}..."


def _read_record(path: Path) -> ShardRecord:
    """Read the record of one task from its `.npz` file; DataError if the file is damaged."""
    _, names = read_npz(path, ())
    arrays, _ = read_npz(path, names)
    try:
        values = json.loads(arrays.pop(_VALUES).tobytes())
    except (KeyError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not a record of a shard; make the shard again") from error
    return ShardRecord(values, arrays)


def _read_json(path: Path) -> Any:
    """Return the content of a JSON file, or None if it cannot be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
