"""Reading and writing of image files, and contact sheets.

Decoding is strict. A damaged, empty, disguised or absurdly large file raises `UnreadableImage`; no
partial image is returned. A decoded image has one of two shapes: gray `[H, W, 1]` or color
`[H, W, 3]`.
"""

import base64
import errno
import os
import re
import stat
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from augan.exceptions import DataError
from augan.io.atomic import atomic_write
from augan.io.dicom import read_dicom, read_dicom_header
from augan.io.formats import (
    HEAD_BYTES,
    MAX_PAGES,
    READABLE_FORMATS,
    inspect_content,
    read_pages,
)

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MAX_PIXELS = 89_478_485  # Pillow's limit without a warning: 256 MiB in color
MAX_BUFFERED_BYTES = 2**20  # files up to this size are read at once
JPEG_QUALITY = 90  # of images inside a page
STRIP_PIXELS = 2**22  # of an image with transparency, composited on white at once

# Only these decoders see a file, whatever its suffix says: fewer parsers for hostile input.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "JPEG2000")
_PAGE = re.compile(r"(?P<file>.+)#(?P<number>[1-9]\d{0,5})", re.DOTALL)  # such as stack.tif#2
# Keys under which Pillow keeps metadata that may hold an orientation.
_METADATA = frozenset({"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"})
_GRAY_16_BIT = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I"})
_GRAY = frozenset({"1", "L", "LA", "La"}) | _GRAY_16_BIT
_TRANSPOSE = {  # EXIF orientation -> operation that turns the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Errors of the machine and not of the file; the next attempt may succeed.
_TRANSIENT_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE)


