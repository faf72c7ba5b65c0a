"""Squares that are decoded once, kept in a file mapped into memory, and streamed from there.

An entry is one file, `<key>.npy` (see `augan.data.entry`). The key is the SHA-256 of every file's
absolute path, size, times of change and number on the disk, and of the preprocessing. Entries are
written beside their place and renamed into it, so that two runs may build the same one: the later
replaces an equal. A run holds its entry open, and a file that is open outlives its name: the folder
may be emptied at any time, by the next run that needs the room or by hand, and costs no more than
decoding again.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL

from augan.data.columns import Columns
from augan.data.dataset import Dataset, ImageFiles
from augan.data.decoding import leave_out, prepare
from augan.data.entry import ROWS, Entry, map_entry, open_entry, write_entry
from augan.data.prepared import AnyPreprocessing, stored_samples
from augan.data.preprocessing import Preprocessing
from augan.data.tables import Table
from augan.exceptions import DataError
from augan.io.atomic import try_lock

GIB = 2**30
MAX_BYTES = 20 * GIB
MAX_SHARE = 0.25  # of the disk space that would be free without the cache
# Decoding this much takes seconds and keeping it costs little memory, so files are not worth it:
# the demo and most tests then leave no trace, and a home folder that is read-only does not matter.
IN_MEMORY = 64 * 2**20

_FORMAT = 1  # raise it whenever equal files would become other squares
_ENTRY = re.compile(r"[0-9a-f]{64}\.npy")
_PART = re.compile(r"\.[0-9a-f]{64}\.[0-9a-f]{16}\.part")
_ABANDONED = 60.0  # seconds without a write after which a part that nobody locks may go


@dataclass(frozen=True, eq=False)
class Squares:
    """A prepared dataset.

    Attributes
    ----------
    dataset
        The images that could be decoded; the others are in `skipped`.
    pixels
        `[N, S, S, channels]` in the stored type, perhaps a read-only memory map; of a table, the
        stored rows `[N, F]`.
    stored_sha256
        The digest of the pixels where the cache knows it.
    """

    dataset: Dataset
    pixels: np.ndarray
    stored_sha256: str | None = None

    @property
    def sha256(self) -> str:
        """The SHA-256 of the pixels' bytes; it costs a pass over them unless it is stored."""
        return self.stored_sha256 or content_sha256(self.pixels)


def cached_squares(
    dataset: Dataset, preprocessing: AnyPreprocessing, folder: str | Path | None = None
) -> Squares:
    """Decode the image files of a dataset into a memory map, or find them decoded already.

    Pixels that came as arrays stay arrays, and the rows of a table become one. Files are decoded
    into memory if they and their squares take less than 64 MiB. All others go through the cache,
    which keeps at most 20 GiB, and at most a quarter of the space that is free without it: what was
    not used for longest makes room. Only the entry that is being made may exceed this, alone.

    Parameters
    ----------
    dataset
        What `load_dataset` returned.
    preprocessing
        What was learned from the training images.
    folder
        Where the cache lies, and then small datasets go through it too; by default `cache_folder()`
        for large ones.

    Raises
    ------
    DataError
        More than a tenth of all files cannot be read, an image does not fit the model, the cache
        cannot be written, or files change while they are read.
    """
    images = dataset.images
    if isinstance(images, Table) or isinstance(preprocessing, Columns):
        return Squares(dataset, np.asarray(stored_samples(images, preprocessing)))
    if not isinstance(images, ImageFiles) or preprocessing.dtype == "float32":
        return Squares(*prepare(dataset, preprocessing))
    key, size = _listing(images, preprocessing)
    pixels = len(dataset) * preprocessing.size**2 * preprocessing.channels
    room = pixels * np.dtype(preprocessing.stored_dtype).itemsize
    if folder is None and max(size, room) < IN_MEMORY:
        return Squares(*prepare(dataset, preprocessing))
    path = Path(cache_folder() if folder is None else folder) / f"{key}.npy"
    entry = open_entry(path) or _build(path, dataset, images, preprocessing, room)
    return Squares(leave_out(dataset, entry.failures), entry.pixels, entry.sha256)


