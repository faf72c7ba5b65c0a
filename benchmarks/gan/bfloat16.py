"""bfloat16 benchmark: the effect of `--dtype bfloat16` on the quality of models.

    python -m benchmarks.gan.bfloat16 --data digits --classes 3,5,8,9 --seeds 0-2 --json F

The same trainings run in float32 and in bfloat16: a GAN of all classes (kernel distance to held-out
images, and coverage), and for each class a detector of the method `auto`, tested on the split dev
of `benchmarks.detection.one_class` (AUROC). A difference below the spread over the seeds counts as
no effect.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import augan
from augan.config import Config
from augan.data.loading import load_dataset
from augan.workflow.train import train
from benchmarks.common.harness import Results, Row, Task, add_arguments, run, write_json
from benchmarks.detection.one_class import OneClassData, measure_one_class, parse_classes

NAME = "precision"  # the name of the first measurement, kept in rows and files
DTYPES = ("float32", "bfloat16")
GAN_SECONDS, DETECTOR_SECONDS = 60.0, 120.0


def settings(task: str, dtype: str, seed: int, steps: int | None) -> Config:
    """Return the default settings with these changes."""
    return Config().replace(task=task, training__dtype=dtype, training__steps=steps, seed=seed)


def measure_gan(data: str, config: Config) -> Row:
    """Train a GAN of all classes and return its fidelity."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = train(
            config.replace(training__store_latents=False),
            load_dataset(data),
            out=Path(folder) / "run",
        )
    fidelity = bundle.metrics.fidelity
    return {name: getattr(fidelity, name) for name in ("kernel_distance", "coverage")}


def tasks(options: argparse.Namespace) -> list[Task]:
    """Return a task for each training."""
    data = OneClassData.load(options.data, "dev")
    common = {
        "benchmark": NAME,
        **data.identity(),
        "split": "dev",
        "augan": augan.__version__,
        "variant": options.variant,
        "steps": options.steps,
    }
    all_tasks = []
    for seed in options.seeds:
        train_images, test_images = data.split(seed)
        for dtype in DTYPES:
            key = common | {"seed": seed, "dtype": dtype}
            config = settings("generate", dtype, seed, options.steps)
            measure = partial(measure_gan, options.data, config)
            all_tasks.append(Task(key | {"class": None}, measure, GAN_SECONDS))
            for name in parse_classes(options.classes, data.class_names):
                config = settings("detect", dtype, seed, options.steps)
                make = partial(augan.GANDetector, far=None, config=config, random_state=seed)
                normal = train_images.pixels[train_images.classes == name]
                measure = partial(measure_one_class, "auto", make, normal, test_images, name)
                all_tasks.append(Task(key | {"class": name}, measure, DETECTOR_SECONDS))
    return all_tasks


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Return for each metric the means, their difference, and the float32 spread over seeds."""
    summary = {}
    for metric in ("kernel_distance", "coverage", "auroc"):
        values_of: dict[str, dict[Any, list[float]]] = {dtype: {} for dtype in DTYPES}
        for row in rows:
            if metric in row:
                values_of[row["dtype"]].setdefault(row["class"], []).append(row[metric])
        means = {
            dtype: statistics.fmean(value for values in by_class.values() for value in values)
            for dtype, by_class in values_of.items()
        }
        spreads = [max(values) - min(values) for values in values_of["float32"].values()]
        summary[metric] = {
            **means,
            "difference": means["bfloat16"] - means["float32"],
            "spread_of_seeds": statistics.fmean(spreads),
        }
    return summary


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all trainings, and print their table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gan.bfloat16", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", default="digits", help="a built-in name or a folder")
    parser.add_argument("--classes", default="all", help="names or positions: 0-9, cat,dog")
    parser.add_argument("--steps", type=int, help="updates of the GAN; default: that of augan")
    add_arguments(parser, NAME)
    options = parser.parse_args(argv)
    rows = run(tasks(options), Results(options.results / f"{NAME}.jsonl"))
    summary = summarize(rows)
    for metric, means in summary.items():
        print(
            f"{metric:16} float32 {means['float32']:.4f}  bfloat16 {means['bfloat16']:.4f}  "
            f"spread over seeds {means['spread_of_seeds']:.4f}"
        )
    write_json(options.json, {"rows": rows, "summary": summary})


if __name__ == "__main__":
    main()