class UnreadableImage(DataError):
    """An image file that cannot be decoded.

    Parameters
    ----------
    path : path-like
        The file.
    reason : str
        Why the file cannot be decoded, without its name.

    Attributes
    ----------
    reason : str
        As above; datasets list unreadable files with this text.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(
            f"cannot read {path} as an image: {reason}; repair, replace or remove the file"
        )
        self.reason = reason


@dataclass(frozen=True)
class ImageHeader:
    """Size and type of an image after rotation upright, known before any pixel is decoded.

    Attributes
    ----------
    height, width : int
        Size in pixels.
    channels : int
        1 (gray) or 3 (color), as `read_image` returns.
    dtype : str
        "uint8" or "uint16" for files; the NumPy type for arrays.
    is_synthetic : bool
        Whether a PNG file says in its text that augan generated or translated it. Default: False.
    """

    height: int
    width: int
    channels: int
    dtype: str
    is_synthetic: bool = False


def read_image(path: str | Path) -> np.ndarray:
    """Decode one image file, upright and without transparency.

    The EXIF orientation is applied, transparency is composited on white, palettes and CMYK become
    RGB. Gray images of 16 bits keep their depth. Color of 16 bits is refused, because Pillow drops
    the lower 8 bits, which are all that a camera of 10 or 12 bits sets. Of several frames the first
    is read, and of several pages of a TIFF or DICOM file the one that the path names.

    Parameters
    ----------
    path : path-like
        A PNG, JPEG, BMP, TIFF, WebP, GIF or JPEG 2000 file, or with the extra `augan[formats]` a
        HEIC, AVIF or DICOM file; the suffix does not matter. `stack.tif#2` is the second page of
        `stack.tif`, unless there is a file of that name; without a number, the first page.

    Returns
    -------
    np.ndarray
        `[H, W, C]`, C is 1 or 3, uint8 or (gray only) uint16; writable.

    Raises
    ------
    UnreadableImage
        The file is missing, empty, truncated, no image, of an unknown format, or has more than
        89,478,485 pixels.
    DataError
        The machine lacks memory or open files, or the disk fails.
    """
    with _open(path) as opened:
        if isinstance(opened, _DicomFrame):
            return np.require(opened.pixels(), requirements=["C", "W"])
        return _upright_pixels(opened)


def decode_image(content: bytes, name: str) -> np.ndarray:
    """Decode the bytes of one image file exactly as `read_image` decodes the file.

    Parameters
    ----------
    content : bytes
        The content of a file that `read_image` reads; of several pages the first.
    name : str
        Name of the image in error messages.

    Returns
    -------
    np.ndarray
        `[H, W, C]`, as by `read_image`.

    Raises
    ------
    UnreadableImage or DataError
        As for `read_image`.
    """
    with _image_errors(name):
        if not content:
            raise ValueError("it is empty (0 bytes)")
        with _identified(BytesIO(content)) as opened:
            if isinstance(opened, _DicomFrame):
                return np.require(opened.pixels(), requirements=["C", "W"])
            return _upright_pixels(opened)


def read_mask(path: str | Path) -> np.ndarray:
    """Decode an image file as a mask: True for values above 0, and for paint on transparency.

    In an image with transparent pixels, these are not marked. Of the others those above 0 are, or
    all of them if they are all black.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    np.ndarray
        bool `[H, W]`, upright.

    Raises
    ------
    UnreadableImage or DataError
        As for `read_image`.
    """
    with _open(path) as pil_image:
        if isinstance(pil_image, _DicomFrame):
            return np.asarray(pil_image.pixels().max(axis=2) > 0)
        if not pil_image.has_transparency_data:
            return np.asarray(_upright_pixels(pil_image).max(axis=2) > 0)
        operation = _TRANSPOSE.get(_orientation(pil_image))
        upright = pil_image if operation is None else pil_image.transpose(operation)
        pixels = np.asarray(upright.convert("RGBA"))
    is_painted = pixels[..., 3] > 0
    is_marked = is_painted & (pixels[..., :3].max(axis=2) > 0)
    return is_marked if is_marked.any() or is_painted.all() else is_painted


def convert_pil_image(pil_image: Image.Image, name: str) -> np.ndarray:
    """Return the pixels of a Pillow image exactly as `read_image` returns those of a file.

    Parameters
    ----------
    pil_image : PIL.Image.Image
        An image of any mode but "F"; it is not changed.
    name : str
        Name of the image in error messages.

    Returns
    -------
    np.ndarray
        `[H, W, C]`, as by `read_image`.

    Raises
    ------
    UnreadableImage or DataError
        As for `read_image`.
    """
    with _image_errors(name):
        _check_size(pil_image)
        return _upright_pixels(pil_image)


def read_header(path: str | Path) -> ImageHeader:
    """Read the size, channels and type of an image file without decoding its pixels.

    Raises
    ------
    UnreadableImage or DataError
        As for `read_image`; damage in the pixels is not noticed.
    """
    with _open(path) as opened:
        if isinstance(opened, _DicomFrame):
            return opened.header
        width, height = opened.size
        if _orientation(opened) >= 5:
            width, height = height, width
        return ImageHeader(
            height=height,
            width=width,
            channels=1 if opened.mode in _GRAY else 3,
            dtype="uint16" if opened.mode in _GRAY_16_BIT else "uint8",
            # Pillow has read the text before the pixels already.
            is_synthetic=opened.info.get("synthetic") == "true",
        )


def split_page(path: str | Path) -> tuple[Path, int | None]:
    """Split the path of an image into its file and the number of its page.

    Returns
    -------
    file : Path
        The file that holds the image.
    page : int or None
        Number of the page, from 1; None if the path is that of a file.

    Examples
    --------
    >>> split_page("scans/stack.tif#2")[1], split_page("scans/a.png")[1]
    (2, None)
    """
    text = os.fspath(path)
    match = _PAGE.fullmatch(text)
    if match is None or os.path.lexists(text):
        return Path(path), None
    return Path(match["file"]), int(match["number"])


@dataclass(frozen=True)
class FilePages:
    """The images in one file.

    Attributes
    ----------
    numbers : tuple of int
        Numbers of the pages that are images, from 1; empty for a file that is one image.
    left_out : tuple of (number, kind)
        Pages that are no images of their own ("reduced" copies of another page, "mask"), and the
        first page beyond `MAX_PAGES` ("and later").
    has_more_frames : bool
        Whether the file is an animation or a collection of which the first frame alone is read.
    """

    numbers: tuple[int, ...] = ()
    left_out: tuple[tuple[int, str], ...] = ()
    has_more_frames: bool = False


def list_pages(path: str | Path) -> FilePages:
    """List the images in a file: the pages of a TIFF or DICOM file. No pixel is decoded.

    A file that cannot be read counts as one image, so that its reading fails with the reason.
    """
    try:
        with _image_errors(path), open(path, "rb") as stream:
            content = inspect_content(stream.read(HEAD_BYTES), Path(path).suffix, stream)
            if content.format == "TIFF":
                pages = read_pages(stream)
                numbers = tuple(page.number for page in pages if page.kind == "image")
                left_out = tuple((p.number, p.kind) for p in pages if p.kind != "image")
                if len(numbers) < 2 and numbers[:1] in ((), (1,)):
                    return FilePages(left_out=left_out if numbers else ())
                if len(pages) > MAX_PAGES:
                    numbers = tuple(number for number in numbers if number <= MAX_PAGES)
                    left_out = (*left_out, (MAX_PAGES + 1, "and later"))
                return FilePages(numbers, left_out)
            if content.format == "DICOM":
                num_frames = read_dicom_header(stream).num_frames
                count = min(num_frames, MAX_PAGES)
                left_out = ((MAX_PAGES + 1, "and later"),) if num_frames > count else ()
                return FilePages(tuple(range(1, count + 1)) if count > 1 else (), left_out)
            if content.format in ("GIF", "HEIC"):
                stream.seek(0)
                with _identified(stream) as opened:
                    return FilePages(has_more_frames=getattr(opened, "is_animated", False))
            return FilePages(has_more_frames=content.is_animated)
    except DataError:
        return FilePages()


@dataclass(frozen=True)
class _DicomFrame:
    """One frame of an open DICOM file, not decoded yet."""

    stream: BinaryIO
    frame: int
    header: ImageHeader

    def pixels(self) -> np.ndarray:
        """Decode the frame, `[H, W, C]`."""
        pixels = read_dicom(self.stream, self.frame)
        return pixels if pixels.ndim == 3 else pixels[..., None]


class _Silence:
    """Context manager that ignores warnings as long as any thread is in its block.

    Pillow warns about odd metadata, which does not matter, and size, which is checked. The context
    manager of the standard library may leave warnings off if two threads leave it out of order.
    """

    def __init__(self) -> None:
        self._lock, self._count = Lock(), 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._count:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.simplefilter("ignore")
            self._count += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._count -= 1
            if not self._count:
                self._saved.__exit__(None, None, None)


_SILENCE = _Silence()


@contextmanager
def _open(path: str | Path) -> "Iterator[Image.Image | _DicomFrame]":
    """Open an image file with its decoder, after a check of its type, size and number of pixels.

    Errors in the block, such as those of decoding, are converted too, see `_image_errors`.
    """
    with _image_errors(path):
        file_path, page = split_page(path)
        size = _size_of_regular_file(file_path)
        # A stream, because Pillow maps raw TIFF files that are opened by name into memory, and
        # exchanges height and width of those with a rotated orientation. Pillow reads a small
        # file in dozens of pieces, so a small file is read at once.
        with (
            open(file_path, "rb") as file,
            BytesIO(file.read()) if size <= MAX_BUFFERED_BYTES else file as stream,
            _identified(stream, page or 1, file_path.suffix) as opened,
        ):
            yield opened


@contextmanager
def _identified(
    stream: BinaryIO, page: int = 1, suffix: str = ""
) -> "Iterator[Image.Image | _DicomFrame]":
    """Open the content of an image file with its decoder, after a check of its number of pixels.

    `page` counts from 1, and `suffix` is the ending of the file's name.
    """
    content = inspect_content(stream.read(HEAD_BYTES), suffix, stream)
    stream.seek(0)
    if content.format == "DICOM":
        yield _open_dicom(stream, page)
        return
    if content.format is None and content.is_known:
        raise ValueError(content.reason)
    with _open_pillow(stream, content.format) as pil_image:
        if page > 1:
            _seek(pil_image, page)
        _check_size(pil_image)
        _check_depth(pil_image)
        yield pil_image


def _open_pillow(stream: BinaryIO, format_name: str | None) -> Image.Image:
    """Open an image of a format other than DICOM; no pixel is decoded."""
    if format_name == "HEIC":
        # Not registered with Pillow, because then all code of the process would decode HEIC.
        from pillow_heif.as_plugin import HeifImageFile

        pil_image: Image.Image = HeifImageFile(stream)
        return pil_image
    return Image.open(stream, formats=("AVIF",) if format_name == "AVIF" else _FORMATS)


def _seek(pil_image: Image.Image, page: int) -> None:
    """Go to a page of an open TIFF file; ValueError if there is none of that number."""
    if pil_image.format != "TIFF":
        raise ValueError("it has no pages")
    try:
        pil_image.seek(page - 1)
    except EOFError:
        raise ValueError(f"it has no page {page}") from None


def _open_dicom(stream: BinaryIO, page: int) -> _DicomFrame:
    """Read the header of a DICOM file, and check the number of its pixels."""
    header = read_dicom_header(stream)
    if header.height * header.width > _max_pixels():
        raise ValueError(_describe_size(f"{header.width} x {header.height}"))
    upright = ImageHeader(header.height, header.width, header.channels, header.dtype)
    return _DicomFrame(stream, page - 1, upright)


@contextmanager
def _image_errors(name: str | Path) -> Iterator[None]:
    """Convert the errors of reading and decoding in the block to errors that name the image.

    Raises
    ------
    UnreadableImage
        The image cannot be read.
    DataError
        The machine lacks memory or open files, or the disk fails.
    """
    try:
        with _SILENCE:
            yield
    except Image.DecompressionBombError as error:
        # Pillow does not open a file beyond twice its limit; only its message has the size.
        count = re.search(r"\((\d+) pixels\)", str(error))
        reason = _describe_size(f"{int(count[1]):,}" if count else "")
        raise UnreadableImage(name, reason) from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(name, f"it is not a {READABLE_FORMATS} image") from error
    except Exception as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in _TRANSIENT_ERRORS:
            cause = "there is too little memory" if isinstance(error, MemoryError) else error
            raise DataError(
                f"cannot read {name} now, though it may be whole: {cause}; start again when the "
                "machine has what it needs"
            ) from error
        # Pillow's parsers raise many types of exceptions on damaged input, so all are caught.
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise UnreadableImage(name, reason) from error


def _check_size(pil_image: Image.Image) -> None:
    """Raise ValueError if an image has more pixels than are read."""
    if pil_image.width * pil_image.height > _max_pixels():
        raise ValueError(_describe_size(f"{pil_image.width} x {pil_image.height}"))


def _check_depth(pil_image: Image.Image) -> None:
    """Raise ValueError if Pillow would drop the lower 8 of the 16 bits of a color.

    Gray with transparency counts as color here. The raw mode, such as "RGB;16B", tells the depth.
    """
    for tile in getattr(pil_image, "tile", ()):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        raw_mode = next((text for text in arguments if isinstance(text, str)), "")
        if ";16" in raw_mode and pil_image.mode not in _GRAY_16_BIT:
            raise ValueError(
                "it has color or transparency of 16 bits a channel, of which the lower 8 would be "
                "lost; save it with 8 bits, or as gray with 16 bits"
            )


def _upright_pixels(pil_image: Image.Image) -> np.ndarray:
    """Return the pixels of an open image, upright, `[H, W, C]`; see `read_image`."""
    operation = _TRANSPOSE.get(_orientation(pil_image))
    pixels = _decode(pil_image if operation is None else pil_image.transpose(operation))
    # A copy if Pillow returns its own read-only memory: callers may write into the image.
    return np.require(pixels if pixels.ndim == 3 else pixels[..., None], requirements=["C", "W"])


def _max_pixels() -> int:
    """Return the largest number of pixels: that of augan, or of Pillow if the user lowered it."""
    return min(MAX_PIXELS, Image.MAX_IMAGE_PIXELS or MAX_PIXELS)


def _describe_size(count: str) -> str:
    """Return the reason for refusing an image with too many pixels, for a message.

    `count` is the number of pixels as text, or "" if unknown.
    """
    size = f"it has {count} pixels" if count else "it has too many pixels"
    return f"{size}, at most {_max_pixels():,} are read: shrink it, or cut it into several"


def _size_of_regular_file(path: str | Path) -> int:
    """Return the size of a file in bytes; ValueError if it is missing, empty or no regular file."""
    try:
        status = os.stat(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        raise ValueError("there is no such file") from None
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    if status.st_size == 0:
        raise ValueError("it is empty (0 bytes)")
    return status.st_size


def _orientation(pil_image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) to 8, which Pillow does not apply by itself."""
    if pil_image.format == "TIFF":
        return 1  # Pillow turns TIFF images itself, including their size
    if _METADATA.isdisjoint(pil_image.info):
        return 1
    try:
        # The method of the base class, because the method of PNG images decodes all pixels first.
        value = Image.Image.getexif(pil_image).get(0x0112, 1)
    except Exception:
        return 1  # unreadable metadata does not make the pixels unreadable
    return value if value in _TRANSPOSE else 1


