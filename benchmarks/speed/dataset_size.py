"""How time and memory grow with the number of images and with their size.

    python -m benchmarks.speed.dataset_size --json growth.json
    python -m benchmarks.speed.dataset_size --counts 1000,10000,100000,1000000 --sizes 32 --json
    growth.json

Files are generated, and `train`, `augment` and `detect` work on them, each in a process of its own:
on more and more images of 32 x 32, and on as many images of 16 to 128 pixels. A training is of a
few updates whatever the count, because a user chooses how many; what grows is finding, decoding,
encoding and calibrating. `augment` draws as many images as there are files. The exponents are b of
seconds = fixed + a * count ** b, the fixed part being what the smallest count takes less its own
share; RssAnon is the most that the process itself allocated.
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

from benchmarks.common.harness import RESULTS, Results, Row, Task, run, write_json
from benchmarks.common.interleaved_timing import measurement
from benchmarks.speed.memory import MIB, Memory, generate

COMMANDS = ("train", "augment", "detect")
SIDE, COUNT = 32, 1000  # of which the other one is varied
STEPS = 20
SECONDS_A_FILE = 0.02  # guess for the estimate


def work(command: str, folder: Path, count: int, size: int, width: int) -> Row:
    """In a process of its own: do it once, and return seconds and memory."""
    from augan.gan import tf

    tf.reduce_sum(tf.ones((64, 64)) @ tf.ones((64, 64))).numpy()
    memory = Memory()
    loaded, begun = memory.now(), time.perf_counter()
    if command == "train":
        _train(folder, size, width)
    else:
        from augan.bundle import load_bundle

        bundle = load_bundle(folder / "run")
        if command == "augment":
            from augan.augment.api import augment_folder

            augment_folder(bundle, "class0", count, folder / "made", filtered=False)
        else:
            from augan.detect.api import detect_folder

            detect_folder(bundle, folder / "images", folder / "found")
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


def measure(count: int, size: int, width: int, place: Path | None) -> Row:
    """Generate files and let all commands work on them, one after another."""
    with tempfile.TemporaryDirectory(prefix="augan-growth-", dir=place) as temporary:
        folder = Path(temporary)
        generate(folder / "images", count, size, "jpg")
        row: Row = {}
        for command in COMMANDS:
            asked = ["--work", command, temporary, str(count), str(size), str(width)]
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.speed.dataset_size", *asked],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            answer = json.loads(done.stdout.splitlines()[-1])
            row |= {f"{command}_{name}": value for name, value in answer.items()}
    return row


def exponent(points: Sequence[tuple[float, float]]) -> float | None:
    """Return b of seconds = fixed + a * count ** b, from (count, seconds); None of fewer than 3.

    Differences between neighbours have no fixed part, and where counts grow by equal factors they
    grow by the factor to the power b.

    Examples
    --------
    >>> exponent([(10, 5 + 10), (100, 5 + 100), (1000, 5 + 1000)])
    1.0
    """
    points = sorted(points)
    rises = [
        (math.log(after[0]), math.log(after[1] - before[1]))
        for before, after in pairwise(points)
        if after[1] > before[1]
    ]
    if len(rises) < 2:
        return None
    return round(statistics.linear_regression(*zip(*rises)).slope, 3)


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the exponents by number and by side, and how far memory rises with the number."""
    by_count = [row for row in rows if row["settings"]["size"] == SIDE]
    by_size = [row for row in rows if row["count"] == COUNT]

    def pairs(some: Sequence[Row], command: str, what: str) -> list[tuple[float, float]]:
        def place(row: Row) -> float:
            return row["count"] if what == "count" else row["settings"]["size"]

        return [(place(row), row[f"{command}_took_s"]) for row in some]

    most = {c: [row[f"{c}_above_tensorflow_mib"] for row in by_count] for c in COMMANDS}
    return {
        "exponent_by_count": {c: exponent(pairs(by_count, c, "count")) for c in COMMANDS},
        "exponent_by_side": {c: exponent(pairs(by_size, c, "size")) for c in COMMANDS},
        "memory_rise_mib": {c: round(max(v) - min(v), 1) for c, v in most.items() if v},
    }


def figures(rows: Sequence[Row]) -> list[dict]:
    """Return seconds and peak memory of each command at each count and side."""
    found = []
    for row in rows:
        at = f"{row['count']} of {row['settings']['size']}"
        for command in COMMANDS:
            for what, unit in (("took_s", "s"), ("peak_mib", "MiB")):
                value = [row[f"{command}_{what}"]]
                found.append(
                    measurement(f"{command} {at}, {unit}", value, unit, more_is_better=False)
                )
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark, or one command of it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.dataset_size", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--counts", default="1000,4000,16000", help="numbers of files")
    parser.add_argument("--sizes", default="16,32,64,128", help="sides in pixels")
    parser.add_argument("--width", type=int, default=8, help="of all networks; 32 is augan's own")
    parser.add_argument("--variant", default="default", help="a name for the idea under test")
    parser.add_argument("--place", type=Path, help="where the files are generated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="figures, rows and summary")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--work", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.work:
        command, folder, *numbers = options.work
        print(json.dumps(work(command, Path(folder), *map(int, numbers))))
        return
    cases = [(int(count), SIDE) for count in options.counts.split(",")]
    cases += [(COUNT, int(size)) for size in options.sizes.split(",")]
    tasks = [
        Task(
            {
                "benchmark": "growth",
                "count": count,
                "settings": {"size": size, "width": options.width},
                "variant": options.variant,
            },
            partial(measure, count, size, options.width, options.place),
            60 + SECONDS_A_FILE * count,
        )
        for count, size in dict.fromkeys(cases)
    ]
    rows = run(tasks, Results(options.results / "growth.jsonl"))
    summary = summarize(rows)
    print(json.dumps(summary, indent=1))
    if options.json:
        write_json(options.json, {"figures": figures(rows), "rows": rows, "summary": summary})


if __name__ == "__main__":
    main()
