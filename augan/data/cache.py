"""The file that keeps decoded squares: what is written into it, and whether it is whole.

It is a plain NumPy file, which `numpy.load` reads, with a tail that says which images could not be
read, what the SHA-256 of the pixels is, and that all is complete.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import struct
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
from numpy.lib import format as npy

from augan.data.dataset import Dataset, ImageFiles, check_skipped
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.registry import AnyPreprocessing, prepare_samples
from augan.data.modalities.tables import Table
from augan.data.modalities.tabular import TabularPreprocessing
from augan.exceptions import DataError
from augan.io.atomic import try_lock
from augan.io.images import UnreadableImage

ROWS = 256  # decoded between two writes
_ENDS = 2**20  # bytes at either end of the pixels that are checked when an entry is opened
_FOOTER = struct.Struct("<Q32s8s")  # bytes of the tail, their SHA-256, and the mark
_MARK = b"AUGANSQR"


@dataclass(frozen=True, eq=False)
class Entry:
    """A decoded dataset.

    Attributes
    ----------
    pixels
        `[N, S, S, channels]`, a read-only memory map.
    sha256
        Of its bytes.
    failures
        Row in the dataset -> why it could not be read, and has no pixels.
    """

    pixels: np.ndarray
    sha256: str
    failures: dict[int, str]


def open_entry(path: Path) -> Entry | None:
    """Map an entry into memory; None if there is none that is whole."""
    try:
        with open(path, "rb") as file:
            entry = map_entry(file, _read_tail(file))
    except (OSError, ValueError, struct.error):
        return None
    with suppress(OSError):  # a folder that is read-only serves all the same
        os.utime(path)
    return entry


def _read_tail(file: BinaryIO) -> dict[str, Any]:
    """Return what the tail says, or raise ValueError if the file is not whole."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - _FOOTER.size))
    length, digest, mark = _FOOTER.unpack(file.read())
    start = end - _FOOTER.size - length
    if mark != _MARK or start < 0:
        raise ValueError("it has no tail")
    file.seek(start)
    content = file.read(length)
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("its tail is damaged")
    tail: dict[str, Any] = json.loads(content)
    header = _header(tail["dtype"], tail["shape"])
    file.seek(0)
    if file.read(len(header)) != header:
        raise ValueError("its header is damaged")
    if _ends_sha256(file, len(header), start) != tail["ends"]:
        raise ValueError("its pixels are damaged")
    return tail


def map_entry(file: BinaryIO, tail: Mapping[str, Any]) -> Entry:
    """Map the pixels of an open entry into memory."""
    dtype, shape = tail["dtype"], tail["shape"]
    pixels = np.memmap(file, dtype, "r", len(_header(dtype, shape)), tuple(shape))
    return Entry(pixels, tail["sha256"], {int(row): reason for row, reason in tail["failures"]})


def _header(dtype: str, shape: Sequence[int]) -> bytes:
    """Return the header of a NumPy file; NumPy pads it to 128 bytes, however many rows."""
    stream = BytesIO()
    descr = npy.dtype_to_descr(np.dtype(dtype))
    about = {"descr": descr, "fortran_order": False, "shape": tuple(shape)}
    npy.write_array_header_1_0(stream, about)
    return stream.getvalue()


def _ends_sha256(file: BinaryIO, start: int, end: int) -> str:
    """Return the SHA-256 of how many bytes the pixels take, and of their first and last."""
    digest = hashlib.sha256(str(end - start).encode())
    for place in (start, max(start, end - _ENDS)):
        file.seek(place)
        digest.update(file.read(min(_ENDS, end - start)))
    return digest.hexdigest()


