"""Output of the commands on standard output, as lines of text or as one JSON object."""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from augan_cli.errors import name_shared_options

if TYPE_CHECKING:
    from augan.augment.api import AugmentationResult
    from augan.bundle import Bundle
    from augan.detect.result import DetectionResult
    from augan.parallel.sharding import Shard
    from augan.translate.api import TranslationResult


# Entries of JSON results, and lines of results as text, that hold the path of a file or folder.
_PATH_KEYS = frozenset({"images", "out", "picture", "report", "run"})
_PATH_LINE = re.compile(r"(?:bundle|evaluation|picture|report|scores): (.+)")


def print_result(
    lines: Iterable[str], values: dict[str, Any], as_json: bool, picture: Path | None = None
) -> None:
    """Print the result of a command as text, or as one JSON object.

    Its paths are all relative, if all lie below the working directory, or else all absolute.

    Parameters
    ----------
    lines : iterable of str
        The result as text.
    values : dict
        The result as JSON; values that are not JSON-able are printed as text.
    as_json : bool
        Print `values` instead of `lines`.
    picture : Path or None
        Path of an image to add to either output.
    """
    if picture is not None:
        lines, values = [*lines, f"picture: {picture}"], {**values, "picture": str(picture)}
    lines, values = _with_equal_paths(list(map(name_shared_options, lines)), values)
    text = "\n".join(lines)
    typer.echo(json.dumps(values, default=str) if as_json else text)


def _with_equal_paths(lines: list[str], values: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Return lines and JSON values in which all paths of results are relative, or all absolute."""
    found = (_PATH_LINE.fullmatch(line) for line in lines)
    paths = {match[1] for match in found if match is not None}
    for part in (values, values.get("summary")):
        if isinstance(part, dict):
            paths |= {str(part[key]) for key in _PATH_KEYS if isinstance(part.get(key), str)}
    whole = {path: os.path.abspath(path) for path in paths if path}
    home = os.getcwd()
    if all(path.startswith(home + os.sep) for path in whole.values()):
        whole = {path: os.path.relpath(full, home) for path, full in whole.items()}

    def change(part: Any) -> Any:
        return {
            key: whole.get(value, value) if key in _PATH_KEYS and isinstance(value, str) else value
            for key, value in part.items()
        }

    changed = change(values)
    if isinstance(changed.get("summary"), dict):
        changed["summary"] = change(changed["summary"])
    texts = []
    for line in lines:
        match = _PATH_LINE.fullmatch(line)
        texts.append(line if match is None else line[: match.start(1)] + whole[match[1]])
    return texts, changed


def print_shard(shard: "Shard", out: Path, as_json: bool) -> None:
    """Print the folder of a finished shard, and the command that merges all shards."""
    lines = [
        f"shard {shard}: {out}",
        f"when all {shard.count} shards are done: augan merge OUT SHARDS",
    ]
    print_result(lines, {"shard": str(shard), "out": str(out)}, as_json)


def print_augmentation(result: "AugmentationResult", as_json: bool) -> None:
    """Write the preview image and the report of an augmentation, and print its result."""
    from augan.report.html.augmentation import write_augmentation_page, write_preview_image
    from augan.report.text import format_augmentation

    picture, report = write_preview_image(result), write_augmentation_page(result)
    lines = [*format_augmentation(result), f"report: {report}"]
    print_result(lines, {**result.to_dict(), "report": str(report)}, as_json, picture)


def print_detection(
    result: "DetectionResult",
    bundle: "Bundle",
    as_json: bool,
    *,
    fail_on_anomaly: bool = False,
    require_all: bool = False,
) -> None:
    """Write the image and the report of a detection, and print its result.

    Parameters
    ----------
    result : DetectionResult
        Result of the detection.
    bundle : Bundle
        Bundle of the detector, for its preprocessing.
    as_json, fail_on_anomaly, require_all : bool
        The options `--json`, `--fail-on-anomaly` and `--require-all`.

    Raises
    ------
    typer.Exit
        With code 1, if `fail_on_anomaly` and anything is flagged, or `require_all` and a file has
        no score.
    """
    from augan.report.html.detection import write_detection_page, write_top_samples_image
    from augan.report.text import format_detection

    picture = write_top_samples_image(result, bundle.preprocessing)
    report = write_detection_page(result)
    lines = [*format_detection(result), f"report: {report}"]
    print_result(lines, {**result.to_dict(), "report": str(report)}, as_json, picture)
    if (fail_on_anomaly and result.num_anomalies) or (require_all and not result.is_complete):
        raise typer.Exit(1)


def print_translation(result: "TranslationResult", as_json: bool) -> None:
    """Print the result of a translation of images."""
    from augan.report.text import format_translation

    print_result(format_translation(result), result.to_dict(), as_json)
