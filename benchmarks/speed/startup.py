"""Startup benchmark: waiting times of a user.

    python -m benchmarks.speed.startup --json startup.json

- `augan detect` on one image as a command, including its report, next to the start of Python and of
  TensorFlow; then the same work in one process, step by step.
- A loaded detector on 1 image and on 64 images.
- `augan augment --class 3 --n 5000` as a command, with filters.
- `augan detect` on a folder of small JPEG files, next to Pillow, which only decodes the same files.

Without `--run`, the benchmark first trains models of generated images of 32 x 32, with networks of
the default widths and just enough updates for `augment` to pass its filters.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common.harness import write_json
from benchmarks.common.interleaved_timing import TURNS, measurement

NUM_CLASSES, SIZE = 10, 32
STEPS = 1500
NUM_TRAIN = 2000


def bar_image(label: int, rng: np.random.Generator) -> np.ndarray:
    """Return a gray image, uint8 `[32, 32]`: a bar at an angle of its class, with grain."""
    y, x = (np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2) / SIZE
    angle = np.pi * (label + 0.25 * rng.normal() / 3) / NUM_CLASSES
    distance = np.abs(-x * np.sin(angle) + y * np.cos(angle) - 0.05 * rng.normal())
    bar = np.clip(4 - SIZE * distance, 0, 1) * (180 + 20 * rng.normal())
    return np.clip(bar + 20 + 5 * rng.normal(size=bar.shape), 0, 255).astype(np.uint8)


def write_images(folder: Path, count: int, *, classes: bool, kind: str = "png") -> None:
    """Write images of all classes in turn, into a folder for each class or into one folder."""
    rng = np.random.default_rng(0)
    for label in range(NUM_CLASSES):
        (folder / (f"{label}" if classes else "")).mkdir(parents=True, exist_ok=True)
    for row in range(count):
        subfolder = f"{row % NUM_CLASSES}" if classes else ""
        Image.fromarray(bar_image(row % NUM_CLASSES, rng)).save(
            folder / subfolder / f"{row:06}.{kind}"
        )


def train(folder: Path, task: str) -> Path:
    """Train a model, and return its run folder."""
    from augan.config import Config
    from augan.data.loading import load_dataset
    from augan.workflow.train import train

    write_images(folder / f"{task}-images", NUM_TRAIN, classes=task == "both")
    config = Config().replace(task=task, training__steps=STEPS)
    train(config, load_dataset(folder / f"{task}-images"), out=folder / task)
    return folder / task


def time_command(command: Sequence[str], cwd: Path) -> float:
    """Return the seconds of a command; its output is dropped."""
    begun = time.perf_counter()
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)
    return time.perf_counter() - begun


def time_steps(run: Path, image: Path) -> dict[str, Any]:
    """Do the work of `detect` in this process, and return the seconds of its steps."""
    times: dict[str, Any] = {}
    begun = time.perf_counter()

    def done(name: str) -> None:
        nonlocal begun
        now = time.perf_counter()
        times[name], begun = now - begun, now

    import augan.gan  # noqa: F401

    done("TensorFlow")
    from augan.bundle import load_bundle
    from augan.detect.api import detect_folder
    from augan.detect.predictor import load_detector
    from augan.detect.request import DetectionRequest
    from augan.io.images import read_image

    done("imports of augan")
    bundle = load_bundle(run)
    done("bundle")
    detector = load_detector(bundle)
    done("detector")
    pixels = read_image(image)
    detector.predict(pixels, maps=False)
    done("first image")
    detector.predict(pixels, maps=False)
    done("second image")
    latency = {n: _latency(detector, [pixels] * n) for n in (1, 64)}
    begun = time.perf_counter()
    detect_folder(bundle, DetectionRequest(image), run / "startup-steps")
    done("a folder of one image")
    return {"steps": times, "latency": latency}


def _latency(detector: Any, images: list[np.ndarray]) -> list[float]:
    """Return the seconds of several predictions in memory."""
    seconds = []
    for _ in range(3 * TURNS):
        begun = time.perf_counter()
        detector.predict(images, maps=False)
        seconds.append(time.perf_counter() - begun)
    return seconds


def time_pillow(folder: Path) -> float:
    """Return the seconds in which Pillow decodes all files of a folder."""
    begun = time.perf_counter()
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            image.load()
    return time.perf_counter() - begun


def time_in_turns(turns: int, **functions: Callable[[], float]) -> dict[str, list[float]]:
    """Return the seconds of functions that are called in turns, after a first call to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(turns + 1):
        for name, function in functions.items():
            elapsed = function()
            if turn:
                seconds[name].append(elapsed)
    return seconds


