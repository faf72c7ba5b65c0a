"""Result rows and Markdown cells shared by all generated tables."""

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "benchmarks" / "results"


def load_rows(name: str, **where: Any) -> list[Row]:
    """Return the rows of `benchmarks/results/<name>.jsonl` that have the given field values.

    Parameters
    ----------
    name : str
        File name without the suffix.
    **where
        Field name and the value that it must have.
    """
    with open(RESULTS / f"{name}.jsonl", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [row for row in rows if all(row.get(key) == value for key, value in where.items())]


def load_figures(name: str) -> tuple[dict[str, Row], dict[str, Any]]:
    """Return the figures by name and the summary of `benchmarks/results/speed/<name>.json`."""
    content = json.loads((RESULTS / "speed" / f"{name}.json").read_text(encoding="utf-8"))
    return {figure["name"]: figure for figure in content["figures"]}, content["summary"]


def newest(rows: Iterable[Row], *fields: str) -> list[Row]:
    """Return one row for each combination of `fields`: the last appended row."""
    latest: dict[str, Row] = {}
    for row in rows:
        key = json.dumps([row[field] for field in fields])
        latest.pop(key, None)
        latest[key] = row
    return list(latest.values())


def group_by(rows: Iterable[Row], field: str) -> dict[Any, list[Row]]:
    """Return the rows of each value of `field`, in the order of the first appearance."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[field], []).append(row)
    return groups


def mean(rows: Iterable[Row], field: str) -> float:
    """Return the mean of a field."""
    return statistics.fmean(row[field] for row in rows)


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def provenance(rows: Sequence[Row], *names: str) -> str:
    """Return one sentence with the dates, the versions and the number of cores of the rows.

    Parameters
    ----------
    rows
        The rows behind the table.
    *names
        File names in `benchmarks/results/`.
    """
    dates = sorted({row["date"] for row in rows})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    versions = ", ".join(sorted({row["augan"] for row in rows if "augan" in row}))
    cores = ", ".join(str(count) for count in sorted({row["cores"] for row in rows}))
    version = f", augan {versions}" if versions else ""
    files = ", ".join(f"`{name}`" for name in names)
    return f"*{len(rows)} rows of {files}, measured {when}{version}, {cores} cores.*"


def with_provenance(table: str, rows: Sequence[Row], *names: str) -> str:
    """Return a table with the sentence of `provenance` below it."""
    return f"{table}\n\n{provenance(rows, *names)}"


def fixed(value: float, digits: int) -> str:
    """Return a number with `digits` decimals and commas between thousands."""
    return f"{value:,.{digits}f}"


def plus_minus(values: Sequence[float], digits: int) -> str:
    """Return mean and standard deviation."""
    return f"{fixed(statistics.fmean(values), digits)} ± {fixed(statistics.stdev(values), digits)}"


def signed(value: float, digits: int = 1) -> str:
    """Return a number with its sign."""
    return ("" if value < 0 else "+") + fixed(value, digits)


def yes_no(value: bool) -> str:
    """Return "yes" or "no"."""
    return "yes" if value else "no"
