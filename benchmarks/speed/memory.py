"""Memory benchmark: memory and time of loading and training, by the number of image files.

    python -m benchmarks.speed.memory --counts 1000,10000,50000,200000 --size 64 --json memory.json

The files are generated in a temporary folder. A new process for each count runs the stages of a
training before its first update: find the files and read their headers, decode the files into an
empty cache, hash, split, search for near-duplicates, and stream one pass over the training images.
TensorFlow is not loaded until then, so that its memory does not count. Then TensorFlow is loaded,
and a complete `train` of a few updates runs on the same folder: all networks, the latent codes of
all training images, and a detector that is calibrated on a fifth of all images. The networks are
narrow (`--width`), so that the part of the memory that grows with the number of images is visible.

RssAnon is the memory that the process itself allocated, without pages of the cache file, which the
system may drop at any time. The limit applies to the peak of the training, above the memory of the
process after TensorFlow was loaded.
"""

import argparse
import io
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augan.config import Config
from augan.data.cache import load_prepared
from augan.data.duplicates import find_near_duplicates
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.data.splits import Split, make_split
from augan.io.hashing import sha256_array
from augan.training.batches import Batches
from benchmarks.common.harness import (
    RESULTS,
    Results,
    Row,
    Task,
    add_variant,
    run,
    write_json,
)

BATCH_SIZE = 64
STEPS_PER_CHUNK = 20  # as in a training
STEPS = 20  # updates of the GAN in the training
NUM_CLASSES = 4
POLL_SECONDS = 0.005  # between two measurements of the memory
MIB = 2**20
LIMIT_MIB = 1536
MAX_LINEAR_EXPONENT = 1.1  # of the stages before the training, to count as linear growth
MIN_SECONDS = 0.05  # processor seconds; shorter stages show only their fixed cost
SECONDS_PER_FILE = 0.006  # expected seconds of a row


class MemoryMonitor:
    """Background monitor of the RssAnon of this process, in bytes."""

    def __init__(self) -> None:
        self.peak = self.now()
        threading.Thread(target=self._watch, daemon=True).start()

    @staticmethod
    def now() -> int:
        """Return the current RssAnon."""
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("RssAnon:")[1].split()[0]) * 1024

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, self.now())
            time.sleep(POLL_SECONDS)


