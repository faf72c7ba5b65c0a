"""Progress of a long call on standard error: bars, a line in a notebook, or lines in a pipe."""

import math
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from rich.progress import TaskID

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_UPDATES = 0.2  # of the line in a notebook


class StepLimit(Protocol):
    """Budget of a training stage, such as `augan.training.budget.StageBudget`."""

    def progress(self, step: int) -> float:
        """Return the used fraction of the budget after a number of steps, 0 to 1."""


class Progress:
    """Context manager that shows the progress of a training, an augmentation or a detection.

    The methods `on_...` are the callbacks of the functions that do the work. On a terminal there is
    a bar for each stage or class. In a notebook one line is rewritten. In a pipe, a line is printed
    at most every 10 seconds and at the end. Nothing is ever written to standard output.

    Parameters
    ----------
    verbose : int or bool
        0 or False: nothing is shown.

    Examples
    --------
    >>> with Progress(verbose=0) as progress:
    ...     progress.on_scored(1, 2)
    """

    def __init__(self, verbose: int = 1) -> None:
        self._verbose = bool(verbose)
        self._bars: Any = None
        self._tasks: dict[str, TaskID] = {}
        self._is_notebook = False
        self._line = ""  # name of the unfinished line in a notebook
        self._start, self._last_line = time.monotonic(), -math.inf

    def __enter__(self) -> Self:
        if self._verbose:
            self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars:
            self._bars.stop()
        self._end_line()

    def on_progress(
        self, stage: str, step: int, budget: StepLimit, losses: dict[str, float]
    ) -> None:
        """Show the progress and the losses of a training stage; see `augan.training.callbacks`."""
        text = "  ".join(f"{k} {v:.3f}" for k, v in losses.items())
        self._show(stage, budget.progress(step), f"step {step}  {text}")

    def on_accepted(self, class_name: str, accepted: int, requested: int) -> None:
        """Show how many samples of a class are accepted; in a pipe, only after 10 seconds."""
        if self._is_live or time.monotonic() - self._start > SECONDS_BETWEEN_LINES:
            self._show(class_name, accepted / requested, f"{accepted:,} of {requested:,}")

    def on_scored(self, done: int, total: int) -> None:
        """Show how many images or rows are scored; in a pipe, only after 10 seconds."""
        if self._is_live or time.monotonic() - self._start > SECONDS_BETWEEN_LINES:
            self._show("scored", done / max(total, 1), f"{done:,} of {total:,}")

    def on_translated(self, done: int, total: int) -> None:
        """Show how many images are translated; in a pipe, only after 10 seconds."""
        if self._is_live or time.monotonic() - self._start > SECONDS_BETWEEN_LINES:
            self._show("translated", done / max(total, 1), f"{done:,} of {total:,}")

    @property
    def _is_live(self) -> bool:
        """Whether updates replace each other, so that frequent updates do no harm."""
        return self._bars is not None or self._is_notebook

    def _open(self) -> None:
        """Choose bars, a line or lines from the kind of standard error, and start the bars."""
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        console = Console(stderr=True)
        self._is_notebook = console.is_jupyter
        if console.is_terminal:
            columns = ("[bold]{task.description:<10}", BarColumn(), "{task.percentage:>4.0f} %")
            detail = TextColumn("{task.fields[detail]}")
            self._bars = Bars(*columns, TimeRemainingColumn(), detail, console=console)
            self._bars.start()

    def _show(self, name: str, done: float, detail: str) -> None:
        """Show that the fraction `done`, 0 to 1, of the part `name` is finished."""
        if not self._verbose:
            return
        if self._bars:
            self._update_bar(name, done, detail)
            return
        pause = SECONDS_BETWEEN_UPDATES if self._is_notebook else SECONDS_BETWEEN_LINES
        if done < 1.0 and time.monotonic() - self._last_line <= pause:
            return
        self._last_line = time.monotonic()
        text = f"{name:<10} {done:4.0%}  {detail}"
        if not self._is_notebook:
            sys.stderr.write(f"{text}\n")
            return
        if self._line != name:
            self._end_line()
        self._line = name
        sys.stderr.write(f"\r{text:<78}")
        sys.stderr.flush()

    def _update_bar(self, name: str, done: float, detail: str) -> None:
        """Move the bar of the part `name`, which is added the first time."""
        from rich.markup import escape

        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(escape(name), total=1.0, detail="")
        self._bars.update(self._tasks[name], completed=done, detail=detail)

    def _end_line(self) -> None:
        """End the unfinished line in a notebook, if there is one."""
        if self._line:
            sys.stderr.write("\n")
        self._line = ""


class ExperimentProgress:
    """Callback of `augan.evaluate_augmentation` that prints each finished arm to standard error.

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
            sys.stderr.write(f"{seconds:.0f} s per repeat, about {minutes:.0f} minutes left\n")
            self._repeat = repeat
        seconds, self._last = now - self._last, now
        fraction = result.get("synthetic_fraction")
        note = "" if fraction is None else f", synthetic fraction {fraction:g}"
        sys.stderr.write(
            f"repeat {repeat + 1}/{self._repeats} {arm:13} "
            f"{result['balanced_accuracy']:.1%}{note} ({seconds:.1f} s)\n"
        )
