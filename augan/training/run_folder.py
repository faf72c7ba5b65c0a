"""Run folders, where a training writes its files and later commands find its bundle.

A run folder contains:

- `run.json`: settings and fingerprint of the data, which a resumed run must match,
- `config.yaml`: the resolved settings,
- `metrics.jsonl`: the losses,
- `samples/`: sample grids, and `checkpoints/`; with folds, each has a folder per fold,
- `summary.json`: times and warnings,
- `skipped.csv`: files that could not be read, if there are any,
- `bundle.augan`: the bundle, at the end.
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

if TYPE_CHECKING:  # commands find a run before they load TensorFlow, which takes seconds
    from augan.training.budget import StageBudget

TEMP_PATTERN = ".*.part"


class RunFolder:
    """Folder of one training run, and the callback that logs the losses there.

    The folder is locked as long as the object exists. The lock belongs to the process, so a killed
    training leaves no lock behind.

    Parameters
    ----------
    path : path or None
        The folder; None: `runs/<time>-<data>`, or with `resume` the newest run of this data.
    data_name : str
        Name of the training data.
    identity : dict
        Settings and data of the training, JSON-able. A run is only resumed with an equal identity.
    resume : bool
        Continue the run in the folder, if there is one.

    Attributes
    ----------
    path, samples, checkpoints : Path
        The run folder, and its folders of sample grids and checkpoints.
    finished : bool
        Whether the run has its bundle.

    Raises
    ------
    DataError
        The folder is occupied, is in use, or cannot be created.
    ConfigError
        The run to resume has other settings or data.
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
            self._start(identity, resume)
        self.finished = (self.path / BUNDLE_FILE).exists()
        self.samples, self.checkpoints = self.path / SAMPLES_FOLDER, self.path / CHECKPOINTS_FOLDER
        self._log = self.path / METRICS_LOG_FILE

    def _start(self, identity: dict[str, Any], resume: bool) -> None:
        """Create and lock the run folder, and write the identity of the run or compare it.

        Raises DataError for a folder that is occupied, in use or cannot be created, and ConfigError
        if a resumed run has another identity.
        """
        if not resume:
            check_not_occupied(self.path)
        is_resumed = _is_occupied(self.path)
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
        if is_resumed:
            self._check_identity(identity)
            self._remove_temporary_files()
        else:
            try:
                self.write_json(RUN_FILE, identity)
            except OSError:
                with suppress(OSError):
                    # The folder is empty. Left in place, it would ask for --resume.
                    self.path.rmdir()
                raise

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Convert system errors in the block, such as a full disk, into a helpful DataError."""
        try:
            yield
        except OSError as error:
            raise DataError(
                f"cannot write the run {self.path} ({error.strerror or error}); free some space "
                "and check the permissions there, then continue with --resume, or name another "
                "folder with --out"
            ) from error

    def close(self) -> None:
        """Unlock the run folder for other processes."""
        self._release()

    def _check_identity(self, identity: dict[str, Any]) -> None:
        """Raise an error unless the run was started with the same settings and data.

        Raises DataError if the folder holds no training, and ConfigError with the differences.
        """
        try:
            recorded = json.loads((self.path / RUN_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            recorded = None
        if not isinstance(recorded, dict):
            raise DataError(
                f"{self.path} holds no training to resume; name a new folder with --out"
            )
        keys = sorted({*recorded, *identity})
        changed = [k for k in keys if recorded.get(k) != identity.get(k)]
        if changed:
            # The split follows from other entries: it is shown only if nothing else changed.
            causes = [k for k in changed if k != "split"] or changed
            shown = ", ".join(f"{k}: {recorded.get(k)} then, {identity.get(k)} now" for k in causes)
            raise ConfigError(
                f"{self.path} has other settings or data ({shown}); resume with the same arguments "
                "and data, or train into a new run"
            )

    def _remove_temporary_files(self) -> None:
        """Remove temporary files of a killed training from the run folder.

        The lock excludes that the training still runs.
        """
        subfolders = [self.path / name for name in (SAMPLES_FOLDER, CHECKPOINTS_FOLDER)]
        folds = [fold for subfolder in subfolders for fold in subfolder.glob("fold*")]
        for folder in (self.path, *subfolders, *folds):
            for path in folder.glob(TEMP_PATTERN):
                path.unlink(missing_ok=True)

    def truncate_log(self, steps: Mapping[str, int]) -> None:
        """Remove the lines of `metrics.jsonl` that are later than the checkpoints.

        A resumed training then repeats the removed steps and logs their losses again.

        Parameters
        ----------
        steps : mapping of str to int
            Step of the checkpoint of each stage; a missing stage counts as 0.
        """
        if not self._log.exists():
            return
        kept_lines = []
        for raw in self._log.read_bytes().splitlines():
            try:
                line = raw.decode("utf-8")
                entry = json.loads(line)
                is_kept = entry["step"] <= steps.get(entry["stage"], 0)
            except (ValueError, TypeError, LookupError, RecursionError):
                break  # the last line of a killed training may be incomplete
            if is_kept:
                kept_lines.append(line + "\n")
        self.write_text(self._log.name, "".join(kept_lines))

    def on_progress(
        self, stage: str, step: int, budget: "StageBudget", losses: dict[str, float]
    ) -> None:
        """Append the mean losses of the last steps to `metrics.jsonl`, null if not finite."""
        finite = {name: v if math.isfinite(v) else None for name, v in losses.items()}
        with open(self._log, "a", encoding="utf-8") as file:
            file.write(json.dumps({"stage": stage, "step": step, **finite}, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a small text file `name` into the run folder, atomically, as UTF-8."""
        atomic_write(self.path / name, text.encode("utf-8", UNDECODABLE))

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        """Write a small JSON file `name` into the run folder, atomically."""
        self.write_text(name, json.dumps(values, indent=2) + "\n")

    def write_skipped(self, skipped: Iterable[tuple[str, str]]) -> None:
        """Write `skipped.csv`, the list of files that could not be read; nothing if there are none.

        `skipped` has the path and the reason of each file.
        """
        rows = [(escape_formula(path), escape_formula(reason)) for path, reason in skipped]
        if rows:
            table = StringIO(newline="")
            csv.writer(table, lineterminator="\n").writerows([("path", "reason"), *rows])
            self.write_text(SKIPPED_FILE, table.getvalue())

    def finish(self) -> None:
        """Point the link `runs/latest` to this run, if the run is in `./runs`.

        On systems without links, nothing happens.
        """
        if self.path.parent.resolve() != RUNS_FOLDER.resolve():
            return
        link = RUNS_FOLDER / f".{LATEST_LINK}.{os.getpid()}"
        with suppress(OSError):  # without links, a run is found by its time
            link.unlink(missing_ok=True)
            link.symlink_to(self.path.name)
            os.replace(link, RUNS_FOLDER / LATEST_LINK)
        link.unlink(missing_ok=True)


