"""Arrays from `.npz` files of anybody: sizes are looked at before memory is taken."""

import math
import sys
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np
from numpy.lib import format as npy

from augan.exceptions import DataError

MAX_RATIO = 200  # of unpacked to packed bytes, beyond which a large array is taken for a bomb
LARGE = 2**30  # bytes
LONGEST = 300  # characters of what others say
_ERRORS = (
    *(OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, TokenError, KeyError),
    *(TypeError, RuntimeError, OverflowError, MemoryError, SyntaxError, IndexError),
)


def read_npz(path: Path, wanted: Sequence[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return those of the wanted arrays that there are, and the names of all arrays.

    Raises
    ------
    DataError
        The file is no whole archive, or an array in it is damaged, no plain array of numbers or
        text, or far larger than the file makes believable.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("it is not a complete .npz archive")
        # Pickled content could run code; without it a damaged or hostile file can only fail.
        with zipfile.ZipFile(path) as archive:
            infos = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            found = {}
            for name in wanted:
                if name in infos:
                    with archive.open(infos[name]) as member:
                        found[name] = _read_array(member, infos[name])
            return found, list(infos)
    except _ERRORS as error:
        raise DataError(
            f"cannot read {path}: {str(error)[:LONGEST]}; write it with "
            "numpy.savez(file, x=..., y=...), numbers or text only"
        ) from error


def _read_array(member: IO[bytes], info: zipfile.ZipInfo) -> np.ndarray:
    if info.file_size > max(LARGE, MAX_RATIO * info.compress_size):
        raise ValueError(
            f"{info.filename} takes {info.compress_size} bytes and claims to unpack to "
            f"{info.file_size}, more than {MAX_RATIO} times as many"
        )
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(member)
    if version not in read_header:
        raise ValueError(f"{info.filename} is of version {version} of NumPy's format")
    shape, _, dtype = read_header[version](member)
    declared, there = math.prod(shape) * dtype.itemsize, info.file_size - member.tell()
    if declared != there and not dtype.hasobject:
        raise ValueError(
            f"{info.filename} declares the shape {list(shape)} of {dtype}, {declared} bytes, but "
            f"holds {there}"
        )
    member.seek(0)
    array: np.ndarray = npy.read_array(member, allow_pickle=False)
    if dtype.kind == "U" and array.size and dtype.itemsize:
        # NumPy fails on such characters later, elsewhere.
        characters = np.frombuffer(array.tobytes(), f"{dtype.byteorder}u4")
        if characters.max() > sys.maxunicode:
            raise ValueError(f"{info.filename} has characters that do not exist")
    return array
