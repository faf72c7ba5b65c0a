"""HTML report of an augmentation, and an image of its first samples."""

from html import escape
from pathlib import Path

import numpy as np

from augan.augment.api import AugmentationResult
from augan.augment.filters.criteria import REJECTION_REASONS
from augan.augment.methods.registry import AUGMENTATION_METHODS
from augan.data.dataset import plural
from augan.io.images import data_uri, image_grid
from augan.io.layout import FIRST_IMAGES_SUFFIX, MANIFEST_FILE, REPORT_FILE, SUMMARY_FILE
from augan.report.html.base import (
    page_header,
    scrollable,
    section,
    settings_section,
    table,
    write_image,
    write_page,
)

# How the user measures the gain of a classifier, for the types of samples that augan evaluates.
_EVALUATION_COMMANDS = {"image": ": augan evaluate augmentation measures it"}


def write_augmentation_page(result: AugmentationResult) -> Path:
    """Write `report.html` of an augmentation into its output folder, and return the path.

    The page does not name the folder, so that equal samples have equal folders.

    Raises
    ------
    DataError
        The page cannot be written. All other files of the result are complete by then.
    """
    parts = [_header(result), _preview(result), _acceptance(result), _settings(result)]
    return write_page(result.out / REPORT_FILE, _title(result), parts)


def write_preview_image(result: AugmentationResult) -> Path | None:
    """Write an image of the first synthetic images as PNG, a row for each class.

    The file is next to the output folder, because a file inside would count as data.

    Returns
    -------
    Path or None
        Path of the image; None for a result of table rows.

    Raises
    ------
    DataError
        The image cannot be written. All other files of the result are complete by then.
    """
    if result.preview is None:
        return None
    folder = result.out.absolute()
    path = folder.with_name(f"{folder.name}{FIRST_IMAGES_SUFFIX}")
    return write_image(path, _grid(result.preview.images), result.out)


def _grid(images: np.ndarray) -> np.ndarray:
    """Return images `[rows, columns, H, W, C]` as one contact sheet."""
    rows, columns, *shape = images.shape
    return image_grid(images.reshape(rows * columns, *shape), columns)


def _title(result: AugmentationResult) -> str:
    """Return the title of the page, with the number of samples and classes."""
    classes = ""
    if len(result.classes) == 1:
        classes = f" of class {result.classes[0]}"
    elif result.classes:
        classes = f" of {len(result.classes)} classes"
    return f"{result.num_samples:,} synthetic {plural(result.sample_type)}{classes}"


def _header(result: AugmentationResult) -> str:
    """Return the top of the page with the key figures, as HTML."""
    figures = [("written", f"{result.num_samples:,}", "")]
    if result.acceptance and result.filtered:
        num_candidates = sum(stats.generated for stats in result.acceptance)
        rate = result.num_samples / max(num_candidates, 1)
        figures += [("candidates", f"{num_candidates:,}", ""), ("accepted", f"{rate:.0%}", "")]
    figures.append(("classes", f"{len(result.classes):,}", ""))
    samples = plural(result.sample_type)
    command = _EVALUATION_COMMANDS.get(result.sample_type, "")
    lede = f"Only held-out real {samples} show whether these improve a classifier{command}."
    return page_header("augan augment", _title(result), lede, figures, result.warnings)


def _preview(result: AugmentationResult) -> str:
    """Return the section of the first images, as HTML; empty for table rows."""
    if result.preview is None or not result.preview.images.size:
        return ""
    images, classes = result.preview
    grid = _grid(images)
    grid = grid[..., 0] if grid.shape[-1] == 1 else grid
    names = escape(", ".join(classes))
    about = f"The first of each class, a row each: {names}." if len(classes) > 1 else ""
    picture = f'<img class="sheet" alt="synthetic images {names}" src="{data_uri(grid)}">'
    return section("First images", about, picture)


def _acceptance(result: AugmentationResult) -> str:
    """Return the section of rejected candidates, or that nothing was filtered, as HTML."""
    if not result.filtered:
        samples = plural(result.sample_type)
        about = (
            f"Nothing was filtered: these are all {samples} that the generator made, including "
            f"those of another class, near copies of training {samples} and failed ones. "
            "augan augment without --no-filter rejects such candidates."
        )
        return section("No filter", about, "")
    if not result.acceptance:
        return ""
    reasons = [
        reason
        for reason in REJECTION_REASONS
        if any(stats.rejected[reason] for stats in result.acceptance)
    ]
    rows = [
        (
            escape(stats.class_name),
            f"{stats.requested:,}",
            f"{stats.generated:,}",
            f"{stats.accepted:,}",
            *(f"{stats.rejected[reason]:,}" for reason in reasons),
        )
        for stats in result.acceptance
    ]
    header = ["class", "requested", "candidates", "accepted", *map(escape, reasons)]
    about = (
        "Candidates are generated until enough of them are accepted. A candidate is rejected if "
        "the classifier assigns it to another class, if it looks less real than real samples do, "
        "or if it nearly repeats a training sample or another synthetic one. The table counts the "
        f"first reason of each rejected candidate; {SUMMARY_FILE} has the thresholds."
    )
    body = table(header, rows, numbers=range(1, len(header)))
    return section("Acceptance rate", about, scrollable(body))


def _settings(result: AugmentationResult) -> str:
    """Return the section of settings, as HTML."""
    description = AUGMENTATION_METHODS.describe().get(result.method, "")
    return settings_section(
        {
            "method": f"{result.method}: {description}",
            "file format": result.format,
            "origin of each sample": MANIFEST_FILE,
        }
    )
