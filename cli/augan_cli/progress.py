"""Progress of the commands on standard error: bars on a terminal, lines of text in a pipe."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from augan.training.budget import StageBudget

SECONDS_BETWEEN_LINES = 10.0


class ConsoleProgress:
    """Context manager that shows the progress of trainings, augmentations and detections.

    The methods `on_...` are the callbacks of the library's functions. On a terminal there is a bar
    for each stage or class; in a pipe, a line is printed at most every 10 seconds and at the end.
    """

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = ("[bold]{task.description:<10}", BarColumn(), "{task.percentage:>4.0f} %")
        detail = TextColumn("{task.fields[detail]}")
        self._bars = (
            Progress(*columns, TimeRemainingColumn(), detail, console=console)
            if console.is_terminal
            else None
        )
        self._tasks: dict[str, TaskID] = {}
        self._start, self._last_line = time.monotonic(), 0.0

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars:
            self._bars.stop()

    def on_progress(
        self, stage: str, step: int, budget: "StageBudget", losses: dict[str, float]
    ) -> None:
        """Show the progress and the losses of a training stage; see `augan.training.callbacks`."""
        text = "  ".join(f"{k} {v:.3f}" for k, v in losses.items())
        self._show(stage, budget.progress(step), f"step {step}  {text}")

    def on_accepted(self, class_name: str, accepted: int, requested: int) -> None:
        """Show how many samples of a class are accepted; in a pipe, only after 10 seconds."""
        if self._bars or time.monotonic() - self._start > SECONDS_BETWEEN_LINES:
            self._show(class_name, accepted / requested, f"{accepted:,} of {requested:,}")

    def on_scored(self, done: int, total: int) -> None:
        """Show how many images or rows are scored; in a pipe, only after 10 seconds."""
        if self._bars or time.monotonic() - self._start > SECONDS_BETWEEN_LINES:
            self._show("scored", done / max(total, 1), f"{done:,} of {total:,}")

    def _show(self, name: str, done: float, detail: str) -> None:
        """Update the bar of `name`, or print a line in a pipe; `done` is a fraction from 0 to 1."""
        if self._bars:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(escape(name), total=1.0, detail="")
            self._bars.update(self._tasks[name], completed=done, detail=detail)
        elif done >= 1.0 or time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            typer.echo(f"{name:<10} {done:4.0%}  {detail}", err=True)


class ExperimentProgress:
    """Callback of `augan evaluate augmentation` that prints the result of each arm.

    Parameters
    ----------
    repeats : int
        Number of repeats of the experiment.
    """

    def __init__(self, repeats: int) -> None:
        self._repeats = repeats
        self._start = self._last = time.monotonic()
        self._repeat = self._first_repeat = -1

    def __call__(self, repeat: int, arm: str, result: Mapping[str, Any]) -> None:
        """Print the balanced accuracy of a finished arm; before a new repeat, also the time left.

        Parameters
        ----------
        repeat : int
            Number of the repeat, counted from 0.
        arm : str
            Name of the arm.
        result : mapping
            Metrics of the arm: `balanced_accuracy` and perhaps `synthetic_fraction`.
        """
        now = time.monotonic()
        if self._first_repeat < 0:  # an earlier call has finished the repeats before
            self._first_repeat = self._repeat = repeat
        if repeat > self._repeat:
            seconds = (self._last - self._start) / (repeat - self._first_repeat)
            minutes = seconds * (self._repeats - repeat) / 60
            typer.echo(f"{seconds:.0f} s per repeat, about {minutes:.0f} minutes left", err=True)
            self._repeat = repeat
        seconds, self._last = now - self._last, now
        fraction = result.get("synthetic_fraction")
        note = "" if fraction is None else f", synthetic fraction {fraction:g}"
        typer.echo(
            f"repeat {repeat + 1}/{self._repeats} {arm:13} "
            f"{result['balanced_accuracy']:.1%}{note} ({seconds:.1f} s)",
            err=True,
        )
