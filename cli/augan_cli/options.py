"""Options that several commands share, and the selection of the bundle that a command uses."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augan.choices import DETECTION_METHODS

if TYPE_CHECKING:
    from augan.bundle import Bundle

ModelOption = Annotated[
    Path | None,
    typer.Option(help="Run folder or bundle file; default: the newest run that can do this."),
]
OutOption = Annotated[
    Path | None, typer.Option(help="Folder to write to; default: a folder inside the run.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")]
TrainingDataOption = Annotated[
    str | None,
    typer.Option(help="Training data of the model; default: where it was during the training."),
]
MethodOption = Annotated[
    str | None,
    typer.Option(
        help="Detection method in the bundle; default: the model's own. The score is, for "
        + "; ".join(f"{m.name}: {m.description}" for m in DETECTION_METHODS)
        + "."
    ),
]
FarOption = Annotated[
    float | None,
    typer.Option(
        help="False-alarm rate: share of normal images that may be flagged; "
        "default: the model's own rate, else 0.05."
    ),
]
FdrOption = Annotated[
    float | None,
    typer.Option(
        help="False-discovery rate: share of normal images among the flagged ones; replaces --far."
    ),
]
IgnoreMaskOption = Annotated[
    Path | None,
    typer.Option(help="PNG mask as large as the images; pixels above 0 are ignored."),
]
GroupsOption = Annotated[
    Path | None,
    typer.Option(help="CSV file with the columns path,group; images of a group stay together."),
]
GroupByOption = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX|N",
        help="Groups by the names of the images: the part that a pattern matches, such as "
        "'part[0-9]+', or runs of N images in order, for frames of a video.",
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option(help="File format: png or npz for images, csv for tables; default: png or csv."),
]
WorkersOption = Annotated[
    int | None, typer.Option(help="Number of worker processes on this machine.")
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(help="Address of a Dask cluster, as tcp://HOST:8786; replaces --workers."),
]
ShardNumberOption = Annotated[
    str | None,
    typer.Option(
        "--shard", help="Do only part i of n, as i/n from 0/n on; augan merge combines the parts."
    ),
]
FailOnAnomalyOption = Annotated[
    bool, typer.Option("--fail-on-anomaly", help="Exit with 1 if anything is flagged.")
]
RequireAllOption = Annotated[
    bool,
    typer.Option("--require-all", help="Exit with 1 if a file is unreadable or was not looked at."),
]
FollowLinksOption = Annotated[
    bool, typer.Option("--follow-links", help="Also search links to folders.")
]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        help="File of labels (CSV, TSV, Parquet: a path and a label in each row; or COCO JSON), "
        "or 'folders': one folder per label. Default: what is obvious."
    ),
]
LabelColumnOption = Annotated[
    str | None, typer.Option(help="Column of --labels with the labels; default: by its name.")
]
PathColumnOption = Annotated[
    str | None, typer.Option(help="Column of --labels with the paths; default: by its name.")
]


def resolve_bundle(model: Path | None, *parts: str) -> "Bundle":
    """Load the bundle for a command, and print its path on standard error.

    Parameters
    ----------
    model : Path or None
        Run folder or bundle file; None: the newest run under `./runs` that has all `parts`.
    parts : str
        Parts that the bundle must have, such as "detector", see `Bundle.has`.

    Raises
    ------
    BundleError
        No run has all parts, or `model` is damaged or lacks a part.
    """
    from augan.training.run_folder import find_bundle

    bundle = find_bundle(model, *parts, warn=lambda text: typer.echo(f"warning: {text}", err=True))
    typer.echo(f"model: {bundle.path}", err=True)
    return bundle