def _default_path(data_name: str, identity: Mapping[str, Any] | None) -> Path:
    """Return the folder of a run whose user named none.

    Parameters
    ----------
    data_name : str
        Name of the training data; other characters than letters, digits and `-_.` are replaced.
    identity : mapping or None
        Identity of a run to resume: the newest run on the same data, preferably unfinished. None,
        or no such run: a new path `runs/<time>-<data>`.
    """
    safe_name = "".join(c if c.isalnum() or c in "-_." else "-" for c in data_name) or "data"
    if identity is not None:
        name = re.compile(rf"\d{{8}}-\d{{6}}-{re.escape(safe_name)}(-\d+)?")
        files = RUNS_FOLDER.glob(f"*/{RUN_FILE}")
        runs = [file.parent for file in files if _is_on_same_data(file, identity)]
        runs = [run for run in runs if name.fullmatch(run.name)]
        unfinished = [run for run in runs if not (run / BUNDLE_FILE).exists()]
        if runs:
            return max(unfinished or runs, key=lambda run: run.name)
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{safe_name}"
    names = [stem, *(f"{stem}-{number}" for number in range(2, 100))]
    return next(RUNS_FOLDER / name for name in names if not (RUNS_FOLDER / name).exists())


def _is_on_same_data(file: Path, identity: Mapping[str, Any]) -> bool:
    """Return whether a recorded run has the data fingerprint of `identity`.

    The name of the data is not enough: different data may have the same name. `file` is the
    `run.json` of the run.
    """
    try:
        recorded = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(recorded, dict) and recorded.get("data") == identity.get("data")


def check_not_occupied(path: str | Path) -> None:
    """Raise DataError if a new training may not write to a folder, because it has contents."""
    path = Path(path)
    if _is_occupied(path):
        hint = "continue with --resume, or " if (path / RUN_FILE).exists() else ""
        raise DataError(f"{path} exists already; {hint}name a new folder with --out")


def _is_occupied(path: Path) -> bool:
    """Return whether a path is a file, or a folder with visible contents."""
    # Hidden files do not count: a training that is killed at its start leaves temporary files.
    children = path.iterdir() if path.is_dir() else ()
    return path.is_file() or any(not child.name.startswith(".") for child in children)


def find_bundle(
    model: str | Path | None, *parts: str, warn: Callable[[str], None] = lambda text: None
) -> Bundle:
    """Load the bundle for a command: of the named run, or of the newest suitable run.

    Without `model`, the newest run under `./runs` that has all `parts` is used, and damaged bundles
    are skipped with a warning.

    Parameters
    ----------
    model : path or None
        A run folder or a bundle file.
    parts : str
        Parts that the bundle must have, see `Bundle.has`.
    warn : callable
        Called with one sentence for each damaged bundle that is skipped.

    Raises
    ------
    BundleError
        No run has all parts, or `model` is damaged or lacks a part.
    """
    if model is not None:
        bundle = load_bundle(model)
        for part in parts:
            bundle.require(part)
        return bundle
    files = [
        path for path in RUNS_FOLDER.glob(f"[!.]*/{BUNDLE_FILE}") if path.parent.name != LATEST_LINK
    ]
    num_damaged = 0
    for file in sorted(files, key=_modified_ns, reverse=True):
        try:
            bundle = load_bundle(file)
        except BundleError as error:
            num_damaged += 1
            warn(f"left out: {error}")
            continue
        if all(bundle.has(part) for part in parts):
            return bundle
    raise BundleError(
        f"no run under ./{RUNS_FOLDER} has what this needs: {' and '.join(parts)} ({len(files)} "
        f"looked at{f', {num_damaged} of them damaged' if num_damaged else ''}); run `augan train` "
        "first, or name a run with --model"
    )


def _modified_ns(file: Path) -> int:
    """Return the modification time of a file in nanoseconds; 0 for an inaccessible file."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0  # missing or not accessible; `load_bundle` reports it
