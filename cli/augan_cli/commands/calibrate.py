"""Command `augan calibrate`: a new threshold for a detector, from new normal images."""

from pathlib import Path
from typing import Annotated

import typer

from augan_cli.errors import handle_errors
from augan_cli.options import (
    FollowLinksOption,
    GroupByOption,
    GroupsOption,
    IgnoreMaskOption,
    JsonOption,
    resolve_bundle,
)
from augan_cli.output import print_result


@handle_errors
def calibrate_command(
    run: Annotated[Path, typer.Argument(help="Run folder or bundle file with a detector.")],
    normals: Annotated[
        Path,
        typer.Argument(help="Folder of normal images, or a table, not used in training."),
    ],
    groups: GroupsOption = None,
    group_by: GroupByOption = None,
    ignore_mask: IgnoreMaskOption = None,
    follow_links: FollowLinksOption = False,
    out: Annotated[
        Path | None, typer.Option(help="New folder for the bundle; default: RUN-calibrated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Set the threshold of a detector on new normal images, without training.

    RUN does not change. The new bundle goes into a folder that must not exist yet; it is then the
    newest, so augan detect uses it unless --model names another. augan cannot check that NORMALS
    were not used in training.
    """
    bundle = resolve_bundle(run, "detector")
    from augan.detect.recalibration import recalibrate_run
    from augan.report.text import format_calibration, summarize_calibration

    calibrated = recalibrate_run(
        bundle,
        normals,
        out,
        groups,
        ignore_mask,
        group_by=group_by,
        follow_links=follow_links,
    )
    print_result(format_calibration(calibrated), summarize_calibration(calibrated), as_json)
