"""What many images cost, and what a second worker is worth: `python -m benchmarks.speed.workers`.

`augan detect` of the same files, making and judging as many candidates of one class, and an
unfiltered `augan augment` take their turns in three processes: one that does it itself, one with a
worker, one with two workers. Each process has one thread, and the workers are running when the time
begins. A machine that slows down slows all three.

From what one core does in a second, and from the bytes that an image takes, follows a table for a
million images and more: core-hours, disk and memory. It supposes a disk that is fast enough, a
hundredth of the images flagged, and no filters: they compare each image with all that are kept.
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

from augan.augment.api import run_request
from augan.augment.methods.base import CHUNK_SIZE
from augan.augment.methods.prior import GeneratorSampler
from augan.augment.request import parse_request
from augan.augment.worker import CandidateWorker, ChunkRequest, generate_chunk
from augan.bundle import load_bundle
from augan.config import Config
from augan.data.datasets import digits
from augan.data.loading import load_dataset
from augan.detect.api import write_results
from augan.detect.request import open_request
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
MANY = (10**6, 10**8, 10**9)
FLAGGED = 0.01
WORKERS = {"this process": 0, "1 worker": 1, "2 workers": 2}
CASES = {"8 x 8 gray": (8, 1), "32 x 32 gray": (32, 1), "64 x 64 colour": (64, 3)}
JOBS = ("detect", "candidates", "augment")
LINE = 400.0  # bytes of memory that a line of the manifest takes, by tracemalloc
USUAL: dict[str, Any] = {"seed": 0, "method": "auto", "transform": None, "format": None}
USUAL |= {"balance": False, "balance_to": None}
ONE_THREAD = dict.fromkeys(
    ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1"
)


def images_of(size: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return digits enlarged to `[N, size, size, channels]`, with grain, and their classes."""
    source, rng = digits(), np.random.default_rng(0)
    times = size // 8
    large = np.asarray(source.images).repeat(times, axis=1).repeat(times, axis=2)
    grain = rng.integers(0, 32, (*large.shape[:3], channels), np.uint8)
    return np.minimum(large, 223) + grain, np.asarray(source.labels)


def prepare(folder: Path, size: int, channels: int, number: int, steps: int) -> None:
    """Write images to score, a training set, and the run of a short training on it."""
    x, y = images_of(size, channels)
    for row in range(number):
        path = folder / "images" / f"{row // 1000:06d}" / f"{row:09d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = x[row % len(x)]
        Image.fromarray(image[..., 0] if channels == 1 else image).save(path, compress_level=1)
    np.savez(folder / "data.npz", x=x, y=y)
    # How fast a network is does not depend on what it has learned.
    config = Config().replace(training__steps=steps, evaluation__enabled=False)
    train(config, load_dataset(folder / "data.npz"), out=folder / "run")


@contextmanager
def executor(workers: int) -> Iterator[Executor]:
    """Give this process, or that many others."""
    if not workers:
        yield SerialExecutor()
        return
    with start_local(workers) as cluster:
        yield cluster


