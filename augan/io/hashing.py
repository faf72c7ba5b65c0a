"""SHA-256 digests of bytes, files, arrays and JSON values; BLAKE2b digests of arrays."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

_BLOCK_BYTES = 2**24  # of an array, copied at once


def sha256_bytes(content: bytes) -> str:
    """Return the SHA-256 of a byte string as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_parts(parts: Iterable[bytes | memoryview]) -> str:
    """Return the SHA-256 of several byte strings, joined without separators, as 64 hex digits.

    Boundaries between parts do not count: a caller that needs them adds a length or a separator.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of the content of a file; OSError if the file cannot be read."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any, *, sort_keys: bool = True) -> str:
    """Return the SHA-256 of a JSON-able value, for comparing settings.

    Parameters
    ----------
    value
        Text, numbers, lists and dicts.
    sort_keys : bool
        True (default): the order of keys in dicts does not matter. False: it does.

    Examples
    --------
    >>> sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1})
    True
    """
    return sha256_bytes(json.dumps(value, sort_keys=sort_keys).encode())


def sha256_array(array: np.ndarray) -> str:
    """Return the SHA-256 of the bytes of an array `[N, ...]` in C order.

    Type and shape do not count. Rows are read in blocks, so a memory map does not fill the memory.

    Examples
    --------
    >>> sha256_array(np.zeros((2, 8, 8, 1), np.uint8))[:8]
    '38723a2e'
    """
    rows = max(1, _BLOCK_BYTES * len(array) // max(1, array.nbytes))
    starts = range(0, len(array), rows)
    return sha256_parts(np.ascontiguousarray(array[i : i + rows]).data for i in starts)


def array_digest(array: np.ndarray) -> bytes:
    """Return 16 bytes that identify the content of an array: BLAKE2b of its bytes in C order.

    Type and shape do not count. The digest finds equal images without keeping the images; it is
    never stored.
    """
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).digest()
