"""False-alarm coverage: the observed false-alarm rates of calibrated detectors.

    python -m benchmarks.detection.false_alarm_coverage --json false-alarms.json

In each refit, a detector is trained and calibrated on a random part of the normal images and tested
on the rest. The training, calibration and test images are disjoint. The number of flagged images
must stay within the beta-binomial distribution that the calibration guarantees. The control is
calibrated on training images, so its rates must exceed the guarantee. `--data skewed-table` uses
rows of log-normal numbers, whose new samples are often outliers.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import binom

import augan
from augan.data.loading import load_dataset
from augan.data.modalities.images import ImagePreprocessing
from augan.detect.conformal.calibration import Calibration
from augan.detect.detector import load_calibrations
from augan.seeding import child_rng
from benchmarks.common.harness import Results, Row, Task, add_outputs, add_variant, run, write_json

NAME = "false-alarms"
RATES = (0.01, 0.05, 0.1)
CONFIDENCE_LEVEL = 0.95
TEST_FRACTION = 1 / 3
STEPS = 200
SKEWED = "skewed-table"


def tasks(data: str, refits: int, steps: int, variant: str) -> list[Task]:
    """Return a task for each refit."""
    name, images = load_normal_samples(data)
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


def load_normal_samples(data: str) -> tuple[str, np.ndarray]:
    """Return the name of a dataset, and its images or rows, which all count as normal."""
    if data == SKEWED:
        return SKEWED, child_rng(0, "benchmarks", NAME, SKEWED).lognormal(0, 1.5, (900, 20))
    dataset = load_dataset(data)
    return dataset.name, ImagePreprocessing.fit(dataset).prepare_all(dataset.require_images())


def measure(images: np.ndarray, seed: int, steps: int) -> Row:
    """Train, calibrate and test once; return the numbers of false alarms at each rate."""
    order = child_rng(seed, "benchmarks", NAME).permutation(len(images))
    count = round(TEST_FRACTION * len(images))
    test, train = images[order[:count]], images[order[count:]]
    detector = augan.GANDetector(far=RATES[0], steps=steps, random_state=seed).fit(train)
    calibration = load_calibrations(detector.bundle_)[0]
    # As many training images as there are calibration images.
    control = Calibration.fit(-detector.score_samples(train[: calibration.n]))
    scores = -detector.score_samples(test)
    calibrations = {"ours": calibration, "control": control}
    return {
        "n_test": count,
        "n": calibration.n,
        **{name: _counts(of_name, scores) for name, of_name in calibrations.items()},
    }


def _counts(calibration: Calibration, scores: np.ndarray) -> dict[str, int]:
    return {f"{rate:g}": int(calibration.flags(scores, rate).sum()) for rate in RATES}


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Return for each rate the mean observed rate, and the number of refits outside their range.

    The range of a refit has a probability of 95 %. `outside_at_most` is the 95 % quantile of the
    number of refits outside their range.
    """
    summary: dict[str, Any] = {"refits": len(rows), "outside_at_most": _max_outside(len(rows))}
    for name in ("ours", "control"):
        summary[name] = {}
        for rate in RATES:
            counts = [row[name][f"{rate:g}"] for row in rows]
            bounds = [_bounds(row["n"], row["n_test"], rate) for row in rows]
            outside = sum(not low <= c <= high for c, (low, high) in zip(counts, bounds))
            observed = float(np.mean([c / row["n_test"] for c, row in zip(counts, rows)]))
            summary[name][f"{rate:g}"] = {"observed": observed, "outside": outside}
    limit = summary["outside_at_most"]
    summary["ours_keeps"] = all(r["outside"] <= limit for r in summary["ours"].values())
    summary["control_fails"] = any(r["outside"] > limit for r in summary["control"].values())
    return summary


def _bounds(n: int, num_test: int, rate: float) -> tuple[int, int]:
    return Calibration(np.arange(float(n)), n).false_alarm_range(rate, num_test, CONFIDENCE_LEVEL)


def _max_outside(refits: int) -> int:
    return int(binom.ppf(CONFIDENCE_LEVEL, refits, 1 - CONFIDENCE_LEVEL))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all refits, and print the observed rates."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection.false_alarm_coverage", description=__doc__
    )
    parser.add_argument("--data", default="digits", help="all images count as normal")
    parser.add_argument("--refits", type=int, default=20)
    parser.add_argument("--steps", type=int, default=STEPS, help="updates of the GAN")
    add_variant(parser)
    add_outputs(parser, NAME)
    options = parser.parse_args(argv)
    planned = tasks(options.data, options.refits, options.steps, options.variant)
    rows = run(planned, Results(options.results / f"{NAME}.jsonl"))
    summary = summarize(rows)
    write_json(options.json, {"rows": rows, "summary": summary})
    for name in ("ours", "control"):
        for rate, rates in summary[name].items():
            print(f"{name:8} {rate:>5}: {rates['observed']:.4f}, {rates['outside']} refits outside")


if __name__ == "__main__":
    main()
