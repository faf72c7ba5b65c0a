"""HTML report of an evaluation of translation to a new camera."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from augan.evaluation.augmentation.result import format_points
from augan.evaluation.translation.result import TranslationGain
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
from augan.report.html.translation import preview_section

MAX_CONFUSIONS = 10  # rows of the table of confusions
_NAMES = {"without_adabn": "without AdaBN", "with_adabn": "with AdaBN on both sides"}


def write_translation_evaluation_page(result: TranslationGain) -> Path:
    """Write `report.html` of an evaluation of translation into its folder, and return the path.

    Raises
    ------
    DataError
        The page cannot be written. All other files of the evaluation are complete by then.
    """
    summary = result.summary
    out = Path(summary["out"])
    parts = [
        _header(result),
        _selection(result),
        _arms(result),
        _comparisons(result),
        preview_section(out / PREVIEW_FILE),
        _recall(result),
        _confusions(result),
        _settings(summary),
    ]
    return write_page(out / REPORT_FILE, f"{_title(result)} - {summary['data']}", parts)


def _title(result: TranslationGain) -> str:
    """Return the title of the page, which says whether translated images help."""
    if result.is_significant:
        return f"A gain of {format_points(result.summary['gain'])} points"
    return "No evidence that translated images help"


def _row_of(result: TranslationGain, key: str) -> dict[str, Any]:
    """Return the row of the arm with a key."""
    return next(row for row in result.arms if row["key"] == key)


def _header(result: TranslationGain) -> str:
    """Return the top of the page with the result and the key figures, as HTML."""
    summary = result.summary
    chosen = _row_of(result, summary["chosen"])
    figures = [
        ("points of the GAN above the best arm without", format_points(summary["gain"]), ""),
        ("balanced accuracy of the chosen arm", f"{chosen['balanced_accuracy']:.1%}", ""),
        ("recall of the missing classes", f"{chosen['missing_recall']:.1%}", ""),
        ("repeats", f"{len(chosen['by_repeat'])}", ""),
    ]
    sentence = result.sentence[:1].upper() + result.sentence[1:] + "."
    command = f"augan evaluate augmentation --translate-to &middot; {escape(summary['data'])}"
    return page_header(command, _title(result), sentence, figures, summary["warnings"])


def _selection(result: TranslationGain) -> str:
    """Return the section on the choice of the arm by hidden classes, as HTML; empty without."""
    groups = result.summary["hidden_groups"]
    if not groups:
        return ""
    rows = [
        (
            escape(row["label"]) + (" (chosen)" if row["key"] == result.summary["chosen"] else ""),
            f"{row['hidden_accuracy']:.1%}",
            f"{row['balanced_accuracy']:.1%}",
        )
        for row in sorted(result.arms, key=lambda row: -row["hidden_accuracy"])
    ]
    names = " and ".join(escape(", ".join(group)) for group in groups)
    about = (
        "The arm is chosen without labels of the missing classes. Common classes were hidden on "
        f"the new camera in turn ({names}), and all arms were compared on their real labels. The "
        "last column was not used for the choice."
    )
    header = ["arm", "hidden classes", "test images"]
    return section("Choice of the arm", about, scrollable(table(header, rows, numbers=(1, 2))))


def _arms(result: TranslationGain) -> str:
    """Return the section with a strip plot of balanced accuracy by arm, as HTML."""
    rows = sorted(result.arms, key=lambda row: -row["balanced_accuracy"])
    figure = strip_plot(
        [(row["label"], row["by_repeat"], "old" if row["share"] is None else "new") for row in rows]
    )
    about = (
        "Balanced accuracy on the test images of the new camera: a dot for each repeat, a bar at "
        "the mean. All arms train for the same number of steps. AdaBN computes the statistics of "
        "the batch normalization again, on images of the new camera that are no test images."
    )
    return section("Arms", about, figure)


def _comparisons(result: TranslationGain) -> str:
    """Return the section that compares the arms with and without a translator, as HTML."""
    rows = [
        (
            _NAMES[name],
            escape(_row_of(result, values["gan"])["label"]),
            escape(_row_of(result, values["rival"])["label"]),
            f"{format_points(values['value'])} [{100 * values['low']:.1f}, "
            f"{100 * values['high']:.1f}]",
        )
        for name, values in result.summary["comparisons"].items()
    ]
    about = (
        "The best arm with a translator minus the best arm without, in points of balanced "
        "accuracy with a 95 % interval. Both were chosen as above."
    )
    header = ["", "with a translator", "without a translator", "difference"]
    return section("Gain", about, scrollable(table(header, rows, numbers=(3,))))


def _compared(result: TranslationGain) -> Sequence[str]:
    """Return the keys of the best arms without and with a translator."""
    return result.summary["rival"], result.summary["gan"]


def _recall(result: TranslationGain) -> str:
    """Return the section with the recall of each class for the two compared arms, as HTML."""
    rival, gan = (_row_of(result, key) for key in _compared(result))
    missing = set(result.summary["missing"])
    rows = [
        (
            escape(name) + (" (missing)" if name in missing else ""),
            f"{rival['recall'][name]:.1%}",
            f"{gan['recall'][name]:.1%}",
            format_points(gan["recall"][name] - rival["recall"][name]),
        )
        for name in result.summary["class_names"]
    ]
    header = ["class", escape(rival["label"]), escape(gan["label"]), "difference in points"]
    about = "Recall: the share of the test images of each class that are classified correctly."
    return section(
        "Recall of each class", about, scrollable(table(header, rows, numbers=(1, 2, 3)))
    )


def _confusions(result: TranslationGain) -> str:
    """Return the section with the confusions that translation changes most, as HTML."""
    names = result.summary["class_names"]
    before, after = (result.summary["confusions"][key] for key in _compared(result))
    changes = sorted(
        (after[i][j] - before[i][j], i, j)
        for i in range(len(names))
        for j in range(len(names))
        if i != j and after[i][j] != before[i][j]
    )
    removed = [change for change in changes if change[0] < 0][:MAX_CONFUSIONS]
    added = [change for change in reversed(changes) if change[0] > 0][:MAX_CONFUSIONS]
    if not removed and not added:
        return ""
    rows = [
        (escape(names[i]), escape(names[j]), f"{before[i][j]:.1%}", f"{after[i][j]:.1%}")
        for _, i, j in (*removed, *added)
    ]
    about = (
        "The shares of the test images of a class that are classified as another class, without "
        "and with translated images. First those that translation removes, then those that it "
        "adds."
    )
    header = ["class", "classified as", "without a translator", "with a translator"]
    return section("Confusions", about, scrollable(table(header, rows, numbers=(2, 3))))


def _settings(summary: dict[str, Any]) -> str:
    """Return the section of settings, as HTML."""
    values = {
        name.replace("_", " "): str(value)
        for name, value in summary.get("settings", {}).items()
        if isinstance(value, str | int | float) and name != "augan"
    }
    return settings_section({"missing classes": ", ".join(summary["missing"]), **values})