def _decode(pil_image: Image.Image) -> np.ndarray:
    """Return the pixels of an open image, `[H, W]` (gray) or `[H, W, 3]`, uint8 or uint16.

    Raises
    ------
    ValueError
        Pixels are floating-point numbers, or gray values outside 0..65535.
    """
    mode = pil_image.mode
    if mode == "F":
        raise ValueError(
            "its pixels are floating-point numbers; save it with 8 or 16 bits, or give an array"
        )
    if mode in _GRAY_16_BIT:
        values = np.asarray(pil_image)
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise ValueError(f"its gray values reach from {low} to {high}, outside 0..65535")
        return values.astype(np.uint16)
    if pil_image.has_transparency_data:
        return _composite_on_white(pil_image)
    target_mode = "L" if mode in _GRAY else "RGB"
    return np.asarray(pil_image if mode == target_mode else pil_image.convert(target_mode))


def _composite_on_white(pil_image: Image.Image) -> np.ndarray:
    """Return the pixels of a transparent image on white, made in strips to save memory."""
    width, height = pil_image.size
    is_gray = pil_image.mode in _GRAY
    pixels = np.empty((height, width) if is_gray else (height, width, 3), np.uint8)
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        strip = pil_image.crop((0, top, width, bottom)).convert("RGBA")
        ground = Image.new("RGBA", strip.size, "white")
        composite = np.asarray(Image.alpha_composite(ground, strip))
        pixels[top:bottom] = composite[..., 0 if is_gray else slice(3)]
    return pixels


