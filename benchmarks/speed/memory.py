"""How much memory and time it takes to load and train on folders of more and more image files.

    python -m benchmarks.speed.memory --counts 1000,10000,50000,200000 --size 64 --json memory.json

Files are generated in a temporary folder, and a new process for each count goes through what a
training does before its first update, stage by stage: find the files and read their headers, decode
them into an empty cache, hash, split, look for near-duplicates, and stream one pass over the images
to fit. Until then TensorFlow is not loaded, so that its own memory does not blur the figures. Then
it is loaded, and a whole `train` of a few updates runs on the same folder: every network, the codes
of all images to fit, and the detector calibrated on a fifth of all images. The networks are narrow,
so that what grows with the number of images is not lost among what does not (`--width`).

RssAnon is what the process itself allocated; pages of the cache's file, which the system may drop
at any time, are not part of it. The limit is on the training's peak above what the process held
when TensorFlow had been loaded and nothing else.
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
from augan.data.duplicates import near_duplicates
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.data.splits import Split, make_split
from augan.io.hashing import sha256_array
from augan.training.batches import Batches
from benchmarks.common.harness import RESULTS, Results, Row, Task, run, write_json

BATCH_SIZE = 64
STEPS_A_CHUNK = 20  # as the training asks for them
STEPS = 20  # updates of the GAN in the training
CLASSES = 4
PAUSE = 0.005  # seconds between two looks at the memory
MIB = 2**20
LIMIT_MIB = 1536
LINEAR = 1.1  # exponents up to this count as linear growth, of all that precedes the training
SHORT = 0.05  # processor seconds below which a stage says nothing about growth
SECONDS_A_FILE = 0.006  # guess for the estimate


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


def measure_here(images: Path, kept: Path, size: int, width: int) -> Row:
    """Go through one folder stage by stage, then train on it; return what it took."""
    stages = Stages()
    baseline = stages.memory.now()
    with stages.stage("find"):
        dataset = load_dataset(images)
    with stages.stage("size"):
        preprocessing = ImagePreprocessing.fit(dataset, size)
    with stages.stage("decode"):
        load_prepared(dataset, preprocessing, kept)
    with stages.stage("reopen"):
        squares = load_prepared(dataset, preprocessing, kept)
    with stages.stage("hash"):
        digest = sha256_array(squares.pixels)
    labels = squares.dataset.labels
    with stages.stage("split"):
        split = make_split(len(squares.pixels), seed=0, labels=labels)
    with stages.stage("duplicates"):
        near_duplicates(squares.pixels, split)
    with stages.stage("batches"):
        batches = _stream(squares.pixels, labels, preprocessing, split)
    without = "tensorflow" not in sys.modules
    streaming = max(stages.peaks.values())
    tensorflow = _train(stages, images, kept, size, width)
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
        "right_digest": digest == squares.sha256,
    }


def _stream(
    pixels: np.ndarray, labels: np.ndarray | None, preprocessing: ImagePreprocessing, split: Split
) -> int:
    """Read one pass over the images to fit, as a training does; return how many batches it was."""
    batches = Batches(
        pixels,
        labels,
        num_classes=CLASSES,
        batch_size=BATCH_SIZE,
        normalize=preprocessing.normalize,
        seed=0,
        indices=split.train,
    )
    count = math.ceil(len(split.train) / BATCH_SIZE)
    for first in range(0, count, STEPS_A_CHUNK):
        batches.chunk(first, min(STEPS_A_CHUNK, count - first))
    return count


def _train(stages: Stages, images: Path, kept: Path, size: int, width: int) -> int:
    """Train on the folder as a user would; return RssAnon when TensorFlow had been loaded."""
    with stages.stage("tensorflow"):
        from augan.gan import tf

        tf.reduce_sum(tf.ones((64, 64)) @ tf.ones((64, 64))).numpy()
    loaded = stages.memory.now()
    with stages.stage("train"):
        from augan.workflow.train import train

        os.environ["AUGAN_CACHE"] = str(kept)  # decoded there already
        config = Config().replace(task="both", data__size=size, training__steps=STEPS)
        networks = ("generator", "discriminator", "encoder", "classifier")
        config = config.replace(**{f"{network}__width": width for network in networks})
        train(config, load_dataset(images), out=kept.with_name("run"))
    return loaded


def measure(count: int, size: int, width: int, kind: str, place: Path | None) -> Row:
    """Generate files and measure them in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="augan-memory-", dir=place) as temporary:
        images, kept = Path(temporary, "images"), Path(temporary, "cache")
        generate(images, count, size, kind)
        command = [
            sys.executable,
            "-m",
            "benchmarks.speed.memory",
            "--measure",
            str(images),
            str(kept),
        ]
        command += ["--size", str(size), "--width", str(width)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    row: Row = json.loads(done.stdout)
    return row


def growth(rows: Sequence[Row], *stages: str) -> float | None:
    """Return b of processor seconds = a * count ** b, by least squares of the logarithms.

    Several stages count as one. Only counts at which they took more than a fixed cost count;
    None if fewer than two are left. Processor seconds, because other work slows the clock.
    """
    seconds = {row["count"]: sum(row["stage_cpu_seconds"][name] for name in stages) for row in rows}
    points = [(math.log(n), math.log(value)) for n, value in seconds.items() if value >= SHORT]
    return round(statistics.linear_regression(*zip(*points)).slope, 3) if len(points) > 1 else None


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the peaks beside their limit, and how the time of each stage grows."""
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
        "linear": before is None or before <= LINEAR,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark, or one measurement of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default="1000,10000,50000,200000", help="numbers of files")
    parser.add_argument("--size", type=int, default=64, help="side in pixels")
    parser.add_argument("--width", type=int, default=8, help="of all networks; 32 is augan's own")
    parser.add_argument("--kind", choices=("png", "jpg"), default="png")
    parser.add_argument("--variant", default="default", help="a name for the idea under test")
    parser.add_argument("--place", type=Path, help="where the files are generated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="rows and summary")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.measure:
        images, kept = options.measure
        print(json.dumps(measure_here(images, kept, options.size, options.width)))
        return
    tasks = [
        Task(
            {
                "benchmark": "memory",
                "count": count,
                "settings": {"size": options.size, "width": options.width, "kind": options.kind},
                "variant": options.variant,
            },
            partial(measure, count, options.size, options.width, options.kind, options.place),
            SECONDS_A_FILE * count,
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
