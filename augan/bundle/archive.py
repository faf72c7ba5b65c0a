"""Zip container of a bundle, written deterministically and read as untrusted input.

Members are stored without compression, because the output of a compressor depends on its version.
Compressed members are accepted nevertheless (someone may have repacked the file), within limits
that are checked on the decompressed bytes and not only on the headers.
"""

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from augan.exceptions import BundleError

REPLACE_HINT = "copy it again from where it was made, or train again"
MAX_TEXT_LENGTH = 100  # characters of a name in the file, or of an error that quotes the file
_END_RECORD = struct.Struct("<4s4H2LH")
_MAX_ENTRY_BYTES = 1024  # of one entry of the central directory
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
# Errors that zipfile raises for damaged files. UnicodeDecodeError is a ValueError, and
# NotImplementedError a RuntimeError.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    RuntimeError,
    ValueError,
    EOFError,
    OverflowError,
    KeyError,
    IndexError,
)


@dataclass(frozen=True)
class Limits:
    """Largest sizes that a zip archive may have to be read.

    Attributes
    ----------
    member : int
        Bytes of one unpacked member.
    total : int
        Bytes of all unpacked members.
    count : int
        Number of members.
    ratio : int
        Unpacked bytes of a member divided by its packed bytes; 1 refuses compressed members.
    """

    member: int
    total: int
    count: int
    ratio: int


class Archive:
    """Zip archive opened for reading as untrusted input; all headers are checked at the start.

    Parameters
    ----------
    stream : binary file
        A seekable file, which the caller closes.
    where : str
        Name of the archive in error messages.
    limits : Limits
        A larger archive is refused.

    Attributes
    ----------
    where : str
        As above.
    sizes : dict of str to int
        Name of each member -> unpacked bytes.

    Raises
    ------
    BundleError
        The file is not a zip, is truncated, or has a member that is a link, encrypted, too large or
        a duplicate, or whose path leads outside of a folder.
    """

    def __init__(self, stream: BinaryIO, where: str, limits: Limits) -> None:
        self.where = where
        _check_ends(stream, where, limits)
        try:
            self._zip = zipfile.ZipFile(stream)
        except _ZIP_ERRORS as error:
            raise BundleError(
                f"{where} is damaged: its central directory cannot be read ({_shorten(error)}); "
                f"{REPLACE_HINT}"
            ) from error
        infos = self._zip.infolist()
        _check_sizes(infos, where, limits)
        for info in infos:
            _check_entry(info, where, limits)
        self.sizes = {info.filename: info.file_size for info in infos}
        if len(self.sizes) != len(infos):
            names = [info.filename for info in infos]
            duplicate = next(name for name in names if names.count(name) > 1)
            raise BundleError(f"{where} has the member {duplicate!r} twice; {REPLACE_HINT}")

    def read(self, name: str) -> bytes:
        """Return the unpacked bytes of a member, exactly as many as its header declares.

        Raises
        ------
        BundleError
            The member is damaged, or has another length.
        """
        size = self.sizes[name]
        try:
            with self._zip.open(name) as member:
                raw = member.read(size + 1)
        except _ZIP_ERRORS as error:
            raise BundleError(
                f"{self.where}: member {name} was changed or cut short ({_shorten(error)}); "
                f"{REPLACE_HINT}"
            ) from error
        if len(raw) != size:
            raise BundleError(
                f"{self.where}: member {name} is {len(raw)} bytes where its header says {size}; "
                f"{REPLACE_HINT}"
            )
        return raw


def _shorten(message: object) -> str:
    """Return the start of a text that may contain bytes of the file."""
    text = str(message)
    return text if len(text) <= MAX_TEXT_LENGTH else f"{text[:MAX_TEXT_LENGTH]}..."


def _check_ends(stream: BinaryIO, where: str, limits: Limits) -> None:
    """Raise BundleError unless the zip starts at the first byte and ends at the last byte.

    zipfile searches for an end record, and would find that of an npz inside a truncated bundle.
    """
    length = stream.seek(0, os.SEEK_END)
    if length == 0:
        raise BundleError(f"{where} is empty (0 bytes), not a bundle; {REPLACE_HINT}")
    stream.seek(0)
    if stream.read(4) not in (b"PK\x03\x04", b"PK\x05\x06"):
        raise BundleError(
            f"{where} is not a bundle: it does not begin as a zip file; "
            "give the file that 'augan train' wrote"
        )
    tail_length = min(length, _END_RECORD.size + 20)
    stream.seek(length - tail_length)
    tail = stream.read(tail_length)
    end = _END_RECORD.unpack(tail[-_END_RECORD.size :].rjust(_END_RECORD.size, b"\0"))
    signature, _, _, _, count, directory, offset, comment = end
    is_complete = offset + directory + _END_RECORD.size == length and comment == 0
    # A zip64 record would override the numbers that were checked; bundles do not need one.
    if signature != b"PK\x05\x06" or not is_complete or b"PK\x06\x07" in tail[:4]:
        raise BundleError(
            f"{where} is truncated, or bytes were added to it: its central directory is not at the "
            f"end of the file; {REPLACE_HINT}"
        )
    if count > limits.count or directory > limits.count * _MAX_ENTRY_BYTES:
        raise BundleError(
            f"{where} is oversized: {count} members, at most {limits.count} are read; "
            f"{REPLACE_HINT}"
        )


def _check_sizes(infos: list[zipfile.ZipInfo], where: str, limits: Limits) -> None:
    """Raise BundleError if an archive has more members or bytes than its limits."""
    total = sum(info.file_size for info in infos)
    largest = max((info.file_size for info in infos), default=0)
    if len(infos) > limits.count or total > limits.total or largest > limits.member:
        raise BundleError(
            f"{where} is oversized: {len(infos)} members, the largest {largest} bytes, together "
            f"{total} bytes; at most {limits.count} members of {limits.member} bytes and "
            f"{limits.total} bytes in all are read; {REPLACE_HINT}"
        )


def _check_entry(info: zipfile.ZipInfo, where: str, limits: Limits) -> None:
    """Raise BundleError unless a member is a regular file with a safe name and a plausible size."""
    name = info.orig_filename  # as in the file; zipfile truncates `filename` at a NUL
    problem = ""
    if name != info.filename or not _SAFE_NAME.fullmatch(name):
        problem = "has a path outside of the bundle, or with characters that augan does not write"
    elif stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        problem = "is a link or another special file; only regular files are read"
    elif info.flag_bits & 0x1:
        problem = "is encrypted, which augan cannot read"
    elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        problem = f"is compressed by method {info.compress_type}; only stored and deflated are read"
    elif info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        problem = f"is stored in {info.compress_size} bytes but declares {info.file_size}"
    elif info.file_size > limits.ratio * info.compress_size:
        problem = (
            f"is oversized: {info.compress_size} bytes that claim to unpack to {info.file_size}, "
            f"more than {limits.ratio} times as many"
        )
    if problem:
        raise BundleError(f"{where}: member {_shorten(repr(name))} {problem}; {REPLACE_HINT}")


def write_zip(stream: BinaryIO, members: Mapping[str, bytes]) -> None:
    """Write a zip whose bytes depend only on the names and contents of its members.

    Members are sorted by name, not compressed, and have fixed times and permissions.

    Parameters
    ----------
    stream : binary file
        An empty file, which the caller closes.
    members : mapping of str to bytes
        Name of each member -> content.
    """
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # Unix, on every system
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, members[name])