def write_png(path: str | Path, image: np.ndarray, text: Mapping[str, str] | None = None) -> None:
    """Write one image as a PNG file, complete or not at all; an existing file is replaced.

    Parameters
    ----------
    path : path-like
        The file, in an existing folder.
    image, text
        As for `png_bytes`.

    Raises
    ------
    DataError
        The array has another shape or type than `png_bytes` takes.
    OSError
        The file cannot be written.
    """
    atomic_write(path, png_bytes(image, text, Path(path).name))


def png_bytes(
    image: np.ndarray, text: Mapping[str, str] | None = None, name: str = "an image"
) -> bytes:
    """Encode one image as PNG, and return the content of the file.

    Parameters
    ----------
    image : ndarray
        `[H, W]`, `[H, W, 1]` or `[H, W, 3]` of uint8, or gray of uint16.
    text : mapping of str to str, or None
        Keywords (1 to 79 Latin-1 characters) and values to store as PNG text chunks. None
        (default): none.
    name : str
        The name of the image in an error message.

    Raises
    ------
    DataError
        The array has another shape or type.
    """
    pixels = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    is_color = pixels.ndim == 3 and pixels.shape[-1] == 3
    depth_fits = pixels.dtype == np.uint8 or (pixels.dtype == np.uint16 and not is_color)
    if not (depth_fits and (is_color or pixels.ndim == 2) and pixels.size):
        raise DataError(
            f"cannot write {name}: the array is {image.dtype} {list(image.shape)}; a PNG "
            "takes [H, W, 1] or [H, W, 3] of uint8, or gray of uint16; convert it first"
        )
    chunks = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        chunks.add_text(key, value)
    content = BytesIO()
    # Level 1 is several times faster than Pillow's default for files a few percent larger.
    pil_image = Image.fromarray(np.ascontiguousarray(pixels))
    pil_image.save(content, format="PNG", compress_level=1, pnginfo=chunks)
    return content.getvalue()


