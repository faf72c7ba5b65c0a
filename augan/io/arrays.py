"""Safe reading of `.npz` and IDX files: declared sizes are checked before memory is allocated."""

import gzip
import math
import sys
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError
from typing import IO, BinaryIO

import numpy as np
from numpy.lib import format as npy

from augan.exceptions import DataError

MAX_IDX_BYTES = 8 * 2**30
MAX_IDX_AXES = 8
MAX_COMPRESSION_RATIO = 200  # of unpacked to packed bytes; a larger ratio is a decompression bomb
MIN_RATIO_BYTES = 2**30  # arrays up to this size may have any ratio
_MAX_QUOTED_LENGTH = 300  # characters of an error message of another library

_READ_BYTES = 2**24  # at once
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
# Everything that NumPy and zipfile raise on damaged files.
_NPZ_ERRORS = (
    *(OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, TokenError, KeyError),
    *(TypeError, RuntimeError, OverflowError, MemoryError, SyntaxError, IndexError),
)


def read_idx(path: str | Path) -> np.ndarray:
    """Read one array from an IDX file, the format of MNIST, plain or compressed with gzip.

    The content must have exactly the size that the header declares; a compressed file is never
    unpacked beyond that size.

    Returns
    -------
    np.ndarray
        An array of the declared shape and type, in native byte order.

    Raises
    ------
    DataError
        The file is missing, no IDX file, truncated, longer than declared, or larger than 8 GiB.
    """
    path = Path(path)
    try:
        with path.open("rb") as plain:
            is_compressed = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if is_compressed else path.open("rb") as stream:
            return _read_idx_stream(stream, path)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read the IDX file {path}: {error}; get a fresh copy") from error


def read_npz(path: Path, wanted: Sequence[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Read some arrays of an untrusted `.npz` file, without pickle and within size limits.

    Parameters
    ----------
    path : Path
        The file.
    wanted : sequence of str
        Names of arrays; names that the file does not hold are ignored. Empty: read names only.

    Returns
    -------
    arrays : dict of str to ndarray
        The wanted arrays that the file holds.
    names : list of str
        The names of all arrays in the file.

    Raises
    ------
    DataError
        The file is not a complete archive, or an array in it is damaged, is not a plain array of
        numbers or text, or unpacks to implausibly many bytes.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("it is not a complete .npz archive")
        # Pickled content could run code; without pickle a hostile file can only fail to load.
        with zipfile.ZipFile(path) as archive:
            infos = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            arrays = {}
            for name in wanted:
                if name in infos:
                    with archive.open(infos[name]) as member:
                        arrays[name] = _read_npy(member, infos[name])
            return arrays, list(infos)
    except _NPZ_ERRORS as error:
        raise DataError(
            f"cannot read {path}: {str(error)[:_MAX_QUOTED_LENGTH]}; write the "
            "arrays x and y as numbers or text only; in Python numpy.savez(file, x=..., y=...)"
        ) from error


def _read_idx_stream(stream: BinaryIO | gzip.GzipFile, path: Path) -> np.ndarray:
    """Read the array of an open IDX file; `path` is its name in messages."""
    magic = stream.read(4)
    if (
        len(magic) < 4
        or magic[:2] != b"\0\0"
        or magic[2] not in _IDX_TYPES
        or not 1 <= magic[3] <= MAX_IDX_AXES
    ):
        raise DataError(
            f"{path} is not an IDX file: it begins with the bytes {magic.hex(' ') or '(none)'}, "
            f"expected 00 00, a type code and a dimension count up to {MAX_IDX_AXES}; check that "
            "it is the right file"
        )
    dtype, ndim = np.dtype(_IDX_TYPES[magic[2]]), magic[3]
    sizes = stream.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise DataError(f"{path} ends inside its header; get a fresh copy")
    shape = [int(size) for size in np.frombuffer(sizes, ">u4")]
    declared = math.prod(shape) * dtype.itemsize
    if declared > MAX_IDX_BYTES:
        raise DataError(
            f"{path} declares the shape {shape}, {declared / 2**30:.1f} GiB; files up to "
            f"{MAX_IDX_BYTES // 2**30} GiB are read: split it, or check that it is undamaged"
        )
    content = _read_content(stream, declared)
    if len(content) < declared or stream.read(1):
        actual = "more" if len(content) == declared else f"only {len(content)}"
        raise DataError(
            f"{path} declares the shape {shape}, {declared} bytes of content, but holds {actual}; "
            "get a fresh copy"
        )
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _read_content(stream: BinaryIO | gzip.GzipFile, declared: int) -> bytearray:
    """Read up to `declared` bytes; memory grows with the actual content, not with `declared`."""
    content = bytearray()
    while block := stream.read(min(declared - len(content), _READ_BYTES)):
        content += block
    return content


def _read_npy(member: IO[bytes], info: zipfile.ZipInfo) -> np.ndarray:
    """Read one array of an `.npz` file, after a check of its declared sizes.

    Raises
    ------
    ValueError
        The array is damaged, unpacks to more than 200 times its bytes and more than 1 GiB, needs
        pickle, or has invalid characters.
    """
    if info.file_size > max(MIN_RATIO_BYTES, MAX_COMPRESSION_RATIO * info.compress_size):
        raise ValueError(
            f"{info.filename} takes {info.compress_size} bytes and claims to unpack to "
            f"{info.file_size}, more than {MAX_COMPRESSION_RATIO} times as many"
        )
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(member)
    if version not in read_header:
        raise ValueError(f"{info.filename} is of version {version} of NumPy's format")
    shape, _, dtype = read_header[version](member)
    declared, actual = math.prod(shape) * dtype.itemsize, info.file_size - member.tell()
    if declared != actual and not dtype.hasobject:
        raise ValueError(
            f"{info.filename} declares the shape {list(shape)} of {dtype}, {declared} bytes, but "
            f"holds {actual}"
        )
    member.seek(0)
    array: np.ndarray = npy.read_array(member, allow_pickle=False)
    if dtype.kind == "U" and array.size and dtype.itemsize:
        # NumPy would fail on such characters later, in another place.
        characters = np.frombuffer(array.tobytes(), f"{dtype.byteorder}u4")
        if characters.max() > sys.maxunicode:
            raise ValueError(f"{info.filename} has characters that do not exist")
    return array
