"""Helpers of several test modules: files of a folder, images on disk, a changed bundle."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from augan.bundle import Bundle, DatasetInfo
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
