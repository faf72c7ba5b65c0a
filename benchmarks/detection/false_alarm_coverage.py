"""Do false alarms keep to the rate that was chosen? `python -m
benchmarks.detection.false_alarm_coverage`.

A detector is trained and calibrated anew on each draw of normal images, and judged on others: all
three parts are disjoint. How many are flagged must stay within the law that calibration promises
(beta-binomial). The control draws its line through the images of training: its rates must break.
`--data skewed-table` does so on rows of log-normal numbers, of which new ones lie far out.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

import augan
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.detect.conformal.calibration import Calibration
from augan.seeding import child_rng
from benchmarks.common.harness import RESULTS, Results, Row, Task, run, write_json

NAME = "false-alarms"
RATES = (0.01, 0.05, 0.1)
LEVEL = 0.95
JUDGED = 1 / 3  # of the images; the others are trained and calibrated on
STEPS = 200
SKEWED = "skewed-table"


def tasks(data: str, refits: int, steps: int, variant: str) -> list[Task]:
    """Return a task for each refit."""
    name, images = normals(data)
    return [
        Task(
            {
                "benchmark": NAME,
                "data": name,
                "seed": seed,
                "steps": steps,
                "augan": augan.__version__,
                "variant": variant,
            },
            partial(measure, images, seed, steps),
            20.0,
        )
        for seed in range(refits)
    ]


def normals(data: str) -> tuple[str, np.ndarray]:
    """Return the name of a data set, and its images or rows, all of them normal."""
    if data == SKEWED:
        return SKEWED, child_rng(0, "benchmarks", NAME, SKEWED).lognormal(0, 1.5, (900, 20))
    dataset = load_dataset(data)
    return dataset.name, ImagePreprocessing.fit(dataset).prepare_all(dataset.pictures)


def measure(images: np.ndarray, seed: int, steps: int) -> Row:
    """Train, calibrate and judge once; return the counts of false alarms, and their laws."""
    order = child_rng(seed, "benchmarks", NAME).permutation(len(images))
    count = round(JUDGED * len(images))
    judged, learned = images[order[:count]], images[order[count:]]
    detector = augan.GANDetector(far=RATES[0], steps=steps, random_state=seed).fit(learned)
    honest = Calibration.from_arrays(detector.bundle_.tables["calibration"])
    # As many of the images of training as calibrate; which they are does not matter much.
    control = Calibration.fit(-detector.score_samples(learned[: honest.n]))
    scores = -detector.score_samples(judged)
    return {
        "n_test": count,
        "n": honest.n,
        **{name: _counts(line, scores) for name, line in (("ours", honest), ("control", control))},
    }


def _counts(line: Calibration, scores: np.ndarray) -> dict[str, int]:
    return {f"{rate:g}": int(line.flags(scores, rate).sum()) for rate in RATES}


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Return for each rate the mean realised rate, and how many refits lie outside of their law.

    `outside_at_most` is how many may, with 95 % confidence, if each does with 5 %.
    """
    summary: dict[str, Any] = {"refits": len(rows), "outside_at_most": _most_outside(len(rows))}
    for name in ("ours", "control"):
        summary[name] = {}
        for rate in RATES:
            counts = [row[name][f"{rate:g}"] for row in rows]
            bounds = [_bounds(row["n"], row["n_test"], rate) for row in rows]
            outside = sum(not low <= c <= high for c, (low, high) in zip(counts, bounds))
            realised = float(np.mean([c / row["n_test"] for c, row in zip(counts, rows)]))
            summary[name][f"{rate:g}"] = {"realised": realised, "outside": outside}
    most = summary["outside_at_most"]
    summary["ours_keeps"] = all(of["outside"] <= most for of in summary["ours"].values())
    summary["control_fails"] = any(of["outside"] > most for of in summary["control"].values())
    return summary


def _bounds(n: int, num_test: int, rate: float) -> tuple[int, int]:
    return Calibration(np.arange(float(n)), n).false_alarm_range(rate, num_test, LEVEL)


def _most_outside(refits: int) -> int:
    return int(binom.ppf(LEVEL, refits, 1 - LEVEL))


def main(argv: Sequence[str] | None = None) -> None:
    """Refit, and print what was promised and what came."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection.false_alarm_coverage", description=__doc__
    )
    parser.add_argument("--data", default="digits", help="all of its images count as normal")
    parser.add_argument("--refits", type=int, default=20)
    parser.add_argument("--steps", type=int, default=STEPS, help="updates of the GAN")
    parser.add_argument("--variant", default="default", help="a name for the idea under test")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="rows and summary")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(argv)
    planned = tasks(options.data, options.refits, options.steps, options.variant)
    rows = run(planned, Results(options.results / f"{NAME}.jsonl"))
    summary = summarise(rows)
    write_json(options.json, {"rows": rows, "summary": summary})
    for name in ("ours", "control"):
        for rate, of in summary[name].items():
            print(f"{name:8} {rate:>5}: {of['realised']:.4f}, {of['outside']} refits outside")


if __name__ == "__main__":
    main()
