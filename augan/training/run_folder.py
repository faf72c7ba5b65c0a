"""Run folders: where a training writes, and how later commands find it.

A run holds `run.json` (what is trained on what), `config.yaml` (resolved settings), `metrics.jsonl`
(losses), `samples/` (pictures), `checkpoints/` (both with a folder for each fold where there are
several), `summary.json` (times and warnings), perhaps `skipped.csv`, and in the end `bundle.augan`.
"""

import csv
import json
import math
import os
import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augan.bundle import Bundle, load_bundle
from augan.exceptions import BundleError, ConfigError, DataError
from augan.io.atomic import atomic_write, lock_folder
from augan.io.csv_safety import UNDECODABLE, escape_formula
from augan.io.layout import (
    BUNDLE_FILE,
    CHECKPOINTS_FOLDER,
    LATEST_LINK,
    METRICS_LOG_FILE,
    RUN_FILE,
    RUNS_FOLDER,
    SAMPLES_FOLDER,
    SKIPPED_FILE,
)

if TYPE_CHECKING:  # commands look for a run before TensorFlow, which takes seconds, is loaded
    from augan.training.loop import Allowance

HALF_WRITTEN = (".*.part", ".*.tmp")


class RunFolder:
    """The folder of one training; also the observer that logs its losses.

    While the object lives, the folder is locked: the lock belongs to the process, so a killed
    training blocks nothing.

    Parameters
    ----------
    path : path or None
        The folder; None: `runs/<time>-<data>`, or with `resume` the newest run of this data.
    data_name : str
        What the training data is called.
    identity : dict
        Settings and data of the training, JSON-able. A run is only resumed with the same.
    resume : bool
        Go on with what is there; if nothing is, begin.

    Attributes
    ----------
    finished : bool
        Whether the run already has its bundle.

    Raises
    ------
    DataError
        The folder holds something that is not to be resumed, is in use, or cannot be made.
    ConfigError
        The run to resume had other settings or data.
    """

    def __init__(
        self,
        path: str | Path | None,
        data_name: str,
        identity: dict[str, Any],
        *,
        resume: bool = False,
    ) -> None:
        self.path = Path(RUNS_FOLDER if path is None else path)
        with self.writing():
            self.path = (
                _default_path(data_name, identity if resume else None)
                if path is None
                else Path(path)
            )
            self._begin(identity, resume)
        self.finished = (self.path / BUNDLE_FILE).exists()
        self.samples, self.checkpoints = self.path / SAMPLES_FOLDER, self.path / CHECKPOINTS_FOLDER
        self._log = self.path / METRICS_LOG_FILE

    def _begin(self, identity: dict[str, Any], resume: bool) -> None:
        """Make and lock the folder, and write or compare who it belongs to."""
        if not resume:
            refuse_occupied(self.path)
        holds_something = _occupied(self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"cannot make the folder {self.path} ({error.strerror}); name another folder with "
                "--out"
            ) from error
        lock = lock_folder(
            self.path,
            f"another training is writing {self.path}; wait for it, or name a new folder with "
            "--out",
        )
        self._release = weakref.finalize(self, os.close, lock)
        if holds_something:
            self._check_identity(identity)
            self._remove_half_written()
        else:
            try:
                self.write_json(RUN_FILE, identity)
            except OSError:
                with suppress(OSError):
                    self.path.rmdir()  # empty still; what is left would ask for --resume
                raise

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Say of a file in the run that the system refuses what to do about it: DataError."""
        try:
            yield
        except OSError as error:
            raise DataError(
                f"cannot write the run {self.path} ({error.strerror or error}); free some space "
                "and check the permissions there, then go on with --resume, or name another "
                "folder with --out"
            ) from error

    def close(self) -> None:
        """Give the folder free for other trainings."""
        self._release()

    def _check_identity(self, identity: dict[str, Any]) -> None:
        try:
            former = json.loads((self.path / RUN_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            former = None
        if not isinstance(former, dict):
            raise DataError(
                f"{self.path} holds no training to resume; name a new folder with --out"
            )
        changed = [k for k in sorted({*former, *identity}) if former.get(k) != identity.get(k)]
        if changed:
            causes = [k for k in changed if k != "split"] or changed  # which follows from others
            shown = ", ".join(f"{k}: {former.get(k)} then, {identity.get(k)} now" for k in causes)
            raise ConfigError(
                f"{self.path} was trained otherwise ({shown}); resume with the same arguments and "
                "data, or train into a new run"
            )

    def _remove_half_written(self) -> None:
        """Remove what a killed training was writing: the lock says that nobody writes it now."""
        below = [self.path, *(self.path / name for name in (SAMPLES_FOLDER, CHECKPOINTS_FOLDER))]
        folders = below + [folder for one in below[1:] for folder in one.glob("fold*")]
        for folder in folders:
            for pattern in HALF_WRITTEN:
                for path in folder.glob(pattern):
                    path.unlink(missing_ok=True)

    def cut_log(self, steps: Mapping[str, int]) -> None:
        """Keep the lines of `metrics.jsonl` up to the checkpoints: part -> its steps."""
        if not self._log.exists():
            return
        kept = []
        for raw in self._log.read_bytes().splitlines():
            try:
                line = raw.decode("utf-8")
                entry = json.loads(line)
                is_known = entry["step"] <= steps.get(entry["part"], 0)
            except (ValueError, TypeError, LookupError, RecursionError):
                break  # the last line of a killed training may be torn
            if is_known:
                kept.append(line + "\n")
        self.write_text(self._log.name, "".join(kept))

    def on_steps(
        self, part: str, step: int, allowance: "Allowance", losses: dict[str, float]
    ) -> None:
        """Append one line to `metrics.jsonl`."""
        finite = {name: v if math.isfinite(v) else None for name, v in losses.items()}
        with open(self._log, "a", encoding="utf-8") as file:
            file.write(json.dumps({"part": part, "step": step, **finite}, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write one small file, whole or not at all."""
        atomic_write(self.path / name, text.encode("utf-8", UNDECODABLE))

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        """Write one JSON file, whole or not at all."""
        self.write_text(name, json.dumps(values, indent=2) + "\n")

    def write_skipped(self, skipped: Iterable[tuple[str, str]]) -> None:
        """List the files that could not be read, if any, in `skipped.csv`."""
        rows = [(escape_formula(path), escape_formula(reason)) for path, reason in skipped]
        if rows:
            table = StringIO(newline="")
            csv.writer(table, lineterminator="\n").writerows([("path", "reason"), *rows])
            self.write_text(SKIPPED_FILE, table.getvalue())

    def finish(self) -> None:
        """Let `runs/latest` point here if this run is one of `./runs`."""
        if self.path.parent.resolve() != RUNS_FOLDER.resolve():
            return
        link = RUNS_FOLDER / f".{LATEST_LINK}.{os.getpid()}"
        with suppress(OSError):  # a file system without links still finds the run by its time
            link.unlink(missing_ok=True)
            link.symlink_to(self.path.name)
            os.replace(link, RUNS_FOLDER / LATEST_LINK)
        link.unlink(missing_ok=True)


