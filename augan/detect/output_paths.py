"""Default folders for the results of detection and evaluation. The module loads no TensorFlow."""

import json
import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path, PurePosixPath

from augan.bundle import Bundle
from augan.data.modalities.tables import is_table_file
from augan.io.hashing import sha256_json
from augan.io.layout import DETECTION_FILE, EVALUATION_FILE

_RECORD_FILES = {"detect": DETECTION_FILE, "evaluate": EVALUATION_FILE}


def default_output_folder(
    bundle: Bundle,
    images: str | Path,
    command: str = "detect",
    names: Sequence[str] | None = None,
) -> Path:
    """Return the folder in the bundle's run for results on `images`, such as `detect-parts`.

    The folder is named after the images, a file without its ending. If a folder of that name holds
    results of other images, a number is appended: `detect-parts-2`.

    Parameters
    ----------
    bundle : Bundle
        A saved bundle.
    images : path
        Folder, image file or table that is scored.
    command : {"detect", "evaluate"}
        The command that writes the results.
    names : sequence of str or None
        The files and folders of `images` that are scored; None: all.

    Raises
    ------
    BundleError
        If the bundle was never saved.
    """
    run = bundle.saved_path().parent
    path = Path(absolute_path(images))
    name = path.stem if is_table_file(path) or path.is_file() else path.name
    if names is not None:  # with a digest, because other images of the folder may follow
        first, digest = PurePosixPath(names[0]).stem, sha256_json(list(names))[:6]
        name = f"{first}-and-{len(names) - 1}-more-{digest}"
    name = f"{command}-{name}"
    folders = (run / (name if number == 1 else f"{name}-{number}") for number in count(1))
    return next(
        folder
        for folder in folders
        if _recorded_images(folder / _RECORD_FILES[command]) in (None, str(path))
    )


def absolute_path(images: str | Path) -> str:
    """Return the absolute path of the images, with symbolic links resolved, for records."""
    # Path.resolve fails on a link to itself before Python 3.13.
    return os.path.realpath(images)


def _recorded_images(record: Path) -> str | None:
    """Return the path of the images whose results a record file describes.

    None if the file is missing, is not JSON, or names no images.
    """
    try:
        content = json.loads(record.read_bytes())
        images = content.get("summary", content).get("images")
    except (OSError, ValueError, AttributeError):
        return None
    return images if isinstance(images, str) else None
