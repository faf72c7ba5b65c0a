"""Encoding and decoding of bundle members: JSON, safetensors and npz.

The encoders check as strictly as the decoders, so that every bundle that can be written can also be
read. Equal content gives equal bytes.
"""

import io
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from augan.bundle.archive import REPLACE_HINT, Archive, Limits, write_zip
from augan.exceptions import BundleError

MEMBER_LIMIT = 1024**3
JSON_LIMIT = 16 * 1024**2
_HEADER_LIMIT = 16 * 1024**2
_NPZ_LIMITS = Limits(member=MEMBER_LIMIT, total=MEMBER_LIMIT, count=256, ratio=1)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}")
_NUMBER = re.compile(r"\|b1|\|[iu]1|<[iu][248]|<f[248]")
_NUMBER_OR_TEXT = re.compile(_NUMBER.pattern + r"|<U[1-9]\d{0,5}")
_NPY_MAGIC = b"\x93NUMPY\x01\x00"
# Exactly what numpy.lib.format writes for an array of the allowed dtypes in C order. Everything
# else (objects, structures, Fortran order) is refused before a general parser reads it.
_NPY_HEADER = re.compile(
    rb"\{'descr': '([^']{2,9})', 'fortran_order': False, "
    rb"'shape': \(((?:\d{1,18},|\d{1,18}(?:, \d{1,18}){1,31})?)\), \} *\n"
)


def encode_json(value: Mapping[str, Any], where: str) -> bytes:
    """Encode a JSON section of a bundle: indented, with sorted keys, NumPy scalars as numbers.

    Parameters
    ----------
    value : mapping
        The section, with text keys.
    where : str
        Name of the section in error messages.

    Raises
    ------
    BundleError
        A value is not JSON: another type, a key that is not text, or a number that is not finite.
    """
    text = json.dumps(_to_json(value, where), indent=1, sort_keys=True)
    return text.encode() + b"\n"