def cache_folder() -> Path:
    """Return the folder of the cache: `$AUGAN_CACHE`, or `augan` in the system's cache folder.

    Raises
    ------
    DataError
        The user has no home folder, or `$AUGAN_CACHE` begins with one that is not there.
    """
    if chosen := os.environ.get("AUGAN_CACHE"):
        try:
            return Path(chosen).expanduser()
        except RuntimeError as error:
            raise DataError(
                f"AUGAN_CACHE is {chosen}, but there is no home folder {Path(chosen).parts[0]}; "
                "set it to the full path of a folder"
            ) from error
    variable, usual = {
        "darwin": ("", "~/Library/Caches"),
    }.get(sys.platform, ("XDG_CACHE_HOME", "~/.cache"))
    base = Path(os.environ.get(variable, ""))
    try:
        return (base if base.is_absolute() else Path(usual).expanduser()) / "augan"
    except RuntimeError as error:
        raise DataError(
            "there is no home folder to keep decoded images in; set AUGAN_CACHE to a folder"
        ) from error


def content_sha256(pixels: np.ndarray) -> str:
    """Return the SHA-256 of an array's bytes in C order, reading a part of it at a time.

    Examples
    --------
    >>> content_sha256(np.zeros((2, 8, 8, 1), np.uint8))[:8]
    '38723a2e'
    """
    digest = hashlib.sha256()
    for start in range(0, len(pixels), ROWS):
        digest.update(np.ascontiguousarray(pixels[start : start + ROWS]).data)
    return digest.hexdigest()


def _listing(images: ImageFiles, preprocessing: Preprocessing) -> tuple[str, int]:
    """Return the key of the files as they are now, and their bytes."""
    # Another Pillow may decode a JPEG file to slightly other pixels.
    about = {"format": _FORMAT, "pillow": PIL.__version__, **preprocessing.to_dict()}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    root, total = images.root.resolve(), 0
    for name in images.names:
        path = os.path.join(root, name)
        try:
            found = os.stat(path)
        except OSError:
            about_file, size = (0, 0, 0, 0), 0  # unreadable, as decoding will find
        else:
            size = found.st_size
            # Archives and copies may give a new file the size and the time of the old one.
            about_file = (size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        digest.update(b"%s\0%d\0%d\0%d\0%d\0" % (os.fsencode(path), *about_file))
        total += size
    return digest.hexdigest(), total


def _build(
    path: Path, dataset: Dataset, images: ImageFiles, preprocessing: Preprocessing, room: int
) -> Entry:
    """Decode everything into a new entry."""
    part = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.part")
    try:
        # Closed to other users, because what it will hold are the user's own pictures.
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_room(path.parent, room)
        with open(part, "x+b") as file:
            try_lock(file)  # the mark goes with the process, however it ends
            entry = map_entry(file, write_entry(file, dataset, preprocessing))
            if _listing(images, preprocessing)[0] != path.stem:
                raise DataError(
                    f"image files of {dataset.name} changed while they were read; wait until all "
                    "are complete, then start again"
                )
            with suppress(FileNotFoundError):  # somebody deleted the folder; the map outlives it
                os.replace(part, path)
    except OSError as error:
        raise DataError(
            f"cannot keep the decoded images of {dataset.name} in {path.parent} "
            f"({error.strerror or error}); make {-(-room // 2**20)} MiB free and writable there, "
            "or set AUGAN_CACHE to another folder"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
    return entry


def _make_room(folder: Path, room: int) -> None:
    """Remove the entries that were not used for longest until `room` more bytes are in bounds."""
    found: list[tuple[float, int, Path]] = []
    used = 0
    for path in folder.iterdir():
        with suppress(OSError):  # another run may remove it at this moment
            about = path.stat()
            if _PART.fullmatch(path.name) and _is_abandoned(path, about.st_mtime):
                path.unlink()
            elif _PART.fullmatch(path.name):
                used += about.st_size
            elif _ENTRY.fullmatch(path.name):
                used += about.st_size
                found.append((about.st_mtime, about.st_size, path))
    space = shutil.disk_usage(folder).free + used
    if room > space:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    limit = min(MAX_BYTES, int(MAX_SHARE * space))
    for _, size, path in sorted(found):
        if used + room <= limit:
            break
        path.unlink(missing_ok=True)
        used -= size


def _is_abandoned(part: Path, changed: float) -> bool:
    if time.time() - changed < _ABANDONED:
        return False
    with open(part, "rb") as file:
        return try_lock(file) is True
