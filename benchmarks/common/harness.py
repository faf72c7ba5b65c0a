"""Harness of the benchmarks: tasks, result rows, and resuming after a stop.

A benchmark is a list of tasks. A task has a *key* and a function that measures. The key holds all
that identifies the row: data, protocol, split, seed, method, version and settings. Each row is
appended to a file as soon as it is measured, and a task with a row in the file does not run again,
so a protocol that takes days may run in several sittings. No row is ever removed; bad results are
results too.
"""

import argparse
import ast
import fcntl
import functools
import hashlib
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import augan

Row = dict[str, Any]

RESULTS = Path(__file__).parents[1] / "results"
SIMILAR = ("benchmark", "data", "method", "arm", "settings")
"""Fields of a key: rows that agree in these fields take about equally long."""
UNRELATED = ("__init__.py", "doctor", "export", "report")
"""Modules and packages of augan that no row depends on."""


@dataclass(frozen=True)
class Task:
    """A row to measure.

    Attributes
    ----------
    key
        All that identifies the row, JSON-able; no path of this machine.
    measure
        Function that returns the other fields of the row.
    guess
        Expected seconds, for the estimate while there is no similar row.
    """

    key: Row
    measure: Callable[[], Row]
    guess: float


class Results:
    """Rows of an append-only JSON Lines file.

    Several processes may append to the file. Each process sees the rows that were in the file when
    it opened the file, and its own rows.

    Parameters
    ----------
    path
        Created with the first row. An incomplete last line, cut off by a crash, is removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []
        if path.exists():
            self._read()

    def find(self, key: Mapping[str, Any]) -> Row | None:
        """Return the newest row that agrees with `key` in every field of `key`."""
        return next((row for row in reversed(self.rows) if _agree(row, key, key)), None)

    def append(self, row: Row) -> None:
        """Add a row. The row is on the disk when this method returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps(row, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows.append(row)

    def _read(self) -> None:
        with open(self.path, "rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # waits until another process has completed its line
            content = file.read()
            complete = content[: content.rfind(b"\n") + 1]
            if len(complete) < len(content):
                file.truncate(len(complete))
        for number, line in enumerate(complete.splitlines(), 1):
            try:
                self.rows.append(json.loads(line))
            except ValueError as error:
                raise ValueError(f"{self.path}, line {number} is no JSON: {error}") from None


def run(tasks: Sequence[Task], results: Results) -> list[Row]:
    """Measure every task without a row, and return the rows of all tasks in their order."""
    existing = [results.find(task.key) for task in tasks]
    missing = [task for task, row in zip(tasks, existing) if row is None]
    code = code_digest()
    print(_announcement(tasks, missing, results), flush=True)
    num_other = sum(row is not None and row.get("code") != code for row in existing)
    if num_other:
        print(
            f"note: {num_other} finished rows were measured with other source code of augan; "
            "use another --results to measure all rows again, or a --variant to measure the rows "
            "of the idea under test",
            flush=True,
        )
    for number, task in enumerate(missing, 1):
        begun = time.perf_counter()
        measured = task.measure()
        seconds = round(time.perf_counter() - begun, 3)
        origin = {
            "seconds": seconds,
            "date": time.strftime("%Y-%m-%d"),
            "cores": os.cpu_count(),
            "code": code,
        }
        results.append({**task.key, **measured, **origin})
        text = _format_row({**task.key, **measured})
        print(f"{number}/{len(missing)} {text}, {seconds:.1f} s in all", flush=True)
    rows = [results.find(task.key) for task in tasks]
    return [row for row in rows if row is not None]


def estimate(tasks: Sequence[Task], results: Results) -> float:
    """Return the expected seconds of `tasks`: the mean of similar rows, or the guess."""
    total = 0.0
    for task in tasks:
        fields = [field for field in SIMILAR if field in task.key]
        seconds = [row["seconds"] for row in results.rows if _agree(row, task.key, fields)]
        total += statistics.fmean(seconds) if seconds else task.guess
    return total


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return mean, standard deviation (None for a single value), minimum, maximum, and number."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {
        "mean": statistics.fmean(values),
        "std": deviation,
        "min": min(values),
        "max": max(values),
        "n": len(values),
    }


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def digest(content: Any) -> str:
    """Return 16 hexadecimal digits that identify a JSON-able value, whatever its key order."""
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def code_digest() -> str:
    """Return the digest of the code that results depend on, without comments and docstrings."""
    package = Path(augan.__file__).parent
    files = {path.relative_to(package): path for path in package.rglob("*.py")}
    return digest(
        {
            name.as_posix(): _syntax_tree(path)
            for name, path in files.items()
            if name.parts[0] not in UNRELATED
        }
    )


def add_arguments(parser: argparse.ArgumentParser, name: str, *, seeds: bool = True) -> None:
    """Add the options of every benchmark; `name` is the name of the benchmark."""
    if seeds:
        add_seeds(parser)
    parser.add_argument(
        "--split",
        choices=("dev", "test"),
        default="dev",
        help="dev is cut from the training images; use test once for each new default",
    )
    add_variant(parser)
    add_outputs(parser, name)


def add_seeds(parser: argparse.ArgumentParser) -> None:
    """Add the option of the seeds."""
    parser.add_argument("--seeds", type=_numbers, default=(0, 1, 2), help="such as 0,1,2 or 0-9")


def add_variant(parser: argparse.ArgumentParser) -> None:
    """Add the option of the variant."""
    parser.add_argument("--variant", default="default", help="name of the idea under test")


def add_outputs(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the options of the output paths of the benchmark `name`."""
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="rows and summary")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, metavar="DIR", help=f"folder of the {name} rows"
    )


def parse_range(text: str) -> range | None:
    """Return the numbers of "3" or "0-9", None for any other text."""
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        return None
    return range(int(first), int(last if dash else first) + 1)


def _numbers(text: str) -> tuple[int, ...]:
    ranges = [parse_range(item) for item in text.split(",")]
    if not all(ranges):
        raise argparse.ArgumentTypeError(f"expected numbers such as 0,1,2 or 0-9, got {text!r}")
    return tuple(dict.fromkeys(number for numbers in ranges for number in numbers or ()))


def _agree(row: Mapping[str, Any], key: Mapping[str, Any], fields: Any) -> bool:
    return all(field in row and row[field] == key.get(field) for field in fields)


def _announcement(tasks: Sequence[Task], missing: Sequence[Task], results: Results) -> str:
    minutes = estimate(missing, results) / 60
    return (
        f"{len(missing)} of {len(tasks)} rows to measure, about {minutes:.1f} min; "
        f"{len(tasks) - len(missing)} are in {results.path.name} already"
    )


def _format_row(row: Row) -> str:
    names = ("class", "seed", "draw", "method", "arm")
    named = (f"{name} {row[name]}" for name in names if name in row)
    return ", ".join([*named, *(f"{k} {v:.4f}" for k, v in row.items() if isinstance(v, float))])


def _syntax_tree(path: Path) -> str:
    """Return the syntax tree of a file as text, without comments and docstrings."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            body.pop(0)
    return ast.dump(tree)


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
