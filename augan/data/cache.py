"""Prepared images of a dataset, decoded in memory or kept in a disk cache.

A cache file is a plain NumPy file, which `numpy.load` reads, followed by a tail. The tail lists the
images that could not be read, holds the SHA-256 of the pixels, and shows that the file is complete.
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
from augan.data.modalities.base import Preprocessing
from augan.data.modalities.images import ImagePreprocessing
from augan.exceptions import DataError
from augan.io.atomic import try_lock
from augan.io.hashing import sha256_array, sha256_bytes, sha256_json, sha256_parts
from augan.io.images import UnreadableImage

_GIB = 2**30
MAX_CACHE_BYTES = 20 * _GIB
MAX_DISK_FRACTION = 0.25  # of the disk space that would be free without the cache
# Decoding this much takes seconds and little memory, so the cache would not pay. The demo and most
# tests then leave no files, and a read-only home folder does not matter.
MAX_IN_MEMORY_BYTES = 64 * 2**20

_FORMAT = 1  # raise it whenever equal files would become other pixels
_CACHE_FILE = re.compile(r"[0-9a-f]{64}\.npy")
_PART_FILE = re.compile(r"\.[0-9a-f]{64}\.[0-9a-f]{16}\.part")
_ABANDONED_SECONDS = 60.0  # without a write, after which an unlocked part file may be removed
_BLOCK_ROWS = 256  # decoded between two writes
_END_BYTES = 2**20  # at either end of the pixels, which are checked when a file is opened
_FOOTER = struct.Struct("<Q32s8s")  # bytes of the tail, SHA-256 of the tail, and the mark
_MARK = b"AUGANSQR"  # the last bytes of a complete cache file, which show that the file has a tail


@dataclass(frozen=True, eq=False)
class PreparedImages:
    """A dataset and its preprocessed samples, before the networks' normalization to -1..1.

    Attributes
    ----------
    dataset : Dataset
        The samples that could be decoded, with names and labels; unreadable files are in `skipped`.
    pixels : ndarray
        Images: `[N, S, S, channels]` in `preprocessing.prepared_dtype`, perhaps a read-only memory
        map of a cache file. Rows of a table: float64 `[N, F]`. Row i belongs to `dataset.names[i]`.
    cached_sha256 : str or None
        SHA-256 of the bytes of `pixels` if the cache file states the digest, else None (default).
    """

    dataset: Dataset
    pixels: np.ndarray
    cached_sha256: str | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes of `pixels`; computed from all pixels if the cache file lacks it."""
        return self.cached_sha256 or sha256_array(self.pixels)


def load_prepared(
    dataset: Dataset, preprocessing: Preprocessing, folder: str | Path | None = None
) -> PreparedImages:
    """Convert a dataset to prepared samples, with a disk cache for large sets of image files.

    Only image files are cached, and only for preprocessing with integer pixels. Image files whose
    files and pixels take less than 64 MiB each are decoded into memory; larger sets are decoded
    once into a cache file, which later calls map into memory. The cache keeps at most 20 GiB, and
    at most a quarter of the disk space that is free without the cache; the least recently used
    files are removed first. A single new file may exceed this limit.

    Parameters
    ----------
    dataset : Dataset
        The result of `load_dataset`.
    preprocessing : Preprocessing
        The preprocessing that was fitted on the training samples.
    folder : path-like or None
        Folder of the cache; small sets of files are then cached too. None (default):
        `cache_folder()`, for large sets only.

    Returns
    -------
    PreparedImages
        The prepared samples; image files that could not be read are left out and listed in
        `dataset.skipped`.

    Raises
    ------
    DataError
        More than a tenth of all files cannot be read, a sample does not fit the preprocessing, the
        cache cannot be written, or files change while they are read.
    """
    images = dataset.images
    preprocessing.check_samples(images)
    if not preprocessing.has_files:
        return PreparedImages(dataset, preprocessing.prepare_all(images))
    of_images = preprocessing.require_images()
    if not isinstance(images, ImageFiles) or of_images.dtype == "float32":
        return PreparedImages(*decode_all(dataset, of_images))
    key, file_bytes = _cache_key(images, of_images)
    num_values = len(dataset) * of_images.size**2 * of_images.channels
    pixel_bytes = num_values * np.dtype(of_images.prepared_dtype).itemsize
    if folder is None and max(file_bytes, pixel_bytes) < MAX_IN_MEMORY_BYTES:
        return PreparedImages(*decode_all(dataset, of_images))
    path = Path(cache_folder() if folder is None else folder) / f"{key}.npy"
    cached = open_cache_file(path) or _build(path, dataset, images, of_images, pixel_bytes)
    return PreparedImages(drop_failed(dataset, cached.failures), cached.pixels, cached.sha256)


