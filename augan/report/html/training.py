"""What a training left behind, as one HTML file in its run folder."""

import json
import math
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augan.bundle import Bundle
from augan.data.dataset import plural
from augan.data.modalities.registry import restore_preprocessing
from augan.io.layout import METRICS_LOG_FILE, REPORT_FILE, RUN_SUMMARY_FILE, SAMPLES_FOLDER
from augan.report.html.base import (
    data_uri,
    page_header,
    scrollable,
    section,
    settings_section,
    table,
    write_page,
)
from augan.report.html.charts import Curve, line_chart
from augan.report.text import describe_guarantee

MEASURED = 10  # of the measurements in the table
LOSSES = {"d_loss": ("discriminator", "flagged"), "g_loss": ("generator", "new")}
MEANINGS = {
    "gan": "generator and discriminator",
    "encoder": "finds the code of an image, as f-AnoGAN does",
    "classifier": "of real images alone: judges what is generated",
    "rotation": "tells turned images apart: its features measure fidelity",
}


def write_training_page(bundle: Bundle) -> Path:
    """Write `report.html` into the run folder of a bundle, and return its path.

    Raises
    ------
    BundleError
        The bundle is in no folder.
    DataError
        The page cannot be written; everything else is complete by then.
    """
    run = bundle.saved_path().parent
    log = list(_entries(run / METRICS_LOG_FILE))
    parts = [
        _head(bundle, run),
        _pictures(run),
        _losses(log),
        _fidelity(bundle),
        _parts(bundle, run),
        _settings(bundle),
    ]
    return write_page(run / REPORT_FILE, f"{_verdict(bundle)} - {bundle.data['name']}", parts)


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a log; one that is torn is passed over."""
    if not path.exists():
        return
    for line in path.read_text("utf-8", "replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and {"part", "step"} <= entry.keys():
            yield entry


def _trainings(bundle: Bundle) -> list[dict[str, Any]]:
    """Return the figures of the training, or those of each fold."""
    return bundle.metrics.get("folds") or [bundle.metrics]


def _sample_type(bundle: Bundle) -> str:
    return str(restore_preprocessing(bundle.preprocessing).sample_type)


def _verdict(bundle: Bundle) -> str:
    data, samples = bundle.data, plural(_sample_type(bundle))
    classes = len(data.get("class_names", ()))
    of = f" of {classes} classes" if classes > 1 else ""
    return f"Trained on {data['num_samples']:,} {samples}{of}"


def _head(bundle: Bundle, run: Path) -> str:
    data, trainings = bundle.data, _trainings(bundle)
    accuracy = bundle.metrics.get("classifier")
    figures = [
        (plural(_sample_type(bundle)), f"{data['num_samples']:,}", ""),
        ("updates of the GAN", f"{trainings[0]['steps']['gan']:,}", ""),
        ("minutes", f"{sum(_seconds(run).values()) / 60:.1f}", ""),
    ]
    if len(trainings) > 1:
        figures.append(("folds", str(len(trainings)), ""))
    if accuracy:
        figures.append(("held-out, classifier right", f"{accuracy['accuracy']:.1%}", ""))
    lede = describe_guarantee(bundle) or "It draws new images, and detects nothing."
    command = f"augan train &middot; {escape(str(data['name']))}"
    return page_header(command, _verdict(bundle), lede, figures, bundle.metrics.get("warnings", ()))


def _seconds(run: Path) -> dict[str, float]:
    try:
        found = json.loads((run / RUN_SUMMARY_FILE).read_text("utf-8"))["seconds"]
        return {str(part): float(seconds) for part, seconds in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _pictures(run: Path) -> str:
    sheets = sorted((run / SAMPLES_FOLDER).glob("**/step_*.png"))
    if not sheets:
        return ""
    last = [sheet for sheet in sheets if sheet.parent == sheets[0].parent][-1]
    with Image.open(last) as picture:
        sheet = np.asarray(picture)
    about = (
        "Drawn by the generator that the bundle holds, unfiltered: a row for each class, where "
        "there are classes. Rows that look alike, or images that repeat, are a bad sign."
    )
    alt = "images that the generator draws, a row for each class"
    return section("Drawn", about, f'<img class="sheet" alt="{alt}" src="{data_uri(sheet)}">')


def _losses(log: list[dict[str, Any]]) -> str:
    part = next((entry["part"] for entry in log if str(entry["part"]).endswith("gan")), None)
    lines = []
    for name, (player, kind) in LOSSES.items():
        found = [
            (entry["step"], entry[name])
            for entry in log
            if entry["part"] == part and math.isfinite(entry.get(name) or math.nan)
        ]
        if found:
            steps, values = np.array(found, float).T
            lines.append(Curve(f"loss of the {player}", kind, steps, values))
    if not lines:
        return ""
    of = "" if part == "gan" else f" Of {escape(str(part)).removesuffix(' gan')}."
    about = (
        "Two players: neither has to fall, but neither should run away. The outermost values are "
        f"cut off.{of}"
    )
    return section("Losses", about, line_chart("loss, by update of the GAN", lines))


def _fidelity(bundle: Bundle) -> str:
    found = [one for one in _trainings(bundle) if one.get("fidelity")]
    if not found:
        return ""
    first, figures = found[0], found[0]["fidelity"]
    samples = plural(_sample_type(bundle))
    rows = [
        ("this generator", f"{figures['kernel_distance']:.3f}", f"{figures['coverage']:.0%}"),
        (
            f"real {samples} against real ones",
            f"{figures['floor']['kernel_distance']:.3f}",
            f"{figures['floor']['coverage']:.0%}",
        ),
        ("before training", f"{figures['untrained_kernel_distance']:.3f}", ""),
    ]
    about = (
        f"Generated {samples} beside {figures['n_real']:,} real ones that no network was trained on"
        f"{', which are few' if figures['few'] else ''}. The kernel distance is 0 where nothing "
        "tells them apart; coverage is the share of real ones with a generated one nearby. The "
        "bundle holds the weights of the best measurement."
    )
    body = table(["", "kernel distance", "coverage"], rows, numbers=(1, 2))
    return section("Fidelity", about, _distances(first, figures) + body + _health(first))


def _distances(training: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    health = training.get("gan_metrics") or []
    if len(health) < 2:
        return ""
    steps = np.array([0, *(row["step"] for row in health)], float)
    distances = [row["kernel_distance"] for row in health]
    values = np.array([figures["untrained_kernel_distance"], *distances], float)
    line = Curve("kernel distance to held-out real ones", "new", steps, values)
    return line_chart("kernel distance, by update of the GAN", [line], log=True)


def _health(training: Mapping[str, Any]) -> str:
    health = training.get("gan_metrics") or []
    if not health:
        return ""
    places = np.unique(np.linspace(0, len(health) - 1, MEASURED).round().astype(int))
    rows = [
        (
            f"{row['step']:,}",
            _figure(row["kernel_distance"], ".3f"),
            _figure(row["coverage"], ".0%"),
            _figure(row["diversity"], ".2f"),
            _figure(row["r_t"], ".2f"),
            _figure(row["r_v"], ".2f"),
        )
        for row in (health[place] for place in places)
    ]
    names = [
        "update",
        "kernel distance",
        "coverage",
        "diversity<small>1 is that of real ones; near 0 all are alike</small>",
        "r_t<small>training images judged real, less those judged fake</small>",
        "r_v<small>0: held-out ones judged like these; 1: like generated ones</small>",
    ]
    about = '<p class="about">What the monitor measured on the way:</p>'
    return about + scrollable(table(names, rows, numbers=range(6)))


def _figure(value: float | None, form: str) -> str:
    """Return a figure as text; what could not be measured, or is no number, is left open."""
    return "" if value is None else format(value, form)


def _parts(bundle: Bundle, run: Path) -> str:
    seconds, steps = _seconds(run), _trainings(bundle)[0]["steps"]
    total = sum(seconds.values())
    if not total:
        return ""
    rows = [
        (
            f"{escape(part)}<small>{MEANINGS.get(part, '')}</small>",
            f"{steps[part]:,}" if part in steps else "",
            f"{spent:.1f}",
            f"{spent / total:.0%}",
        )
        for part, spent in seconds.items()
    ]
    header = ["part", "updates", "seconds", "share"]
    return section("Where the time went", "", table(header, rows, numbers=(1, 2, 3)))


def _settings(bundle: Bundle) -> str:
    config, data = bundle.config, bundle.data
    names, counts = data.get("class_names", []), data.get("class_counts", [])
    classes = ", ".join(f"{name} ({count:,})" for name, count in zip(names, counts))
    values = {
        "task": config["task"],
        "seen as": restore_preprocessing(bundle.preprocessing).describe(),
        "classes": classes if len(names) > 1 else "",
        "unlabeled": f"{data.get('num_unlabeled', 0):,}" if data.get("num_unlabeled") else "",
        "seed": str(config["seed"]),
        "all settings": "config.yaml",
        "model": bundle.bundle_id,
    }
    return settings_section(values)
