"""HTML report of an evaluation of augmentation."""

from collections import Counter
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augan.augment.methods.registry import AUGMENTATION_METHODS
from augan.evaluation.augmentation.result import AugmentationGain, format_points
from augan.io.images import data_uri
from augan.io.layout import PREVIEW_FILE, REPORT_FILE
from augan.report.html.base import (
    page_header,
    scrollable,
    section,
    settings_section,
    table,
    write_page,
)
from augan.report.html.charts import strip_plot
from augan.report.text import format_secondary_gains


def write_augmentation_evaluation_page(result: AugmentationGain) -> Path:
    """Write `report.html` of an evaluation of augmentation into its folder, and return the path.

    Raises
    ------
    DataError
        The page cannot be written. All other files of the evaluation are complete by then.
    """
    summary = result.summary
    parts = [
        _header(result),
        _arms(result),
        _metrics(result),
        _recall(result),
        _preview(summary),
        _near_duplicates(summary),
        _settings(summary),
    ]
    return write_page(
        Path(summary["out"]) / REPORT_FILE, f"{_title(result)} - {summary['data']}", parts
    )


def _title(result: AugmentationGain) -> str:
    """Return the title of the page, which says whether the gain is significant."""
    if result.is_significant:
        return f"A gain of {format_points(result.summary['gain'])} points"
    return "No evidence of benefit"


def _header(result: AugmentationGain) -> str:
    """Return the top of the page with the gain and the key figures, as HTML."""
    summary = result.summary
    figures = [
        ("points above the best arm without a GAN", format_points(summary["gain"]), ""),
        ("repeats", f"{summary['num_repeats']}", ""),
        ("test images", f"{summary['num_test']:,}", ""),
        ("labels in each repeat", f"{sum(summary['class_counts']):,}", ""),
    ]
    sentences = [result.sentence, *format_secondary_gains(summary)]
    lede = ". ".join(map(_capitalize, sentences)) + "."
    command = f"augan evaluate augmentation &middot; {escape(summary['data'])}"
    return page_header(command, _title(result), lede, figures, summary["warnings"])


def _capitalize(text: str) -> str:
    """Return a sentence with a capital first letter."""
    return text[:1].upper() + text[1:]


def _arms(result: AugmentationGain) -> str:
    """Return the section with a strip plot of balanced accuracy by arm, as HTML."""
    rows = sorted(result.arms, key=lambda row: -row["balanced_accuracy"])
    figure = strip_plot(
        [(row["label"], row["by_repeat"], "new" if row["arm"] == "gan" else "old") for row in rows]
    )
    about = (
        "Balanced accuracy on the test images: a dot for each repeat, a bar at the mean. All arms "
        "train with the same labels and the same number of steps."
    )
    return section("Arms", about, figure)


def _metrics(result: AugmentationGain) -> str:
    """Return the section with a table of the metrics of each arm, as HTML."""
    rows = []
    for row in result.arms:
        difference = row["gan_minus_arm"]
        rows.append(
            (
                f"{escape(row['arm'])}<small>{escape(row['label'])}</small>",
                f"{row['balanced_accuracy']:.1%}",
                f"{100 * row['std']:.1f}",
                f"{row['accuracy']:.1%}",
                f"{row['macro_f1']:.1%}",
                ""
                if difference is None
                else f"{format_points(difference['value'])} [{100 * difference['low']:.1f}, "
                f"{100 * difference['high']:.1f}]",
            )
        )
    header = ["arm", "balanced accuracy", "std", "accuracy", "macro-F1", "GAN minus this arm"]
    about = (
        "Means over the repeats. The std is the standard deviation of the balanced accuracy, in "
        "points. The lower bound of the gain is the lowest one in the last column."
    )
    return section("Metrics", about, scrollable(table(header, rows, numbers=range(1, 6))))


def _recall(result: AugmentationGain) -> str:
    """Return the section with a table of recall by class and arm, as HTML."""
    names = result.summary["class_names"]
    rows = [
        (
            escape(name),
            f"{result.summary['class_counts'][index]:,}",
            *(f"{row['recall'][name]:.1%}" for row in result.arms),
        )
        for index, name in enumerate(names)
    ]
    header = ["class", "labels", *(escape(row["arm"]) for row in result.arms)]
    about = "Recall: the share of the test images of each class that are classified correctly."
    return section(
        "Recall of each class",
        about,
        scrollable(table(header, rows, numbers=range(1, len(header)))),
    )


def _preview(summary: Mapping[str, Any]) -> str:
    """Return the section of real and synthetic images, as HTML; empty without a preview file."""
    path = Path(summary["out"]) / PREVIEW_FILE
    if not path.exists():
        return ""
    with Image.open(path) as image:
        grid = np.asarray(image)
    method = AUGMENTATION_METHODS.describe().get(summary["settings"]["gan"], "")
    about = (
        "The first repeat, a row for each class: real images on the left, synthetic images on the "
        f"right ({escape(method)})."
    )
    alt = "real and synthetic images of each class"
    return section("Images", about, f'<img class="sheet" alt="{alt}" src="{data_uri(grid)}">')


def _near_duplicates(summary: Mapping[str, Any]) -> str:
    """Return the section of near-duplicate pairs of test and training images, as HTML.

    The section is empty without near-duplicates.
    """
    if not summary["near_duplicates"]:
        return ""
    rows = [
        (escape(pair["test"]), escape(pair["train"]), f"{pair['correlation']:.4f}")
        for pair in summary["near_duplicates"]
    ]
    about = (
        f"{summary['num_near_duplicates']} test images nearly equal a training image. These pairs "
        "are the most similar."
    )
    header = ["test image", "training image", "correlation"]
    return section("Near-duplicates", about, table(header, rows, numbers=(2,)))


def _steps(steps: int | None) -> str:
    """Return a number of training steps as the end of a sentence; empty for None."""
    return "" if steps is None else f"; {steps:,} training steps"


def _gan_arm(summary: Mapping[str, Any]) -> str:
    """Return the method and synthetic fraction of the GAN arm, as text.

    If they were selected in each repeat, the text says how often each pair was selected.
    """
    values = summary["settings"]
    if summary["selected"] is None:
        return f"{values['gan']}, synthetic fraction {values['synthetic_fraction']:.0%}"
    counts = Counter((arm["gan"], arm["synthetic_fraction"]) for arm in summary["selected"])
    return "selected: " + ", ".join(
        f"{gan}, synthetic fraction {fraction:.0%}, in {count} of {counts.total()} repeats"
        for (gan, fraction), count in sorted(counts.items())
    )


def _settings(summary: Mapping[str, Any]) -> str:
    """Return the section of settings, as HTML."""
    values = summary["settings"]
    unlabeled = summary["num_unlabeled"]
    return settings_section(
        {
            "classifier": values["classifier"] + _steps(values["steps"]),
            "classic augmentation": values["transform"],
            "GAN": f"{_gan_arm(summary)}, added to the arm {values['base']}"
            + _steps(values["gan_steps"]),
            "labels per class": ", ".join(map(str, summary["class_counts"])),
            "unlabeled images": f"{unlabeled:,}" if unlabeled else "none",
            "number type of the networks": values["dtype"],
            "seed": str(values["seed"]),
        }
    )
