"""Command `augan detect`: scores and anomalies of images or rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augan_cli.errors import handle_errors
from augan_cli.options import (
    FailOnAnomalyOption,
    FarOption,
    FdrOption,
    FollowLinksOption,
    IgnoreMaskOption,
    JsonOption,
    MethodOption,
    ModelOption,
    OutOption,
    RequireAllOption,
    SchedulerOption,
    ShardNumberOption,
    WorkersOption,
    resolve_bundle,
)

if TYPE_CHECKING:
    from augan.bundle import Bundle
    from augan.detect.request import DetectionRequest

_Images = Annotated[
    list[Path],
    typer.Argument(help="Folders of images (flat or nested), images, or one table."),
]
_SaveMaps = Annotated[
    bool,
    typer.Option("--save-maps", help="Write the anomaly map of every image as a 16-bit PNG."),
]


@handle_errors
def detect_command(
    images: _Images,
    model: ModelOption = None,
    far: FarOption = None,
    fdr: FdrOption = None,
    method: MethodOption = None,
    save_maps: _SaveMaps = False,
    ignore_mask: IgnoreMaskOption = None,
    fail_on_anomaly: FailOnAnomalyOption = False,
    require_all: RequireAllOption = False,
    follow_links: FollowLinksOption = False,
    out: OutOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    shard: ShardNumberOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score images or rows, and flag anomalies at a chosen false-alarm rate.

    Writes scores.csv, overlays of the flagged images, and report.html. The exit code is 0, or 2
    after an error; with --fail-on-anomaly it is 1 if anything is flagged, and with --require-all if
    a file was not looked at.
    """
    from augan.detect.request import DetectionRequest

    request = DetectionRequest(
        images,
        far=far,
        fdr=fdr,
        method=method,
        save_maps=save_maps,
        ignore_mask=ignore_mask,
        follow_links=follow_links,
    )
    bundle = resolve_bundle(model, "detector")
    if shard is not None:
        _refuse_with_shard(fail_on_anomaly, require_all)
        _detect_shard(bundle, request, out, shard, workers, scheduler, as_json)
        return
    from augan.detect.api import detect_folder
    from augan_cli.output import print_detection

    result = detect_folder(bundle, request, out, workers=workers, scheduler=scheduler)
    print_detection(
        result, bundle, as_json, fail_on_anomaly=fail_on_anomaly, require_all=require_all
    )


def _refuse_with_shard(fail_on_anomaly: bool, require_all: bool) -> None:
    """Raise ConfigError for options about a whole detection, which a shard is not."""
    from augan.exceptions import ConfigError

    for option, given, reason in (
        ("--fail-on-anomaly", fail_on_anomaly, "flags nothing"),
        ("--require-all", require_all, "scores a part of the images"),
    ):
        if given:
            raise ConfigError(
                f"{option} cannot be combined with --shard: a shard {reason}; pass {option} to "
                "augan merge"
            )


def _detect_shard(
    bundle: "Bundle",
    request: "DetectionRequest",
    out: Path | None,
    shard_text: str,
    workers: int | None,
    scheduler: str | None,
    as_json: bool,
) -> None:
    """Score the samples of one shard of the job, and print how to merge the shards.

    `shard_text` is the value of `--shard`, such as "0/4".
    """
    from augan.detect.api import detect_shard
    from augan.detect.output_paths import default_output_folder
    from augan.parallel.sharding import Shard
    from augan_cli.output import print_shard

    shard = Shard.parse(shard_text)
    if out is None:
        out = shard.folder_for(default_output_folder(bundle, request.path, names=request.names))
    folder = detect_shard(bundle, request, out, shard, workers=workers, scheduler=scheduler)
    print_shard(shard, folder, as_json)
