"""Failure alarms: trainings that are made to fail, and healthy trainings.

    python -m benchmarks.gan.failure_alarms --json alarms.json

Each training uses the same `train` as any other. A row holds the alarm and the expected alarm, the
metrics that the alarms depend on, and the best kernel distance, the last kernel distance, and that
of the bundle. The bundle must hold the best measured weights in every case. `--healthy FOLDER` adds
a training with the default settings on other images, where no alarm is expected.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

import augan
from augan import Config, load_dataset
from augan.bundle import Bundle, read_weights
from augan.gan.networks.build import build_network
from augan.io.layout import METRICS_LOG_FILE
from augan.training.monitor import max_magnitude
from augan.workflow.train import train
from benchmarks.common.harness import (
    Results,
    Row,
    Task,
    add_outputs,
    add_variant,
    digest,
    run,
    write_json,
)

NAME = "alarms"  # the name of the first measurement, kept in rows and files
CONFIGS = Path(__file__).parents[2] / "configs"
SECONDS = 60.0  # expected seconds of a row
STEPS = 2000
# The weight clip of the critic is 200 times that of configs/wgan.yaml.
UNBOUNDED = (
    "gan.loss=wasserstein",
    "discriminator.norm=none",
    "discriminator.weight_clip=10",
    "discriminator.learning_rate=0.01",
    "generator.learning_rate=0.01",
    "evaluation.interval=100",
)
OVERFLOWING = (
    "gan.loss=least_squares",
    "discriminator.norm=none",
    "discriminator.learning_rate=1e8",
)


@dataclass(frozen=True)
class Case:
    """A training.

    Attributes
    ----------
    name : str
        Name in the tables.
    expected : str
        Kind of the expected alarm; "" for none.
    settings : tuple of str
        Changes of the configuration, as in `--set`.
    data : str
        Built-in dataset or folder.
    images : int or None
        Number of images, from the first. None: all.
    steps : int
        Updates of the GAN.
    config : str
        File in `configs/`.
    """

    name: str
    expected: str = ""
    settings: tuple[str, ...] = ()
    data: str = "digits"
    images: int | None = None
    steps: int = STEPS
    config: str = "default"


CASES = (
    Case("default"),
    Case("another seed", settings=("seed=1",)),
    Case("300 images, few-images.yaml", images=300, config="few-images"),
    Case(
        "2,000 garments", settings=("data.size=16",), data="fashion-mnist", images=2000, steps=1000
    ),
    Case("class as embedding", "collapse", ("generator.conditioning=embedding",)),
    Case("generator's rate 100", "collapse", ("generator.learning_rate=100",)),
    Case("300 images, wide discriminator", "overfitting", ("discriminator.width=96",), images=300),
    Case("critic hardly bounded", "divergence", UNBOUNDED),
    Case("discriminator's rate 1e8", "divergence", OVERFLOWING),
)


def measure(case: Case) -> Row:
    """Train one case, and return its alarm and its metrics."""
    config = Config.from_yaml(CONFIGS / f"{case.config}.yaml").replace(
        task="generate", training__steps=case.steps, training__store_latents=False
    )
    dataset = load_dataset(case.data)
    if case.images is not None:
        dataset = dataset.subset(np.arange(case.images))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        bundle = train(config.override(case.settings), dataset, out=out)
        losses = largest_loss(out)
        is_last = _is_last(bundle, out / "checkpoints" / "gan.safetensors")
    return {**training_metrics(bundle), **losses, "holds_last": is_last}


def training_metrics(bundle: Bundle) -> Row:
    """Return the alarm and the kernel distances of a bundle."""
    gan_metrics, alarm = bundle.metrics.gan_metrics, bundle.metrics.failure
    kept = bundle.metrics.fidelity.kernel_distance
    untrained = bundle.metrics.fidelity.untrained_kernel_distance
    measured = [row.kernel_distance for row in gan_metrics]
    # A negative unbiased distance is noise around 0.
    best = max(0.0, min(measured, default=untrained))
    weights = bundle.networks["generator"].weights.values()
    return {
        "alarm": alarm.kind if alarm else "",
        "alarm_step": alarm.step if alarm else None,
        "sentence": alarm.message if alarm else "",
        "last": gan_metrics[-1].to_dict() if gan_metrics else None,
        "untrained_distance": untrained,
        "best_distance": min(measured, default=None),
        "last_distance": measured[-1] if measured else None,
        "kept_distance": kept,
        "holds_best": math.isclose(max(0.0, kept), best, rel_tol=1e-6, abs_tol=1e-9),
        "finite": all(bool(np.isfinite(values).all()) for values in weights),
    }


def largest_loss(out: Path) -> Row:
    """Return the updates of the GAN and its largest loss, None if a loss was not finite."""
    lines = (out / METRICS_LOG_FILE).read_text(encoding="utf-8").splitlines()
    entries = [entry for entry in map(json.loads, lines) if entry["stage"] == "gan"]
    names = ("d_loss", "g_loss")
    losses = [math.inf if e[name] is None else e[name] for e in entries for name in names]
    largest = max_magnitude(losses)
    return {
        "steps_done": entries[-1]["step"],
        "largest_loss": largest if math.isfinite(largest) else None,
    }


def _is_last(bundle: Bundle, checkpoint: Path) -> bool:
    """Return whether the generator of the bundle is the averaged generator of the last step."""
    generator, discriminator = (
        build_network(bundle.networks[role].spec.to_dict())
        for role in ("generator", "discriminator")
    )
    # The order of `GAN.state`: steps, losses, generator, discriminator, average.
    first = 2 + len(generator.variables) + len(discriminator.variables)
    with safe_open(checkpoint, framework="numpy") as file:
        names = sorted(file.keys())[first : first + len(generator.variables)]
        for variable, name in zip(generator.variables, names, strict=True):
            variable.assign(file.get_tensor(name))
    last, kept = read_weights(generator), bundle.networks["generator"].weights
    return all(np.array_equal(last[name], kept[name]) for name in kept)


def tasks(cases: Sequence[Case], variant: str) -> list[Task]:
    """Return a task for each case."""
    return [
        Task(
            {
                "benchmark": NAME,
                "data": "digits" if case.data == "digits" else Path(case.data).name,
                "method": case.name,
                "expected": case.expected,
                "settings": digest(_settings(case)),
                "changes": list(case.settings),
                "images": case.images,
                "steps": case.steps,
                "augan": augan.__version__,
                "variant": variant,
            },
            partial(measure, case),
            SECONDS,
        )
        for case in cases
    ]


def _settings(case: Case) -> dict[str, Any]:
    config = Config.from_yaml(CONFIGS / f"{case.config}.yaml").override(case.settings)
    return {"config": config.to_dict(), "case": {**asdict(case), "data": Path(case.data).name}}


def passes(row: Row) -> bool:
    """Return whether the alarm is as expected and the bundle holds the best weights."""
    return row["alarm"] == row["expected"] and row["holds_best"] and row["finite"]


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the number of expected alarms, and the cases that failed."""
    return {
        "expected_alarms": sum(bool(row["expected"]) for row in rows),
        "healthy_runs": sum(not row["expected"] for row in rows),
        "false_alarms": [row["method"] for row in rows if row["alarm"] and not row["expected"]],
        "failed": [row["method"] for row in rows if not passes(row)],
        "passed": all(passes(row) for row in rows),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Train all cases, and print their alarms."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gan.failure_alarms", description=__doc__
    )
    parser.add_argument("--healthy", metavar="FOLDER", help="other images; 1,000 updates")
    add_variant(parser)
    add_outputs(parser, NAME)
    options = parser.parse_args(argv)
    cases = list(CASES)
    if options.healthy:
        cases.append(Case(Path(options.healthy).name, data=options.healthy, steps=1000))
    rows = run(tasks(cases, options.variant), Results(options.results / f"{NAME}.jsonl"))
    summary = summarize(rows)
    write_json(options.json, {"rows": rows, "summary": summary})
    for row in rows:
        alarms = f"{row['alarm'] or 'none'} (expected {row['expected'] or 'none'})"
        print(f"{row['method']:32} {alarms:40} {'passed' if passes(row) else 'FAILED'}")


if __name__ == "__main__":
    main()
