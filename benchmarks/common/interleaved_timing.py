"""Interleaved timing: processes that work in turns, so that they do not disturb each other.

Each contestant runs in a process of its own. The process prints a JSON line about itself as soon as
it is warm. For each line that it reads, it then works once and prints the seconds. Libraries that
would compete for threads or memory never work at the same time, and a machine that slows down slows
down all processes alike.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

TURNS = 7
MIN_DIFFERENCE = 0.05  # relative; smaller differences of single measurements are noise


class TimedProcess:
    """A process that works once for each turn.

    Parameters
    ----------
    command : sequence of str
        Its `main` calls `run_worker`, or `send` from within a loop of its own.

    Attributes
    ----------
    about : dict
        Description that the process sent of itself.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.about = self._receive()

    def turn(self) -> dict[str, Any]:
        """Let the process work once, and return its answer, which contains `seconds`."""
        _require_pipes(self._process)
        self._process.stdin.write("go\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        _require_pipes(self._process)
        for line in self._process.stdout:  # type: ignore[union-attr]
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise RuntimeError(f"a process ended with {self._process.wait()} before it answered")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(60)


def _require_pipes(process: subprocess.Popen) -> None:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a timed process needs pipes")


def send(values: Mapping[str, Any]) -> None:
    """In a timed process: send `values` and wait for the next turn; exit after the last turn."""
    print(json.dumps(values), flush=True)
    if not sys.stdin.readline():
        sys.exit(0)


def run_worker(about: Mapping[str, Any], work: Callable[[], object]) -> None:
    """In a timed process: call `work` once to warm up, then once for each turn."""
    work()
    send(about)
    while True:
        begun = time.perf_counter()
        work()
        send({"seconds": time.perf_counter() - begun})


def time_in_turns(processes: Mapping[str, TimedProcess], turns: int) -> dict[str, list[float]]:
    """Return the seconds of each turn of each process; the processes work one after another."""
    seconds: dict[str, list[float]] = {name: [] for name in processes}
    for number in range(turns):
        for name, process in processes.items():
            seconds[name].append(process.turn()["seconds"])
        latest = ", ".join(f"{name} {times[-1]:.3f} s" for name, times in seconds.items())
        print(f"{number + 1}/{turns} {latest}", flush=True)
    return seconds


def measurement(name: str, values: Sequence[float], unit: str, *, more_is_better: bool) -> dict:
    """Return the median and the range of values, in the form of `benchmarks.common.compare_runs`.

    Returns
    -------
    dict
        `name`, `median`, `min`, `max`, `n`, `unit`, `more_is_better`.
    """
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
