"""HTML report of a detection, and an image of the most anomalous images."""

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np

from augan.choices import DETECTION_METHODS
from augan.data.dataset import plural
from augan.data.modalities.base import Preprocessing
from augan.data.modalities.registry import preprocessing_class
from augan.detect.conformal.fdr import DiscoveryGuarantee
from augan.detect.conformal.guarantee import percent
from augan.detect.result import DetectionResult
from augan.detect.visualization.anomaly_map import MapScale
from augan.detect.visualization.overlay import COLORS
from augan.detect.visualization.renderer import image_path
from augan.detect.visualization.top_samples import ScoredSample
from augan.io.images import data_uri, image_grid
from augan.io.layout import MOST_ANOMALOUS_FILE, OVERLAYS_FOLDER, REPORT_FILE
from augan.report.html.base import (
    page_header,
    section,
    settings_section,
    table,
    write_image,
    write_page,
)
from augan.report.html.charts import histogram

MAX_UNREADABLE = 100  # files in the list; scores.csv has all of them


def write_detection_page(result: DetectionResult) -> Path:
    """Write `report.html` of a detection into its output folder, and return the path.

    Raises
    ------
    DataError
        The page cannot be written. All other files of the result are complete by then.
    """
    parts = [
        _header(result),
        _distribution(result),
        _most_anomalous(result),
        _components(result),
        _unreadable(result),
        _not_looked_at(result),
        _settings(result),
    ]
    title = f"{_title(result)} - {Path(result.images).name}"
    return write_page(result.out / REPORT_FILE, title, parts)


def write_top_samples_image(result: DetectionResult, preprocessing: Preprocessing) -> Path | None:
    """Write `most-anomalous.png`, a contact sheet of the images with the highest scores.

    Each column is one image. The rows below are its reconstruction and the difference, where the
    method reconstructs, otherwise its overlay.

    Parameters
    ----------
    result : DetectionResult
        Result whose folder receives the file.
    preprocessing : Preprocessing
        Preprocessing of the bundle.

    Returns
    -------
    Path or None
        Path of the file; None for images of different sizes, large images and table rows, which
        `report.html` shows.

    Raises
    ------
    DataError
        The image cannot be written. All other files of the result are complete by then.
    """
    samples = result.most_anomalous
    shapes = {sample.sample.shape for sample in samples}
    if not preprocessing.has_pixels or len(shapes) > 1:
        return None
    of_images = preprocessing.require_images()
    images = of_images.to_uint8(np.stack([sample.sample for sample in samples]))
    reconstructions = [
        sample.reconstruction for sample in samples if sample.reconstruction is not None
    ]
    overlays = [
        (sample.thumbnail, sample.overlay)
        for sample in samples
        if sample.thumbnail is not None and sample.overlay is not None
    ]
    if reconstructions:
        reconstructed = of_images.to_uint8(np.stack(reconstructions))
        difference = np.abs(images.astype(np.int16) - reconstructed).astype(np.uint8)
        rows = [images, reconstructed, difference]
    elif len(overlays) == len(samples) and len({picture.shape for picture, _ in overlays}) == 1:
        rows = [np.stack(row) for row in zip(*overlays)]
    else:
        rows = [images]
    grid = image_grid(np.concatenate(rows), len(samples))
    return write_image(result.out / MOST_ANOMALOUS_FILE, grid, result.out)


def _title(result: DetectionResult) -> str:
    """Return the title of the page, with the number of flagged samples."""
    title = (
        f"{result.num_anomalies:,} of {result.num_scored:,} {plural(result.sample_type)} flagged"
    )
    count = len(result.not_looked_at)
    return f"{title}, {count:,} file{'' if count == 1 else 's'} not looked at" if count else title


