"""Helpers of several test modules: files of a folder, images on disk, a changed bundle."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from augan.bundle import Bundle, DatasetInfo, Splits, TranslationSection
from augan.config import Config
from augan.data.modalities.images import ImagePreprocessing
from augan.io.images import write_png
from augan.io.layout import MANIFEST_FILE


def tree(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below `folder`, by its relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_manifest(folder: Path) -> list[dict[str, str]]:
    """Return the rows of the manifest of a folder of synthetic samples."""
    with open(folder / MANIFEST_FILE, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_images(folder: Path, images: np.ndarray, names: list[str] | None = None) -> Path:
    """Write images as PNG files, called 000.png, 001.png, ... or `names`; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for row, image in enumerate(images):
        path = folder / (names[row] if names else f"{row:03d}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, image)
    return folder


def make_bundle(**parts: Any) -> Bundle:
    """Return a small valid bundle with the given parts."""
    defaults = {
        "config": Config(),
        "data": DatasetInfo("none", 0),
        "preprocessing": ImagePreprocessing(8, 1, "uint8", 0.0, 255.0),
    }
    return Bundle(**(defaults | parts))


def make_translation_bundle(**parts: Any) -> Bundle:
    """Return a bundle of hardly trained translators from gray to color images of 8 pixels.

    The old camera has 12 images of each of the classes dark, gray and light, the new camera none of
    "light". `parts` replace parts of the bundle.
    """
    from augan.training.budget import TrainingBudget
    from augan.training.trainer import TrainingData, train_stages

    config = Config().replace(
        seed=3,
        training__steps=3,
        training__batch_size=8,
        training__dtype="float32",
        classifier__width=4,
        translation__width=2,
        translation__blocks=1,
        translation__discriminator_width=2,
    )
    rng, names = np.random.default_rng(0), ("dark", "gray", "light")
    classes = np.arange(36) % 3
    old = (20 + 80 * classes[:, None, None, None] + rng.normal(0, 8, (36, 8, 8, 1))).clip(0, 255)
    new = 255 - old.repeat(3, axis=-1)
    of_old = ImagePreprocessing(8, 1, "uint8", 0.0, 255.0, (8, 8))
    of_new = replace(of_old, channels=3)
    common = np.flatnonzero(classes < 2)
    data = TrainingData(
        old.astype(np.uint8),
        classes,
        3,
        of_old,
        new=TrainingData(new.astype(np.uint8)[common], classes[common], 3, of_new),
    )
    networks = train_stages(config, data, ["classifier", "translation"], TrainingBudget(3))
    rows = np.arange(36)
    return make_bundle(
        **{
            "config": config,
            "data": DatasetInfo("old", 36, class_names=names, class_counts=(12, 12, 12)),
            "preprocessing": of_old,
            "networks": networks.for_bundle(),
            "splits": Splits(rows, rows[:0], rows[:0]),
            "translation": TranslationSection(
                DatasetInfo("new", 24, class_names=names[:2], class_counts=(12, 12)),
                of_new,
                class_names=names,
                common_classes=names[:2],
            ),
            **parts,
        }
    )


def with_detector(bundle: Bundle, **changes: Any) -> Bundle:
    """Return the bundle with a changed detector section."""
    return replace(bundle, detector=replace(bundle.require_detector(), **changes))


def with_method(bundle: Bundle, **changes: Any) -> Bundle:
    """Return the bundle with changes of its default detection method."""
    first, *others = bundle.require_detector().methods
    return with_detector(bundle, methods=(replace(first, **changes), *others))


def with_data(bundle: Bundle, **changes: Any) -> Bundle:
    """Return the bundle with another description of its training data."""
    return replace(bundle, data=replace(bundle.data, **changes))
