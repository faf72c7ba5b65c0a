"""How much memory and time it takes to load and stream folders of more and more image files.

`python -m benchmarks.memory --counts 1000,10000,50000,200000 --size 64 --json out.json`

Files are generated in a temporary folder, and a new process for each count loads them, decodes them
into an empty cache, and streams batches as a training does. TensorFlow is not loaded, so that its
own memory does not blur the figures. RssAnon is what the process itself allocated; pages of the
cache's files, which the system may drop at any time, are not part of it.
"""

import argparse
import io
import json
import math
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augan.data.cache import cached_squares
from augan.data.duplicates import near_duplicates
from augan.data.loading import load_dataset
from augan.data.preprocessing import Preprocessing
from augan.data.splits import make_split
from augan.training.batches import Batches
from benchmarks.harness import RESULTS, Results, Row, Task, run, write_json

BATCHES = 200
BATCH_SIZE = 64
STEPS_A_CHUNK = 20  # as the training asks for them
CLASSES = 4
PAUSE = 0.005  # seconds between two looks at the memory
MIB = 2**20
SECONDS_A_FILE = 0.003  # guess for the estimate


class Memory:
    """Watches RssAnon of this process, in bytes, in the background."""

    def __init__(self) -> None:
        self.peak = self.now()
        threading.Thread(target=self._watch, daemon=True).start()

    @staticmethod
    def now() -> int:
        """Return RssAnon as the kernel counts it."""
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("RssAnon:")[1].split()[0]) * 1024

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, self.now())
            time.sleep(PAUSE)


class Stages:
    """Seconds and peak memory of one stage after another."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}
        self.peaks: dict[str, int] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what happens inside."""
        self.memory.peak = self.memory.now()
        begun, busy = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] = round(time.perf_counter() - begun, 4)
        self.cpu_seconds[name] = round(time.process_time() - busy, 4)
        self.peaks[name] = max(self.memory.peak, self.memory.now())


