"""What a detection found, as one HTML file that needs nothing else: no request is ever made."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from augan.data.dataset import plural
from augan.detect.api import DetectionResult
from augan.detect.conformal.fdr import DiscoveryGuarantee
from augan.detect.conformal.guarantee import percent
from augan.detect.visualization.anomaly_map import MapScale
from augan.detect.visualization.overlay import COLOURS
from augan.detect.visualization.top_samples import ScoredSample
from augan.report.html.base import data_uri, head, section, settings, table, write_page
from augan.report.html.charts import histogram

REPORT = "report.html"
MOST_UNREADABLE = 100  # files in the list; scores.csv has them all
MEANINGS = {
    "image_residual": "how badly the GAN redraws it, pixel by pixel",
    "feature_residual": "how different its redrawing looks to the discriminator",
    "residual": "how badly the GAN redraws it after a search for its code",
    "feature_matching": "how different that redrawing looks to the discriminator",
    "neighbours": "how far the nearest training samples are, as the discriminator sees them",
    "mahalanobis": "how far their mean is, in units of their own spread",
    "transformations": "how badly turns and shifts of it are recognised",
    "input_neighbours": "how far the nearest training samples are, value by value",
    "directions": "how unlike normal ones the direction of its features is, in several poses",
    "layouts": "the same, by quarters of the image",
    "realness": "how little the discriminator takes it for real",
    "own_neighbours": "how unlike the rest of the same image its oddest places are",
    "painted_defects": "how much its oddest places look like defects painted in training",
    "agreement": "what moves the mean of all folds to the rank that they give together",
}


def detection_page(result: DetectionResult) -> Path:
    """Write `report.html` into the folder of a result, and return its path.

    Raises
    ------
    DataError
        It cannot be written; everything else is complete by then.
    """
    parts = [
        _head(result),
        _distribution(result),
        _most_anomalous(result),
        _terms(result),
        _unreadable(result),
        _settings(result),
    ]
    title = f"{_verdict(result)} - {Path(result.images).name}"
    return write_page(result.out / REPORT, title, parts)


def _verdict(result: DetectionResult) -> str:
    return f"{result.num_anomalies:,} of {result.num_scored:,} {plural(result.sample_type)} flagged"


def _head(result: DetectionResult) -> str:
    line = "none" if result.line is None else f"{result.line:.3g}"
    figures = [
        (f"{plural(result.sample_type)} scored", f"{result.num_scored:,}", ""),
        ("flagged", f"{result.num_anomalies:,}", "alarm" if result.num_anomalies else ""),
        ("could not be read", f"{len(result.unreadable):,}", ""),
        ("flagged above a score of", line, ""),
    ]
    sentence = result.guarantee.sentence
    others = [text for text in result.warnings if text.lower() != sentence.lower()]
    command = f"augan detect &middot; {escape(result.images)}"
    return head(command, _verdict(result), sentence, figures, others)


def _distribution(result: DetectionResult) -> str:
    if result.calibration is None or not result.scores.size:
        return ""
    samples = plural(result.sample_type)
    kinds = [("new", f"new {samples}"), ("flagged", "flagged"), ("old", "calibration")]
    legend = "".join(f'<li><i class="{kind}"></i>{text}</li>' for kind, text in kinds)
    titles = (f"Scores of the new {samples}", f"Scores of the calibration {samples}")
    figure = histogram(result.calibration.scores, result.scores, result.line, titles)
    return (
        "<section><h2>Scores</h2>"
        f'<p class="about">Further right is more anomalous. Good {samples} should lie as the '
        f"{result.calibration.n} calibration {samples} do; bars grow with the logarithm of "
        "their count, so that single ones can be seen.</p>"
        f'<ul class="legend">{legend}</ul>{figure}</section>'
    )


def _most_anomalous(result: DetectionResult) -> str:
    if result.sample_type == "row":
        return section("Most anomalous", "The highest scores, in order.", _ranking(result.shown))
    about = (
        "The highest scores, in order: the image, and in gray with its unusual places in colour. "
        "The colours mean the same in all images. A score can be high although no single place is."
    )
    scale = "" if result.heat is None else _scale(result.heat)
    cards = "".join(_card(image) for image in result.shown)
    return section("Most anomalous", about, f'{scale}<ol class="cards">{cards}</ol>')


def _card(image: ScoredSample) -> str:
    name, kind = escape(image.path), "flagged" if image.anomaly else "unflagged"
    pictures = ""
    if image.picture is not None:
        pictures = f'<img alt="{name}" src="{data_uri(image.picture)}">'
    if image.overlay is not None:
        alt = f"{name} in gray, unusual places in colour"
        pictures += f'<img alt="{alt}" src="{data_uri(image.overlay)}">'
    largest = image.largest_component
    said = f"{escape(largest)} ({image.components.get(largest, 0):.3g})"
    return (
        f'<li class="card {kind}"><div class="pair">{pictures}</div>'
        f'<p class="verdict">{"FLAGGED" if image.anomaly else "not flagged"}</p><h3>{name}</h3><dl>'
        f"<dt>score</dt><dd>{image.score:.3g}</dd><dt>p-value</dt><dd>{image.p_value:.2g}</dd>"
        f"<dt>largest part</dt><dd>{said}</dd></dl></li>"
    )


def _scale(heat: MapScale) -> str:
    ramp = ", ".join(f"rgb{colour}" for colour in COLOURS)
    return (
        '<div class="scale" role="img" aria-label="Colours of unusual places, from the line to '
        'twice the highest place of all calibration images">'
        f'<div class="ramp" style="background:linear-gradient(to right, {ramp})"></div>'
        f"<p><span>just above the line: at most {percent(heat.promised)} of good images have such "
        "a place</span>"
        "<span>twice as high as any place of a calibration image</span></p></div>"
    )


def _ranking(shown: Sequence[ScoredSample]) -> str:
    rows = [
        (
            escape(one.path),
            f"{one.score:.3g}",
            f"{one.p_value:.2g}",
            "yes" if one.anomaly else "no",
            escape(one.largest_component),
        )
        for one in shown
    ]
    return table(["row", "score", "p-value", "flagged", "largest part"], rows, numbers=(1, 2))


def _terms(result: DetectionResult) -> str:
    rows = [
        (
            f"{escape(term.name)}<small>{MEANINGS.get(term.name, '')}</small>",
            *("" if mean is None else f"{mean:.3g}" for mean in (term.flagged, term.others)),
            f"{term.most:,}",
        )
        for term in result.components
    ]
    header = ["term", "mean of flagged", "mean of others", "largest part in"]
    about = (
        "The score is the sum of these. Most are standardised on normal samples: 0 is usual, and "
        "higher is more anomalous."
    )
    return section("What the score is made of", about, table(header, rows, numbers=(1, 2, 3)))


def _unreadable(result: DetectionResult) -> str:
    if not result.unreadable:
        return ""
    rows = [(escape(path), escape(why)) for path, why in result.unreadable[:MOST_UNREADABLE]]
    more = len(result.unreadable) - len(rows)
    about = "They have no score." + (f" {more:,} more are in scores.csv." if more else "")
    return section("Could not be read", about, table(["name", "why"], rows))


def _settings(result: DetectionResult) -> str:
    guarantee = result.guarantee
    is_fdr = isinstance(guarantee, DiscoveryGuarantee)
    rate = f"{guarantee.fdr if isinstance(guarantee, DiscoveryGuarantee) else guarantee.far:g}"
    others = [name for name in result.methods if name != result.method]
    groups = "" if guarantee.num_groups == guarantee.n else f" of {guarantee.num_groups} groups"
    folds = () if result.calibration is None else result.calibration.fold_sizes
    groups += f" in {len(folds)} folds" if folds else ""
    ignored = f"{result.ignored:.1%} of each image" if result.ignored else "nothing"
    values = {
        "method": result.method + (f" (also in the model: {', '.join(others)})" if others else ""),
        "false-discovery rate" if is_fdr else "false-alarm rate": rate,
        "calibrated on": f"{guarantee.n} {plural(result.sample_type)}{groups}",
        "ignored": ignored if result.sample_type == "image" else "",
        "scored": result.images,
        "model": result.bundle,
    }
    return settings(values)
