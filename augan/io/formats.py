"""Formats of image files, told by their content: first bytes, pages and frames.

No decoder is called here. The few bytes that tell a format are read by augan's own code, so a file
reaches a decoder only if its content names one, whatever its name ends in.
"""

import importlib.util
import os
import stat
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO, Final

HEAD_BYTES: Final = 4096  # read from each file; the frames of a PNG are announced within them
MAX_PAGES: Final = 10_000  # of one file
FORMATS_EXTRA: Final = "augan[formats]"
READABLE_FORMATS: Final = "PNG, JPEG, BMP, TIFF, WebP, GIF or JPEG 2000"
EXTRA_FORMATS: Final = "HEIC, AVIF or DICOM"

# Formats of the extra: name -> packages that it needs.
_EXTRA_PACKAGES = {"HEIC": "pillow_heif", "AVIF": "pillow_heif", "DICOM": "pydicom"}
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+")
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_RAW_BRANDS = frozenset({b"crx "})  # CR3
# Camera raw files begin like TIFF, and Pillow would read the small preview in them.
_RAW_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("3fr", "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "fff", "iiq", "kdc", "mef"),
        *("mos", "mrw", "nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf"),
        *("srw", "x3f"),
    )
)
_RAW_PHOTOMETRIC = frozenset({32803, 34892})  # color filter array, linear raw
_RAW_REASON = "it is a camera raw image; convert it to TIFF or PNG"
_NEW_SUBFILE_TYPE, _PHOTOMETRIC, _DNG_VERSION = 254, 262, 50706
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType

