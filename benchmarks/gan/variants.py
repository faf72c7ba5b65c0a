"""Every family of GANs in `configs/`, trained alike on digits: does each of them learn?

    python -m benchmarks.gan.variants --json families.json

A family passes if, after the stated number of updates, its kernel distance to held-out digits is at
most a quarter of what the untrained generator has. Features come from a classifier trained on the
same real digits. The held-out images are the validation split of the training images; test
digits are not used, so `--split` has one value.
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

NAME = "families"
CONFIGS = Path(__file__).parents[2] / "configs"
STEPS = 1000
SECONDS = 20.0
PASS = 0.25


def tasks(seeds: Sequence[int], steps: int, split: str, variant: str) -> list[Task]:
    """Return one task for each family and seed."""
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
    """Train the family of one configuration file and return its figures."""
    config = Config.from_yaml(path).replace(
        seed=seed, task="generate", training__steps=steps, training__store_latents=False
    )
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bundle = train(config, load_dataset("digits"), out=Path(folder) / "run")
        losses = largest_loss(Path(folder) / "run")
    figures, alarm = bundle.metrics["fidelity"], bundle.metrics["failure"]
    return {
        "kernel_distance": figures["kernel_distance"],
        "untrained": figures["untrained_kernel_distance"],
        "share": figures["kernel_distance"] / figures["untrained_kernel_distance"],
        "coverage": figures["coverage"],
        "diversity": bundle.metrics["gan_metrics"][-1]["diversity"],
        "largest_loss": losses["largest_loss"],
        "alarm": alarm["kind"] if alarm else "",
        "train_s": round(time.monotonic() - begun, 1),
    }


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the share of the untrained kernel distance for each family, and whether all pass."""
    families = {
        name: spread([row["share"] for row in rows if row["method"] == name])
        for name in dict.fromkeys(row["method"] for row in rows)
    }
    return {
        "families": families,
        "limit": PASS,
        "passed": all(figures["max"] <= PASS for figures in families.values()),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all families and print their table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gan.variants", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS, help="updates of the GAN")
    add_arguments(parser, NAME)
    arguments = parser.parse_args(argv)
    rows = run(
        tasks(arguments.seeds, arguments.steps, "dev", arguments.variant),
        Results(arguments.results / f"{NAME}.jsonl"),
    )
    summary = summarise(rows)
    write_json(arguments.json, {"rows": rows, "summary": summary})
    for name, figures in summary["families"].items():
        print(f"{name:20} {figures['mean']:.4f} of the untrained kernel distance")


if __name__ == "__main__":
    main()
