"""What `augan augment` and `augan detect` do once their options are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from augan_cli.options import show
from augan_cli.progress import ConsoleProgress

if TYPE_CHECKING:
    from augan.augment.api import AugmentationResult
    from augan.bundle import Bundle
    from augan.detect.api import DetectionResult


def run_augment(
    bundle: "Bundle",
    classes: Sequence[str],
    n: int | None,
    out: Path | None,
    shard: str | None,
    asked: dict[str, Any],
    as_json: bool,
) -> None:
    """Write images or rows, or a share of the candidates."""
    from augan.data.dataset import resolve_class

    for name in classes:  # before TensorFlow is loaded, which takes seconds
        resolve_class(name, bundle.data["class_names"])
    from augan.augment.api import augment_folder
    from augan.augment.sharded import augment_shard
    from augan.parallel.sharding import Shard

    with ConsoleProgress() as progress:
        asked["on_accepted"] = progress.on_accepted
        if shard is not None:
            share = Shard.parse(shard)
            show_shard(share, augment_shard(bundle, classes, n, out, share, **asked), as_json)
            return
        result = augment_folder(bundle, classes, n, out, **asked)
    show_augmentation(result, as_json)


def run_detect(
    bundle: "Bundle",
    images: Path,
    out: Path | None,
    shard: str | None,
    asked: dict[str, Any],
    fail_on_anomaly: bool,
    as_json: bool,
) -> None:
    """Score images or rows, or a share of them."""
    from augan.detect.api import detect_folder
    from augan.detect.output_paths import default_out
    from augan.detect.sharded import detect_shard
    from augan.exceptions import ConfigError
    from augan.parallel.sharding import Shard

    with ConsoleProgress() as progress:
        asked["on_scored"] = progress.on_scored
        if shard is not None:
            share = Shard.parse(shard)
            if fail_on_anomaly:
                raise ConfigError(
                    "--fail-on-anomaly came with --shard, but a shard decides nothing; give it to "
                    "augan merge"
                )
            if out is None:
                out = share.named(default_out(bundle, images))
            show_shard(share, detect_shard(bundle, images, out, share, **asked), as_json)
            return
        result = detect_folder(bundle, images, out, **asked)
    show_detection(result, bundle, fail_on_anomaly, as_json)


def show_shard(share: Any, out: Path, as_json: bool) -> None:
    """Say where a share is."""
    lines = [f"shard {share}: {out}", f"when all {share.count} are there: augan merge OUT SHARDS"]
    show(lines, {"shard": str(share), "out": str(out)}, as_json)


def show_augmentation(result: "AugmentationResult", as_json: bool) -> None:
    """Draw and say what was made."""
    from augan.report.figures import augmentation_figure
    from augan.report.html.augmentation import augmentation_page
    from augan.report.text import augmentation_lines

    picture, report = augmentation_figure(result), augmentation_page(result)
    lines = [*augmentation_lines(result), f"report: {report}"]
    show(lines, {**result.to_dict(), "report": str(report)}, as_json, picture)


def show_detection(
    result: "DetectionResult", bundle: "Bundle", fail_on_anomaly: bool, as_json: bool
) -> None:
    """Draw and say what was found; exit with 1 if that is asked for and anything is flagged."""
    from augan.data.modalities.registry import restore_preprocessing
    from augan.report.figures import detection_figure
    from augan.report.html.detection import detection_page
    from augan.report.text import detection_lines

    picture = detection_figure(result, restore_preprocessing(bundle.preprocessing))
    report = detection_page(result)
    lines = [*detection_lines(result), f"report: {report}"]
    show(lines, {**result.to_dict(), "report": str(report)}, as_json, picture)
    if fail_on_anomaly and result.num_anomalies:
        raise typer.Exit(1)
