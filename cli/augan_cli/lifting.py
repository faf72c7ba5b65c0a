"""What `augan evaluate lift` does between its options and `augan.evaluation.augmentation`."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from augan_cli.options import find, show


def run_lift(
    data: str,
    rare: Sequence[str],
    arms: str | None,
    model: Path | None,
    out: Path | None,
    options: dict[str, Any],
    as_json: bool,
) -> bool:
    """Evaluate, say what came of it, and return whether a lift was found."""
    from augan.config import Config
    from augan.evaluation.augmentation.api import RUNS, evaluate_augmentation
    from augan.report.html.augmentation_evaluation import lift_page
    from augan.report.text import lift_lines

    config, beside = None, RUNS
    if model is not None:
        bundle = find(model, "generator", "classes")
        config, beside = Config.from_dict(bundle.config), bundle.path.parent
    lift = evaluate_augmentation(
        data,
        rare=read_rare(rare),
        arms=None if arms is None else [arm.strip() for arm in arms.split(",")],
        config=config,
        out=out,
        runs_dir=beside,
        callback=_Progress(options["repeats"]),
        **options,
    )
    report = lift_page(lift)
    *lines, sentence = lift_lines(lift)
    values = lift.to_dict()
    values["summary"] = {**values["summary"], "report": str(report)}
    show([*lines, f"report: {report}", sentence], values, as_json)
    return lift.is_significant


def read_rare(texts: Sequence[str]) -> dict[str, int]:
    """Return classes and their labels from texts such as "coat=20".

    Raises
    ------
    ConfigError
        A text is not of that form, or names a class twice.
    """
    from augan.exceptions import ConfigError

    found: dict[str, int] = {}
    for text in texts:
        name, equals, count = text.rpartition("=")
        try:
            number = int(count)
        except ValueError:
            number, equals = 0, ""
        if not equals or not name:
            raise ConfigError(f"--rare takes CLASS=N, such as coat=20, but got '{text}'")
        if name in found:
            raise ConfigError(f"--rare names the class '{name}' twice; keep one of the two")
        found[name] = number
    return found


class _Progress:
    """Says on standard error what each arm reached."""

    def __init__(self, draws: int) -> None:
        self._draws = draws
        self._first = self._begun = time.monotonic()
        self._number = self._since = -1

    def __call__(self, number: int, arm: str, about: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if self._since < 0:
            self._since = self._number = number  # draws before were finished by an earlier call
        if number > self._number:
            each = (self._begun - self._first) / (number - self._since)
            left = each * (self._draws - number) / 60
            typer.echo(f"{each:.0f} s a draw, so about {left:.0f} minutes more", err=True)
            self._number = number
        seconds, self._begun = now - self._begun, now
        fraction = about.get("synthetic_fraction")
        chosen = "" if fraction is None else f", synthetic fraction {fraction:g}"
        typer.echo(
            f"draw {number + 1}/{self._draws} {arm:13} "
            f"{about['balanced_accuracy']:.1%}{chosen} ({seconds:.1f} s)",
            err=True,
        )
