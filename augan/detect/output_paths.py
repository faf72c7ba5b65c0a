"""Default folders of results. The module loads no TensorFlow."""

import json
import os
from itertools import count
from pathlib import Path

from augan.bundle import Bundle
from augan.data.modalities.tables import is_table_file
from augan.io.layout import DETECTION_FILE, EVALUATION_FILE

_RECORD_FILES = {"detect": DETECTION_FILE, "evaluate": EVALUATION_FILE}


def default_output_folder(bundle: Bundle, images: str | Path, command: str = "detect") -> Path:
    """Return the folder for results of `command` ("detect" or "evaluate") on `images`.

    It is inside the run and named after the images. If it holds results of other images, a number
    is appended: `detect-images-2`.
    """
    run = bundle.saved_path().parent
    path = Path(absolute_path(images))
    name = f"{command}-{path.stem if is_table_file(path) else path.name}"
    folders = (run / (name if number == 1 else f"{name}-{number}") for number in count(1))
    return next(
        folder
        for folder in folders
        if _recorded_images(folder / _RECORD_FILES[command]) in (None, str(path))
    )


def absolute_path(images: str | Path) -> str:
    """Return the absolute path of images with links resolved, as records store it."""
    # Path.resolve fails on a link to itself before Python 3.13.
    return os.path.realpath(images)


def _recorded_images(record: Path) -> str | None:
    """Return the path of the images that a record is about; None if there is none."""
    try:
        content = json.loads(record.read_bytes())
        images = content.get("summary", content).get("images")
    except (OSError, ValueError, AttributeError):
        return None
    return images if isinstance(images, str) else None
