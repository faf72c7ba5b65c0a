"""Command `augan merge`: one result from all shards of a job."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augan_cli.errors import handle_errors
from augan_cli.options import (
    FailOnAnomalyOption,
    JsonOption,
    RequireAllOption,
    SchedulerOption,
    WorkersOption,
)

if TYPE_CHECKING:
    from augan.parallel.sharding import ShardSet


@handle_errors
def merge_command(
    out: Annotated[Path, typer.Argument(help="Folder to write to.")],
    shards: Annotated[list[Path], typer.Argument(help="All folders that --shard wrote.")],
    fail_on_anomaly: FailOnAnomalyOption = False,
    require_all: RequireAllOption = False,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Combine all shards of one augan detect or augan augment job into its result.

    The model, the images and the training data must be where they were. The exit code is the one
    of the same command without --shard.
    """
    from augan.detect.request import COMMAND
    from augan.parallel.sharding import ShardSet

    job = ShardSet(shards)
    if job.settings(["command"])["command"] == COMMAND:
        from augan.bundle import load_bundle
        from augan.detect.api import merge_detection
        from augan_cli.output import print_detection

        result = merge_detection(job, out, workers=workers, scheduler=scheduler)
        bundle = load_bundle(job.job["model path"])
        print_detection(
            result, bundle, as_json, fail_on_anomaly=fail_on_anomaly, require_all=require_all
        )
    else:
        _merge_augmentation(job, out, workers, scheduler, as_json)


def _merge_augmentation(
    shards: "ShardSet", out: Path, workers: int | None, scheduler: str | None, as_json: bool
) -> None:
    """Merge the shards of an augmentation into its result, and print the result."""
    from augan.augment.sharded import merge_augmentation
    from augan_cli.output import print_augmentation

    result = merge_augmentation(shards, out, workers=workers, scheduler=scheduler)
    print_augmentation(result, as_json)
