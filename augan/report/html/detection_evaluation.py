"""HTML report of an evaluation of a detector."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from augan.choices import DETECTION_METHODS
from augan.data.dataset import plural
from augan.evaluation.detection.api import DetectionEvaluation
from augan.evaluation.detection.mistakes import Mistakes
from augan.exceptions import ConfigError
from augan.io.layout import EVALUATION_FILE, REPORT_FILE, SCORES_FILE
from augan.report.html.base import (
    page_header,
    scrollable,
    section,
    settings_section,
    table,
    write_page,
)
from augan.report.html.charts import Curve, histogram, unit_chart
from augan.report.html.detection import sample_card

MAX_SKIPPED = 100  # files in the list of skipped files


def write_detection_evaluation_page(result: DetectionEvaluation) -> Path:
    """Write `report.html` of an evaluation of a detector into its folder; return the path.

    Raises
    ------
    ConfigError
        The evaluation has no folder.
    DataError
        The page cannot be written. All other files of the evaluation are complete by then.
    """
    summary = result.summary
    if summary["out"] is None:
        raise ConfigError(
            "the evaluation was not written to a folder; pass out= to evaluate_detection"
        )
    parts = [
        _header(summary),
        _distribution(result),
        _curves(result),
        _mistakes(result),
        _methods(result),
        _anomaly_types(result),
        _pixels(summary),
        _detection_limit(summary),
        _skipped(summary),
        _settings(summary),
    ]
    return write_page(Path(summary["out"]) / REPORT_FILE, _title(summary), parts)


def _title(summary: Mapping[str, Any]) -> str:
    """Return the title of the page, with the number of flagged anomalies."""
    detected = summary["detected"]
    return f"{detected['count']:,} of {detected['n']:,} anomalies flagged"


def _header(summary: Mapping[str, Any]) -> str:
    """Return the top of the page with false alarms and key figures, as HTML."""
    alarms, samples = summary["false_alarms"], plural(summary["sample_type"])
    agreement = "as" if alarms["as_expected"] else "not as"
    figures = [
        ("anomalies flagged", f"{summary['detected']['rate']:.1%}", ""),
        ("false alarms", f"{alarms['rate']:.1%}", "" if alarms["as_expected"] else "alarm"),
        ("AUROC", f"{summary['auroc']['value']:.3f}", ""),
        (f"labeled {samples}", f"{summary['num_normal'] + summary['num_anomalies']:,}", ""),
    ]
    lede = (
        f"At a false-alarm rate of {summary['far']:.3g}, {alarms['count']:,} of {alarms['n']:,} "
        f"normal {samples} were flagged, {agreement} calibrated: {alarms['expected_low']} to "
        f"{alarms['expected_high']} are expected."
    )
    return page_header(
        "augan evaluate detection", _title(summary), lede, figures, summary["warnings"]
    )


def _distribution(result: DetectionEvaluation) -> str:
    """Return the section with the scores of anomalies and normal samples, as HTML."""
    summary = result.summary
    if not result.normal.size or not result.anomalous.size:
        return ""
    kinds = [
        ("flagged", "flagged"),
        ("new", "missed"),
        ("old", f"normal {plural(summary['sample_type'])}"),
    ]
    legend = "".join(f'<li><i class="{kind}"></i>{text}</li>' for kind, text in kinds)
    titles = ("Scores of the anomalies", f"Scores of the normal {plural(summary['sample_type'])}")
    figure = histogram(result.normal, result.anomalous, summary["threshold"], titles)
    about = (
        "A higher score is more anomalous. Calibration set the threshold, without these labels. "
        "The height of a bar is the logarithm of its count, so that single samples are visible."
    )
    return section("Scores", about, f'<ul class="legend">{legend}</ul>{figure}')


def _curves(result: DetectionEvaluation) -> str:
    """Return the section of the ROC curve and the precision-recall curve, as HTML."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    if not result.normal.size or not result.anomalous.size:
        return ""
    summary, samples = result.summary, plural(result.summary["sample_type"])
    scores = np.concatenate([result.normal, result.anomalous])
    is_anomaly = np.repeat([0, 1], [result.normal.size, result.anomalous.size])
    alarms, found, _ = roc_curve(is_anomaly, scores)
    precision, recall, _ = precision_recall_curve(is_anomaly, scores)
    share = result.anomalous.size / scores.size
    ends = np.array([0.0, 1.0])
    roc = [
        Curve(f"AUROC {summary['auroc']['value']:.3f}", "new", alarms, found),
        Curve("chance", "old", ends, ends),
    ]
    of_precision = [
        Curve(
            f"average precision {summary['average_precision']:.3f}",
            "new",
            recall[::-1],
            precision[::-1],
        ),
        Curve("chance", "old", ends, np.array([share, share])),
    ]
    about = (
        "Every threshold is one point. At the calibrated threshold "
        f"{summary['detected']['rate']:.1%} of the anomalies and "
        f"{summary['false_alarms']['rate']:.1%} of the normal {samples} are flagged. Precision "
        "depends on the share of anomalies among these samples."
    )
    body = unit_chart("Flagged anomalies", f"flagged normal {samples}", roc)
    body += unit_chart("Precision", "flagged anomalies (recall)", of_precision)
    return section("ROC and precision-recall curve", about, body)