def work(job: str, folder: Path, number: int, by: Executor) -> Callable[[], object]:
    """Return what does a job once; what it writes goes into a folder that is made anew."""
    bundle, out = load_bundle(folder / "run"), folder / f"out-{os.getpid()}"
    names = bundle.data["class_names"]

    def detect() -> None:
        request = open_request(bundle, folder / "images", far=FLAGGED)
        write_results(request, out, by.map(score_chunk, request.worker, request.chunks), by)

    def augment() -> None:
        request = parse_request(
            bundle, names, -(-number // len(names)), out, **USUAL, filtered=False
        )
        run_request(request, None, lambda worker: partial(by.map, generate_chunk, worker))

    worker = (
        CandidateWorker.create(GeneratorSampler(bundle), "sample", True, None)
        if job == "candidates"
        else None
    )

    def candidates() -> None:
        requests = (ChunkRequest(0, chunk, 0) for chunk in range(-(-number // CHUNK_SIZE)))
        for _ in by.map(generate_chunk, worker, requests):  # type: ignore[type-var]
            pass

    return {"detect": detect, "augment": augment, "candidates": candidates}[job]


def about(job: str, folder: Path) -> dict[str, float]:
    """Return what images take, of a job that was done: bytes for each, and of the process."""
    out = folder / f"out-{os.getpid()}"
    found = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0}
    files = sorted((folder / "images").rglob("*.png"))
    found["stored"] = sum(path.stat().st_size for path in files) / len(files)
    if job == "detect":
        overlays = [path.stat().st_size for path in (out / OVERLAYS_FOLDER).rglob("*.png")]
        found["overlay"] = sum(overlays) / max(1, len(overlays))
        found["row"] = (out / SCORES_FILE).stat().st_size / len(files)
        name = files[0].relative_to(folder / "images").as_posix()
        # Its name, four places in lists, and four numbers.
        found["listed"] = sys.getsizeof(name) + 4 * 8 + 4 * 8
    elif job == "augment":
        made = [path.stat().st_size for path in out.rglob("*.png")]
        found["written"] = sum(made) / len(made) + (out / MANIFEST_FILE).stat().st_size / len(made)
    return found


def side(job: str, folder: Path, number: int, workers: int) -> None:
    """Be one side: do a job once for each turn."""
    with executor(workers) as by:
        once = work(job, folder, number, by)
        once()
        begun = time.process_time()
        once()
        # By processor time, which other programs on the machine hardly change.
        rate = number / (time.process_time() - begun)
        run_worker({**about(job, folder), "rate": rate}, once)


def measure(job: str, folder: Path, number: int, turns: int) -> dict[str, Any]:
    """Let all sides take their turns at one job."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.speed.workers",
        "--side",
        job,
        "--folder",
        str(folder),
    ]
    os.environ.update(ONE_THREAD)
    with ExitStack() as stack:
        sides = {
            name: stack.enter_context(
                TimedProcess([*command, "--images", str(number), "--workers", str(n)])
            )
            for name, n in WORKERS.items()
        }
        told = sides["this process"].about
        seconds = time_in_turns(sides, turns)
    rates = {name: [number / s for s in times] for name, times in seconds.items()}
    gain = [one / two for one, two in zip(seconds["1 worker"], seconds["2 workers"])]
    return {"job": job, "rates": rates, "gain": gain, "about": told}


def cost(rate: float, read: float, written: float, listed: float, number: int) -> dict[str, float]:
    """Return what so many images cost, from what one does.

    Parameters
    ----------
    rate : float
        Images that a core does in a second.
    read, written, listed : float
        Bytes of an image: of its file, of what is written about it, and of memory in the process
        that decides.

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
    """Return rows for a million images and more."""
    rows = []
    for one in measured:
        rate, told = one["about"]["rate"], one["about"]
        if one["job"] == "detect":
            written = told["row"] + FLAGGED * told["overlay"]
            bytes_each = (told["stored"], written, told["listed"])
        elif one["job"] == "augment":
            bytes_each = (0.0, told["written"], LINE)
        else:
            continue
        rows += [{"case": case, "job": one["job"], **cost(rate, *bytes_each, n)} for n in MANY]
    return rows


def figures(case: str, measured: Sequence[dict[str, Any]]) -> list[dict]:
    """Return the rates of all sides, and how many times as fast two workers are as one."""
    found = []
    for one in measured:
        start = f"{case} {one['job']}"
        found += [
            measurement(f"{start}, {name}", rates, "images/s", more_is_better=True)
            for name, rates in one["rates"].items()
        ]
        rate = measurement(
            f"{start}, a core", [one["about"]["rate"]], "images/s", more_is_better=True
        )
        found += [
            rate,
            measurement(f"{start}, 2 workers over 1", one["gain"], "times", more_is_better=True),
        ]
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all cases and print the table, or be one of the sides."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.workers", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--cases", default=",".join(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--jobs", default=",".join(JOBS), help=f"of {', '.join(JOBS)}")
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=50, help="updates of the GAN")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="figures and rows")
    parser.add_argument("--side", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.side:
        side(options.side, options.folder, options.images, options.workers)
        return
    found, rows, load = [], [], os.getloadavg()
    for case in options.cases.split(","):
        with tempfile.TemporaryDirectory(prefix="augan-scaling-") as name:
            prepare(Path(name), *CASES[case], options.images, options.steps)
            jobs = options.jobs.split(",")
            measured = [measure(job, Path(name), options.images, options.turns) for job in jobs]
        found += figures(case, measured)
        rows += table(case, measured)
    for row in found:
        spread = f"{row['min']:.2f} to {row['max']:.2f}"
        print(f"{row['name']:44} {row['median']:9.2f} {row['unit']} ({spread})")
    for row in rows:
        print(", ".join(f"{name} {value}" for name, value in row.items()))
    if options.json:
        write_json(options.json, {"figures": found, "rows": rows, "load": load})


if __name__ == "__main__":
    main()