def _header(result: DetectionResult) -> str:
    """Return the top of the page with the guarantee and the key figures, as HTML."""
    threshold = "none" if result.threshold is None else f"{result.threshold:.3g}"
    figures = [
        (f"{plural(result.sample_type)} scored", f"{result.num_scored:,}", ""),
        ("flagged", f"{result.num_anomalies:,}", "alarm" if result.num_anomalies else ""),
        ("unreadable", f"{len(result.unreadable):,}", ""),
        ("threshold of the score", threshold, ""),
    ]
    if result.not_looked_at:
        figures.insert(3, ("not looked at", f"{len(result.not_looked_at):,}", "alarm"))
    sentence = result.guarantee.sentence
    warnings = [text for text in result.warnings if text.lower() != sentence.lower()]
    command = f"augan detect &middot; {escape(result.images)}"
    return page_header(command, _title(result), sentence, figures, warnings)


def _distribution(result: DetectionResult) -> str:
    """Return the section with the histogram of scores, as HTML; empty without scores."""
    if result.calibration is None or not result.scores.size:
        return ""
    samples = plural(result.sample_type)
    kinds = [("new", f"new {samples}"), ("flagged", "flagged"), ("old", "calibration")]
    legend = "".join(f'<li><i class="{kind}"></i>{text}</li>' for kind, text in kinds)
    titles = (f"Scores of the new {samples}", f"Scores of the calibration {samples}")
    figure = histogram(result.calibration.scores, result.scores, result.threshold, titles)
    about = (
        f"A higher score is more anomalous. Normal {samples} should have scores like the "
        f"{result.calibration.n} calibration {samples}. The height of a bar is the logarithm of "
        "its count, so that single samples are visible."
    )
    return section("Scores", about, f'<ul class="legend">{legend}</ul>{figure}')


def _most_anomalous(result: DetectionResult) -> str:
    """Return the section of the highest scores, as HTML: image cards or a table of rows."""
    if not preprocessing_class(result.sample_type).has_pixels:
        return section(
            "Most anomalous", "The highest scores, in order.", _ranking(result.top_samples)
        )
    about = (
        "The highest scores, in order. Left: the image. Right: the image in gray, with its "
        "anomalous regions in color. A color means the same in all images. A score can be high "
        "without any anomalous region."
    )
    scale = "" if result.map_scale is None else _scale(result.map_scale)
    has_files = result.map_scale is not None
    cards = "".join(
        sample_card(sample, has_overlay_file=has_files and sample.anomaly)
        for sample in result.top_samples
    )
    return section("Most anomalous", about, f'{scale}<ol class="cards">{cards}</ol>')


def sample_card(
    sample: ScoredSample, *, has_overlay_file: bool = False, label: str | None = None
) -> str:
    """Return the card of one image, with overlay, score, p-value and largest component, as HTML.

    Parameters
    ----------
    sample : ScoredSample
        The image with its pictures.
    has_overlay_file : bool
        Whether the pictures lead to the overlay in full size, a file next to the page.
    label : str or None
        The true label of the image; None: unknown.
    """
    name, kind = escape(sample.path), "flagged" if sample.anomaly else "unflagged"
    pictures = ""
    if sample.thumbnail is not None:
        pictures = f'<img alt="{name}" src="{data_uri(sample.thumbnail)}">'
    if sample.overlay is not None:
        alt = f"{name} in gray, anomalous regions in color"
        picture = f'<img alt="{alt}" src="{data_uri(sample.overlay)}">'
        if has_overlay_file:
            path = image_path(Path(OVERLAYS_FOLDER), sample.path).as_posix()
            picture = f'<a href="{escape(quote(os.fsencode(path)))}">{picture}</a>'
        pictures += picture
    decision = "FLAGGED" if sample.anomaly else "not flagged"
    values = {} if label is None else {"label": escape(label)}
    values |= {"score": f"{sample.score:.3g}", "p-value": f"{sample.p_value:.2g}"}
    if largest := sample.largest_component:
        values["largest component"] = f"{escape(largest)} ({sample.components[largest]:.3g})"
    described = "".join(f"<dt>{term}</dt><dd>{value}</dd>" for term, value in values.items())
    return (
        f'<li class="card {kind}"><div class="pair">{pictures}</div>'
        f'<p class="decision">{decision}</p><h3>{name}</h3><dl>{described}</dl></li>'
    )


