"""Sides that take turns: each lives in a process of its own, which waits while another is timed.

A side prints what it is as one JSON line when it is warm, and then, for each line that it reads,
works once and prints how long that took. So libraries that would fight over threads or memory never
run at the same time, and a machine that slows down slows all of them down alike.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

TURNS = 7
LEAST_SPREAD = 0.05  # what two single measurements must differ by to be called different


class Side:
    """A process that works when it is told to.

    Parameters
    ----------
    command : sequence of str
        Its `main` calls `serve`, or `answer` from within a loop of its own.

    Attributes
    ----------
    about : dict
        What it says of itself.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.about = self._next()

    def turn(self) -> dict[str, Any]:
        """Let it work once and return what it says of that; `seconds` is always among it."""
        assert_open(self._process)
        self._process.stdin.write("go\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        return self._next()

    def _next(self) -> dict[str, Any]:
        assert_open(self._process)
        for line in self._process.stdout:  # type: ignore[union-attr]
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        raise RuntimeError(f"a side ended with {self._process.wait()} before it had answered")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(60)


def assert_open(process: subprocess.Popen) -> None:
    """Raise RuntimeError if a side has no pipes."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a side needs pipes")


def answer(values: Mapping[str, Any]) -> None:
    """In a side: say `values`, and wait for the next turn; the process ends with the last."""
    print(json.dumps(values), flush=True)
    if not sys.stdin.readline():
        sys.exit(0)


def serve(about: Mapping[str, Any], work: Callable[[], object]) -> None:
    """In a side: do `work` once to be warm, then once for each turn."""
    work()
    answer(about)
    while True:
        begun = time.perf_counter()
        work()
        answer({"seconds": time.perf_counter() - begun})


def alternate(sides: Mapping[str, Side], turns: int) -> dict[str, list[float]]:
    """Return the seconds of each turn of each side; they take their turns one after another."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(turns):
        for name, side in sides.items():
            seconds[name].append(side.turn()["seconds"])
        told = ", ".join(f"{name} {times[-1]:.3f} s" for name, times in seconds.items())
        print(f"{number + 1}/{turns} {told}", flush=True)
    return seconds


def figure(name: str, values: Sequence[float], unit: str, *, more_is_better: bool) -> dict:
    """Return one figure with its spread, as `benchmarks.common.compare_runs` reads it."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = (ordered[middle] + ordered[-1 - middle]) / 2
    return {
        "name": name,
        "median": median,
        "min": ordered[0],
        "max": ordered[-1],
        "n": len(ordered),
        "unit": unit,
        "more_is_better": more_is_better,
    }
