"""HTML report of a training."""

import json
import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augan.bundle import Bundle, GeneratorFidelity, TrainingMetrics
from augan.data.dataset import plural
from augan.io.images import data_uri
from augan.io.layout import METRICS_LOG_FILE, REPORT_FILE, RUN_SUMMARY_FILE, SAMPLES_FOLDER
from augan.report.html.base import (
    page_header,
    scrollable,
    section,
    settings_section,
    table,
    write_page,
)
from augan.report.html.charts import Curve, line_chart
from augan.report.html.translation import translation_sections
from augan.report.text import guarantee_sentence
from augan.training.stages.base import STAGES

MAX_METRICS_ROWS = 10
# Stage -> name of the loss in the log -> name and color of its curve.
_LOSSES = {
    "gan": {
        "d_loss": ("loss of the discriminator", "flagged"),
        "g_loss": ("loss of the generator", "new"),
    },
    "translation": {
        "discriminator_loss": ("loss of the discriminator", "flagged"),
        "translator_loss": ("loss of the translator", "new"),
        "cycle_loss": ("loss of the cycle", "old"),
    },
}


def write_training_page(bundle: Bundle) -> Path:
    """Write `report.html` of a training into the run folder of its bundle; return the path.

    Raises
    ------
    BundleError
        The bundle is not saved in a folder.
    DataError
        The page cannot be written. All other files of the run are complete by then.
    """
    run = bundle.saved_path().parent
    log = list(_entries(run / METRICS_LOG_FILE))
    parts = [
        _header(bundle, run),
        *(translation_sections(bundle, run) if bundle.translation is not None else ()),
        _samples(run),
        _losses(log),
        _fidelity(bundle),
        _classes(bundle),
        _stages(bundle, run),
        _settings(bundle),
    ]
    return write_page(run / REPORT_FILE, f"{_title(bundle)} - {bundle.data.name}", parts)


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of `metrics.jsonl`, without lines that an interruption left incomplete."""
    if not path.exists():
        return
    for line in path.read_text("utf-8", "replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and {"stage", "step"} <= entry.keys():
            yield entry


def _trainings(bundle: Bundle) -> Sequence[TrainingMetrics]:
    """Return the metrics of each fold; of a plain training, the metrics of the bundle."""
    return bundle.metrics.folds or [bundle.metrics]


def _sample_type(bundle: Bundle) -> str:
    """Return the type of the training samples, "image" or "row"."""
    return bundle.preprocessing.sample_type


def _title(bundle: Bundle) -> str:
    """Return the title of the page, with the number of training samples and classes."""
    data, samples = bundle.data, plural(_sample_type(bundle))
    if bundle.translation is not None:
        new = bundle.translation.data
        return f"Translation of {data.num_samples:,} images to the look of {new.num_samples:,}"
    num_classes = len(data.class_names)
    classes = f" of {num_classes} classes" if num_classes > 1 else ""
    return f"Trained on {data.num_samples:,} {samples}{classes}"


def _header(bundle: Bundle, run: Path) -> str:
    """Return the top of the page with the guarantee and the key figures, as HTML."""
    data, trainings = bundle.data, _trainings(bundle)
    classifier = bundle.metrics.classifier
    figures = [
        (plural(_sample_type(bundle)), f"{data.num_samples:,}", ""),
        *_step_figures(trainings[0]),
        ("minutes", f"{sum(_seconds(run).values()) / 60:.1f}", ""),
    ]
    if len(trainings) > 1:
        figures.append(("folds", str(len(trainings)), ""))
    if classifier is not None:
        figures.append(("classifier accuracy, held-out", f"{classifier.accuracy:.1%}", ""))
    lede = guarantee_sentence(bundle) or _without_detector(bundle)
    command = f"augan train &middot; {escape(data.name)}"
    warnings = bundle.metrics.warnings
    return page_header(command, _title(bundle), lede, figures, warnings)


def _classes(bundle: Bundle) -> str:
    """Return the section with the accuracy of the classifier by class, as HTML; maybe empty."""
    classifier = bundle.metrics.classifier
    if classifier is None or not classifier.by_class:
        return ""
    pairs = zip(bundle.data.class_names, classifier.by_class)
    rows = [
        (escape(name), "none held out" if value is None else f"{value:.1%}")
        for name, value in pairs
    ]
    about = (
        f"Of {classifier.n:,} held-out real {plural(_sample_type(bundle))}, "
        f"{classifier.accuracy:.1%} are classified correctly; of each class:"
    )
    body = table(["class", "accuracy"], rows, numbers=(1,))
    return section("Accuracy of the classifier", about, scrollable(body))


def _step_figures(training: TrainingMetrics) -> list[tuple[str, str, str]]:
    """Return the key figure with the number of steps of the adversarial stage."""
    names = {"gan": "GAN steps", "translation": "translation steps"}
    return [
        (names[stage], f"{count:,}", "")
        for stage, count in training.steps.items()
        if stage in names
    ]


def _without_detector(bundle: Bundle) -> str:
    """Return the sentence on the use of a bundle without a detector."""
    if bundle.translation is None:
        return f"The bundle generates {plural(_sample_type(bundle))}. It has no detector."
    common = len(bundle.translation.common_classes)
    classes = f"{common} classes that both cameras have" if common else "images without classes"
    return (
        f"The bundle translates images of {bundle.data.name} to the look of "
        f"{bundle.translation.data.name}. It was trained on {classes}."
    )


def _seconds(run: Path) -> dict[str, float]:
    """Return the seconds of each stage from the summary of a run.

    The result is empty if the summary is missing or damaged.
    """
    try:
        seconds = json.loads((run / RUN_SUMMARY_FILE).read_text("utf-8"))["seconds"]
        return {str(stage): float(value) for stage, value in seconds.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _samples(run: Path) -> str:
    """Return the section with the last sample grid, as HTML; empty without sample grids."""
    paths = sorted((run / SAMPLES_FOLDER).glob("**/step_*.png"))
    if not paths:
        return ""
    last = [path for path in paths if path.parent == paths[0].parent][-1]
    with Image.open(last) as image:
        grid = np.asarray(image)
    about = (
        "Unfiltered samples of the generator in the bundle, a row for each class if there are "
        "classes. Rows that look alike, or images that repeat, are a bad sign."
    )
    alt = "generated images, a row for each class"
    image_tag = f'<img class="sheet" alt="{alt}" src="{data_uri(grid)}">'
    return section("Generated images", about, image_tag)


def _losses(log: list[dict[str, Any]]) -> str:
    """Return the section with the losses of the adversarial stage (of the first fold), as HTML."""
    entries = [(entry, str(entry["stage"]).split()[-1]) for entry in log]
    stage = next((entry["stage"] for entry, name in entries if name in _LOSSES), None)
    losses = _LOSSES[str(stage).split()[-1]] if stage else {}
    curves = []
    for key, (name, kind) in losses.items():
        points = [
            (entry["step"], entry[key])
            for entry in log
            if entry["stage"] == stage and math.isfinite(entry.get(key) or math.nan)
        ]
        if points:
            steps, values = np.array(points, float).T
            curves.append(Curve(name, kind, steps, values))
    if not curves:
        return ""
    fold, _, name = str(stage).rpartition(" ")
    about = (
        f"{'Translator' if name == 'translation' else 'Generator'} and discriminator train against "
        "each other: neither loss has to fall, but neither should grow without limit. Extreme "
        f"values are clipped.{f' This is {escape(fold)}.' if fold else ''}"
    )
    return section("Losses", about, line_chart(f"loss, by step of the {name} stage", curves))


def _fidelity(bundle: Bundle) -> str:
    """Return the section on the fidelity of generated samples, as HTML; empty if not measured."""
    training = next((one for one in _trainings(bundle) if one.fidelity is not None), None)
    fidelity = None if training is None else training.fidelity
    if training is None or fidelity is None:
        return ""
    samples = plural(_sample_type(bundle))
    rows = [
        ("this generator", f"{fidelity.kernel_distance:.3f}", f"{fidelity.coverage:.0%}"),
        (
            f"real {samples} against real ones",
            f"{fidelity.floor.kernel_distance:.3f}",
            f"{fidelity.floor.coverage:.0%}",
        ),
        ("before training", f"{fidelity.untrained_kernel_distance:.3f}", ""),
    ]
    about = (
        f"Generated {samples} compared with {fidelity.n_real:,} held-out real ones"
        f"{', which are few' if fidelity.is_small_sample else ''}. The kernel distance is 0 if "
        f"both have the same distribution. Coverage is the share of real {samples} with a "
        "generated one nearby. The bundle has the weights with the smallest kernel distance."
    )
    body = table(["", "kernel distance", "coverage"], rows, numbers=(1, 2))
    return section(
        "Fidelity", about, _distances(training, fidelity) + body + _metrics_table(training)
    )


def _distances(training: TrainingMetrics, fidelity: GeneratorFidelity) -> str:
    """Return a chart of the kernel distance by step, as HTML; empty with fewer than two values."""
    metrics = training.gan_metrics
    if len(metrics) < 2:
        return ""
    steps = np.array([0, *(row.step for row in metrics)], float)
    distances = (row.kernel_distance for row in metrics)
    values = np.array([fidelity.untrained_kernel_distance, *distances], float)
    curve = Curve("kernel distance to held-out real ones", "new", steps, values)
    return line_chart("kernel distance, by GAN step", [curve], log=True)


def _metrics_table(training: TrainingMetrics) -> str:
    """Return a table of evaluations during the training, as HTML, at most `MAX_METRICS_ROWS`."""
    metrics = training.gan_metrics
    if not metrics:
        return ""
    chosen = np.unique(np.linspace(0, len(metrics) - 1, MAX_METRICS_ROWS).round().astype(int))
    rows = [
        (
            f"{row.step:,}",
            f"{row.kernel_distance:.3f}",
            f"{row.coverage:.0%}",
            f"{row.diversity:.2f}",
            f"{row.r_t:.2f}",
            f"{row.r_v:.2f}",
        )
        for row in (metrics[index] for index in chosen)
    ]
    header = [
        "GAN step",
        "kernel distance",
        "coverage",
        "diversity<small>1: as real ones; near 0: all are alike</small>",
        "r_t<small>share of training images classified as real, minus those as fake</small>",
        "r_v<small>held-out images are classified: 0 as training images, 1 as generated</small>",
    ]
    about = '<p class="about">Metrics during the training:</p>'
    return about + scrollable(table(header, rows, numbers=range(6)))


def _stages(bundle: Bundle, run: Path) -> str:
    """Return the section on steps and seconds of each stage, as HTML; empty without times."""
    seconds, steps = _seconds(run), _trainings(bundle)[0].steps
    total = sum(seconds.values())
    if not total:
        return ""
    descriptions = STAGES.describe()
    rows = [
        (
            f"{escape(stage)}<small>{escape(descriptions.get(stage, ''))}</small>",
            f"{steps[stage]:,}" if stage in steps else "",
            f"{value:.1f}",
            f"{value / total:.0%}",
        )
        for stage, value in seconds.items()
    ]
    header = ["stage", "steps", "seconds", "share"]
    return section("Time of each stage", "", table(header, rows, numbers=(1, 2, 3)))


def _settings(bundle: Bundle) -> str:
    """Return the section of settings, as HTML."""
    config, data = bundle.config, bundle.data
    names, counts = data.class_names, data.class_counts
    classes = ", ".join(f"{name} ({count:,})" for name, count in zip(names, counts))
    values = {
        "task": config.task,
        "prepared as": bundle.preprocessing.describe(),
        "classes": classes if len(names) > 1 else "",
        "unlabeled": f"{data.num_unlabeled:,}" if data.num_unlabeled else "",
        "seed": str(config.seed),
        "all settings": "config.yaml",
        "bundle": bundle.bundle_id,
    }
    return settings_section(values)