class Stages:
    """Seconds and peak memory of consecutive stages."""

    def __init__(self) -> None:
        self.memory = MemoryMonitor()
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}
        self.peaks: dict[str, int] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage."""
        self.memory.peak = self.memory.now()
        begun, busy = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] = round(time.perf_counter() - begun, 4)
        self.cpu_seconds[name] = round(time.process_time() - busy, 4)
        self.peaks[name] = max(self.memory.peak, self.memory.now())


def write_images(folder: Path, count: int, size: int, kind: str) -> None:
    """Write `count` different color images into class folders, the same on every call."""
    rng = np.random.default_rng(0)
    for label in range(NUM_CLASSES):
        (folder / f"class{label}").mkdir(parents=True)
    enlarge = np.ones((size // 8, size // 8, 1), np.uint8)
    for number in range(count):
        # Coarse blocks with grain give files of the size of small photographs.
        blocks = np.kron(rng.integers(0, 240, (8, 8, 3), np.uint8), enlarge)
        grain = rng.integers(0, 16, (size, size, 1), np.uint8)
        options = {"compress_level": 1} if kind == "png" else {"quality": 85}
        stream = io.BytesIO()
        name = "PNG" if kind == "png" else "JPEG"
        Image.fromarray(blocks + grain).save(stream, name, **options)
        path = folder / f"class{number % NUM_CLASSES}" / f"{number:07d}.{kind}"
        path.write_bytes(stream.getvalue())


def measure_in_process(images: Path, cache: Path, size: int, width: int) -> Row:
    """Run all stages on a folder in this process, and return their time and memory."""
    stages = Stages()
    baseline = stages.memory.now()
    with stages.stage("find"):
        dataset = load_dataset(images)
    with stages.stage("size"):
        preprocessing = ImagePreprocessing.fit(dataset, size)
    with stages.stage("decode"):
        load_prepared(dataset, preprocessing, cache)
    with stages.stage("reopen"):
        prepared = load_prepared(dataset, preprocessing, cache)
    with stages.stage("hash"):
        digest = sha256_array(prepared.pixels)
    labels = prepared.dataset.labels
    with stages.stage("split"):
        split = make_split(len(prepared.pixels), seed=0, labels=labels)
    with stages.stage("duplicates"):
        find_near_duplicates(prepared.pixels, split)
    with stages.stage("batches"):
        batches = _stream(prepared.pixels, labels, preprocessing, split)
    without = "tensorflow" not in sys.modules
    streaming = max(stages.peaks.values())
    tensorflow = _train(stages, images, cache, size, width)
    return {
        "sha256": digest,
        "baseline_mib": round(baseline / MIB, 1),
        "streaming_peak_mib": round(streaming / MIB, 1),
        "tensorflow_mib": round(tensorflow / MIB, 1),
        "training_peak_mib": round(stages.peaks["train"] / MIB, 1),
        "stage_peaks_mib": {name: round(peak / MIB, 1) for name, peak in stages.peaks.items()},
        "stage_seconds": stages.seconds,
        "stage_cpu_seconds": stages.cpu_seconds,
        "batches": batches,
        "steps": STEPS,
        "streamed_without_tensorflow": without,
        "right_digest": digest == prepared.sha256,
    }


def _stream(
    pixels: np.ndarray, labels: np.ndarray | None, preprocessing: ImagePreprocessing, split: Split
) -> int:
    """Read one pass over the training images as a training does; return the number of batches."""
    batches = Batches(
        pixels,
        labels,
        num_classes=NUM_CLASSES,
        batch_size=BATCH_SIZE,
        normalize=preprocessing.normalize,
        seed=0,
        indices=split.train,
    )
    count = math.ceil(len(split.train) / BATCH_SIZE)
    for first in range(0, count, STEPS_PER_CHUNK):
        batches.chunk(first, min(STEPS_PER_CHUNK, count - first))
    return count


def _train(stages: Stages, images: Path, cache: Path, size: int, width: int) -> int:
    """Train on the folder as a user does; return RssAnon after TensorFlow was loaded."""
    with stages.stage("tensorflow"):
        from augan.gan import tf

        tf.reduce_sum(tf.ones((64, 64)) @ tf.ones((64, 64))).numpy()
    loaded = stages.memory.now()
    with stages.stage("train"):
        from augan.workflow.train import train

        os.environ["AUGAN_CACHE"] = str(cache)  # holds the decoded images already
        config = Config().replace(task="both", data__size=size, training__steps=STEPS)
        networks = ("generator", "discriminator", "encoder", "classifier")
        config = config.replace(**{f"{network}__width": width for network in networks})
        train(config, load_dataset(images), out=cache.with_name("run"))
    return loaded


def measure(count: int, size: int, width: int, kind: str, scratch: Path | None) -> Row:
    """Write files, and measure all stages in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="augan-memory-", dir=scratch) as temporary:
        images, cache = Path(temporary, "images"), Path(temporary, "cache")
        write_images(images, count, size, kind)
        command = [
            sys.executable,
            "-m",
            "benchmarks.speed.memory",
            "--measure",
            str(images),
            str(cache),
        ]
        command += ["--size", str(size), "--width", str(width)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    row: Row = json.loads(done.stdout)
    return row


def growth(rows: Sequence[Row], *stages: str) -> float | None:
    """Return b of processor seconds = a * count ** b, by least squares of the logarithms.

    Several stages are added up. Counts with less than `MIN_SECONDS` are left out; None if fewer
    than two counts are left. Processor seconds do not depend on other load.
    """
    seconds = {row["count"]: sum(row["stage_cpu_seconds"][name] for name in stages) for row in rows}
    points = [
        (math.log(n), math.log(value)) for n, value in seconds.items() if value >= MIN_SECONDS
    ]
    return round(statistics.linear_regression(*zip(*points)).slope, 3) if len(points) > 1 else None


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the peaks and their limit, and the growth exponent of the time of each stage."""
    rows = sorted(rows, key=lambda row: row["count"])
    above = {
        str(row["count"]): round(row["training_peak_mib"] - row["tensorflow_mib"], 1)
        for row in rows
    }
    stages = [stage for stage in rows[0]["stage_seconds"] if stage != "tensorflow"]
    exponents = {stage: growth(rows, stage) for stage in stages}
    before = growth(rows, *(stage for stage in stages if stage != "train"))
    return {
        "training_above_tensorflow_mib": above,
        "streaming_above_start_mib": {
            str(row["count"]): round(row["streaming_peak_mib"] - row["baseline_mib"], 1)
            for row in rows
        },
        "exponents": exponents,
        "exponent_before_training": before,
        "limit_mib": LIMIT_MIB,
        "within_limit": max(above.values()) <= LIMIT_MIB,
        "linear": before is None or before <= MAX_LINEAR_EXPONENT,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark, or measure one folder in this process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default="1000,10000,50000,200000", help="numbers of files")
    parser.add_argument("--size", type=int, default=64, help="side in pixels")
    parser.add_argument(
        "--width", type=int, default=8, help="of all networks; the default of augan is 32"
    )
    parser.add_argument("--kind", choices=("png", "jpg"), default="png")
    add_variant(parser)
    parser.add_argument("--scratch", type=Path, help="folder for the generated files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="rows and summary")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.measure:
        images, cache = options.measure
        print(json.dumps(measure_in_process(images, cache, options.size, options.width)))
        return
    tasks = [
        Task(
            {
                "benchmark": "memory",
                "count": count,
                "settings": {"size": options.size, "width": options.width, "kind": options.kind},
                "variant": options.variant,
            },
            partial(measure, count, options.size, options.width, options.kind, options.scratch),
            SECONDS_PER_FILE * count,
        )
        for count in map(int, options.counts.split(","))
    ]
    rows = run(tasks, Results(options.results / "memory.jsonl"))
    summary = summarize(rows)
    print(json.dumps(summary, indent=1))
    if options.json:
        write_json(options.json, {"summary": summary, "rows": rows})


if __name__ == "__main__":
    main()
