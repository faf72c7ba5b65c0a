"""Dataset size benchmark: growth of time and memory with the number and the size of images.

    python -m benchmarks.speed.dataset_size --json growth.json
    python -m benchmarks.speed.dataset_size --counts 1000,10000,100000 --sizes 32 --json growth.json

The files are generated, and `train`, `augment` and `detect` run on the files, each in a process of
its own: on increasing numbers of images of 32 x 32, and on a fixed number of images of 16 to 128
pixels. The training has a fixed number of updates, because the user chooses that number; finding,
decoding, encoding and calibrating grow. `augment` generates as many images as there are files. The
exponents are b in seconds = fixed + a * count ** b. The memory is the peak of RssAnon, the memory
that the process itself allocated.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.common.harness import (
    RESULTS,
    Results,
    Row,
    Task,
    add_variant,
    run,
    write_json,
)
from benchmarks.common.interleaved_timing import measurement
from benchmarks.speed.memory import MIB, MemoryMonitor, write_images

COMMANDS = ("train", "augment", "detect")
SIZE = 32  # pixels, where the number of images varies
COUNT = 1000  # images, where their size varies
STEPS = 20
SECONDS_PER_FILE = 0.02  # expected seconds of a row


def run_command(command: str, folder: Path, count: int, size: int, width: int) -> Row:
    """Run a command once in this process, and return its seconds and memory."""
    from augan.gan import tf

    tf.reduce_sum(tf.ones((64, 64)) @ tf.ones((64, 64))).numpy()
    memory = MemoryMonitor()
    loaded, begun = memory.now(), time.perf_counter()
    if command == "train":
        _train(folder, size, width)
    else:
        from augan.bundle import load_bundle

        bundle = load_bundle(folder / "run")
        if command == "augment":
            from augan.augment.api import augment_folder
            from augan.augment.request import AugmentRequest

            augment_folder(
                bundle, AugmentRequest("class0", count, filtered=False), folder / "generated"
            )
        else:
            from augan import DetectionRequest, detect_folder

            detect_folder(bundle, DetectionRequest(folder / "images"), folder / "results")
    seconds = time.perf_counter() - begun
    return {
        "took_s": round(seconds, 3),
        "above_tensorflow_mib": round((max(memory.peak, memory.now()) - loaded) / MIB, 1),
        "peak_mib": round(max(memory.peak, memory.now()) / MIB, 1),
    }


def _train(folder: Path, size: int, width: int) -> None:
    import os

    from augan.config import Config
    from augan.data.loading import load_dataset
    from augan.workflow.train import train

    os.environ["AUGAN_CACHE"] = str(folder / "cache")
    widths = {f"{n}__width": width for n in ("generator", "discriminator", "encoder", "classifier")}
    config = Config().replace(task="both", data__size=size, training__steps=STEPS, **widths)
    train(config, load_dataset(folder / "images"), out=folder / "run")


def measure(count: int, size: int, width: int, scratch: Path | None) -> Row:
    """Write files, and run all commands on the files, one after another."""
    with tempfile.TemporaryDirectory(prefix="augan-growth-", dir=scratch) as temporary:
        folder = Path(temporary)
        write_images(folder / "images", count, size, "jpg")
        row: Row = {}
        for command in COMMANDS:
            options = ["--command", command, temporary, str(count), str(size), str(width)]
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.speed.dataset_size", *options],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            answer = json.loads(done.stdout.splitlines()[-1])
            row |= {f"{command}_{name}": value for name, value in answer.items()}
    return row


def exponent(points: Sequence[tuple[float, float]]) -> float | None:
    """Return b of seconds = fixed + a * count ** b, from (count, seconds); None for fewer than 3.

    Differences between consecutive points have no fixed part. With counts that grow by a constant
    factor, the differences grow by that factor to the power b.

    Examples
    --------
    >>> exponent([(10, 5 + 10), (100, 5 + 100), (1000, 5 + 1000)])
    1.0
    """
    points = sorted(points)
    differences = [
        (math.log(after[0]), math.log(after[1] - before[1]))
        for before, after in pairwise(points)
        if after[1] > before[1]
    ]
    if len(differences) < 2:
        return None
    return round(statistics.linear_regression(*zip(*differences)).slope, 3)


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the exponents by number and by size, and the rise of memory with the number."""
    by_count = [row for row in rows if row["settings"]["size"] == SIZE]
    by_size = [row for row in rows if row["count"] == COUNT]

    def points(some: Sequence[Row], command: str, variable: str) -> list[tuple[float, float]]:
        def value(row: Row) -> float:
            return row["count"] if variable == "count" else row["settings"]["size"]

        return [(value(row), row[f"{command}_took_s"]) for row in some]

    peaks = {c: [row[f"{c}_above_tensorflow_mib"] for row in by_count] for c in COMMANDS}
    return {
        "exponent_by_count": {c: exponent(points(by_count, c, "count")) for c in COMMANDS},
        "exponent_by_size": {c: exponent(points(by_size, c, "size")) for c in COMMANDS},
        "memory_rise_mib": {c: round(max(v) - min(v), 1) for c, v in peaks.items() if v},
    }


def measurements(rows: Sequence[Row]) -> list[dict]:
    """Return seconds and peak memory of each command at each count and size."""
    result = []
    for row in rows:
        at = f"{row['count']} of {row['settings']['size']}"
        for command in COMMANDS:
            for what, unit in (("took_s", "s"), ("peak_mib", "MiB")):
                value = [row[f"{command}_{what}"]]
                result.append(
                    measurement(f"{command} {at}, {unit}", value, unit, more_is_better=False)
                )
    return result


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark, or one command in this process."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.dataset_size", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--counts", default="1000,4000,16000", help="numbers of files")
    parser.add_argument("--sizes", default="16,32,64,128", help="sizes in pixels")
    parser.add_argument(
        "--width", type=int, default=8, help="of all networks; the default of augan is 32"
    )
    add_variant(parser)
    parser.add_argument("--scratch", type=Path, help="folder for the generated files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="measurements, rows and summary")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--command", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.command:
        command, folder, *numbers = options.command
        print(json.dumps(run_command(command, Path(folder), *map(int, numbers))))
        return
    cases = [(int(count), SIZE) for count in options.counts.split(",")]
    cases += [(COUNT, int(size)) for size in options.sizes.split(",")]
    tasks = [
        Task(
            {
                "benchmark": "growth",
                "count": count,
                "settings": {"size": size, "width": options.width},
                "variant": options.variant,
            },
            partial(measure, count, size, options.width, options.scratch),
            60 + SECONDS_PER_FILE * count,
        )
        for count, size in dict.fromkeys(cases)
    ]
    rows = run(tasks, Results(options.results / "growth.jsonl"))
    summary = summarize(rows)
    print(json.dumps(summary, indent=1))
    if options.json:
        write_json(options.json, {"figures": measurements(rows), "rows": rows, "summary": summary})


if __name__ == "__main__":
    main()
