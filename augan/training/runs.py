"""Run folders: where a training writes, and how later commands find it.

A run holds `config.yaml` (resolved settings), `metrics.jsonl` (losses), `samples/` (pictures),
`summary.json` (times and warnings), perhaps `skipped.csv`, and in the end `bundle.augan`.
"""

import csv
import json
import math
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from augan.bundle import BUNDLE_NAME, Bundle, load_bundle
from augan.exceptions import BundleError, DataError
from augan.training.loop import Allowance

RUNS = Path("runs")
LATEST = "latest"


class RunFolder:
    """The folder of one training; also the observer that logs its losses.

    Parameters
    ----------
    path : path or None
        A new or empty folder; None: `runs/<time>-<data>`.
    data_name : str
        What the training data is called.

    Raises
    ------
    DataError
        The folder holds something already, or cannot be made.
    """

    def __init__(self, path: str | Path | None, data_name: str) -> None:
        self.path = _default_path(data_name) if path is None else Path(path)
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise DataError(f"{self.path} exists already; name a new folder with --out")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"cannot make the folder {self.path}: {error.strerror}") from error
        self.samples = self.path / "samples"
        self._log = self.path / "metrics.jsonl"

    def on_steps(
        self, part: str, step: int, allowance: Allowance, losses: dict[str, float]
    ) -> None:
        """Append one line to `metrics.jsonl`."""
        finite = {name: v if math.isfinite(v) else None for name, v in losses.items()}
        with open(self._log, "a", encoding="utf-8") as file:
            file.write(json.dumps({"part": part, "step": step, **finite}, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write one small file, whole or not at all."""
        partial = self.path / f".{name}.part"
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, self.path / name)

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        """Write one JSON file, whole or not at all."""
        self.write_text(name, json.dumps(values, indent=2) + "\n")

    def write_skipped(self, skipped: Iterable[tuple[str, str]]) -> None:
        """List the files that could not be read, if any, in `skipped.csv`."""
        rows = list(skipped)
        if rows:
            with open(self.path / "skipped.csv", "w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("path", "reason"), *rows])

    def finish(self) -> None:
        """Let `runs/latest` point here if this run is one of `./runs`."""
        if self.path.parent.resolve() != RUNS.resolve():
            return
        link = RUNS / f".{LATEST}.{os.getpid()}"
        with suppress(OSError):  # a file system without links still finds the run by its time
            link.unlink(missing_ok=True)
            link.symlink_to(self.path.name)
            os.replace(link, RUNS / LATEST)
        link.unlink(missing_ok=True)


def _default_path(data_name: str) -> Path:
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in data_name) or "data"
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{safe}"
    names = [stem, *(f"{stem}-{number}" for number in range(2, 100))]
    return next(RUNS / name for name in names if not (RUNS / name).exists())


def find_bundle(model: str | Path | None, *parts: str) -> Bundle:
    """Load the bundle of `model`, or of the newest run under `./runs` that has all `parts`.

    Parameters
    ----------
    model : path or None
        A run folder or a bundle file.
    parts : str
        What the bundle must have, see `Bundle.has`.

    Raises
    ------
    BundleError
        If there is none, or `model` lacks a part.
    """
    if model is not None:
        bundle = load_bundle(model)
        for part in parts:
            bundle.require(part)
        return bundle
    files = [path for path in RUNS.glob(f"[!.]*/{BUNDLE_NAME}") if path.parent.name != LATEST]
    for file in sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        bundle = load_bundle(file)
        if all(bundle.has(part) for part in parts):
            return bundle
    raise BundleError(
        f"no run under ./{RUNS} has what this needs: {' and '.join(parts)} ({len(files)} looked "
        "at); run `augan train` first, or name a run with --model"
    )
