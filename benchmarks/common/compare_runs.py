"""What became slower since an earlier run: `python -m benchmarks.common.compare_runs OLD.json
NEW.json`.

Both are what a benchmark of speed or memory wrote with `--json`; its `figures` are compared by
name. A figure is worse if its new median lies beyond the worst of the old measurements and the old
median beyond the best of the new ones: then the spread of neither run explains it. Below 5 % it is
never called worse, because two single measurements of the same code differ by that much. The exit
code is 1 if any is worse, and 2 if the files share no figure.

Figures of two runs tell only what changed between the runs: the same machine, and nothing else on
it. Where both runs measured the rate of matrix products, it is compared like all others: what
became slower together with it says nothing about augan.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.interleaved_timing import LEAST_SPREAD

Figure = Mapping[str, Any]


def read(path: Path) -> dict[str, Figure]:
    """Return name -> figure of what a benchmark wrote.

    Raises
    ------
    ValueError
        The file holds no figures.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["figures"]
        return {row["name"]: row for row in rows if {"median", "min", "max"} <= row.keys()}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} holds no figures ({error}); give what a benchmark of speed wrote with --json"
        ) from error


def change(old: Figure, new: Figure) -> float:
    """Return by what share a figure became better (above 0) or worse (below 0)."""
    if old["more_is_better"]:
        return new["median"] / old["median"] - 1
    return old["median"] / new["median"] - 1


def is_worse(old: Figure, new: Figure, least: float = LEAST_SPREAD) -> bool:
    """Return whether a figure became worse by more than the spread of either run explains.

    Examples
    --------
    >>> old = {"median": 10, "min": 9, "max": 11, "more_is_better": True}
    >>> is_worse(old, {**old, "median": 8, "min": 7, "max": 9})
    True
    >>> is_worse(old, {**old, "median": 8, "min": 7, "max": 12})
    False
    """
    if old["more_is_better"]:
        apart = new["median"] < old["min"] and new["max"] < old["median"]
    else:
        apart = new["median"] > old["max"] and new["min"] > old["median"]
    return apart and change(old, new) < -least


def table(old: Mapping[str, Figure], new: Mapping[str, Figure]) -> list[str]:
    """Return a line for each figure of both runs, those that became worse first."""
    both = [name for name in old if name in new]
    both.sort(key=lambda name: (not is_worse(old[name], new[name]), change(old[name], new[name])))
    lines = []
    for name in both:
        mark = "slower" if is_worse(old[name], new[name]) else "      "
        values = f"{old[name]['median']:10.4g} to {new[name]['median']:10.4g}"
        lines.append(f"{mark} {change(old[name], new[name]):+7.1%} {values} {name}")
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    """Print what changed; exit with 1 if anything became worse."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.common.compare_runs", description=__doc__.splitlines()[0]
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    options = parser.parse_args(argv)
    try:
        old, new = read(options.old), read(options.new)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    lines = table(old, new)
    if not lines:
        print("error: the two files share no figure", file=sys.stderr)
        sys.exit(2)
    print("\n".join(lines))
    print(f"{len(lines)} figures; {len(old.keys() - new.keys())} are no longer measured")
    if any(is_worse(old[name], new[name]) for name in old if name in new):
        sys.exit(1)


if __name__ == "__main__":
    main()
