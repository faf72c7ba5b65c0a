"""Where a call puts what it found, unless the user says where."""

import json
import os
from itertools import count
from pathlib import Path

from augan.bundle import Bundle
from augan.data.modalities.tables import is_table_file
from augan.io.layout import DETECTION_FILE, EVALUATION_FILE

RECORD_FILES = {"detect": DETECTION_FILE, "evaluate": EVALUATION_FILE}  # of each verb


def default_out(bundle: Bundle, images: str | Path, verb: str = "detect") -> Path:
    """Return the folder for what `verb` found in `images`: inside the run, named after them.

    Where that of other images of the same name lies already, a number follows: `detect-images-2`.
    """
    run = bundle.saved_path().parent
    path = Path(absolute_path(images))
    name = f"{verb}-{path.stem if is_table_file(path) else path.name}"
    outs = (run / (name if number == 1 else f"{name}-{number}") for number in count(1))
    return next(out for out in outs if _images(out / RECORD_FILES[verb]) in (None, str(path)))


def absolute_path(images: str | Path) -> str:
    """Return the absolute path of images, links resolved, as records have it."""
    # Not by Path.resolve, which fails on a link to itself before Python 3.13.
    return os.path.realpath(images)


def _images(record: Path) -> str | None:
    """Return which images a record is about, None where it does not say."""
    try:
        found = json.loads(record.read_bytes())
        images = found.get("summary", found).get("images")
    except (OSError, ValueError, AttributeError):
        return None
    return images if isinstance(images, str) else None
