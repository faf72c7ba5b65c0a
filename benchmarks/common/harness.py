"""What every benchmark shares: rows that survive a stop, an estimate first, one JSON at the end.

A benchmark is a list of tasks. Each has a *key*, all that identifies its row (data, protocol,
split, seed, method, version, settings), and a function that measures. Rows are appended to a file
as they come, and a task whose key is in the file is not run again: a protocol may take days, in as
many sittings as it likes. Nothing is ever taken out of the file; losing rows are results too.
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
ALIKE = ("benchmark", "data", "method", "arm", "settings")  # rows that agree in these take as long
NOT_MEASURED = ("__init__.py", "doctor", "export", "report")  # whose code no row depends on


@dataclass(frozen=True)
class Task:
    """One row to measure.

    Attributes
    ----------
    key
        All that identifies the row, JSON-able; no path of this machine.
    measure
        Returns the other fields of the row.
    guess
        Seconds it may take, for the estimate while no row like it was ever measured.
    """

    key: Row
    measure: Callable[[], Row]
    guess: float


class Results:
    """Rows in an append-only JSON Lines file; processes that share it write one after another.

    Each sees the rows that were there when it began, and its own.

    Parameters
    ----------
    path
        Made with the first row. A last line that was cut off by a crash is dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []
        if path.exists():
            self._read()

    def find(self, key: Mapping[str, Any]) -> Row | None:
        """Return the newest row that agrees with `key` in every field of it."""
        return next((row for row in reversed(self.rows) if _agree(row, key, key)), None)

    def append(self, row: Row) -> None:
        """Add a row; it is on the disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps(row, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows.append(row)

    def _read(self) -> None:
        with open(self.path, "rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # a line that another process is writing is whole then
            content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) < len(content):
                # Cut off by a crash: the next row must begin on a line of its own.
                file.truncate(len(whole))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self.rows.append(json.loads(line))
            except ValueError as error:
                raise ValueError(f"{self.path}, line {number} is no JSON: {error}") from None


def run(tasks: Sequence[Task], results: Results) -> list[Row]:
    """Measure every task that has no row yet and return the rows of all, in their order."""
    found = [results.find(task.key) for task in tasks]
    missing = [task for task, row in zip(tasks, found) if row is None]
    code = code_digest()
    print(_announcement(tasks, missing, results), flush=True)
    other = sum(row is not None and row.get("code") != code for row in found)
    if other:
        print(
            f"note: {other} finished rows were measured with other source code of augan; "
            "another --results measures them anew, a --variant those of the idea under test",
            flush=True,
        )
    for number, task in enumerate(missing, 1):
        begun = time.perf_counter()
        measured = task.measure()
        seconds = round(time.perf_counter() - begun, 3)
        about = {
            "seconds": seconds,
            "date": time.strftime("%Y-%m-%d"),
            "cores": os.cpu_count(),
            "code": code,
        }
        results.append({**task.key, **measured, **about})
        shown = _shown({**task.key, **measured})
        print(f"{number}/{len(missing)} {shown}, {seconds:.1f} s in all", flush=True)
    rows = [results.find(task.key) for task in tasks]
    return [row for row in rows if row is not None]


def estimate(tasks: Sequence[Task], results: Results) -> float:
    """Return the seconds that `tasks` may take: the mean of rows like them, or the guess."""
    total = 0.0
    for task in tasks:
        alike = [field for field in ALIKE if field in task.key]
        like = [row["seconds"] for row in results.rows if _agree(row, task.key, alike)]
        total += statistics.fmean(like) if like else task.guess
    return total


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return mean, standard deviation (None for one value), smallest, largest, and how many."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {
        "mean": statistics.fmean(values),
        "std": deviation,
        "min": min(values),
        "max": max(values),
        "n": len(values),
    }


def write_json(path: Path, content: Any) -> None:
    """Write a file that is there whole or not at all."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def digest(content: Any) -> str:
    """Return 16 hexadecimal digits that identify a JSON-able value, whatever its key order."""
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def code_digest() -> str:
    """Return the digest of the code that results depend on; comments and docstrings aside."""
    home = Path(augan.__file__).parent
    files = {path.relative_to(home): path for path in home.rglob("*.py")}
    return digest(
        {n.as_posix(): _code(p) for n, p in files.items() if n.parts[0] not in NOT_MEASURED}
    )


def add_arguments(parser: argparse.ArgumentParser, name: str, *, seeds: bool = True) -> None:
    """Add what every benchmark takes; `name` is that of its file of rows."""
    if seeds:
        add_seeds(parser)
    parser.add_argument(
        "--split",
        choices=("dev", "test"),
        default="dev",
        help="dev is cut from the training images; test only once for each default that lands",
    )
    parser.add_argument("--variant", default="default", help="a name for the idea under test")
    add_places(parser, name)


def add_seeds(parser: argparse.ArgumentParser) -> None:
    """Add which seeds are measured."""
    parser.add_argument("--seeds", type=_numbers, default=(0, 1, 2), help="such as 0,1,2 or 0-9")


def add_places(parser: argparse.ArgumentParser, name: str) -> None:
    """Add where rows and summary of benchmark `name` go."""
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="rows and summary")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help=f"of {name}")


def span(text: str) -> range | None:
    """Return the numbers that "3" or "0-9" means, None for any other text."""
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        return None
    return range(int(first), int(last if dash else first) + 1)


def _numbers(text: str) -> tuple[int, ...]:
    spans = [span(item) for item in text.split(",")]
    if not all(spans):
        raise argparse.ArgumentTypeError(f"expected numbers such as 0,1,2 or 0-9, got {text!r}")
    return tuple(dict.fromkeys(number for numbers in spans for number in numbers or ()))


def _agree(row: Mapping[str, Any], key: Mapping[str, Any], fields: Any) -> bool:
    return all(field in row and row[field] == key.get(field) for field in fields)


def _announcement(tasks: Sequence[Task], missing: Sequence[Task], results: Results) -> str:
    minutes = estimate(missing, results) / 60
    return (
        f"{len(missing)} of {len(tasks)} rows to measure, about {minutes:.1f} min; "
        f"{len(tasks) - len(missing)} are in {results.path.name} already"
    )


def _shown(row: Row) -> str:
    names = ("class", "seed", "draw", "method", "arm")
    named = (f"{name} {row[name]}" for name in names if name in row)
    return ", ".join([*named, *(f"{k} {v:.4f}" for k, v in row.items() if isinstance(v, float))])


def _code(path: Path) -> str:
    """Return the syntax tree of a file as text, without comments and docstrings."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            body.pop(0)
    return ast.dump(tree)


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