def _default_path(data_name: str, identity: Mapping[str, Any] | None) -> Path:
    """Return a new run, or with an identity the newest that was begun on the same data."""
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in data_name) or "data"
    if identity is not None:
        name = re.compile(rf"\d{{8}}-\d{{6}}-{re.escape(safe)}(-\d+)?")
        former = [
            file.parent for file in RUNS_FOLDER.glob(f"*/{RUN_FILE}") if _is_of(file, identity)
        ]
        former = [path for path in former if name.fullmatch(path.name)]
        unfinished = [path for path in former if not (path / BUNDLE_FILE).exists()]
        if former:
            return max(unfinished or former, key=lambda path: path.name)
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{safe}"
    names = [stem, *(f"{stem}-{number}" for number in range(2, 100))]
    return next(RUNS_FOLDER / name for name in names if not (RUNS_FOLDER / name).exists())


def _is_of(file: Path, identity: Mapping[str, Any]) -> bool:
    """Whether a run's identity names the data of this one: other data may have the same name."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("data") == identity.get("data")


def refuse_occupied(path: str | Path) -> None:
    """Raise DataError unless a new training may write to `path`."""
    path = Path(path)
    if _occupied(path):
        hint = "go on with --resume, or " if (path / RUN_FILE).exists() else ""
        raise DataError(f"{path} exists already; {hint}name a new folder with --out")


def _occupied(path: Path) -> bool:
    return path.is_file() or any(_visible(path))


def _visible(folder: Path) -> list[Path]:
    # A training killed at birth leaves nothing, or a hidden half-written file.
    found = folder.iterdir() if folder.is_dir() else ()
    return [path for path in found if not path.name.startswith(".")]


def find_bundle(
    model: str | Path | None, *parts: str, warn: Callable[[str], None] = lambda text: None
) -> Bundle:
    """Load the bundle of `model`, or of the newest run under `./runs` that has all `parts`.

    A damaged bundle that nobody named does not hide the others: `warn` is told, and it goes on.

    Parameters
    ----------
    model : path or None
        A run folder or a bundle file.
    parts : str
        What the bundle must have, see `Bundle.has`.
    warn : callable
        Told in one sentence of each bundle that was passed over because it cannot be read.

    Raises
    ------
    BundleError
        If there is none, or `model` is damaged or lacks a part.
    """
    if model is not None:
        bundle = load_bundle(model)
        for part in parts:
            bundle.require(part)
        return bundle
    files = [
        path for path in RUNS_FOLDER.glob(f"[!.]*/{BUNDLE_FILE}") if path.parent.name != LATEST_LINK
    ]
    damaged = 0
    for file in sorted(files, key=_changed, reverse=True):
        try:
            bundle = load_bundle(file)
        except BundleError as error:
            damaged += 1
            warn(f"left out: {error}")
            continue
        if all(bundle.has(part) for part in parts):
            return bundle
    raise BundleError(
        f"no run under ./{RUNS_FOLDER} has what this needs: {' and '.join(parts)} ({len(files)} "
        f"looked at{f', {damaged} of them damaged' if damaged else ''}); run `augan train` first, "
        "or name a run with --model"
    )


def _changed(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0  # gone, or not to be seen; loading it says so
