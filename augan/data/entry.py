"""The file that keeps decoded squares: what is written into it, and whether it is whole.

It is a plain NumPy file, which `numpy.load` reads, with a tail that says which images could not be
read, what the SHA-256 of the pixels is, and that all is complete.
"""

import hashlib
import json
import os
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from augan.data.dataset import Dataset
from augan.data.decoding import decoded_squares, leave_out
from augan.data.preprocessing import Preprocessing

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


def write_entry(file: BinaryIO, dataset: Dataset, preprocessing: Preprocessing) -> dict[str, Any]:
    """Write header, pixels and tail, and return what the tail says."""
    side, dtype = preprocessing.size, preprocessing.stored_dtype
    shape = [len(dataset), side, side, preprocessing.channels]
    start = file.write(_header(dtype, shape))
    digest, failures = hashlib.sha256(), dict[int, str]()
    squares = decoded_squares(dataset, preprocessing, failures)
    # Written, not stored through a map: where the disk is full, a map would kill the process.
    while block := list(islice(squares, ROWS)):
        pixels = np.stack(block)
        digest.update(pixels.data)
        file.write(pixels.data)
    leave_out(dataset, failures)  # raises when they are too many, before there is an entry
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