def cache_folder() -> Path:
    """Return the default folder of cache files: `$AUGAN_CACHE`, or `augan` in the user's cache.

    The user's cache is `~/Library/Caches` on macOS, elsewhere `$XDG_CACHE_HOME` or `~/.cache`. The
    folder may not exist yet.

    Raises
    ------
    DataError
        The user has no home folder, or `$AUGAN_CACHE` begins with a home folder that does not
        exist.
    """
    if chosen := os.environ.get("AUGAN_CACHE"):
        try:
            return Path(chosen).expanduser()
        except RuntimeError as error:
            raise DataError(
                f"AUGAN_CACHE is {chosen}, but there is no home folder {Path(chosen).parts[0]}; "
                "set it to the full path of a folder"
            ) from error
    variable, default = {
        "darwin": ("", "~/Library/Caches"),
    }.get(sys.platform, ("XDG_CACHE_HOME", "~/.cache"))
    base = Path(os.environ.get(variable, ""))
    try:
        return (base if base.is_absolute() else Path(default).expanduser()) / "augan"
    except RuntimeError as error:
        raise DataError(
            "there is no home folder to keep decoded images in; set AUGAN_CACHE to a folder"
        ) from error


def decode_all(dataset: Dataset, preprocessing: ImagePreprocessing) -> tuple[Dataset, np.ndarray]:
    """Decode and prepare every image of a dataset in memory, without the disk cache.

    Parameters
    ----------
    dataset : Dataset
        Images as an array or as files, not a table.
    preprocessing : ImagePreprocessing
        The fitted preprocessing.

    Returns
    -------
    dataset : Dataset
        The images that could be decoded; the others are added to `skipped`.
    pixels : ndarray
        `[N, S, S, channels]` in `preprocessing.prepared_dtype`, in the order of the returned
        dataset.

    Raises
    ------
    DataError
        More than a tenth of all files cannot be read, or an image does not fit the preprocessing.
    """
    if isinstance(dataset.images, np.ndarray):
        return dataset, preprocessing.prepare_all(dataset.images)
    side, n = preprocessing.size, len(dataset)
    pixels = np.empty((n, side, side, preprocessing.channels), preprocessing.prepared_dtype)
    failures: dict[int, str] = {}
    count = 0
    for image in _decode_each(dataset, preprocessing, failures):
        pixels[count] = image
        count += 1
    return drop_failed(dataset, failures), pixels[:count]


def drop_failed(dataset: Dataset, failures: Mapping[int, str]) -> Dataset:
    """Return a dataset without the images that could not be read, which are listed in `skipped`.

    Parameters
    ----------
    dataset : Dataset
        The dataset, with readable and unreadable images.
    failures : mapping of int to str
        Row of each unreadable image in `dataset` -> the reason, for messages.

    Raises
    ------
    DataError
        More than a tenth of all files, with those skipped earlier, cannot be read.
    """
    failed = ((dataset.names[row], reason) for row, reason in failures.items())
    skipped = (*dataset.skipped, *failed)
    check_skipped(skipped, len(dataset) + len(dataset.skipped))
    if not failures:
        return dataset
    kept = [row for row in range(len(dataset)) if row not in failures]
    return replace(dataset.subset(kept), skipped=skipped)


def _decode_each(
    dataset: Dataset, preprocessing: ImagePreprocessing, failures: dict[int, str]
) -> Iterator[np.ndarray]:
    """Yield every readable image of a dataset, prepared and in the order of the dataset.

    Rows that cannot be decoded yield nothing; they are added to `failures` as row -> reason.

    Raises
    ------
    DataError
        An image is readable but does not fit the preprocessing; the message names the image.
    """
    for row, name in enumerate(dataset.names):
        try:
            image = preprocessing.prepare(dataset.require_images()[row])
        except UnreadableImage as error:
            failures[row] = error.reason
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        else:
            yield image


@dataclass(frozen=True, eq=False)
class CacheFile:
    """The content of one complete cache file.

    Attributes
    ----------
    pixels : memmap
        Prepared images `[N, S, S, C]`, read-only.
    sha256 : str
        SHA-256 of the bytes of `pixels`, 64 hexadecimal digits.
    failures : dict of int to str
        Row in the dataset -> the reason why that image could not be read; such rows have no pixels.
    """

    pixels: np.ndarray
    sha256: str
    failures: dict[int, str]


