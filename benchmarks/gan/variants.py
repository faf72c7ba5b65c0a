"""GAN variants: every configuration in `configs/`, trained on digits.

    python -m benchmarks.gan.variants --json F

A variant passes if, after the given number of updates, its kernel distance to held-out digits is at
most a quarter of that of the untrained generator. The features come from a classifier that is
trained on the same real digits. The held-out images are the validation split of the training
images; test digits are not used, so `--split` has one value.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import augan
from augan import Config, load_dataset
from augan.workflow.train import train
from benchmarks.common.harness import (
    Results,
    Row,
    Task,
    add_arguments,
    digest,
    run,
    spread,
    write_json,
)
from benchmarks.gan.failure_alarms import largest_loss

NAME = "families"  # the name of the first measurement, kept in rows and files
CONFIGS = Path(__file__).parents[2] / "configs"
STEPS = 1000
SECONDS = 20.0  # expected seconds of a row
MAX_RATIO = 0.25  # of the kernel distances of the trained and the untrained generator


def tasks(seeds: Sequence[int], steps: int, split: str, variant: str) -> list[Task]:
    """Return a task for each variant and seed."""
    return [
        Task(
            {
                "benchmark": NAME,
                "data": "digits",
                "split": split,
                "method": path.stem,
                "seed": seed,
                "settings": digest({"config": Config.from_yaml(path).to_dict(), "steps": steps}),
                "steps": steps,
                "augan": augan.__version__,
                "variant": variant,
            },
            partial(measure, path, seed, steps),
            SECONDS,
        )
        for path in sorted(CONFIGS.glob("*.yaml"))
        for seed in seeds
    ]


def measure(path: Path, seed: int, steps: int) -> Row:
    """Train the variant of a configuration file, and return its metrics."""
    config = Config.from_yaml(path).replace(
        seed=seed, task="generate", training__steps=steps, training__store_latents=False
    )
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bundle = train(config, load_dataset("digits"), out=Path(folder) / "run")
        losses = largest_loss(Path(folder) / "run")
    metrics, alarm = bundle.metrics.fidelity, bundle.metrics.failure
    return {
        "kernel_distance": metrics.kernel_distance,
        "untrained": metrics.untrained_kernel_distance,
        "share": metrics.kernel_distance / metrics.untrained_kernel_distance,
        "coverage": metrics.coverage,
        "diversity": bundle.metrics.gan_metrics[-1].diversity,
        "largest_loss": losses["largest_loss"],
        "alarm": alarm.kind if alarm else "",
        "train_s": round(time.monotonic() - begun, 1),
    }


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Return for each variant the ratio to the untrained kernel distance, and whether all pass."""
    variants = {
        name: spread([row["share"] for row in rows if row["method"] == name])
        for name in dict.fromkeys(row["method"] for row in rows)
    }
    return {
        "variants": variants,
        "limit": MAX_RATIO,
        "passed": all(ratios["max"] <= MAX_RATIO for ratios in variants.values()),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all variants, and print their table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gan.variants", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS, help="updates of the GAN")
    add_arguments(parser, NAME)
    arguments = parser.parse_args(argv)
    rows = run(
        tasks(arguments.seeds, arguments.steps, "dev", arguments.variant),
        Results(arguments.results / f"{NAME}.jsonl"),
    )
    summary = summarize(rows)
    write_json(arguments.json, {"rows": rows, "summary": summary})
    for name, ratios in summary["variants"].items():
        print(f"{name:20} {ratios['mean']:.4f} of the untrained kernel distance")


if __name__ == "__main__":
    main()
