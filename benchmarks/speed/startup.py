"""How long a user waits: `python -m benchmarks.speed.startup --json startup.json`.

- `augan detect` on one image, as a command, from nothing to its report, beside what a bare Python
  and a bare TensorFlow take; then the same work inside one process, part by part.
- A loaded detector on 1 image and on 64.
- `augan augment --class 3 --n 5000`, filters on, as a command.
- `augan detect` on a folder of small JPEG files, beside Pillow alone, which decodes the same files
  and does nothing with them.

Trained beforehand, unless `--run` names a run: models of generated pictures of 32 x 32, networks of
the default widths, for as few updates as make an `augment` pass its filters.
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

CLASSES, SIZE = 10, 32
STEPS = 1500
TRAINED_ON = 2000
PARTS = ("imports of augan", "TensorFlow", "bundle", "detector", "first image", "second image")


def picture(label: int, rng: np.random.Generator) -> np.ndarray:
    """Return a gray picture, uint8 `[32, 32]`: a bar at an angle of its class, and grain."""
    y, x = (np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2) / SIZE
    angle = np.pi * (label + 0.25 * rng.normal() / 3) / CLASSES
    off = np.abs(-x * np.sin(angle) + y * np.cos(angle) - 0.05 * rng.normal())
    bar = np.clip(4 - SIZE * off, 0, 1) * (180 + 20 * rng.normal())
    return np.clip(bar + 20 + 5 * rng.normal(size=bar.shape), 0, 255).astype(np.uint8)


def write_pictures(folder: Path, count: int, *, classes: bool, kind: str = "png") -> None:
    """Write pictures of all classes in turn, into a folder for each class or into one."""
    rng = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / (f"{label}" if classes else "")).mkdir(parents=True, exist_ok=True)
    for row in range(count):
        below = f"{row % CLASSES}" if classes else ""
        Image.fromarray(picture(row % CLASSES, rng)).save(folder / below / f"{row:06}.{kind}")


def train(folder: Path, task: str) -> Path:
    """Train a model and return its run."""
    from augan.config import Config
    from augan.data.loading import load_dataset
    from augan.workflow.train import train

    write_pictures(folder / f"{task}-images", TRAINED_ON, classes=task == "both")
    config = Config().replace(task=task, training__steps=STEPS)
    train(config, load_dataset(folder / f"{task}-images"), out=folder / task)
    return folder / task


def seconds(command: Sequence[str], cwd: Path) -> float:
    """Return how long a command takes; what it prints is dropped."""
    begun = time.perf_counter()
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)
    return time.perf_counter() - begun


def inside(run: Path, image: Path) -> dict[str, Any]:
    """In a process of its own: do what `detect` does, and time its parts."""
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
    from augan.detect.detector import Detector

    done("imports of augan")
    bundle = load_bundle(run)
    done("bundle")
    detector = Detector.from_bundle(bundle)
    done("detector")
    from augan.io.images import read_image

    square: Any = detector.preprocessing.prepare(read_image(image))[None]  # type: ignore
    detector.score(square)
    done("first image")
    detector.score(square)
    done("second image")
    latency = {n: _latency(detector, np.repeat(square, n, axis=0)) for n in (1, 64)}
    begun = time.perf_counter()
    detect_folder(bundle, image, run / "startup-inside")
    done("a folder of one image")
    return {"parts": times, "latency": latency}


def _latency(detector: Any, squares: np.ndarray) -> list[float]:
    """Return seconds of several calls."""
    found = []
    for _ in range(3 * TURNS):
        begun = time.perf_counter()
        detector.score(squares)
        found.append(time.perf_counter() - begun)
    return found


def pillow_alone(folder: Path) -> float:
    """Return the seconds in which Pillow decodes all files of a folder."""
    begun = time.perf_counter()
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            image.load()
    return time.perf_counter() - begun


def alternated(turns: int, **works: Callable[[], float]) -> dict[str, list[float]]:
    """Return the seconds of works that take turns, after one of each that nobody counts."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(turns + 1):
        for name, work in works.items():
            took = work()
            if turn:
                found[name].append(took)
    return found


def measure(folder: Path, runs: dict[str, Path], turns: int, files: int) -> list[dict]:
    """Return all figures."""
    write_pictures(folder / "many", files, classes=False, kind="jpg")
    one = sorted((folder / "many").iterdir())[0]
    augan = [sys.executable, "-m", "augan_cli"]
    detects = {
        f"detect one, {task}": lambda run=run: seconds(
            [*augan, "detect", str(one), "--model", str(run), "--out", f"one-{run.name}"], folder
        )
        for task, run in runs.items()
    }
    found = alternated(
        turns,
        python=lambda: seconds([sys.executable, "-c", "pass"], folder),
        tensorflow=lambda: seconds([sys.executable, "-c", "import tensorflow"], folder),
        **detects,
    )
    many = {
        f"detect {files} files, {task}": lambda run=run: seconds(
            [*augan, "detect", "many", "--model", str(run), "--out", f"all-{run.name}"], folder
        )
        for task, run in runs.items()
    }
    few = max(1, turns // 2)
    found |= alternated(few, pillow=lambda: pillow_alone(folder / "many"), **many)
    if "both" in runs:
        augment = [*augan, "augment", "--class", "3", "--n", "5000", "--model", str(runs["both"])]
        found |= alternated(
            few, **{"augment 5000": lambda: seconds([*augment, "--out", "made"], folder)}
        )
    return [
        measurement(name, times, "s", more_is_better=False) for name, times in found.items()
    ] + parts_of(runs, one)


def parts_of(runs: dict[str, Path], image: Path) -> list[dict]:
    """Return the parts of a detect and the latencies, from a process for each model."""
    rows = []
    for task, run in runs.items():
        command = [
            sys.executable,
            "-m",
            "benchmarks.speed.startup",
            "--inside",
            str(run),
            str(image),
        ]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        answer = json.loads(done.stdout.splitlines()[-1])
        for name, took in answer["parts"].items():
            rows.append(measurement(f"{task}: {name}", [took], "s", more_is_better=False))
        for count, times in answer["latency"].items():
            rows.append(
                measurement(f"{task}: latency of {count}", times, "s", more_is_better=False)
            )
    return rows


def summarize(rows: Sequence[dict], files: int) -> dict[str, Any]:
    """Return the figures that have a goal beside it."""
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
    """Measure, or be the process that is measured from inside."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.startup", description=__doc__)
    parser.add_argument("--run", type=Path, help="of classes, 32 x 32, calibrated")
    parser.add_argument("--tasks", default="both,detect", help="which models are trained else")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="figures and summary")
    parser.add_argument("--inside", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.inside:
        print(json.dumps(inside(*options.inside)))
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
