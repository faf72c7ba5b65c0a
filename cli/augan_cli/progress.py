"""Progress of `augan evaluate augmentation` on standard error."""

import time
from collections.abc import Mapping
from typing import Any

import typer


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
