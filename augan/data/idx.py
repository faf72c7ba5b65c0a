"""IDX, the file format of MNIST and its relatives: a tiny header, then the raw values."""

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from augan.data.arrays import as_images
from augan.exceptions import DataError

MAX_BYTES = 8 * 2**30
MAX_AXES = 8
PIECE = 2**24  # bytes that are read at once

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_FILE = re.compile(
    r"(?P<part>train|t10k|test)[-_.](?P<kind>images|labels)[-_.]idx\d(-ubyte)?(\.gz)?", re.ASCII
)


def read_idx(path: str | Path) -> np.ndarray:
    """Read one IDX file, plain or compressed with gzip.

    The size that the header declares must be the size of what follows, to the byte; a
    compressed file is never unpacked beyond it.

    Returns
    -------
    np.ndarray
        The declared shape and type, in native byte order.

    Raises
    ------
    DataError
        The file is missing, no IDX file, truncated, longer than declared, or larger than 8 GiB.
    """
    path = Path(path)
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            return _read(stream, path)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read the IDX file {path}: {error}; get a fresh copy") from error


def _read(stream: BinaryIO | gzip.GzipFile, path: Path) -> np.ndarray:
    magic = stream.read(4)
    if (
        len(magic) < 4
        or magic[:2] != b"\0\0"
        or magic[2] not in _DTYPES
        or not 1 <= magic[3] <= MAX_AXES
    ):
        raise DataError(
            f"{path} is not an IDX file: it begins with the bytes {magic.hex(' ') or '(none)'}, "
            f"expected 00 00, a type code and a dimension count up to {MAX_AXES}; check that it is "
            "the right file"
        )
    dtype, ndim = np.dtype(_DTYPES[magic[2]]), magic[3]
    sizes = stream.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise DataError(f"{path} ends inside its header; get a fresh copy")
    shape = [int(size) for size in np.frombuffer(sizes, ">u4")]
    declared = math.prod(shape) * dtype.itemsize
    if declared > MAX_BYTES:
        raise DataError(
            f"{path} declares the shape {shape}, {declared / 2**30:.1f} GiB; files up to "
            f"{MAX_BYTES // 2**30} GiB are read: split it, or check that it is undamaged"
        )
    content = _content(stream, declared)
    if len(content) < declared or stream.read(1):
        came = "more" if len(content) == declared else f"only {len(content)}"
        raise DataError(
            f"{path} declares the shape {shape}, {declared} bytes of content, but holds {came}; "
            "get a fresh copy"
        )
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _content(stream: BinaryIO | gzip.GzipFile, declared: int) -> bytearray:
    """Return up to `declared` bytes; memory grows with what is there, not with what is declared."""
    content = bytearray()
    while part := stream.read(min(declared - len(content), PIECE)):
        content += part
    return content


def is_idx_folder(folder: Path) -> bool:
    """Tell whether a folder holds images in IDX files named as those of MNIST."""
    return any(kind == "images" for _, kind in _find(folder))


def read_idx_folder(
    folder: Path, part: Literal["train", "test"]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the images `[N, H, W, C]` and labels `[N]` (or None) of one part.

    Raises
    ------
    DataError
        The part is absent, a file is damaged, or a file does not hold what its name says.
    """
    files = _find(folder)
    if (part, "images") not in files:
        raise DataError(
            f"{folder} has no {part} images in IDX format; expected a file such as "
            f"{'train' if part == 'train' else 't10k'}-images-idx3-ubyte.gz"
        )
    images = as_images(read_idx(files[part, "images"]))
    if (part, "labels") not in files:
        return images, None
    return images, read_idx(files[part, "labels"])


def _find(folder: Path) -> dict[tuple[str, str], Path]:
    found: dict[tuple[str, str], Path] = {}
    # Sorted, so that of a plain and a compressed copy always the plain one is taken.
    for path in sorted(folder.iterdir(), reverse=True):
        match = _FILE.fullmatch(path.name)
        if match and path.is_file():
            part = "train" if match["part"] == "train" else "test"
            found[part, match["kind"]] = path
    return found