def _mistakes(result: DetectionEvaluation) -> str:
    """Return the sections of missed anomalies and false alarms, as HTML; empty without any."""
    mistakes, samples = result.mistakes, plural(result.summary["sample_type"])
    kinds = (
        ("Missed anomalies", mistakes.missed, "The anomalies that were not flagged, the lowest"),
        ("False alarms", mistakes.false_alarms, f"The normal {samples} flagged, the highest"),
    )
    return "".join(
        section(title, f"{about} score first: {_shown(names, mistakes)}.", _cards(names, mistakes))
        for title, names, about in kinds
        if names
    )


def _shown(names: Sequence[str], mistakes: Mistakes) -> str:
    """Return how many of the mistakes of one kind are shown, and where the others are."""
    count = sum(name in mistakes.shown for name in names)
    all_of_them = f"{count:,} of {len(names):,}"
    return all_of_them if count == len(names) else f"{all_of_them}, all in {EVALUATION_FILE}"


def _cards(names: Sequence[str], mistakes: Mistakes) -> str:
    """Return the shown mistakes of one kind, as HTML: cards of images or a table of rows."""
    shown = [mistakes.shown[name] for name in names if name in mistakes.shown]
    if any(sample.thumbnail is not None for sample in shown):
        cards = "".join(
            sample_card(
                sample,
                has_overlay_file=sample.overlay is not None,
                label=mistakes.labels[sample.path],
            )
            for sample in shown
        )
        return f'<ol class="cards">{cards}</ol>'
    rows = [
        (
            escape(sample.path),
            escape(mistakes.labels[sample.path]),
            f"{sample.score:.3g}",
            f"{sample.p_value:.2g}",
        )
        for sample in shown
    ]
    return table(["row", "label", "score", "p-value"], rows, numbers=(2, 3))


def _methods(result: DetectionEvaluation) -> str:
    """Return the section that compares the detector with the baselines, as HTML."""
    summary = result.summary
    detector = {**summary, "method": f"{summary['method']}, this detector"}
    methods = sorted([detector, *result.baselines], key=lambda row: -row["auroc"]["value"])
    rows = [
        (
            f"<strong>{escape(row['method'])}</strong>"
            if row is detector
            else escape(row["method"]),
            f"{row['auroc']['value']:.3f}",
            f"{row['auroc']['low']:.3f} to {row['auroc']['high']:.3f}",
            f"{row['average_precision']:.3f}",
        )
        for row in methods
    ]
    best = summary["best_f1"]
    baselines = (
        f"no baselines: {summary['baselines_skipped']}"
        if summary["baselines_skipped"]
        else f"the baselines are fitted on {summary['num_baseline_training']:,} of the training "
        f"{plural(summary['sample_type'])}"
    )
    about = (
        "AUROC is the probability that an anomaly has a higher score than a normal sample, with "
        f"its 95 % interval; {escape(baselines)}. The best F1 is {best['value']:.3f}, an "
        "upper limit, because its threshold is chosen on these labels."
    )
    header = ["method", "AUROC", "95 %", "average precision"]
    return section("Comparison with baselines", about, table(header, rows, numbers=(1, 2, 3)))


