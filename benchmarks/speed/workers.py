"""Worker benchmark: the cost of many images, and the speedup from a second worker.

    python -m benchmarks.speed.workers --json F

Three processes work in turns: one without workers, one with one worker, and one with two workers.
Each runs `augan detect` on the same files, the generation and filtering of the same number of
candidates of one class, and an unfiltered `augan augment`. Every process has one thread, and the
workers are started before the timing. A machine that slows down slows down all three processes.

The rate of one core and the bytes of an image give a table of core-hours, disk space and memory for
a million images and more. The table assumes a fast disk, one percent of the images flagged, and no
filters, because filters compare each image with all accepted images.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augan.augment.api import run_job
from augan.augment.generator import GeneratorSampler
from augan.augment.job import AugmentJob
from augan.augment.methods.base import CHUNK_SIZE
from augan.augment.request import AugmentRequest
from augan.augment.worker import CandidateWorker, ChunkRequest, generate_chunk
from augan.bundle import load_bundle
from augan.config import Config
from augan.data.datasets import digits
from augan.data.loading import load_dataset
from augan.detect.request import DetectionRequest
from augan.detect.resolution import resolve_detection
from augan.detect.result import write_results
from augan.detect.worker import score_chunk
from augan.io.layout import MANIFEST_FILE, OVERLAYS_FOLDER, SCORES_FILE
from augan.parallel.dask_executor import start_local
from augan.parallel.executor import Executor, SerialExecutor
from augan.workflow.train import train
from benchmarks.common.harness import write_json
from benchmarks.common.interleaved_timing import (
    TimedProcess,
    measurement,
    run_worker,
    time_in_turns,
)

TURNS = 5
NUM_IMAGES = (10**6, 10**8, 10**9)  # of the cost table
FLAGGED_FRACTION = 0.01
WORKERS = {"this process": 0, "1 worker": 1, "2 workers": 2}
CASES = {"8 x 8 gray": (8, 1), "32 x 32 gray": (32, 1), "64 x 64 color": (64, 3)}
JOBS = ("detect", "candidates", "augment")
MANIFEST_ROW_BYTES = 400.0  # of memory for each row of the manifest, by tracemalloc
ONE_THREAD = dict.fromkeys(
    ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1"
)


def enlarged_digits(size: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return digits enlarged to `[N, size, size, channels]`, with grain, and their classes."""
    source, rng = digits(), np.random.default_rng(0)
    times = size // 8
    large = np.asarray(source.images).repeat(times, axis=1).repeat(times, axis=2)
    grain = rng.integers(0, 32, (*large.shape[:3], channels), np.uint8)
    return np.minimum(large, 223) + grain, np.asarray(source.labels)


def prepare(folder: Path, size: int, channels: int, number: int, steps: int) -> None:
    """Write images to score, training data, and the run of a short training."""
    x, y = enlarged_digits(size, channels)
    for row in range(number):
        path = folder / "images" / f"{row // 1000:06d}" / f"{row:09d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = x[row % len(x)]
        Image.fromarray(image[..., 0] if channels == 1 else image).save(path, compress_level=1)
    np.savez(folder / "data.npz", x=x, y=y)
    # The speed of a network does not depend on its training.
    config = Config().replace(training__steps=steps, evaluation__enabled=False)
    train(config, load_dataset(folder / "data.npz"), out=folder / "run")


@contextmanager
def make_executor(workers: int) -> Iterator[Executor]:
    """Yield an executor of this process (0 workers), or of worker processes."""
    if not workers:
        yield SerialExecutor()
        return
    with start_local(workers) as cluster:
        yield cluster


