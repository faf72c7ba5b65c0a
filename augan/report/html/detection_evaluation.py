"""What a detector is worth on labeled data, as one HTML file."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from augan.data.dataset import plural
from augan.evaluation.detection.api import DetectionEvaluation
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
from augan.report.html.charts import histogram

SHOWN = 100  # files in the list of those that were left out


def write_detection_evaluation_page(evaluation: DetectionEvaluation) -> Path:
    """Write `report.html` into the folder of an evaluation, and return its path.

    Raises
    ------
    ConfigError
        The evaluation has no folder.
    DataError
        It cannot be written; everything else is complete by then.
    """
    summary = evaluation.summary
    if summary["out"] is None:
        raise ConfigError("this evaluation was not written to a folder; give one with out=")
    parts = [
        _head(summary),
        _distribution(evaluation),
        _methods(evaluation),
        _kinds(evaluation),
        _pixels(summary),
        _power(summary),
        _left_out(summary),
        _settings(summary),
    ]
    return write_page(Path(summary["out"]) / REPORT_FILE, _verdict(summary), parts)


def _verdict(summary: Mapping[str, Any]) -> str:
    found = summary["detected"]
    return f"{found['count']:,} of {found['n']:,} anomalies flagged"


def _head(summary: Mapping[str, Any]) -> str:
    alarms, samples = summary["false_alarms"], plural(summary["sample_type"])
    verdict = "as" if alarms["as_expected"] else "not as"
    figures = [
        ("anomalies flagged", f"{summary['detected']['rate']:.1%}", ""),
        ("false alarms", f"{alarms['rate']:.1%}", "" if alarms["as_expected"] else "alarm"),
        ("AUROC", f"{summary['auroc']['value']:.3f}", ""),
        (f"labeled {samples}", f"{summary['num_normal'] + summary['num_anomalies']:,}", ""),
    ]
    lede = (
        f"At a false-alarm rate of {summary['far']:.3g}, {alarms['count']:,} of {alarms['n']:,} "
        f"normal {samples} were flagged, {verdict} calibrated: {alarms['expected_low']} to "
        f"{alarms['expected_high']} are expected."
    )
    return page_header(
        "augan evaluate detection", _verdict(summary), lede, figures, summary["warnings"]
    )


def _distribution(evaluation: DetectionEvaluation) -> str:
    summary = evaluation.summary
    if not evaluation.normal.size or not evaluation.anomalous.size:
        return ""
    kinds = [
        ("flagged", "flagged"),
        ("new", "missed"),
        ("old", f"normal {plural(summary['sample_type'])}"),
    ]
    legend = "".join(f'<li><i class="{kind}"></i>{text}</li>' for kind, text in kinds)
    titles = ("Scores of the anomalies", f"Scores of the normal {plural(summary['sample_type'])}")
    figure = histogram(evaluation.normal, evaluation.anomalous, summary["threshold"], titles)
    about = (
        "Further right is more anomalous; the line was drawn by calibration, without these labels. "
        "Bars grow with the logarithm of their count, so that single ones can be seen."
    )
    return section("Scores", about, f'<ul class="legend">{legend}</ul>{figure}')


def _methods(evaluation: DetectionEvaluation) -> str:
    summary = evaluation.summary
    ours = {**summary, "method": f"{summary['method']}, this detector"}
    every = sorted([ours, *evaluation.baselines], key=lambda row: -row["auroc"]["value"])
    rows = [
        (
            f"<strong>{escape(row['method'])}</strong>" if row is ours else escape(row["method"]),
            f"{row['auroc']['value']:.3f}",
            f"{row['auroc']['low']:.3f} to {row['auroc']['high']:.3f}",
            f"{row['average_precision']:.3f}",
        )
        for row in every
    ]
    best = summary["best_f1"]
    fitted = (
        f"no baselines: {summary['baselines_skipped']}"
        if summary["baselines_skipped"]
        else f"baselines were fitted on {summary['num_baseline_training']:,} of the same training "
        f"{plural(summary['sample_type'])}"
    )
    about = (
        "AUROC is the chance that an anomaly scores more than a normal one, with its 95 % "
        f"interval; {escape(fitted)}. With a line that looks at these labels F1 would be "
        f"{best['value']:.3f}, which no honest line reaches."
    )
    header = ["method", "AUROC", "95 %", "average precision"]
    return section("Beside simple methods", about, table(header, rows, numbers=(1, 2, 3)))


def _kinds(evaluation: DetectionEvaluation) -> str:
    rows = [
        (
            escape(str(kind["type"])),
            f"{kind['count']:,}",
            f"{kind['auroc']['value']:.3f}",
            f"{kind['auroc']['low']:.3f} to {kind['auroc']['high']:.3f}",
            f"{kind['detected']['rate']:.1%}",
            f"{kind['detected']['low']:.1%} to {kind['detected']['high']:.1%}",
        )
        for kind in sorted(evaluation.anomaly_types, key=lambda kind: -kind["auroc"]["value"])
    ]
    about = f"Each kind of anomaly against all {evaluation.summary['num_normal']:,} normal ones."
    header = ["kind", "how many", "AUROC", "95 %", "flagged", "95 %"]
    body = table(header, rows, numbers=range(1, 6))
    return section("By kind", about, scrollable(body))


def _pixels(summary: Mapping[str, Any]) -> str:
    pixels = summary["pixels"]
    if pixels is None:
        return ""
    rows = [
        ("AUROC of pixels", f"{pixels['auroc']:.3f}"),
        (f"AUPRO, to a false-positive rate of {pixels['max_fpr']:g}", f"{pixels['aupro']:.3f}"),
    ]
    about = (
        f"Maps against masks: {pixels['num_images']:,} images, {pixels['num_anomalies']:,} of them "
        "with a marked defect."
    )
    return section("Where the defects are", about, table(["figure", ""], rows, numbers=(1,)))


def _power(summary: Mapping[str, Any]) -> str:
    power = summary["detection_limit"]
    if power is None:
        return ""
    sizes = list(dict.fromkeys(row["size"] for row in power["rows"]))
    caught = {(row["contrast"], row["size"]): row["rate"] for row in power["rows"]}
    rows = [
        (f"{contrast:g}", *(f"{caught[contrast, size]:.0%}" for size in sizes))
        for contrast in dict.fromkeys(row["contrast"] for row in power["rows"])
    ]
    about = (
        f"Spots painted on {power['num_images']:,} normal images, and the share that is flagged at "
        f"a rate of {power['rate']:g}: a row for each contrast, a column for each side in pixels."
    )
    header = ["contrast", *(f"{size} px" for size in sizes)]
    body = table(header, rows, numbers=range(1, len(header)))
    return section("Smallest spot", about, scrollable(body))


def _left_out(summary: Mapping[str, Any]) -> str:
    found = [(one["path"], one["reason"]) for one in summary["unreadable"]]
    found += [(name, "no label") for name in summary["unlabeled"]]
    if summary["pixels"] is not None:
        found += [(name, "no defect marked") for name in summary["pixels"]["without_mask"]]
    if not found:
        return ""
    more = f" {len(found) - SHOWN:,} more are not shown." if found[SHOWN:] else ""
    rows = [(escape(name), escape(why)) for name, why in found[:SHOWN]]
    return section("Left out", f"These do not count.{more}", table(["name", "why"], rows))


def _settings(summary: Mapping[str, Any]) -> str:
    others = [name for name in summary["methods"] if name != summary["method"]]
    groups = summary["num_groups"]
    return settings_section(
        {
            "method": summary["method"]
            + (f" (also in the model: {', '.join(others)})" if others else ""),
            "normal is": str(summary["normal"]),
            "flagged above": f"{summary['threshold']:.3g}",
            "groups": "" if groups is None else f"{groups:,}",
            "model": summary["bundle"],
            "seed": str(summary["seed"]),
            "all figures": f"{EVALUATION_FILE}, {SCORES_FILE}",
        }
    )
