"""Random mutations of bytes, text and JSON trees.

Each mutation depends only on its arguments and a NumPy generator, so that a seed determines it.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Rng = np.random.Generator
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 255, 2**16, 2**31, 2**63, -(2**63), 10**30),
    *(
        0.5,
        -0.5,
        1e-300,
        1e308,
        "",
        "x",
        "../x",
        "/etc/passwd",
        "a\0b",
        "=1+1",
        "\ud800",
        "é" * 300,
    ),
    *([], {}, [[]], [1, 2, 3], [None], {"x": {}}, [0] * 40, {"": ""}),
)
WORDS = (
    *("", "-", "=", ":", ",", ";", '"', "'", "\0", "\n", "\r", "\t", "\ufeff", "\u2028", "#", "|"),
    *("nan", "inf", "-inf", "1e999", "-1", "0", "00", "0x", "0b", "1_000", "1:60", "9" * 5000),
    *("null", "~", "true", "no", "NA", "{", "}", "[", "]", "&a", "*a", "<<", "!!python/name:x"),
    *("!!timestamp", "2001-99-99", "2001-01-01 25:61:61", "!!float x", "!!int x", "!!binary ="),
    *("!!set", "? ", "---", "...", "%YAML 9.9", "@", "`", "../x", "=1+1", "é", "\U0001f600"),
)


def one(rng: Rng, items: Sequence[Any]) -> Any:
    """Return a random item."""
    return items[int(rng.integers(len(items)))]


def mutate_bytes(rng: Rng, raw: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Apply one to four mutations to `raw`, which may insert pieces of `others`."""
    mutated = bytearray(raw)
    for _ in range(int(rng.integers(1, 5))):
        _MUTATIONS[int(rng.integers(len(_MUTATIONS)))](
            rng, mutated, one(rng, others) if others else raw
        )
    return bytes(mutated)


def _offset(rng: Rng, raw: bytearray) -> int:
    # Half of the mutations are near the beginning, because headers are small and decide most.
    end = len(raw) + 1
    return int(rng.integers(min(end, 64) if rng.random() < 0.5 else end))


def _flip(rng: Rng, raw: bytearray, other: bytes) -> None:
    if raw:
        raw[min(_offset(rng, raw), len(raw) - 1)] ^= 1 << int(rng.integers(8))


def _set_number(rng: Rng, raw: bytearray, other: bytes) -> None:
    at, order = _offset(rng, raw), one(rng, "<>")
    width, kind = one(rng, ((1, "B"), (2, "H"), (4, "I")))
    value = int(one(rng, NUMBERS)) & ((1 << 8 * width) - 1)
    raw[at : at + width] = struct.pack(order + kind, value)


def _insert(rng: Rng, raw: bytearray, other: bytes) -> None:
    at = _offset(rng, raw)
    raw[at:at] = rng.bytes(int(rng.integers(1, 33)))


def _delete(rng: Rng, raw: bytearray, other: bytes) -> None:
    at = _offset(rng, raw)
    del raw[at : at + int(rng.integers(1, 1 + max(1, len(raw) // 8)))]


def _repeat(rng: Rng, raw: bytearray, other: bytes) -> None:
    at = _offset(rng, raw)
    raw[at:at] = raw[at : at + int(rng.integers(1, 257))] * int(rng.integers(1, 9))


def _cut(rng: Rng, raw: bytearray, other: bytes) -> None:
    del raw[_offset(rng, raw) :]


def _splice(rng: Rng, raw: bytearray, other: bytes) -> None:
    start = int(rng.integers(len(other) + 1))
    at = _offset(rng, raw)
    raw[at : at + int(rng.integers(257))] = other[start : start + int(rng.integers(257))]


_MUTATIONS: tuple[Callable[[Rng, bytearray, bytes], None], ...] = (
    *(_flip, _flip, _set_number, _set_number, _insert, _delete, _repeat, _cut, _splice),
)


def mutate_text(rng: Rng, text: str, more: Sequence[str] = ()) -> bytes:
    """Mutate words and lines of a text; the returned bytes may not be valid UTF-8."""
    for _ in range(int(rng.integers(1, 5))):
        lines = text.split("\n")
        at = int(rng.integers(len(lines)))
        kind = int(rng.integers(5))
        if kind == 0:
            lines.insert(at, lines[int(rng.integers(len(lines)))])
        elif kind == 1:
            del lines[at]
        elif kind == 2:
            lines[at] = one(rng, " \t#") * int(rng.integers(1, 5)) + lines[at]
        else:
            line, offset = lines[at], int(rng.integers(len(lines[at]) + 1))
            width = int(rng.integers(8)) if kind == 3 else 0
            lines[at] = line[:offset] + one(rng, [*WORDS, *more]) + line[offset + width :]
        text = "\n".join(lines)
    raw = text.encode("utf-8", "surrogatepass")
    return mutate_bytes(rng, raw) if rng.random() < 0.2 else raw


def mutate_tree(rng: Rng, tree: Any) -> Any:
    """Return a JSON tree with one to three changed, renamed, removed or added nodes."""
    for _ in range(int(rng.integers(1, 4))):
        tree = _mutate_node(rng, tree)
    return tree


def _mutate_node(rng: Rng, node: Any) -> Any:
    if not node or not isinstance(node, dict | list) or rng.random() < 0.15:
        return one(rng, VALUES)
    items = list(node.items() if isinstance(node, dict) else enumerate(node))
    at = int(rng.integers(len(items)))
    key, value = items[at]
    kind = rng.random()
    if kind < 0.7:
        items[at] = (key, _mutate_node(rng, value))
    elif kind < 0.85:
        del items[at]
    elif kind < 0.95:
        items[at] = (f"{key}{one(rng, 'xX_')}", value)
    else:
        items.append((one(rng, ("", "x", "kind", "..")), one(rng, VALUES)))
    return dict(items) if isinstance(node, dict) else [value for _, value in items]


def png_with_checksums(raw: bytes) -> bytes:
    """Return a damaged PNG with valid checksums, so that a reader does not stop at the checksum."""
    fixed, at = bytearray(raw[:8]), 8
    while at + 8 <= len(raw):
        (length,) = struct.unpack(">I", raw[at : at + 4])
        body = raw[at + 4 : at + 8 + length]
        if length > len(raw) or len(body) < 4:
            break
        fixed += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return bytes(fixed) + raw[at:]


def zipped(members: Mapping[str, bytes], rng: Rng | None = None) -> bytes:
    """Return a zip of members with valid checksums and sizes, compressed in 30% of the cases."""
    stream = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if rng is not None and rng.random() < 0.3 else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, raw in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), raw, kind)
    return stream.getvalue()


def unzipped(raw: bytes) -> dict[str, bytes]:
    """Return the members of a zip."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
