"""Options that several commands share, and how a command answers."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

Model = Annotated[
    Path | None, typer.Option(help="Run folder or bundle; default: the newest run that fits.")
]
Out = Annotated[Path | None, typer.Option(help="Folder to write; default: one inside the run.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Recorded = Annotated[
    str | None, typer.Option(help="The training data; default: where the bundle found it.")
]
Method = Annotated[
    str | None, typer.Option(help="One of the methods that the bundle carries; default: its first.")
]

Workers = Annotated[
    int | None, typer.Option(help="Processes that share the cores of this machine.")
]
Scheduler = Annotated[
    str | None, typer.Option(help="In their place, a Dask cluster: tcp://HOST:8786.")
]
Sharded = Annotated[
    str | None,
    typer.Option("--shard", help="i/n: only share i of n, counted from 0, for augan merge."),
]
Fail = Annotated[
    bool, typer.Option("--fail-on-anomaly", help="Exit with 1 if anything is flagged.")
]


def find(model: Path | None, *parts: str) -> Any:
    """Return the bundle of `model`, else of the newest run that has all parts; say which."""
    from augan.training.run_folder import find_bundle

    bundle = find_bundle(model, *parts, warn=lambda text: typer.echo(f"warning: {text}", err=True))
    typer.echo(f"model: {bundle.path}", err=True)
    return bundle


def show(
    lines: Iterable[str], values: dict[str, Any], as_json: bool, picture: Path | None = None
) -> None:
    """Print lines for a person, or one JSON object for a program."""
    if picture is not None:
        lines, values = [*lines, f"picture: {picture}"], {**values, "picture": str(picture)}
    typer.echo(json.dumps(values, default=str) if as_json else "\n".join(lines))
