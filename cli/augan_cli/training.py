"""What `augan train` does between its options and `augan.workflow.train`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from augan_cli import STARTED

if TYPE_CHECKING:
    from augan.config import Config
    from augan.data.dataset import Dataset
    from augan.training.distributed.workers import Workers
    from augan.workflow.prepare import Resolved

DEMONSTRATION = "digits"
EXAMPLES = Path("images")


def run_training(
    data: str | None,
    out: Path | None,
    config_file: Path | None,
    overrides: Sequence[str],
    target: str | None,
    groups: Path | None,
    dry_run: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Train and say what came of it, or with `dry_run` only what would be done."""
    from augan.config import Config
    from augan.data.loading import load_dataset

    config = Config() if config_file is None else Config.from_yaml(config_file)
    config = config.override(overrides)
    workers = None if dry_run else _meet(how["distribute"])
    dataset = load_dataset(DEMONSTRATION if data is None else data, groups=groups, target=target)
    if dry_run:
        _show_plan(config, dataset, as_json)
        return
    if data is None:
        _write_examples()
    _train(config, dataset, out, workers, as_json, **how)


def _meet(distribute: str) -> "Workers | None":
    """Join the other machines, if there are any, before this one can fail without their notice."""
    from augan.training.distributed.cluster import chosen_cluster

    cluster = chosen_cluster(distribute)
    if cluster is None:
        return None
    from augan.training.distributed.workers import join_workers

    typer.echo(f"{cluster}: waits until all are there", err=True)
    return join_workers(distribute)


def _show_plan(config: "Config", dataset: "Dataset", as_json: bool) -> None:
    resolved = _resolve(config, dataset).config
    typer.echo(json.dumps(resolved.to_dict()) if as_json else resolved.to_yaml(), nl=as_json)


def _resolve(config: "Config", dataset: "Dataset") -> "Resolved":
    """Decide what the data decides, and say what will be done."""
    from augan.report.text import plan_line
    from augan.workflow.prepare import resolve

    resolved = resolve(config, dataset)
    typer.echo(plan_line(resolved.config, resolved.dataset, resolved.preprocessing), err=True)
    for warning in resolved.warnings:
        typer.echo(f"note: {warning}", err=True)
    return resolved


def _write_examples() -> None:
    from augan.data.datasets import write_example_images

    if not EXAMPLES.exists():
        made = write_example_images(EXAMPLES)
        typer.echo(
            f"{EXAMPLES}/: {made.count_normal} digits that training does not see and "
            f"{made.count_foreign} foreign pictures, to try `augan detect {EXAMPLES}/` on",
            err=True,
        )


def _train(
    config: "Config",
    dataset: "Dataset",
    out: Path | None,
    workers: "Workers | None",
    as_json: bool,
    distribute: str,
    **how: Any,
) -> None:
    from augan.report.html.training import REPORT, training_page
    from augan.report.text import training_lines, training_summary
    from augan.training.budget import Clock
    from augan.training.distributed.workers import join_workers
    from augan.workflow.train import train_resolved
    from augan_cli.progress import ConsoleProgress

    clock = Clock(STARTED)
    with clock.part("data"):
        resolved = _resolve(config, dataset)
    if how["resume"] and out is not None and not out.exists():
        typer.echo(f"note: there is no {out} to resume, a new training begins in it", err=True)
    how["workers"] = workers or join_workers(distribute)
    with ConsoleProgress() as progress:
        bundle = train_resolved(resolved, out=out, observers=[progress], clock=clock, **how)
    if "gan" not in clock.seconds:
        typer.echo(f"{bundle.path} is finished already", err=True)
    summary = training_summary(bundle, clock.seconds)
    lines = training_lines(bundle, clock.seconds)
    if how["workers"].is_chief and bundle.path is not None:
        report = bundle.path.parent / REPORT
        if "gan" in clock.seconds or not report.exists():
            training_page(bundle)
        summary["report"] = str(report)
        lines.append(f"report: {report}")
    typer.echo(json.dumps(summary) if as_json else "\n".join(lines))