def open_cache_file(path: Path) -> CacheFile | None:
    """Map the pixels of a cache file into memory and note the time of use.

    Returns
    -------
    CacheFile or None
        None if the file is missing, incomplete or damaged at either end; the caller then writes a
        new file. The middle of the pixels is not verified.
    """
    try:
        with open(path, "rb") as file:
            cached = _map_pixels(file, _read_tail(file))
    except (OSError, ValueError, struct.error):
        return None
    with suppress(OSError):  # in a read-only folder the time of use cannot be noted
        os.utime(path)
    return cached


def write_cache_file(
    file: BinaryIO, dataset: Dataset, preprocessing: ImagePreprocessing
) -> dict[str, Any]:
    """Decode all images of a dataset into a new cache file.

    The file consists of the header of a NumPy file, the pixels, the tail and a footer. The tail is
    a JSON object: `dtype` and `shape` of the pixels, their `sha256`, the hash of their first and
    last bytes (`ends`), and the rows that could not be read with the reasons (`failures`). The
    footer has a fixed size: length and SHA-256 of the tail, and a mark. The footer is written last,
    so an incomplete file has no footer.

    Parameters
    ----------
    file : binary file
        An empty file, open for reading and writing; the caller closes it.
    dataset : Dataset
        Images as files or arrays.
    preprocessing : ImagePreprocessing
        The fitted preprocessing, with integer pixels.

    Returns
    -------
    dict
        The values of the tail.

    Raises
    ------
    DataError
        More than a tenth of all files cannot be read, or an image does not fit the preprocessing.
    OSError
        The file cannot be written, for example because the disk is full.
    """
    side, dtype = preprocessing.size, preprocessing.prepared_dtype
    shape = [len(dataset), side, side, preprocessing.channels]
    start = file.write(_header(dtype, shape))
    digest, failures = hashlib.sha256(), dict[int, str]()
    images = _decode_each(dataset, preprocessing, failures)
    # Written to the file and not through a memory map: on a full disk, a map kills the process.
    while block := list(islice(images, _BLOCK_ROWS)):
        pixels = np.stack(block)
        digest.update(pixels.data)
        file.write(pixels.data)
    drop_failed(dataset, failures)  # raises if too many failed, before the file is complete
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
    file.write(content + _footer(content))
    file.flush()
    os.fsync(file.fileno())  # else a power cut could leave holes in a file that looks complete
    return tail


def _map_pixels(file: BinaryIO, tail: Mapping[str, Any]) -> CacheFile:
    """Map the pixels of an open cache file into memory; `tail` states their type and shape."""
    dtype, shape = tail["dtype"], tail["shape"]
    pixels = np.memmap(file, dtype, "r", len(_header(dtype, shape)), tuple(shape))
    return CacheFile(pixels, tail["sha256"], {int(row): reason for row, reason in tail["failures"]})