def _to_json(value: Any, where: str) -> Any:
    """Return a nested value as plain Python types, see `encode_json`; tuples become lists."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise BundleError(
            f"{where} is {value}, which JSON cannot hold; use None or a finite number"
        )
    if isinstance(value, list | tuple):
        return [_to_json(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise BundleError(f"{where} has the key {key!r}, expected text; use str({key!r})")
        return {key: _to_json(item, f"{where}[{key!r}]") for key, item in value.items()}
    raise BundleError(
        f"{where} is a {type(value).__name__}, expected JSON (text, numbers, lists, dicts); "
        "convert the value, and an array needs a field of its own"
    )


def decode_json(raw: bytes, where: str) -> dict[str, Any]:
    """Decode a JSON section of a bundle, strictly: one object, no duplicate keys, no NaN.

    Parameters
    ----------
    raw : bytes
        The content of the member.
    where : str
        Name of the member in error messages.

    Raises
    ------
    BundleError
        The content is no such JSON, or is longer than 16 MiB.
    """
    if len(raw) > JSON_LIMIT:
        raise BundleError(
            f"{where} is oversized: {len(raw)} bytes of JSON, at most {JSON_LIMIT} are read; "
            f"{REPLACE_HINT}"
        )
    try:
        value = json.loads(raw, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where} is not valid JSON ({error}); {REPLACE_HINT}") from error
    if not isinstance(value, dict):
        raise BundleError(
            f"{where} holds a {type(value).__name__}, expected an object; {REPLACE_HINT}"
        )
    return value


def _refuse_constant(name: str) -> None:
    """Raise ValueError for NaN and Infinity, which Python's parser would accept."""
    raise ValueError(f"{name} is not JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs of a JSON object as a dict; ValueError if a key occurs twice."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key occurs twice")
    return value


def _as_array(value: Any, where: str, allowed: re.Pattern[str]) -> np.ndarray:
    """Return a value as a little-endian array in C order (0-d stays 0-d).

    BundleError unless the pattern `allowed` matches its dtype.
    """
    array = np.asarray(value)
    plain = array.dtype.kind in "biufU" and array.dtype.newbyteorder("<")
    if not plain or not allowed.fullmatch(plain.str):
        raise BundleError(
            f"{where} has dtype {array.dtype}, expected booleans, integers, floats up to 64 bits"
            + (" or fixed-width text; convert it with astype" if allowed is _NUMBER_OR_TEXT else "")
        )
    return array.astype(plain, order="C", copy=False)


def encode_weights(weights: Mapping[str, np.ndarray], where: str) -> bytes:
    """Encode the variables of a network as safetensors.

    Parameters
    ----------
    weights : mapping of str to ndarray
        Variable path -> value, numbers or booleans up to 64 bits.
    where : str
        Name of the network in error messages.

    Raises
    ------
    BundleError
        A value has another type, or a variable is called `__metadata__`.
    """
    arrays = {}
    for key in sorted(weights):
        if key == "__metadata__":
            raise BundleError(f"{where}: the name __metadata__ is reserved; rename the variable")
        arrays[key] = _as_array(weights[key], f"{where}: {key}", _NUMBER)
    raw: bytes = safetensors.numpy.save(arrays)
    return raw


def decode_weights(raw: bytes, where: str) -> dict[str, np.ndarray]:
    """Decode the variables of a network from safetensors.

    Returns
    -------
    dict of str to ndarray
        Variable path -> value, sorted by path; writable copies.

    Raises
    ------
    BundleError
        The content is no valid safetensors, or has bytes that belong to no array.
    """
    header = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or header > min(len(raw) - 8, _HEADER_LIMIT):
        raise BundleError(
            f"{where} declares a header of {header} bytes in {len(raw)} bytes; {REPLACE_HINT}"
        )
    try:
        arrays = safetensors.numpy.load(raw)
    except (SafetensorError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise BundleError(f"{where} is not valid safetensors ({error}); {REPLACE_HINT}") from error
    if sum(array.nbytes for array in arrays.values()) + header + 8 != len(raw):
        raise BundleError(f"{where} has bytes that belong to no array; {REPLACE_HINT}")
    return {key: arrays[key].copy() for key in sorted(arrays)}  # copies: writable, aligned


def encode_table(table: Mapping[str, np.ndarray], where: str) -> bytes:
    """Encode named arrays as npz, without the times that `numpy.savez` writes.

    Parameters
    ----------
    table : mapping of str to ndarray
        Name -> array of numbers, booleans or fixed-width text.
    where : str
        Name of the table in error messages.

    Raises
    ------
    BundleError
        An array has another type, or a name that cannot be stored.
    """
    members = {}
    for name, value in table.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise BundleError(
                f"{where} has an array called {name!r}, expected letters, digits and any of '_./-'"
            )
        stream = io.BytesIO()
        array = _as_array(value, f"{where}: {name}", _NUMBER_OR_TEXT)
        np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
        members[f"{name}.npy"] = stream.getvalue()
    stream = io.BytesIO()
    write_zip(stream, members)
    return stream.getvalue()


def decode_table(raw: bytes, where: str) -> dict[str, np.ndarray]:
    """Decode named arrays from npz, without pickle.

    Returns
    -------
    dict of str to ndarray
        Name -> array, sorted by name.

    Raises
    ------
    BundleError
        The content is damaged, too large or compressed, or holds other members than plain arrays.
    """
    archive = Archive(io.BytesIO(raw), where, _NPZ_LIMITS)
    table = {}
    for name in sorted(archive.sizes):
        if not name.endswith(".npy") or not _NAME.fullmatch(name[:-4]):
            raise BundleError(
                f"{where} has the member {name!r}, expected .npy only; {REPLACE_HINT}"
            )
        table[name[:-4]] = _decode_array(archive.read(name), f"{where}: {name}")
    return {name: table[name] for name in sorted(table)}


def _decode_array(raw: bytes, where: str) -> np.ndarray:
    """Decode one array in NumPy's format, after a check of its header and its number of bytes."""
    start = 10 + int.from_bytes(raw[8:10], "little")
    header = _NPY_HEADER.fullmatch(raw[10:start])
    descr = header[1].decode("latin-1") if header else ""
    if not raw.startswith(_NPY_MAGIC) or header is None or not _NUMBER_OR_TEXT.fullmatch(descr):
        raise BundleError(
            f"{where} is not a plain array of numbers or fixed-width text (pickled Python objects "
            f"are never read); {REPLACE_HINT}"
        )
    shape = tuple(int(n) for n in header[2].decode().replace(" ", "").split(",") if n)
    dtype = np.dtype(descr)
    declared = math.prod(shape) * dtype.itemsize
    if declared != len(raw) - start:
        raise BundleError(
            f"{where} declares shape {shape} of {dtype}, {declared} bytes, but holds "
            f"{len(raw) - start}; {REPLACE_HINT}"
        )
    try:
        array = np.zeros(shape, dtype)  # safe, because the size was compared with the bytes
        array.reshape(-1).view(np.uint8)[:] = np.frombuffer(raw, np.uint8, offset=start)
    except ValueError as error:
        raise BundleError(f"{where} has an impossible shape ({error}); {REPLACE_HINT}") from error
    _check_values(array, where)
    return array


def _check_values(array: np.ndarray, where: str) -> None:
    """Raise BundleError for bytes that are no booleans or characters; NumPy would fail later."""
    flat = array.reshape(-1)
    is_invalid = (array.dtype.kind == "b" and flat.view(np.uint8).max(initial=0) > 1) or (
        array.dtype.kind == "U" and flat.view(np.uint32).max(initial=0) > 0x10FFFF
    )
    if is_invalid:
        raise BundleError(f"{where} has bytes that are no {array.dtype} values; {REPLACE_HINT}")
