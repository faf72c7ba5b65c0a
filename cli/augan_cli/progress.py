"""Progress: bars on a terminal, a plain line now and then in a pipe."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from augan.training.loop import Allowance

SECONDS_BETWEEN_LINES = 10.0


class ConsoleProgress:
    """Shows each part's progress on standard error; an observer of trainings and augmentations."""

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
        self._begun, self._last_line = time.monotonic(), 0.0

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

    def on_steps(
        self, part: str, step: int, allowance: "Allowance", losses: dict[str, float]
    ) -> None:
        """Show how far `part` is."""
        losses_said = "  ".join(f"{k} {v:.3f}" for k, v in losses.items())
        self._show(part, allowance.done(step), f"step {step}  {losses_said}")

    def on_accepted(self, name: str, kept: int, asked: int) -> None:
        """Show how many samples of a class are made; in a pipe only if it takes long."""
        if self._bars or time.monotonic() - self._begun > SECONDS_BETWEEN_LINES:
            self._show(name, kept / asked, f"{kept:,} of {asked:,}")

    def on_scored(self, done: int, total: int) -> None:
        """Show how many images or rows are scored; in a pipe only if it takes long."""
        if self._bars or time.monotonic() - self._begun > SECONDS_BETWEEN_LINES:
            self._show("scored", done / max(total, 1), f"{done:,} of {total:,}")

    def _show(self, part: str, done: float, detail: str) -> None:
        if self._bars:
            if part not in self._tasks:
                self._tasks[part] = self._bars.add_task(escape(part), total=1.0, detail="")
            self._bars.update(self._tasks[part], completed=done, detail=detail)
        elif done >= 1.0 or time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            typer.echo(f"{part:<10} {done:4.0%}  {detail}", err=True)
