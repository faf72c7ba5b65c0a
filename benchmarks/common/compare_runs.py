"""Comparison of two runs of a speed or memory benchmark.

    python -m benchmarks.common.compare_runs OLD.json NEW.json

Both files are written by a benchmark with `--json`; their `figures` are compared by name. A
measurement is worse if its new median is beyond the worst old value and its old median is beyond
the best new value: then the spread of neither run explains the difference. A difference below 5 %
never counts as worse, because two single measurements of the same code differ by that much. The
exit code is 1 if a measurement is worse, and 2 if the files share no measurement.

A comparison needs the same machine without other load in both runs. If both runs measured the rate
of matrix products, that rate is compared too: a slowdown together with that rate says nothing about
augan.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.interleaved_timing import MIN_DIFFERENCE

Measurement = Mapping[str, Any]


def read_measurements(path: Path) -> dict[str, Measurement]:
    """Return the measurements of a file by name.

    Raises
    ------
    ValueError
        The file holds no measurements.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["figures"]
        return {row["name"]: row for row in rows if {"median", "min", "max"} <= row.keys()}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} holds no measurements ({error}); give a file that a speed benchmark wrote "
            "with --json"
        ) from error


def improvement(old: Measurement, new: Measurement) -> float:
    """Return the relative improvement of the median; below 0: the median became worse."""
    if old["more_is_better"]:
        return new["median"] / old["median"] - 1
    return old["median"] / new["median"] - 1


def is_worse(old: Measurement, new: Measurement, min_difference: float = MIN_DIFFERENCE) -> bool:
    """Return whether a measurement became worse by more than the spread of either run explains.

    Examples
    --------
    >>> old = {"median": 10, "min": 9, "max": 11, "more_is_better": True}
    >>> is_worse(old, {**old, "median": 8, "min": 7, "max": 9})
    True
    >>> is_worse(old, {**old, "median": 8, "min": 7, "max": 12})
    False
    """
    if old["more_is_better"]:
        is_separated = new["median"] < old["min"] and new["max"] < old["median"]
    else:
        is_separated = new["median"] > old["max"] and new["min"] > old["median"]
    return is_separated and improvement(old, new) < -min_difference


def format_table(old: Mapping[str, Measurement], new: Mapping[str, Measurement]) -> list[str]:
    """Return a line for each measurement of both runs, those that became worse first."""
    names = [name for name in old if name in new]
    names.sort(key=lambda n: (not is_worse(old[n], new[n]), improvement(old[n], new[n])))
    lines = []
    for name in names:
        mark = "slower" if is_worse(old[name], new[name]) else "      "
        values = f"{old[name]['median']:10.4g} to {new[name]['median']:10.4g}"
        lines.append(f"{mark} {improvement(old[name], new[name]):+7.1%} {values} {name}")
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    """Print the changes; exit with 1 if a measurement became worse."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.common.compare_runs", description=__doc__.splitlines()[0]
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    options = parser.parse_args(argv)
    try:
        old, new = read_measurements(options.old), read_measurements(options.new)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    lines = format_table(old, new)
    if not lines:
        print("error: the two files share no measurement", file=sys.stderr)
        sys.exit(2)
    print("\n".join(lines))
    print(f"{len(lines)} measurements; {len(old.keys() - new.keys())} are no longer measured")
    if any(is_worse(old[name], new[name]) for name in old if name in new):
        sys.exit(1)


if __name__ == "__main__":
    main()
