"""What was synthesised, as one HTML file in the folder of the samples."""

from html import escape
from pathlib import Path

from augan.augment.api import AugmentationResult
from augan.augment.filters.criteria import REJECTION_REASONS
from augan.augment.manifest import MANIFEST, SUMMARY
from augan.data.dataset import plural
from augan.io.images import image_grid
from augan.report.html.base import data_uri, head, section, settings, table, wide, write_page

REPORT = "report.html"


def augmentation_page(result: AugmentationResult) -> Path:
    """Write `report.html` into the folder of a result, and return its path.

    It does not say where the folder is, so that equal samples have equal folders.

    Raises
    ------
    DataError
        It cannot be written; everything else is complete by then.
    """
    parts = [_head(result), _gallery(result), _acceptance(result), _settings(result)]
    return write_page(result.out / REPORT, _verdict(result), parts)


def _verdict(result: AugmentationResult) -> str:
    of = f" of class {result.classes[0]}" if len(result.classes) == 1 else ""
    of = f" of {len(result.classes)} classes" if len(result.classes) > 1 else of
    return f"{result.num_samples:,} synthetic {plural(result.sample_type)}{of}"


def _head(result: AugmentationResult) -> str:
    generated = sum(found.generated for found in result.acceptance)
    figures = [("written", f"{result.num_samples:,}", "")]
    if result.acceptance:
        figures += [
            ("candidates", f"{generated:,}", ""),
            ("accepted", f"{result.num_samples / max(generated, 1):.0%}", ""),
        ]
    figures.append(("classes", f"{len(result.classes):,}", ""))
    lede = (
        "To measure whether they improve a classifier, use augan evaluate augmentation."
        if result.sample_type == "image"
        else "Whether they help a classifier, only real held-out rows can tell."
    )
    return head("augan augment", _verdict(result), lede, figures, result.warnings)


def _gallery(result: AugmentationResult) -> str:
    if result.gallery is None or not result.gallery.images.size:
        return ""
    images, classes = result.gallery
    rows, columns, *shape = images.shape
    sheet = image_grid(images.reshape(rows * columns, *shape), columns)
    sheet = sheet[..., 0] if sheet.shape[-1] == 1 else sheet
    names = escape(", ".join(classes))
    about = "The first ones."
    if len(classes) > 1:
        about = f"The first of each class, a row each: {names}."
    picture = f'<img class="sheet" alt="synthetic images {names}" src="{data_uri(sheet)}">'
    return section("First images", about, picture)


def _acceptance(result: AugmentationResult) -> str:
    if not result.acceptance:
        return ""
    reasons = [
        reason for reason in REJECTION_REASONS if any(f.rejected[reason] for f in result.acceptance)
    ]
    rows = [
        (
            escape(found.class_name),
            f"{found.requested:,}",
            f"{found.generated:,}",
            f"{found.accepted:,}",
            *(f"{found.rejected[reason]:,}" for reason in reasons),
        )
        for found in result.acceptance
    ]
    header = ["class", "requested", "candidates", "accepted", *map(escape, reasons)]
    about = (
        "Candidates were drawn until enough had passed. Left out: what the classifier takes for "
        "another class, what looks less real than real ones, what nearly repeats a training "
        f"sample or another one. The first reason counts; {SUMMARY} has the limits."
    )
    body = table(header, rows, numbers=range(1, len(header)))
    return section("Acceptance", about, wide(body))


def _settings(result: AugmentationResult) -> str:
    return settings(
        {
            "written as": result.format,
            "where each is from": MANIFEST,
        }
    )