def _scale(scale: MapScale) -> str:
    """Return the legend of the colors of anomaly maps, as HTML."""
    ramp = ", ".join(f"rgb{color}" for color in COLORS)
    return (
        '<div class="scale" role="img" aria-label="Colors of anomalous regions, from the threshold '
        'of the anomaly map to twice the highest value of all calibration images">'
        f'<div class="ramp" style="background:linear-gradient(to right, {ramp})"></div>'
        f"<p><span>just above the threshold: at most {percent(scale.guaranteed_rate)} of normal "
        "images have such a region</span><span>twice the highest value of all calibration "
        "images</span></p></div>"
    )


def _ranking(samples: Sequence[ScoredSample]) -> str:
    """Return a table of the table rows with the highest scores, as HTML."""
    rows = [
        (
            escape(sample.path),
            f"{sample.score:.3g}",
            f"{sample.p_value:.2g}",
            "yes" if sample.anomaly else "no",
            escape(sample.largest_component),
        )
        for sample in samples
    ]
    header = ["row", "score", "p-value", "flagged", "largest component"]
    return table(header, rows, numbers=(1, 2))


def _components(result: DetectionResult) -> str:
    """Return the section on the components of the score, as HTML."""
    rows = [
        (
            f"{escape(component.name)}<small>{escape(component.description)}</small>",
            *(
                "" if mean is None else f"{mean:.3g}"
                for mean in (component.mean_flagged, component.mean_unflagged)
            ),
            f"{component.num_largest:,}",
        )
        for component in result.components
    ]
    samples = plural(result.sample_type)
    header = ["component", "mean of flagged", "mean of others", f"{samples} where largest"]
    about = (
        "The score is the sum of its components. Most components are standardized on normal "
        f"{samples}: 0 is usual, and a higher value is more anomalous."
    )
    return section("Components of the score", about, table(header, rows, numbers=(1, 2, 3)))


def _unreadable(result: DetectionResult) -> str:
    """Return the section of unreadable files, as HTML; empty if there are none."""
    if not result.unreadable:
        return ""
    rows = [(escape(path), escape(reason)) for path, reason in result.unreadable[:MAX_UNREADABLE]]
    more = len(result.unreadable) - len(rows)
    about = "These have no score." + (f" {more:,} more are in scores.csv." if more else "")
    return section("Unreadable", about, table(["file", "reason"], rows))


def _not_looked_at(result: DetectionResult) -> str:
    """Return the section of files that were not scored, as HTML; empty if there are none."""
    if not result.not_looked_at:
        return ""
    shown = result.not_looked_at[:MAX_UNREADABLE]
    more = len(result.not_looked_at) - len(shown)
    about = "These files below the images have no score."
    about += f" {more:,} more are in detection.json." if more else ""
    rows = [(escape(path), escape(reason)) for path, reason in shown]
    return section("Not looked at", about, table(["file", "reason"], rows))


def _settings(result: DetectionResult) -> str:
    """Return the section of settings, as HTML."""
    guarantee = result.guarantee
    is_fdr = isinstance(guarantee, DiscoveryGuarantee)
    rate = f"{guarantee.fdr if isinstance(guarantee, DiscoveryGuarantee) else guarantee.far:g}"
    others = [name for name in result.methods if name != result.method]
    groups = "" if guarantee.num_groups == guarantee.n else f" of {guarantee.num_groups} groups"
    folds = () if result.calibration is None else result.calibration.fold_sizes
    groups += f" in {len(folds)} folds" if folds else ""
    masked = f"{result.masked_fraction:.1%} of each image" if result.masked_fraction else "nothing"
    return settings_section(
        {
            "method": result.method
            + (f" (also in the bundle: {', '.join(others)})" if others else ""),
            "score": DETECTION_METHODS.get(result.method).description,
            "false-discovery rate" if is_fdr else "false-alarm rate": rate,
            "calibrated on": f"{guarantee.n} {plural(result.sample_type)}{groups}",
            "ignored": masked if preprocessing_class(result.sample_type).has_pixels else "",
            "scored": result.images,
            "bundle": result.bundle,
        }
    )