def _anomaly_types(result: DetectionEvaluation) -> str:
    """Return the section with the metrics of each type of anomaly, as HTML."""
    rows = [
        (
            escape(str(kind["type"])),
            f"{kind['count']:,}",
            f"{kind['auroc']['value']:.3f}",
            f"{kind['auroc']['low']:.3f} to {kind['auroc']['high']:.3f}",
            f"{kind['detected']['rate']:.1%}",
            f"{kind['detected']['low']:.1%} to {kind['detected']['high']:.1%}",
        )
        for kind in sorted(result.anomaly_types, key=lambda kind: -kind["auroc"]["value"])
    ]
    about = f"Each type of anomaly against all {result.summary['num_normal']:,} normal samples."
    header = ["type", "number", "AUROC", "95 %", "flagged", "95 %"]
    body = table(header, rows, numbers=range(1, 6))
    return section("Types of anomalies", about, scrollable(body))


def _pixels(summary: Mapping[str, Any]) -> str:
    """Return the section on the pixel metrics of anomaly maps, as HTML; empty without masks."""
    pixels = summary["pixels"]
    if pixels is None:
        return ""
    rows = [
        ("pixel AUROC", f"{pixels['auroc']:.3f}"),
        (f"AUPRO, to a false-positive rate of {pixels['max_fpr']:g}", f"{pixels['aupro']:.3f}"),
    ]
    about = (
        f"Anomaly maps compared with the masks of {pixels['num_images']:,} images, "
        f"{pixels['num_anomalies']:,} of them with a defect."
    )
    return section("Localization of defects", about, table(["metric", ""], rows, numbers=(1,)))


def _detection_limit(summary: Mapping[str, Any]) -> str:
    """Return the section on the detected share of painted spots, as HTML; empty if not measured."""
    limit = summary["detection_limit"]
    if limit is None:
        return ""
    sizes = list(dict.fromkeys(row["size"] for row in limit["rows"]))
    rates = {(row["contrast"], row["size"]): row["rate"] for row in limit["rows"]}
    rows = [
        (f"{contrast:g}", *(f"{rates[contrast, size]:.0%}" for size in sizes))
        for contrast in dict.fromkeys(row["contrast"] for row in limit["rows"])
    ]
    about = (
        f"Share of {limit['num_images']:,} normal images with a painted spot that are flagged at "
        f"a false-alarm rate of {limit['rate']:g}: a row for each contrast of the spot, a column "
        "for each side in pixels."
    )
    header = ["contrast", *(f"{size} px" for size in sizes)]
    body = table(header, rows, numbers=range(1, len(header)))
    return section("Detection limit", about, scrollable(body))


def _skipped(summary: Mapping[str, Any]) -> str:
    """Return the section of files that the metrics leave out, as HTML; empty if there are none."""
    skipped = [(file["path"], file["reason"]) for file in summary["unreadable"]]
    skipped += [(file["path"], file["reason"]) for file in summary.get("not_looked_at", ())]
    skipped += [(name, "no label") for name in summary["unlabeled"]]
    if summary["pixels"] is not None:
        skipped += [(name, "no defect in the mask") for name in summary["pixels"]["without_mask"]]
    if not skipped:
        return ""
    num_more = len(skipped) - MAX_SKIPPED
    about = "The metrics leave these out." + (f" {num_more:,} more exist." if num_more > 0 else "")
    rows = [(escape(name), escape(reason)) for name, reason in skipped[:MAX_SKIPPED]]
    return section("Skipped", about, table(["file", "reason"], rows))


def _settings(summary: Mapping[str, Any]) -> str:
    """Return the section of settings, as HTML."""
    others = [name for name in summary["methods"] if name != summary["method"]]
    groups = summary["num_groups"]
    return settings_section(
        {
            "method": summary["method"]
            + (f" (also in the bundle: {', '.join(others)})" if others else ""),
            "score": DETECTION_METHODS.get(summary["method"]).description,
            "label of normal samples": str(summary["normal"]),
            "threshold": f"{summary['threshold']:.3g}",
            "groups": "" if groups is None else f"{groups:,}",
            "bundle": summary["bundle"],
            "seed": str(summary["seed"]),
            "all metrics": f"{EVALUATION_FILE}, {SCORES_FILE}",
        }
    )