def write_entry(
    file: BinaryIO, dataset: Dataset, preprocessing: ImagePreprocessing
) -> dict[str, Any]:
    """Write header, pixels and tail, and return what the tail says."""
    side, dtype = preprocessing.size, preprocessing.prepared_dtype
    shape = [len(dataset), side, side, preprocessing.channels]
    start = file.write(_header(dtype, shape))
    digest, failures = hashlib.sha256(), dict[int, str]()
    squares = decode_each(dataset, preprocessing, failures)
    # Written, not stored through a map: where the disk is full, a map would kill the process.
    while block := list(islice(squares, ROWS)):
        pixels = np.stack(block)
        digest.update(pixels.data)
        file.write(pixels.data)
    drop_failed(dataset, failures)  # raises when they are too many, before there is an entry
    end = file.tell()
    shape[0] -= len(failures)
    file.seek(0)
    file.write(_header(dtype, shape))
    tail = {
        "dtype": dtype,
        "shape": shape,
        "sha256": digest.hexdigest(),
        "ends": _ends_sha256(file, start, end),
        "failures": list(failures.items()),
    }
    content = json.dumps(tail).encode()
    file.seek(end)
    file.write(content + _FOOTER.pack(len(content), hashlib.sha256(content).digest(), _MARK))
    file.flush()
    os.fsync(file.fileno())  # or a power cut might leave holes behind a name that looks whole
    return tail


def decode_all(dataset: Dataset, preprocessing: ImagePreprocessing) -> tuple[Dataset, np.ndarray]:
    """Decode every image of a dataset into squares.

    Returns
    -------
    dataset
        The images that could be decoded; the others are added to `skipped`.
    pixels
        `[N, S, S, channels]` in the stored type, in the order of the dataset.

    Raises
    ------
    DataError
        More than a tenth of all files cannot be read, or an image does not fit the model.
    """
    if isinstance(dataset.images, np.ndarray):
        return dataset, preprocessing.prepare_all(dataset.images)
    side, n = preprocessing.size, len(dataset)
    squares = np.empty((n, side, side, preprocessing.channels), preprocessing.prepared_dtype)
    failures: dict[int, str] = {}
    count = 0
    for square in decode_each(dataset, preprocessing, failures):
        squares[count] = square
        count += 1
    return drop_failed(dataset, failures), squares[:count]


def decode_each(
    dataset: Dataset, preprocessing: ImagePreprocessing, failures: dict[int, str]
) -> Iterator[np.ndarray]:
    """Yield the square of every image that can be read, in order.

    The rows of the others and the reasons are added to `failures`, for `drop_failed`.

    Raises
    ------
    DataError
        An image does not fit the model; the message names it.
    """
    for row, name in enumerate(dataset.names):
        try:
            square = preprocessing.prepare(dataset.pictures[row])
        except UnreadableImage as error:
            failures[row] = error.reason
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        else:
            yield square


def drop_failed(dataset: Dataset, failures: Mapping[int, str]) -> Dataset:
    """Return a dataset without the rows in `failures`, which are added to `skipped`.

    Raises
    ------
    DataError
        They are too many.
    """
    found = ((dataset.names[row], reason) for row, reason in failures.items())
    skipped = (*dataset.skipped, *found)
    check_skipped(skipped, len(dataset) + len(dataset.skipped))
    if not failures:
        return dataset
    kept = [row for row in range(len(dataset)) if row not in failures]
    return replace(dataset.subset(kept), skipped=skipped)


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
class PreparedImages:
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


def load_prepared(
    dataset: Dataset, preprocessing: AnyPreprocessing, folder: str | Path | None = None
) -> PreparedImages:
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
    if isinstance(images, Table) or isinstance(preprocessing, TabularPreprocessing):
        return PreparedImages(dataset, np.asarray(prepare_samples(images, preprocessing)))
    if not isinstance(images, ImageFiles) or preprocessing.dtype == "float32":
        return PreparedImages(*decode_all(dataset, preprocessing))
    key, size = _listing(images, preprocessing)
    pixels = len(dataset) * preprocessing.size**2 * preprocessing.channels
    room = pixels * np.dtype(preprocessing.prepared_dtype).itemsize
    if folder is None and max(size, room) < IN_MEMORY:
        return PreparedImages(*decode_all(dataset, preprocessing))
    path = Path(cache_folder() if folder is None else folder) / f"{key}.npy"
    entry = open_entry(path) or _build(path, dataset, images, preprocessing, room)
    return PreparedImages(drop_failed(dataset, entry.failures), entry.pixels, entry.sha256)


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


def _listing(images: ImageFiles, preprocessing: ImagePreprocessing) -> tuple[str, int]:
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
    path: Path, dataset: Dataset, images: ImageFiles, preprocessing: ImagePreprocessing, room: int
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
