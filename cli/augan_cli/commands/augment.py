"""Command `augan augment`: synthetic images or rows of chosen classes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from augan_cli.errors import handle_errors
from augan_cli.options import (
    FormatOption,
    JsonOption,
    ModelOption,
    OutOption,
    SchedulerOption,
    SeedOption,
    ShardNumberOption,
    TrainingDataOption,
    WorkersOption,
    resolve_bundle,
)

if TYPE_CHECKING:
    from augan.bundle import Bundle

_Classes = Annotated[
    list[str] | None,
    typer.Option("--class", help="Name or number of a class; may be repeated."),
]
_Number = Annotated[
    int | None, typer.Option("--n", help="Number of images or rows to write for each class.")
]
_Balance = Annotated[
    bool,
    typer.Option(
        "--balance", help="Fill up each class to the size of the largest one; replaces --n."
    ),
]
_BalanceTo = Annotated[
    int | None, typer.Option(help="Fill up each class to this size; requires --balance.")
]
_AugmentationMethod = Annotated[
    str,
    typer.Option(
        "--method", help="Method: sample (noise), interpolate, transfer (between images), or auto."
    ),
]
_Transform = Annotated[
    str | None,
    typer.Option(
        help="Classic augmentation of the synthetic images, such as shift-flip; default: that of "
        "the training."
    ),
]
_Filtered = Annotated[
    bool, typer.Option("--filter/--no-filter", help="Reject samples that are not credible.")
]


class AugmentOptions(TypedDict):
    """Options of `augan augment` that `augment_folder` and `augment_shard` take as arguments."""

    seed: int
    method: str
    transform: str | None
    format: str | None
    training_data: str | None
    filtered: bool
    balance: bool
    balance_to: int | None
    workers: int | None
    scheduler: str | None


@handle_errors
def augment_command(
    classes: _Classes = None,
    n: _Number = None,
    balance: _Balance = False,
    balance_to: _BalanceTo = None,
    model: ModelOption = None,
    out: OutOption = None,
    seed: SeedOption = 0,
    method: _AugmentationMethod = "auto",
    transform: _Transform = None,
    training_data: TrainingDataOption = None,
    filtered: _Filtered = True,
    format: FormatOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    shard: ShardNumberOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write synthetic images or rows of chosen classes, with a manifest.

    A sample is rejected if the classifier assigns it to another class, if it looks less real than
    real samples do, or if it nearly repeats a training sample or another synthetic one. If too few
    samples of a class are credible, nothing is written and the exit code is 1. After an
    interruption, the same command continues.
    """
    options = AugmentOptions(
        seed=seed,
        method=method,
        transform=transform,
        format=format,
        training_data=training_data,
        filtered=filtered,
        balance=balance,
        balance_to=balance_to,
        workers=workers,
        scheduler=scheduler,
    )
    bundle = resolve_bundle(model, "generator", "classes")
    _check_classes(bundle, classes or [])
    if shard is None:
        _augment(bundle, classes or [], n, out, options, as_json)
    else:
        _augment_shard(bundle, classes or [], n, out, shard, options, as_json)


def _check_classes(bundle: "Bundle", classes: list[str]) -> None:
    """Raise an error for unknown classes before TensorFlow is loaded, which takes seconds."""
    from augan.data.dataset import resolve_class

    for name in classes:
        resolve_class(name, bundle.data["class_names"])


def _augment(
    bundle: "Bundle",
    classes: list[str],
    n: int | None,
    out: Path | None,
    options: AugmentOptions,
    as_json: bool,
) -> None:
    """Write all samples of the job, show the progress, and print the result."""
    from augan.augment.api import augment_folder
    from augan.progress import Progress
    from augan_cli.output import print_augmentation

    with Progress() as progress:
        result = augment_folder(
            bundle, classes, n, out, on_accepted=progress.on_accepted, **options
        )
    print_augmentation(result, as_json)


def _augment_shard(
    bundle: "Bundle",
    classes: list[str],
    n: int | None,
    out: Path | None,
    shard_text: str,
    options: AugmentOptions,
    as_json: bool,
) -> None:
    """Write the samples of one shard of the job, and print how to merge the shards.

    `shard_text` is the value of `--shard`, such as "0/4".
    """
    from augan.augment.sharded import augment_shard
    from augan.parallel.sharding import Shard
    from augan.progress import Progress
    from augan_cli.output import print_shard

    shard = Shard.parse(shard_text)
    with Progress() as progress:
        folder = augment_shard(
            bundle, classes, n, out, shard, on_accepted=progress.on_accepted, **options
        )
    print_shard(shard, folder, as_json)
