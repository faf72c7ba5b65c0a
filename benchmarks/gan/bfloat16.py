"""Does `--dtype bfloat16` change what a model is worth, and not its speed alone?

    python -m benchmarks.gan.bfloat16 --data digits --classes 3,5,8,9 --seeds 0-2 --json
    precision.json

The same trainings in float32 and in bfloat16: a GAN of all classes (kernel distance to held-out
images and coverage), and for each class a detector of `auto` that is judged on the split dev of
`benchmarks.detection.one_class` (AUROC). No change is one that is no larger than seeds' own spread.
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
from benchmarks.detection.one_class import Material, choose_classes, measure_one_class

NAME = "precision"
DTYPES = ("float32", "bfloat16")
GAN_SECONDS, DETECTOR_SECONDS = 60.0, 120.0


def settings(task: str, dtype: str, seed: int, steps: int | None) -> Config:
    """Return the defaults, but for what is asked."""
    return Config().replace(task=task, training__dtype=dtype, training__steps=steps, seed=seed)


def measure_gan(data: str, config: Config) -> Row:
    """Train a GAN of all classes and return its fidelity."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = train(
            config.replace(training__store_latents=False),
            load_dataset(data),
            out=Path(folder) / "run",
        )
    found = bundle.metrics["fidelity"]
    return {name: found[name] for name in ("kernel_distance", "coverage")}


def tasks(options: argparse.Namespace) -> list[Task]:
    """Return a task for each training."""
    material = Material.load(options.data, "dev")
    common = {
        "benchmark": NAME,
        **material.identity(),
        "split": "dev",
        "augan": augan.__version__,
        "variant": options.variant,
        "steps": options.steps,
    }
    found = []
    for seed in options.seeds:
        learn, judged = material.parts(seed)
        for dtype in DTYPES:
            key = common | {"seed": seed, "dtype": dtype}
            config = settings("generate", dtype, seed, options.steps)
            measure = partial(measure_gan, options.data, config)
            found.append(Task(key | {"class": None}, measure, GAN_SECONDS))
            for name in choose_classes(options.classes, material.class_names):
                config = settings("detect", dtype, seed, options.steps)
                make = partial(augan.GANDetector, far=None, config=config, random_state=seed)
                normal = learn.squares[learn.classes == name]
                measure = partial(measure_one_class, "auto", make, normal, judged, name)
                found.append(Task(key | {"class": name}, measure, DETECTOR_SECONDS))
    return found


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Return for each figure the means, their difference, and the spread of seeds in float32."""
    summary = {}
    for figure in ("kernel_distance", "coverage", "auroc"):
        by: dict[str, dict[Any, list[float]]] = {dtype: {} for dtype in DTYPES}
        for row in rows:
            if figure in row:
                by[row["dtype"]].setdefault(row["class"], []).append(row[figure])
        means = {
            dtype: statistics.fmean(value for values in of.values() for value in values)
            for dtype, of in by.items()
        }
        spreads = [max(values) - min(values) for values in by["float32"].values()]
        summary[figure] = {
            **means,
            "difference": means["bfloat16"] - means["float32"],
            "spread_of_seeds": statistics.fmean(spreads),
        }
    return summary


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gan.bfloat16", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", default="digits", help="a built-in name or a folder")
    parser.add_argument("--classes", default="all", help="names or positions: 0-9, cat,dog")
    parser.add_argument("--steps", type=int, help="updates of the GAN, if not the default")
    add_arguments(parser, NAME)
    options = parser.parse_args(argv)
    rows = run(tasks(options), Results(options.results / f"{NAME}.jsonl"))
    summary = summarise(rows)
    for figure, found in summary.items():
        print(
            f"{figure:16} float32 {found['float32']:.4f}  bfloat16 {found['bfloat16']:.4f}  "
            f"seeds' spread {found['spread_of_seeds']:.4f}"
        )
    write_json(options.json, {"rows": rows, "summary": summary})


if __name__ == "__main__":
    main()
