"""File of the disk cache: the prepared images of a dataset, and a check that they are complete.

A cache file is a plain NumPy file, which `numpy.load` reads, followed by a tail. The tail lists the
images that could not be read, holds the SHA-256 of the pixels, and shows that the file is complete.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from augan.io.hashing import sha256_bytes, sha256_parts

_BLOCK_ROWS = 256  # decoded between two writes
_END_BYTES = 2**20  # at either end of the pixels, which are checked when a file is opened
_FOOTER = struct.Struct("<Q32s8s")  # bytes of the tail, SHA-256 of the tail, and the mark
_MARK = b"AUGANSQR"  # the last bytes of a complete cache file, which show that the file has a tail


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
    file: BinaryIO,
    images: Iterable[np.ndarray],
    dtype: str,
    shape: tuple[int, ...],
    failures: Mapping[int, str],
) -> CacheFile:
    """Write prepared images into a new cache file, and map its pixels into memory.

    The file consists of the header of a NumPy file, the pixels, the tail and a footer. The tail is
    a JSON object: `dtype` and `shape` of the pixels, their `sha256`, the hash of their first and
    last bytes (`ends`), and the rows that could not be read with the reasons (`failures`). The
    footer has a fixed size: length and SHA-256 of the tail, and a mark. The footer is written last,
    so an incomplete file has no footer.

    Parameters
    ----------
    file : binary file
        An empty file, open for reading and writing; the caller closes it.
    images : iterable of ndarray
        Prepared images `[S, S, C]`.
    dtype : str
        Their type, an integer type.
    shape : tuple of int
        `(N, S, S, C)`, of which N is the largest possible number of images.
    failures : mapping of int to str
        Row of each unreadable image -> the reason; read after the last image, so that `images` may
        still add to it.

    Raises
    ------
    OSError
        The file cannot be written, for example because the disk is full.
    """
    start = file.write(_header(dtype, shape))
    digest, count, remaining = hashlib.sha256(), 0, iter(images)
    # Written to the file and not through a memory map: on a full disk, a map kills the process.
    while block := list(islice(remaining, _BLOCK_ROWS)):
        pixels = np.stack(block)
        digest.update(pixels.data)
        file.write(pixels.data)
        count += len(block)
    end = file.tell()
    shape = (count, *shape[1:])
    file.seek(0)
    file.write(_header(dtype, shape))
    tail = {
        "dtype": dtype,
        "shape": list(shape),
        "sha256": digest.hexdigest(),
        "ends": _ends_sha256(file, start, end),
        "failures": list(failures.items()),
    }
    content = json.dumps(tail).encode()
    file.seek(end)
    file.write(content + _footer(content))
    file.flush()
    os.fsync(file.fileno())  # else a power cut could leave holes in a file that looks complete
    return _map_pixels(file, tail)


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
