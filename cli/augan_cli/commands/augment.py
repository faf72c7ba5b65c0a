"""Command `augan augment`: synthetic images or rows of chosen classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augan.augment.methods.registry import AUGMENTATION_METHODS, AUTO, method_names
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
    from augan.augment.request import AugmentRequest
    from augan.bundle import Bundle
    from augan.parallel.sharding import Shard


def _describe_methods() -> str:
    """Return the names and descriptions of all augmentation methods, for the help."""
    described = AUGMENTATION_METHODS.describe()
    return ", ".join(f"{name} ({described[name]})" for name in method_names())


_Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--class", help="Name of a class, or its position if no class is a number; may be repeated."
    ),
]
_ClassIndices = Annotated[
    list[int] | None,
    typer.Option("--class-index", min=0, help="Position of a class, from 0; may be repeated."),
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
    typer.Option("--method", help=f"Method: auto, {_describe_methods()}."),
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


@handle_errors
def augment_command(
    classes: _Classes = None,
    class_index: _ClassIndices = None,
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
    from augan.augment.request import AugmentRequest
    from augan.parallel.sharding import Shard

    bundle = None
    if class_index:
        bundle = _resolve_bundle(model, method)
        classes = [*(classes or []), *_classes_at(bundle, class_index)]
    request = AugmentRequest(
        classes or (),
        n,
        seed=seed,
        method=method,
        transform=transform,
        format=format,
        training_data=training_data,
        filtered=filtered,
        balance=balance,
        balance_to=balance_to,
    )
    part = None if shard is None else Shard.parse(shard)
    bundle = bundle or _resolve_bundle(model, method)
    if part is None:
        _augment(bundle, request, out, workers, scheduler, as_json)
    else:
        _augment_shard(bundle, request, part, out, workers, scheduler, as_json)


def _classes_at(bundle: "Bundle", positions: Sequence[int]) -> list[str]:
    """Return the names of the classes at some positions; ConfigError if there are fewer classes."""
    from augan.exceptions import ConfigError

    names = bundle.data.class_names
    for position in positions:
        if position >= len(names):
            shown = ", ".join(f"{index} {name}" for index, name in enumerate(names))
            raise ConfigError(f"there is no class at `class_index={position}`; there are: {shown}")
    return [names[position] for position in positions]


def _resolve_bundle(model: Path | None, method: str) -> "Bundle":
    """Load the bundle of the command: one with the generator or the translator of the method.

    With the method "auto", a bundle that the user names decides.
    """
    if method != AUTO:
        is_generator = AUGMENTATION_METHODS.get(method).needs_generator
        parts = ("generator", "classes") if is_generator else ("translator",)
        return resolve_bundle(model, *parts)
    if model is None:
        return resolve_bundle(model, "generator", "classes")
    bundle = resolve_bundle(model)
    if not bundle.has("translator"):
        for part in ("generator", "classes"):
            bundle.require(part)
    return bundle


def _augment(
    bundle: "Bundle",
    request: "AugmentRequest",
    out: Path | None,
    workers: int | None,
    scheduler: str | None,
    as_json: bool,
) -> None:
    """Write all samples of the request, show the progress, and print the result."""
    from augan.augment.api import augment_folder
    from augan_cli.output import print_augmentation

    result = augment_folder(bundle, request, out, workers=workers, scheduler=scheduler)
    print_augmentation(result, as_json)


def _augment_shard(
    bundle: "Bundle",
    request: "AugmentRequest",
    shard: "Shard",
    out: Path | None,
    workers: int | None,
    scheduler: str | None,
    as_json: bool,
) -> None:
    """Write the samples of one shard of the request, and print how to merge the shards."""
    from augan.augment.sharded import augment_shard
    from augan_cli.output import print_shard

    folder = augment_shard(bundle, request, shard, out, workers=workers, scheduler=scheduler)
    print_shard(shard, folder, as_json)
