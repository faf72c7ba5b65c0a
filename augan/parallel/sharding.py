"""Shares of a job for schedulers that only start processes: Slurm arrays, Kubernetes jobs."""

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

Item = TypeVar("Item")


@dataclass(frozen=True, order=True)
class Shard:
    """One of `count` shares; it has every `count`-th part, from number `index` on.

    So that each share has parts from everywhere: parts differ in what they cost, and neighbours are
    alike.

    Examples
    --------
    >>> list(Shard(1, 3).of(range(8)))
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
        """Return the shard that "0/8" means; ConfigError if it means none."""
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, flags=re.ASCII)
        if match is None:
            raise ConfigError(
                f"'{text}' is no shard; expected i/n, the shard i of n, the first of four being 0/4"
            )
        return cls(int(match[1]), int(match[2]))

    def of(self, parts: Iterable[Item]) -> Iterator[Item]:
        """Yield the parts of this shard."""
        return islice(parts, self.index, None, self.count)

    def named(self, folder: Path) -> Path:
        """Return the folder of this shard, beside that of the whole job."""
        return folder.with_name(f"{folder.name}-shard-{self.index}-of-{self.count}")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


_TEXT = "values"  # the array that holds what is no array, as JSON
LONGEST = 200  # characters of a value that a message quotes
Job = Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """What came of one part: JSON-able values, and arrays of numbers."""

    values: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


class ShardWriter:
    """Keeps what comes of the parts of one shard.

    Parameters
    ----------
    folder : Path
        What another job left in it is removed.
    job : dict
        JSON-able: all that the parts depend on.
    """

    def __init__(self, folder: Path, shard: Shard, job: Job) -> None:
        self._folder = folder
        self._about = {"shard": [shard.index, shard.count], "job": dict(job)}
        self._digests: dict[str, str] = {}
        begun = folder / JOB_FILE
        if _read_json(begun) != json.loads(json.dumps(self._about)):
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            atomic_write(begun, json.dumps(self._about).encode())

    def find(self, key: str) -> Record | None:
        """Return what an earlier call that was interrupted has found of a part."""
        path = self._folder / f"{key}.npz"
        try:
            record = _read(path)
        except DataError:
            return None
        self._digests[path.name] = sha256_file(path)
        return record

    def add(self, key: str, record: Record) -> None:
        """Write what came of a part, if it is not there yet."""
        path = self._folder / f"{key}.npz"
        if path.name in self._digests:
            return
        text = np.frombuffer(json.dumps(record.values).encode(), np.uint8)
        arrays: dict[str, Any] = {**record.arrays, _TEXT: text}
        partial = path.with_name(f".{path.name}.part")
        with open(partial, "wb") as stream:
            np.savez(stream, **arrays)
        os.replace(partial, path)
        self._digests[path.name] = sha256_file(path)

    def close(self) -> None:
        """Say that the shard is whole."""
        content = {**self._about, "files": dict(sorted(self._digests.items()))}
        atomic_write(self._folder / SHARD_FILE, json.dumps(content, indent=1).encode() + b"\n")
        (self._folder / JOB_FILE).unlink()


@contextmanager
def shard_folder(target: str | Path, shard: Shard, job: Job) -> Iterator[ShardWriter]:
    """Give what writes a shard; it becomes the folder `target` when the block ends well.

    Raises
    ------
    DataError
        `target` holds something that is no shard, cannot be written, or is being written.
    """
    with resumable_folder(target, _foreign) as partial:
        writer = ShardWriter(partial, shard, job)
        yield writer
        writer.close()


def _foreign(folder: Path) -> list[str]:
    """Name what is no file of the shard that lies in a folder."""
    about = _read_json(folder / SHARD_FILE)
    files = about.get("files", {}) if isinstance(about, dict) else {}
    return unmanaged_except(SHARD_FILE, *files)(folder)


class Shards:
    """All shards of one job.

    Parameters
    ----------
    folders : sequence of path
        In any order.

    Attributes
    ----------
    job : dict
        What all of them say of their job.

    Raises
    ------
    DataError
        One is no shard, they are of different jobs, one is missing or came twice.
    """

    def __init__(self, folders: Sequence[str | Path]) -> None:
        found = [_Folder.read(Path(folder)) for folder in folders]
        if not found:
            raise DataError("no shard was named; give the folders that --shard wrote")
        first, *others = found
        for other in others:
            _check_same(first, other)
        _check_complete(found)
        self.job: Job = first.job
        self._files = {
            name: (one.path / name, digest) for one in found for name, digest in one.files.items()
        }

    def asked(self, names: Sequence[str]) -> dict[str, Any]:
        """Return some of what the job says; DataError if it does not."""
        missing = [name for name in names if name not in self.job]
        if missing:
            raise DataError(
                f"the shards do not say what '{missing[0]}' was; make them again with this version"
            )
        return {name: self.job[name] for name in names}

    def check(self, now: Job) -> None:
        """Raise DataError, which names what differs, unless the job is as described."""
        for name, value in now.items():
            if self.job.get(name) != value:
                was, found = _quoted(self.job.get(name)), _quoted(value)
                raise DataError(
                    f"the shards cannot be merged here: {name} was {was} and is {found} now; "
                    "give this machine what the shards were made with, or make them again"
                )

    def find(self, key: str) -> Record | None:
        """Return what came of a part; None if no shard has done it.

        Raises
        ------
        DataError
            Its file is damaged or gone.
        """
        path, digest = self._files.get(f"{key}.npz", (None, ""))
        if path is None:
            return None
        try:
            is_whole = sha256_file(path) == digest
        except OSError:
            is_whole = False
        if not is_whole:
            raise DataError(
                f"{path} is damaged or gone; make this shard again with the same command"
            )
        return _read(path)


@dataclass(frozen=True)
class _Folder:
    path: Path
    shard: Shard
    job: Job
    files: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> "_Folder":
        about = _read_json(path / SHARD_FILE)
        try:
            shard = Shard(*(int(number) for number in about["shard"]))
            job, files = dict(about["job"]), dict(about["files"])
        except (KeyError, TypeError, ValueError):
            raise DataError(
                f"{path} holds no finished shard (no {SHARD_FILE} that can be read); name folders "
                "that --shard wrote, and repeat the command of one that was interrupted"
            ) from None
        # A name of a file could lead anywhere.
        return cls(path, shard, job, {os.path.basename(str(k)): str(v) for k, v in files.items()})


def _check_same(one: _Folder, other: _Folder) -> None:
    if one.shard.count != other.shard.count:
        raise DataError(
            f"{one.path} is shard {one.shard} and {other.path} is shard {other.shard}: they are of "
            "jobs that were cut differently; name the shards of one job"
        )
    for name in {**one.job, **other.job}:
        here, there = (_quoted(shard.job.get(name)) for shard in (one, other))
        if one.job.get(name) != other.job.get(name):
            raise DataError(
                f"{one.path} and {other.path} are shards of different jobs: {name} is {here} in "
                f"one and {there} in the other; make both with the same command, model and data"
            )


def _check_complete(found: Sequence[_Folder]) -> None:
    places: dict[int, Path] = {}
    count = found[0].shard.count
    for one in found:
        former = places.setdefault(one.shard.index, one.path)
        if former is not one.path:
            raise DataError(f"shard {one.shard} came twice, as {former} and {one.path}; name one")
    missing = [f"{index}/{count}" for index in range(count) if index not in places]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise DataError(
            f"{len(missing)} of {count} shards are missing: {', '.join(missing[:5])}{more}; make "
            "them, and name all"
        )


def _quoted(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _read(path: Path) -> Record:
    _, names = read_npz(path, ())
    found, _ = read_npz(path, names)
    try:
        values = json.loads(found.pop(_TEXT).tobytes())
    except (KeyError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is no part of a shard; make the shard again") from error
    return Record(values, found)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
