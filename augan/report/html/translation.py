"""Sections of the report of a trained translator: examples, and distances to real images."""

from collections.abc import Iterator
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from augan.bundle import Bundle, ClassTranslation, TranslationMetrics
from augan.io.images import data_uri
from augan.io.layout import TRANSLATION_PREVIEW_FILE
from augan.report.html.base import scrollable, section, table

ABOUT_PREVIEW = (
    "A row for each class: images of the old camera, the translations of the same images, and real "
    "images of the new camera. The right part of a row is white if the new camera has no image of "
    "the class. Look at shapes that changed, and at backgrounds that are all alike."
)


def preview_section(path: Path) -> str:
    """Return the section with a picture of the translation, as HTML; empty without the picture."""
    if not path.exists():
        return ""
    with Image.open(path) as image:
        sheet = np.asarray(image)
    alt = "old, translated and real new images, a row for each class"
    body = f'<img class="sheet" alt="{alt}" src="{data_uri(sheet)}">'
    return section("Old, translated and new images", ABOUT_PREVIEW, body)


def translation_sections(bundle: Bundle, run: Path) -> Iterator[str]:
    """Yield the sections about the translation of a bundle with a translator, as HTML."""
    metrics = bundle.require_translation().metrics
    yield preview_section(run / TRANSLATION_PREVIEW_FILE)
    if metrics is not None:
        yield _distance(metrics)
        if metrics.classes:
            yield _classes(bundle, metrics.classes)


def _distance(metrics: TranslationMetrics) -> str:
    """Return the section that compares translated with real images of the new camera, as HTML."""
    rows = [
        ("translated images", f"{metrics.two_sample:.3f}"),
        ("images of the old camera as they are", f"{metrics.two_sample_untranslated:.3f}"),
        ("two halves of the real images", f"{metrics.two_sample_floor:.3f}"),
    ]
    about = (
        f"Kernel distance to the real images of the new camera: {metrics.num_old:,} held-out "
        f"images of the old and {metrics.num_new:,} of the new camera, of the classes that both "
        "have. It is 0 if both have the same distribution, and the last row is the smallest value "
        "to expect."
    )
    return section(
        "Distance to the new camera", about, table(["", "kernel distance"], rows, numbers=(1,))
    )


def _classes(bundle: Bundle, classes: tuple[ClassTranslation, ...]) -> str:
    """Return the section with a table of the classes of the old camera, as HTML."""
    old, new = (
        dict(zip(data.class_names, data.class_counts))
        for data in (bundle.data, bundle.require_translation().data)
    )
    rows = [
        (
            escape(row.name),
            f"{old.get(row.name, 0):,}",
            f"{new.get(row.name, 0):,}",
            "" if row.diversity is None else f"{row.diversity:.2f}",
            "" if row.label_flips is None else f"{row.label_flips:.1%}",
        )
        for row in classes
    ]
    header = [
        "class",
        "images, old camera",
        "images, new camera",
        "diversity<small>1: as real images; near 0: all are alike</small>",
        "label flips<small>another class after a translation to the new camera and back</small>",
    ]
    about = (
        "Diversity and label flips are those of held-out images. Diversity is measured for classes "
        "of both cameras. Label flips are counted by a classifier of the old camera."
    )
    return section("Classes", about, scrollable(table(header, rows, numbers=range(1, 5))))