def data_uri(image: np.ndarray) -> str:
    """Return an image `[H, W]` or `[H, W, 3]` of uint8 as a data URI, for use inside a page.

    The encoding is the smaller of PNG and JPEG.
    """
    encoded = []
    for kind in ("png", "jpeg"):
        stream = BytesIO()
        Image.fromarray(image).save(stream, kind, quality=JPEG_QUALITY)  # PNG ignores the quality
        encoded.append((stream.tell(), kind, stream.getvalue()))
    _, kind, data = min(encoded)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def image_grid(
    images: np.ndarray, columns: int, pad: int = 1, scale: int | None = None
) -> np.ndarray:
    """Arrange images on a white contact sheet, row by row.

    Parameters
    ----------
    images : ndarray
        `[N, H, W, C]`, uint8.
    columns : int
        Number of images in a row; the last row may stay partly white.
    pad : int
        White pixels around each image; default: 1.
    scale : int or None
        Every pixel becomes `scale` x `scale` pixels. None (default): small images grow until their
        longer side has at least 48 pixels.

    Returns
    -------
    np.ndarray
        `[H', W', C]`, uint8.

    Raises
    ------
    DataError
        There is no image, or the array has another shape or type.
    """
    if images.ndim != 4 or images.dtype != np.uint8 or not images.size:
        raise DataError(
            f"a contact sheet needs uint8 images [N, H, W, C], N at least 1, but got "
            f"{images.dtype} {list(images.shape)}; convert the images first"
        )
    scale = scale or max(1, -(-48 // max(images.shape[1:3])))
    tiles = images.repeat(scale, axis=1).repeat(scale, axis=2)
    n, height, width, channels = tiles.shape
    columns = max(1, min(columns, n))
    rows = -(-n // columns)
    sheet_shape = (rows * (height + pad) + pad, columns * (width + pad) + pad, channels)
    sheet = np.full(sheet_shape, 255, np.uint8)
    for index, tile in enumerate(tiles):
        top = pad + index // columns * (height + pad)
        left = pad + index % columns * (width + pad)
        sheet[top : top + height, left : left + width] = tile
    return sheet
