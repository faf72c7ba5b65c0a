"""`augan merge`: what the shards of one job found, as one result."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from augan_cli.errors import with_debug
from augan_cli.options import Fail, Json, Scheduler, Workers

if TYPE_CHECKING:
    from augan.parallel.sharding import Shards


@with_debug
def merge(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    shards: Annotated[list[Path], typer.Argument(help="All folders that --shard wrote.")],
    fail_on_anomaly: Fail = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Write what augan detect or augan augment would have written, from all shards of one job.

    The model, the images and the training data must be where they were. The exit code is as without
    shards.
    """
    from augan.detect.request import COMMAND
    from augan.parallel.sharding import Shards

    found = Shards(shards)
    asked: dict[str, Any] = {"workers": workers, "scheduler": scheduler}
    if found.asked(["command"])["command"] == COMMAND:
        _merge_detection(found, out, asked, fail_on_anomaly, as_json)
    else:
        _merge_augmentation(found, out, asked, as_json)


def _merge_detection(
    found: "Shards", out: Path, asked: dict[str, Any], fail_on_anomaly: bool, as_json: bool
) -> None:
    from augan.bundle import load_bundle
    from augan.detect.sharded import merge_detection
    from augan_cli.progress import ConsoleProgress
    from augan_cli.using import show_detection

    with ConsoleProgress() as progress:
        result = merge_detection(found, out, on_scored=progress.on_scored, **asked)
    show_detection(result, load_bundle(found.job["model path"]), fail_on_anomaly, as_json)


def _merge_augmentation(found: "Shards", out: Path, asked: dict[str, Any], as_json: bool) -> None:
    from augan.augment.sharded import merge_augmentation
    from augan_cli.progress import ConsoleProgress
    from augan_cli.using import show_augmentation

    with ConsoleProgress() as progress:
        result = merge_augmentation(found, out, on_accepted=progress.on_accepted, **asked)
    show_augmentation(result, as_json)