# First bytes of files that are no images, or images that augan does not read.
_OTHER_STARTS = (
    (b"%PDF", "a PDF document"),
    (b"8BPS", "a Photoshop image"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (b"DDS ", "a DDS image"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"SIMPLE  =", "a FITS image"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"FUJIFILMCCD-RAW", "a camera raw image"),
    (b"IIU\x00", "a camera raw image"),
    (b"IIRO", "a camera raw image"),
    (b"FOVb", "a camera raw image"),
    (b"\x00MRM", "a camera raw image"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"PAR1", "a table"),
    (b"SQLite format 3", "a database"),
    (b"<svg", "an SVG drawing"),
)
_OTHER_SUFFIXES = {
    ".csv": "a table",
    ".tsv": "a table",
    ".json": "a JSON file",
    ".xml": "an XML file",
    ".txt": "a text file",
    ".md": "a text file",
    ".ppm": "a netpbm image",
    ".pgm": "a netpbm image",
    ".pbm": "a netpbm image",
    ".pnm": "a netpbm image",
    ".tga": "a TGA image",
    ".nii": "a NIfTI volume",
    ".mp4": "a video",
    ".mov": "a video",
    ".avi": "a video",
    ".svg": "an SVG drawing",
    ".part": "an incomplete file",
}


@dataclass(frozen=True)
class FileContent:
    """What the first bytes of a file say about it.

    Attributes
    ----------
    format : str or None
        The format under which augan decodes the file: "PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF",
        "JPEG2000", "HEIC", "AVIF" or "DICOM". None: augan does not decode it.
    reason : str
        Why the file is not decoded; "" if it is.
    is_known : bool
        Whether the first bytes or the ending tell what the file is.
    is_animated : bool
        Whether the first bytes announce several frames; always False for a GIF file.
    """

    format: str | None
    reason: str = ""
    is_known: bool = True
    is_animated: bool = False


@dataclass(frozen=True)
class Page:
    """One page of a TIFF file.

    Attributes
    ----------
    number : int
        Position in the file, from 1.
    kind : str
        "image", "reduced" (a smaller copy of another page) or "mask".
    """

    number: int
    kind: str


@cache
def has_decoder(format_name: str) -> bool:
    """Whether the packages that decode a format of the extra `augan[formats]` are installed.

    Always True for the other formats. The packages are not imported.
    """
    package = _EXTRA_PACKAGES.get(format_name)
    return package is None or importlib.util.find_spec(package) is not None


def missing_decoder(format_name: str) -> str:
    """Return the reason why a file of the extra's formats is not decoded, with the remedy."""
    article = "an" if format_name == "AVIF" else "a"
    return (
        f"it is {article} {format_name} image, which needs the extra {FORMATS_EXTRA}: pip install "
        f"'{FORMATS_EXTRA}'"
    )


def inspect_file(path: str | Path) -> FileContent:
    """Tell the format of a file by its first bytes; nothing is decoded.

    Files that cannot be opened, and those that are no regular files, have no format.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return FileContent(None, "it is not a regular file")
        if not status.st_size:
            return FileContent(None, "it is empty (0 bytes)")
        with open(path, "rb") as stream:
            return inspect_content(stream.read(HEAD_BYTES), Path(path).suffix, stream)
    except FileNotFoundError:
        return FileContent(None, "it is a link that leads nowhere")
    except OSError as error:
        return FileContent(None, error.strerror or type(error).__name__)


def inspect_content(head: bytes, suffix: str = "", stream: BinaryIO | None = None) -> FileContent:
    """Tell the format of a file from its first bytes.

    Parameters
    ----------
    head : bytes
        The first `HEAD_BYTES` of the file, or all of a shorter file.
    suffix : str
        The ending of the name, such as ".nef"; it only tells camera raw from TIFF, and words the
        reason of files that are not decoded. Default: unknown.
    stream : file or None
        The file, to tell camera raw from TIFF by its first page. None (default): by `head`.
    """
    suffix = suffix.lower()
    name = _format(head)
    if name == "TIFF" and _is_camera_raw(head, suffix, stream):
        return FileContent(None, _RAW_REASON)
    if name is not None:
        if not has_decoder(name):
            return FileContent(None, missing_decoder(name))
        return FileContent(name, is_animated=_announces_frames(name, head))
    if suffix in _RAW_SUFFIXES or head[8:12] in _RAW_BRANDS:
        return FileContent(None, _RAW_REASON)
    for start, reason in _OTHER_STARTS:
        if head.startswith(start):
            return FileContent(None, f"it is {reason}")
    reason = _OTHER_SUFFIXES.get(suffix, "no image that augan reads")
    return FileContent(None, f"it is {reason}", is_known=False)


def _format(head: bytes) -> str | None:
    """Return the format whose signature the first bytes have, or None."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(_TIFF_STARTS):
        return "TIFF"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    # Two letters are few, and a text may begin with them: the size of the next header counts too.
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if head.startswith((b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  \r\n\x87\n")):
        return "JPEG2000"
    if head[128:132] == b"DICM":
        return "DICOM"
    if head[4:8] == b"ftyp":
        size = min(max(int.from_bytes(head[:4], "big"), 16), 256)
        brands = {head[8:12]} | {head[at : at + 4] for at in range(16, size, 4)}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIC_BRANDS:
            return "HEIC"
    return None


def _announces_frames(name: str, head: bytes) -> bool:
    """Whether the first bytes of a PNG, WebP or AVIF file announce more than one frame."""
    if name == "PNG":
        return b"acTL" in head.partition(b"IDAT")[0]
    if name == "WEBP":
        return head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & 2)
    return name == "AVIF" and head[8:12] == b"avis"


def _is_camera_raw(head: bytes, suffix: str, stream: BinaryIO | None) -> bool:
    """Whether a file that begins like TIFF holds the raw data of a camera."""
    if suffix in _RAW_SUFFIXES or head[8:10] == b"CR":
        return True
    if stream is None:
        return False
    tags = next(iter(_read_directories(stream, 1)), {})
    return _DNG_VERSION in tags or tags.get(_PHOTOMETRIC) in _RAW_PHOTOMETRIC


def read_pages(stream: BinaryIO) -> list[Page]:
    """List the pages of a TIFF file in order, without decoding them.

    Parameters
    ----------
    stream : file
        A TIFF file, opened for reading bytes.

    Returns
    -------
    list of Page
        At most `MAX_PAGES` pages, and one more if the file has more; empty if the first directory
        is damaged. A chain of pages that returns to itself ends there.
    """
    pages = []
    for number, tags in enumerate(_read_directories(stream, MAX_PAGES + 1), 1):
        subfile = tags.get(_NEW_SUBFILE_TYPE, 0)
        kind = "mask" if subfile & _MASK else "reduced" if subfile & _REDUCED else "image"
        pages.append(Page(number, kind))
    return pages


def _read_directories(stream: BinaryIO, limit: int) -> list[dict[int, int]]:
    """Read the chain of directories of a TIFF file: for each, tag -> its first whole number.

    At most `limit` directories are read. Damage ends the chain.
    """
    directories: list[dict[int, int]] = []
    seen: set[int] = set()
    try:
        stream.seek(0)
        head = stream.read(16)
        order = "<" if head[:2] == b"II" else ">"
        is_big = 43 in (head[2], head[3])
        (position,) = struct.unpack(
            f"{order}{'Q' if is_big else 'I'}", head[8:16] if is_big else head[4:8]
        )
        count_format, entry_size = ("Q", 20) if is_big else ("H", 12)
        while position and position not in seen and len(directories) < limit:
            seen.add(position)
            stream.seek(position)
            (count,) = struct.unpack(
                f"{order}{count_format}", stream.read(struct.calcsize(count_format))
            )
            if count > 65_535:
                break
            entries = stream.read(count * entry_size)
            if len(entries) < count * entry_size:
                break
            directories.append(_numbers(entries, order, entry_size))
            link = stream.read(8 if is_big else 4)
            (position,) = struct.unpack(f"{order}{'Q' if is_big else 'I'}", link)
    except (struct.error, IndexError, OSError, OverflowError):
        pass
    return directories


def _numbers(entries: bytes, order: str, entry_size: int) -> dict[int, int]:
    """Return the first whole number of each tag of a directory that holds it in the entry itself.

    Tags of other types, whose values lie elsewhere, are 0.
    """
    numbers = {}
    for start in range(0, len(entries), entry_size):
        tag, value_type = struct.unpack_from(f"{order}HH", entries, start)
        value_at = start + (12 if entry_size == 20 else 8)
        code = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(value_type)
        fits = code is not None and (code != "Q" or entry_size == 20)
        numbers[tag] = struct.unpack_from(f"{order}{code}", entries, value_at)[0] if fits else 0
    return numbers