def _read_tail(file: BinaryIO) -> dict[str, Any]:
    """Return the tail of a cache file, after a check of header, footer and the ends of the pixels.

    Raises
    ------
    ValueError or struct.error
        The file is incomplete or damaged.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - _FOOTER.size))
    footer = file.read()
    length, _, mark = _FOOTER.unpack(footer)
    start = end - _FOOTER.size - length
    if mark != _MARK or start < 0:
        raise ValueError("the file has no tail")
    file.seek(start)
    content = file.read(length)
    if _footer(content) != footer:
        raise ValueError("the tail is damaged")
    tail: dict[str, Any] = json.loads(content)
    header = _header(tail["dtype"], tail["shape"])
    file.seek(0)
    if file.read(len(header)) != header:
        raise ValueError("the header is damaged")
    if _ends_sha256(file, len(header), start) != tail["ends"]:
        raise ValueError("the pixels are damaged")
    return tail


def _footer(content: bytes) -> bytes:
    """Return the footer of a cache file, 48 bytes: length and SHA-256 of the tail, and the mark."""
    return _FOOTER.pack(len(content), bytes.fromhex(sha256_bytes(content)), _MARK)


def _header(dtype: str, shape: Sequence[int]) -> bytes:
    """Return the header of a NumPy file for an array of this type and shape.

    NumPy pads the header to 128 bytes for any number of rows, so the number can be corrected later.
    """
    stream = BytesIO()
    descr = npy.dtype_to_descr(np.dtype(dtype))
    fields = {"descr": descr, "fortran_order": False, "shape": tuple(shape)}
    npy.write_array_header_1_0(stream, fields)
    return stream.getvalue()


def _ends_sha256(file: BinaryIO, start: int, end: int) -> str:
    """Return the SHA-256 of the number of pixel bytes, the first 1 MiB and the last 1 MiB.

    `start` and `end` are the positions of the first pixel byte and of the byte after the last.
    """
    parts = [str(end - start).encode()]
    for position in (start, max(start, end - _END_BYTES)):
        file.seek(position)
        parts.append(file.read(min(_END_BYTES, end - start)))
    return sha256_parts(parts)


def _cache_key(images: ImageFiles, preprocessing: ImagePreprocessing) -> tuple[str, int]:
    """Return the name of the cache file for image files in their present state.

    Returns
    -------
    key : str
        SHA-256 of the preprocessing, the version of Pillow, and path, size and times of every file.
    total : int
        Size of all files in bytes; unreadable files count as 0.
    """
    # Another version of Pillow may decode a JPEG file to slightly other pixels.
    settings = {"format": _FORMAT, "pillow": PIL.__version__, **preprocessing.to_dict()}
    digest = hashlib.sha256(sha256_json(settings).encode())
    root, total = images.root.resolve(), 0
    for name in images.names:
        path = os.path.join(root, name)
        try:
            stat = os.stat(path)
        except OSError:
            state, size = (0, 0, 0, 0), 0  # unreadable, as decoding will find
        else:
            size = stat.st_size
            # An archive or a copy may give a new file the size and the time of the old file.
            state = (size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        digest.update(b"%s\0%d\0%d\0%d\0%d\0" % (os.fsencode(path), *state))
        total += size
    return digest.hexdigest(), total


def _build(
    path: Path,
    dataset: Dataset,
    images: ImageFiles,
    preprocessing: ImagePreprocessing,
    pixel_bytes: int,
) -> CacheFile:
    """Decode all image files of a dataset into the new cache file `path`, and return its content.

    A temporary file is renamed to `path` when it is complete. `pixel_bytes` is the expected size of
    the pixels, for which older cache files are removed.

    Raises
    ------
    DataError
        The folder cannot be written or lacks space, image files changed while they were read, or
        `write_cache_file` fails.
    """
    part = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.part")
    try:
        # Closed to other users, because the file will hold the user's own images.
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _free_space(path.parent, pixel_bytes)
        with open(part, "x+b") as file:
            try_lock(file)  # the lock ends with the process, however the process ends
            cached = _map_pixels(file, write_cache_file(file, dataset, preprocessing))
            if _cache_key(images, preprocessing)[0] != path.stem:
                raise DataError(
                    f"image files of {dataset.name} changed while they were read; wait until all "
                    "are complete, then start again"
                )
            with suppress(FileNotFoundError):  # the folder was deleted; the map outlives it
                os.replace(part, path)
    except OSError as error:
        raise DataError(
            f"cannot keep the decoded images of {dataset.name} in {path.parent} "
            f"({error.strerror or error}); make {-(-pixel_bytes // 2**20)} MiB free and writable "
            "there, or set AUGAN_CACHE to another folder"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
    return cached


def _free_space(folder: Path, needed: int) -> None:
    """Remove the least recently used cache files until `needed` more bytes are within the limits.

    Abandoned temporary files are removed too. An `OSError` (ENOSPC) says that the disk is too small
    even without the cache.
    """
    files: list[tuple[float, int, Path]] = []
    used = 0
    for path in folder.iterdir():
        with suppress(OSError):  # another run may remove the file at this moment
            stat = path.stat()
            if _PART_FILE.fullmatch(path.name) and _is_abandoned(path, stat.st_mtime):
                path.unlink()
            elif _PART_FILE.fullmatch(path.name):
                used += stat.st_size
            elif _CACHE_FILE.fullmatch(path.name):
                used += stat.st_size
                files.append((stat.st_mtime, stat.st_size, path))
    space = shutil.disk_usage(folder).free + used
    if needed > space:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    limit = min(MAX_CACHE_BYTES, int(MAX_DISK_FRACTION * space))
    for _, size, path in sorted(files):
        if used + needed <= limit:
            break
        path.unlink(missing_ok=True)
        used -= size


def _is_abandoned(part: Path, changed: float) -> bool:
    """Whether no process writes a temporary file any more: it is unlocked and a minute old.

    `changed` is the time of the last write, in seconds since 1970.
    """
    if time.time() - changed < _ABANDONED_SECONDS:
        return False
    with open(part, "rb") as file:
        return try_lock(file) is True