def measure(folder: Path, runs: dict[str, Path], turns: int, files: int) -> list[dict]:
    """Return all measurements."""
    write_images(folder / "many", files, classes=False, kind="jpg")
    one = sorted((folder / "many").iterdir())[0]
    augan = [sys.executable, "-m", "augan_cli"]
    detects = {
        f"detect one, {task}": lambda run=run: time_command(
            [*augan, "detect", str(one), "--model", str(run), "--out", f"one-{run.name}"], folder
        )
        for task, run in runs.items()
    }
    seconds = time_in_turns(
        turns,
        python=lambda: time_command([sys.executable, "-c", "pass"], folder),
        tensorflow=lambda: time_command([sys.executable, "-c", "import tensorflow"], folder),
        **detects,
    )
    many = {
        f"detect {files} files, {task}": lambda run=run: time_command(
            [*augan, "detect", "many", "--model", str(run), "--out", f"all-{run.name}"], folder
        )
        for task, run in runs.items()
    }
    few = max(1, turns // 2)
    seconds |= time_in_turns(few, pillow=lambda: time_pillow(folder / "many"), **many)
    if "both" in runs:
        augment = [*augan, "augment", "--class", "3", "--n", "5000", "--model", str(runs["both"])]
        seconds |= time_in_turns(
            few, **{"augment 5000": lambda: time_command([*augment, "--out", "made"], folder)}
        )
    return [
        measurement(name, times, "s", more_is_better=False) for name, times in seconds.items()
    ] + measure_steps(runs, one)


def measure_steps(runs: dict[str, Path], image: Path) -> list[dict]:
    """Return the steps of `detect` and the latencies, from a process for each model."""
    rows = []
    for task, run in runs.items():
        command = [
            sys.executable,
            "-m",
            "benchmarks.speed.startup",
            "--steps-of",
            str(run),
            str(image),
        ]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        answer = json.loads(done.stdout.splitlines()[-1])
        for name, seconds in answer["steps"].items():
            rows.append(measurement(f"{task}: {name}", [seconds], "s", more_is_better=False))
        for count, times in answer["latency"].items():
            rows.append(
                measurement(f"{task}: latency of {count}", times, "s", more_is_better=False)
            )
    return rows


def summarize(rows: Sequence[dict], files: int) -> dict[str, Any]:
    """Return the measurements with a goal, and their goals."""
    medians = {row["name"]: row["median"] for row in rows}
    tasks = [name.rpartition(", ")[2] for name in medians if name.startswith("detect one")]
    pillow = files / medians["pillow"]
    rates = {task: files / medians[f"detect {files} files, {task}"] for task in tasks}
    return {
        "detect_one_s": {task: medians[f"detect one, {task}"] for task in tasks},
        "detect_one_goal_s": 8,
        "files_a_second": rates,
        "pillow_files_a_second": pillow,
        "share_of_pillow": {task: rate / pillow for task, rate in rates.items()},
        "share_of_pillow_goal": 0.5,
        "augment_5000_s": medians.get("augment 5000"),
        "augment_5000_goal_s": 10,
        "cores": os.cpu_count(),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all commands, or time the steps in this process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.startup", description=__doc__)
    parser.add_argument("--run", type=Path, help="calibrated run with classes, 32 x 32")
    parser.add_argument("--tasks", default="both,detect", help="models to train without --run")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="measurements and summary")
    parser.add_argument("--steps-of", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.steps_of:
        print(json.dumps(time_steps(*options.steps_of)))
        return
    with tempfile.TemporaryDirectory(prefix="augan-startup-") as name:
        folder = Path(name)
        runs = (
            {"both": options.run.absolute()}
            if options.run
            else {task: train(folder, task) for task in options.tasks.split(",")}
        )
        rows = measure(folder, runs, options.turns, options.files)
    summary = summarize(rows, options.files)
    for row in rows:
        print(f"{row['name']:40} {row['median']:8.3f} s ({row['min']:.3f} to {row['max']:.3f})")
    print(json.dumps(summary, indent=1))
    if options.json:
        write_json(options.json, {"figures": rows, "summary": summary})


if __name__ == "__main__":
    main()
