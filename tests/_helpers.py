"""Helpers of several test modules: files of a folder, images on disk, a changed bundle."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from augan.bundle import Bundle
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


def with_data(bundle: Bundle, **changes: object) -> Bundle:
    """Return the bundle with another description of its training data."""
    return replace(bundle, data={**bundle.data, **changes})
