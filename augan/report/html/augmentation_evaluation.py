"""What an evaluation of lift found, as one HTML file."""

from collections import Counter
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augan.evaluation.augmentation.experiment import AugmentationGain, format_points
from augan.io.layout import PREVIEW_FILE, REPORT_FILE
from augan.report.html.base import (
    data_uri,
    page_header,
    scrollable,
    section,
    settings_section,
    table,
    write_page,
)
from augan.report.html.charts import strip_plot
from augan.report.text import format_secondary_gains

HOW_MADE = {
    "sample": "drawn from noise",
    "interpolate": "drawn between the codes of two real ones of the class",
    "transfer": "real ones, changed as others differ: each resembles the one that it is made of",
}


def write_augmentation_evaluation_page(lift: AugmentationGain) -> Path:
    """Write `report.html` into the folder of the evaluation, and return its path.

    Raises
    ------
    DataError
        It cannot be written; everything else is complete by then.
    """
    summary = lift.summary
    parts = [_head(lift), _arms(lift), _figures(lift), _recall(lift), _gallery(summary)]
    parts += [_twins(summary), _settings(summary)]
    return write_page(
        Path(summary["out"]) / REPORT_FILE, f"{_verdict(lift)} - {summary['data']}", parts
    )


def _verdict(lift: AugmentationGain) -> str:
    if lift.is_significant:
        return f"A lift of {format_points(lift.summary['gain'])} points"
    return "No evidence of benefit"


def _head(lift: AugmentationGain) -> str:
    summary = lift.summary
    figures = [
        ("points over the best without", format_points(summary["gain"]), ""),
        ("repeats", f"{summary['num_repeats']}", ""),
        ("test images", f"{summary['num_test']:,}", ""),
        ("labels in a repeat", f"{sum(summary['class_counts']):,}", ""),
    ]
    lede = (
        ". ".join([_capital(lift.sentence), *map(_capital, format_secondary_gains(summary))]) + "."
    )
    command = f"augan evaluate augmentation &middot; {escape(summary['data'])}"
    return page_header(command, _verdict(lift), lede, figures, summary["warnings"])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _arms(lift: AugmentationGain) -> str:
    rows = sorted(lift.arms, key=lambda row: -row["balanced_accuracy"])
    figure = strip_plot(
        [(row["label"], row["by_repeat"], "new" if row["arm"] == "gan" else "old") for row in rows]
    )
    about = (
        "Balanced accuracy on the test images: a dot for each draw of labels, a bar at the mean. "
        "All arms train for as long, on the same labels."
    )
    return section("Arms", about, figure)


def _figures(lift: AugmentationGain) -> str:
    rows = []
    for row in lift.arms:
        ahead = row["gan_minus_arm"]
        rows.append(
            (
                f"{escape(row['arm'])}<small>{escape(row['label'])}</small>",
                f"{row['balanced_accuracy']:.1%}",
                f"{100 * row['std']:.1f}",
                f"{row['accuracy']:.1%}",
                f"{row['macro_f1']:.1%}",
                ""
                if ahead is None
                else f"{format_points(ahead['value'])} [{100 * ahead['low']:.1f}, "
                f"{100 * ahead['high']:.1f}]",
            )
        )
    header = ["arm", "balanced accuracy", "spread", "accuracy", "macro-F1", "gan minus this"]
    about = (
        "Means of the draws; the spread is their standard deviation in points. The interval of the "
        "lift reaches down to the lowest bound of the last column."
    )
    return section("Figures", about, scrollable(table(header, rows, numbers=range(1, 6))))


def _recall(lift: AugmentationGain) -> str:
    names = lift.summary["class_names"]
    rows = [
        (
            escape(name),
            f"{lift.summary['class_counts'][place]:,}",
            *(f"{row['recall'][name]:.1%}" for row in lift.arms),
        )
        for place, name in enumerate(names)
    ]
    header = ["class", "labels", *(escape(row["arm"]) for row in lift.arms)]
    about = "Share of each class's test images that were recognised."
    return section(
        "By class", about, scrollable(table(header, rows, numbers=range(1, len(header))))
    )


def _gallery(summary: Mapping[str, Any]) -> str:
    path = Path(summary["out"]) / PREVIEW_FILE
    if not path.exists():
        return ""
    with Image.open(path) as picture:
        sheet = np.asarray(picture)
    about = (
        "The first draw, a row for each class: real images left, synthetic ones right "
        f"({escape(HOW_MADE.get(summary['settings']['gan'], ''))})."
    )
    alt = "real and synthetic images of each class"
    return section("Gallery", about, f'<img class="sheet" alt="{alt}" src="{data_uri(sheet)}">')


def _twins(summary: Mapping[str, Any]) -> str:
    if not summary["near_duplicates"]:
        return ""
    rows = [
        (escape(one["test"]), escape(one["train"]), f"{one['correlation']:.4f}")
        for one in summary["near_duplicates"]
    ]
    about = (
        f"{summary['num_near_duplicates']} test images nearly equal images that were trained on; "
        "these are the most alike."
    )
    header = ["test image", "seen image", "correlation"]
    return section("Near-duplicates", about, table(header, rows, numbers=(2,)))


def _updates(steps: int | None) -> str:
    return "" if steps is None else f"; {steps:,} updates"


def _taken(summary: Mapping[str, Any]) -> str:
    """Say which GAN was judged and what share of its classes it drew, or how often each was."""
    if summary["selected"] is None:
        given = summary["settings"]
        return f"{given['gan']}, {given['synthetic_fraction']:.0%} of the draws of its classes"
    times = Counter((one["gan"], one["synthetic_fraction"]) for one in summary["selected"])
    return "chosen: " + ", ".join(
        f"{gan} at {share:.0%} of the draws of its classes in {count} of {times.total()} draws"
        for (gan, share), count in sorted(times.items())
    )


def _settings(summary: Mapping[str, Any]) -> str:
    given = summary["settings"]
    unlabeled = summary["num_unlabeled"]
    return settings_section(
        {
            "classifier": given["classifier"] + _updates(given["steps"]),
            "classic augmentation": given["policy"],
            "GAN": f"{_taken(summary)}, on top of {given['base']}" + _updates(given["gan_steps"]),
            "labels of each class": ", ".join(map(str, summary["class_counts"])),
            "unlabeled images": f"{unlabeled:,}" if unlabeled else "none",
            "seed": str(given["seed"]),
        }
    )