def make_job(job: str, folder: Path, number: int, executor: Executor) -> Callable[[], object]:
    """Return a function that does a job once. Each call replaces the output folder."""
    bundle, out = load_bundle(folder / "run"), folder / f"out-{os.getpid()}"
    names = bundle.data.class_names

    def detect() -> None:
        request = DetectionRequest(folder / "images", far=FLAGGED_FRACTION)
        detection = resolve_detection(bundle, request)
        chunks = executor.map(score_chunk, detection.worker, detection.chunks)
        write_results(detection, out, chunks, executor)

    def augment() -> None:
        request = AugmentRequest(names, -(-number // len(names)), filtered=False)
        augmentation = AugmentJob.resolve(bundle, request, out)
        run_job(augmentation, lambda worker: partial(executor.map, generate_chunk, worker), 0)

    worker = (
        CandidateWorker.create(GeneratorSampler(bundle), "sample", True, None)
        if job == "candidates"
        else None
    )

    def candidates() -> None:
        requests = (ChunkRequest(0, chunk, 0) for chunk in range(-(-number // CHUNK_SIZE)))
        for _ in executor.map(generate_chunk, worker, requests):  # type: ignore[type-var]
            pass

    return {"detect": detect, "augment": augment, "candidates": candidates}[job]


def describe_sizes(job: str, folder: Path) -> dict[str, float]:
    """Return the bytes per image of a finished job, and the peak memory of the process."""
    out = folder / f"out-{os.getpid()}"
    sizes = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0}
    files = sorted((folder / "images").rglob("*.png"))
    sizes["stored"] = sum(path.stat().st_size for path in files) / len(files)
    if job == "detect":
        overlays = [path.stat().st_size for path in (out / OVERLAYS_FOLDER).rglob("*.png")]
        sizes["overlay"] = sum(overlays) / max(1, len(overlays))
        sizes["row"] = (out / SCORES_FILE).stat().st_size / len(files)
        name = files[0].relative_to(folder / "images").as_posix()
        # The name, four references in lists, and four numbers.
        sizes["listed"] = sys.getsizeof(name) + 4 * 8 + 4 * 8
    elif job == "augment":
        images = [path.stat().st_size for path in out.rglob("*.png")]
        total = sum(images) + (out / MANIFEST_FILE).stat().st_size
        sizes["written"] = total / len(images)
    return sizes


def run_contestant(job: str, folder: Path, number: int, workers: int) -> None:
    """Do a job once for each turn."""
    with make_executor(workers) as executor:
        function = make_job(job, folder, number, executor)
        function()
        begun = time.process_time()
        function()
        # Processor time hardly depends on other programs on the machine.
        rate = number / (time.process_time() - begun)
        run_worker({**describe_sizes(job, folder), "rate": rate}, function)


def measure(job: str, folder: Path, number: int, turns: int) -> dict[str, Any]:
    """Time a job in all processes."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.speed.workers",
        "--contestant",
        job,
        "--folder",
        str(folder),
    ]
    os.environ.update(ONE_THREAD)
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(
                TimedProcess([*command, "--images", str(number), "--workers", str(n)])
            )
            for name, n in WORKERS.items()
        }
        about = processes["this process"].about
        seconds = time_in_turns(processes, turns)
    rates = {name: [number / s for s in times] for name, times in seconds.items()}
    speedup = [one / two for one, two in zip(seconds["1 worker"], seconds["2 workers"])]
    return {"job": job, "rates": rates, "speedup": speedup, "about": about}


def cost(rate: float, read: float, written: float, listed: float, number: int) -> dict[str, float]:
    """Return the cost of many images from the cost of one image.

    Parameters
    ----------
    rate : float
        Images per second of one core.
    read, written, listed : float
        Bytes per image: of the image file, of the output, and of memory in the main process.
    number : int
        Number of images.

    Examples
    --------
    >>> cost(rate=100, read=1e3, written=50, listed=200, number=10**6)["core_hours"]
    2.78
    """
    return {
        "images": number,
        "core_hours": round(number / rate / 3600, 2),
        "read_gb": round(number * read / 1e9, 2),
        "written_gb": round(number * written / 1e9, 2),
        "memory_gb": round(number * listed / 1e9, 2),
    }


def table(case: str, measured: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the cost of a million images and more, for each job."""
    rows = []
    for of_job in measured:
        about = of_job["about"]
        rate = about["rate"]
        if of_job["job"] == "detect":
            written = about["row"] + FLAGGED_FRACTION * about["overlay"]
            bytes_each = (about["stored"], written, about["listed"])
        elif of_job["job"] == "augment":
            bytes_each = (0.0, about["written"], MANIFEST_ROW_BYTES)
        else:
            continue
        rows += [
            {"case": case, "job": of_job["job"], **cost(rate, *bytes_each, n)} for n in NUM_IMAGES
        ]
    return rows


def measurements(case: str, measured: Sequence[dict[str, Any]]) -> list[dict]:
    """Return the rates of all processes, and the speedup from the second worker."""
    result = []
    for of_job in measured:
        start = f"{case} {of_job['job']}"
        result += [
            measurement(f"{start}, {name}", rates, "images/s", more_is_better=True)
            for name, rates in of_job["rates"].items()
        ]
        rate = measurement(
            f"{start}, a core", [of_job["about"]["rate"]], "images/s", more_is_better=True
        )
        result += [
            rate,
            measurement(
                f"{start}, 2 workers over 1", of_job["speedup"], "times", more_is_better=True
            ),
        ]
    return result


def main(argv: Sequence[str] | None = None) -> None:
    """Time all cases and print the cost table, or run one contestant."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.workers", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--cases", default=",".join(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--jobs", default=",".join(JOBS), help=f"of {', '.join(JOBS)}")
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=50, help="updates of the GAN")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="measurements and rows")
    parser.add_argument("--contestant", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.contestant:
        run_contestant(options.contestant, options.folder, options.images, options.workers)
        return
    rows, costs, load = [], [], os.getloadavg()
    for case in options.cases.split(","):
        with tempfile.TemporaryDirectory(prefix="augan-scaling-") as name:
            prepare(Path(name), *CASES[case], options.images, options.steps)
            jobs = options.jobs.split(",")
            measured = [measure(job, Path(name), options.images, options.turns) for job in jobs]
        rows += measurements(case, measured)
        costs += table(case, measured)
    for row in rows:
        limits = f"{row['min']:.2f} to {row['max']:.2f}"
        print(f"{row['name']:44} {row['median']:9.2f} {row['unit']} ({limits})")
    for row in costs:
        print(", ".join(f"{name} {value}" for name, value in row.items()))
    if options.json:
        write_json(options.json, {"figures": rows, "rows": costs, "load": load})


if __name__ == "__main__":
    main()