def generate(folder: Path, count: int, size: int, kind: str) -> None:
    """Write `count` different colour pictures into class folders, the same on every call."""
    rng = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / f"class{label}").mkdir(parents=True)
    enlarge = np.ones((size // 8, size // 8, 1), np.uint8)
    for number in range(count):
        # Coarse blocks with some grain: such files are as large as those of small photographs.
        blocks = np.kron(rng.integers(0, 240, (8, 8, 3), np.uint8), enlarge)
        grain = rng.integers(0, 16, (size, size, 1), np.uint8)
        options = {"compress_level": 1} if kind == "png" else {"quality": 85}
        stream = io.BytesIO()
        name = "PNG" if kind == "png" else "JPEG"
        Image.fromarray(blocks + grain).save(stream, name, **options)
        path = folder / f"class{number % CLASSES}" / f"{number:07d}.{kind}"
        path.write_bytes(stream.getvalue())


def measure_here(images: Path, kept: Path, size: int) -> Row:
    """Load, decode, find again, describe and stream one folder; return what it took."""
    stages = Stages()
    baseline = stages.memory.now()
    with stages.stage("load"):
        dataset = load_dataset(images)
    with stages.stage("fit"):
        preprocessing = Preprocessing.fit(dataset, size)
    with stages.stage("decode"):
        cached_squares(dataset, preprocessing, kept)
    with stages.stage("find"):
        squares = cached_squares(dataset, preprocessing, kept)
    with stages.stage("hash"):
        digest = squares.sha256
    labels = squares.dataset.labels
    with stages.stage("split"):
        split = make_split(len(squares.pixels), seed=0, labels=labels)
    with stages.stage("duplicates"):
        near_duplicates(squares.pixels, split)
    with stages.stage("batches"):
        _stream(squares.pixels, labels, preprocessing)
    return {
        "sha256": digest,
        "baseline_mib": round(baseline / MIB, 1),
        "peak_mib": round(max(stages.peaks.values()) / MIB, 1),
        "stage_peaks_mib": {name: round(peak / MIB, 1) for name, peak in stages.peaks.items()},
        "stage_seconds": stages.seconds,
        "stage_cpu_seconds": stages.cpu_seconds,
        "prepare_seconds": _until_batches(stages.seconds),
        "prepare_cpu_seconds": _until_batches(stages.cpu_seconds),
        "batch_milliseconds": round(1000 * stages.seconds["batches"] / BATCHES, 2),
        "tensorflow": "tensorflow" in sys.modules,
    }


def _stream(pixels: np.ndarray, labels: np.ndarray | None, preprocessing: Preprocessing) -> None:
    batches = Batches(
        pixels,
        labels,
        num_classes=CLASSES,
        batch_size=BATCH_SIZE,
        scale=preprocessing.scale,
        seed=0,
    )
    for first in range(0, BATCHES, STEPS_A_CHUNK):
        batches.chunk(first, STEPS_A_CHUNK)


def measure(count: int, size: int, kind: str, place: Path | None) -> Row:
    """Generate files and measure them in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="augan-memory-", dir=place) as temporary:
        images, kept = Path(temporary, "images"), Path(temporary, "cache")
        generate(images, count, size, kind)
        command = [sys.executable, "-m", "benchmarks.memory", "--measure", str(images), str(kept)]
        done = subprocess.run(
            [*command, "--size", str(size)], stdout=subprocess.PIPE, text=True, check=True
        )
    row: Row = json.loads(done.stdout)
    return row


def _until_batches(seconds: dict[str, float]) -> float:
    """Return what depends on the number of files; the number of batches is always the same."""
    return round(sum(value for name, value in seconds.items() if name != "batches"), 3)


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the peaks, and the exponents b of seconds = a * count ** b before the batches.

    On a machine with other work, that of processor seconds is the one to believe.
    """
    rows = sorted(rows, key=lambda row: row["count"])

    def by_count(value: Callable[[Row], Any]) -> dict[str, Any]:
        return {str(row["count"]): value(row) for row in rows}

    summary: dict[str, Any] = {
        "peak_rss_anon_mib": by_count(itemgetter("peak_mib")),
        "peak_above_start_mib": by_count(
            lambda row: round(row["peak_mib"] - row["baseline_mib"], 1)
        ),
        "prepare_seconds": by_count(itemgetter("prepare_seconds")),
        "prepare_cpu_seconds": by_count(itemgetter("prepare_cpu_seconds")),
        "batch_milliseconds": by_count(itemgetter("batch_milliseconds")),
        "tensorflow_loaded": any(row["tensorflow"] for row in rows),
    }
    if len(rows) > 1:
        for name in ("prepare_seconds", "prepare_cpu_seconds"):
            points = [(math.log(row["count"]), math.log(row[name])) for row in rows]
            slope = statistics.linear_regression(*zip(*points)).slope
            summary[f"exponent_of_{name}"] = round(slope, 3)
    return summary


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark, or one measurement of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default="1000,10000,50000,200000", help="numbers of files")
    parser.add_argument("--size", type=int, default=64, help="side in pixels")
    parser.add_argument("--kind", choices=("png", "jpg"), default="png")
    parser.add_argument("--variant", default="default", help="a name for the idea under test")
    parser.add_argument("--place", type=Path, help="where the files are generated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="rows and summary")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.measure:
        images, kept = options.measure
        print(json.dumps(measure_here(images, kept, options.size)))
        return
    tasks = [
        Task(
            {
                "benchmark": "memory",
                "count": count,
                "settings": {"size": options.size, "kind": options.kind},
                "variant": options.variant,
            },
            partial(measure, count, options.size, options.kind, options.place),
            SECONDS_A_FILE * count,
        )
        for count in map(int, options.counts.split(","))
    ]
    rows = run(tasks, Results(options.results / "memory.jsonl"))
    summary = summarise(rows)
    print(json.dumps(summary, indent=1))
    if options.json:
        write_json(options.json, {"summary": summary, "rows": rows})


if __name__ == "__main__":
    main()
