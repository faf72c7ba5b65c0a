"""One picture file in, one picture file out, and many pictures on one contact sheet.

Decoding is strict. A damaged, empty, disguised or absurdly large file raises `UnreadableImage`
instead of yielding half a picture, and what decodes comes out in one of two shapes only: gray
`[H, W, 1]` or colour `[H, W, 3]`.
"""

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

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from augan.exceptions import DataError
from augan.io.atomic import atomic_write

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MAX_PIXELS = 89_478_485  # what Pillow reads without a word: 256 MiB in colour
SMALL = 2**20  # bytes up to which a file is read as a whole
STRIP = 2**22  # pixels with transparency that are laid on white at once

# Only these decoders see a file, whatever its suffix claims: fewer parsers for hostile input.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
# Where Pillow keeps what may say how a picture is turned.
_METADATA = frozenset({"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"})
_DEEP_GRAY = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I"})
_GRAY = frozenset({"1", "L", "LA", "La"}) | _DEEP_GRAY
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


# What stands in the way of every file alike, and may be gone the next time.
_OF_THE_MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE)


class UnreadableImage(DataError):
    """A file that cannot be decoded; `reason` says why without naming the file."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(
            f"cannot read {path} as an image: {reason}; repair, replace or remove the file"
        )
        self.reason = reason


@dataclass(frozen=True)
class ImageHeader:
    """What a file says about its picture before any pixel is decoded (turned upright)."""

    height: int
    width: int
    channels: int
    dtype: str


def read_image(path: str | Path) -> np.ndarray:
    """Decode one picture, upright and without transparency.

    The EXIF orientation is applied, transparency is laid on white, palettes and CMYK become RGB.
    Gray pictures of 16 bits keep their depth; Pillow reads 16-bit colour as 8 bits. Of several
    frames or pages the first is taken.

    Returns
    -------
    np.ndarray
        `[H, W, C]`, C is 1 or 3, uint8 or (gray only) uint16.

    Raises
    ------
    UnreadableImage
        The file is missing, empty, truncated, no image, of an unknown format, or larger than
        89,478,485 pixels.
    """
    with _opened(path) as picture:
        turn = _UPRIGHT.get(_orientation(picture))
        pixels = _decoded(picture if turn is None else picture.transpose(turn))
    # A copy when Pillow lends its own read-only memory: callers may write into their picture.
    return np.require(pixels if pixels.ndim == 3 else pixels[..., None], requirements=["C", "W"])


def read_header(path: str | Path) -> ImageHeader:
    """Return the size, channels and depth of a picture without decoding its pixels.

    Raises
    ------
    UnreadableImage
        As for `read_image`; damage that shows only in the pixels goes unnoticed here.
    """
    with _opened(path) as picture:
        width, height = picture.size
        if _orientation(picture) >= 5:
            width, height = height, width
        return ImageHeader(
            height=height,
            width=width,
            channels=1 if picture.mode in _GRAY else 3,
            dtype="uint16" if picture.mode in _DEEP_GRAY else "uint8",
        )


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            # Chatter about odd metadata helps nobody here, and of size we speak ourselves.
            warnings.simplefilter("ignore")
            size = _size_of_regular_file(path)
            # From a stream, because Pillow maps raw TIFF files that it opens by name into memory
            # with height and width exchanged when their orientation is turned. It reads a small
            # file in dozens of pieces, so that is taken as a whole.
            with (
                open(path, "rb") as file,
                BytesIO(file.read()) if size <= SMALL else file as stream,
                Image.open(stream, formats=_FORMATS) as picture,
            ):
                if picture.width * picture.height > _most_pixels():
                    raise ValueError(_too_large(f"{picture.width} x {picture.height}"))
                yield picture
    except Image.DecompressionBombError as error:
        # Beyond twice its limit Pillow opens no file; only its words say how large that one is.
        count = re.search(r"\((\d+) pixels\)", str(error))
        raise UnreadableImage(path, _too_large(f"{int(count[1]):,}" if count else "")) from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(path, "it is not a PNG, JPEG, BMP, TIFF or WebP image") from error
    except Exception as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in _OF_THE_MACHINE:
            reason = "there is too little memory" if isinstance(error, MemoryError) else error
            raise DataError(
                f"cannot read {path} now, though it may be whole: {reason}; start again when the "
                "machine has what it needs"
            ) from error
        # Pillow's parsers let many exception types escape on damaged input, so all are caught.
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise UnreadableImage(path, reason) from error


def _most_pixels() -> int:
    """Return our limit, or that of Pillow where somebody has lowered it."""
    return min(MAX_PIXELS, Image.MAX_IMAGE_PIXELS or MAX_PIXELS)


def _too_large(count: str) -> str:
    has = f"it has {count} pixels" if count else "it has too many pixels"
    return f"{has}, at most {_most_pixels():,} are read: shrink it, or cut it into several"


def _size_of_regular_file(path: str | Path) -> int:
    try:
        found = os.stat(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        raise ValueError("there is no such file") from None
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is not a regular file")
    if found.st_size == 0:
        raise ValueError("it is empty (0 bytes)")
    return found.st_size


def _orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation 1..8 that Pillow leaves to us to apply."""
    if picture.format == "TIFF":
        return 1  # Pillow turns TIFF pictures itself, their size included
    if _METADATA.isdisjoint(picture.info):
        return 1
    try:
        # The base method, because that of PNG pictures decodes all pixels first.
        value = Image.Image.getexif(picture).get(0x0112, 1)
    except Exception:
        return 1  # unreadable metadata does not make the pixels unreadable
    return value if value in _UPRIGHT else 1


def _decoded(picture: Image.Image) -> np.ndarray:
    """Return the pixels `[H, W]` (gray) or `[H, W, 3]`."""
    mode = picture.mode
    if mode == "F":
        raise ValueError(
            "its pixels are floating-point numbers; save it with 8 or 16 bits, or give an array"
        )
    if mode in _DEEP_GRAY:
        deep = np.asarray(picture)
        low, high = int(deep.min()), int(deep.max())
        if low < 0 or high > 65535:
            raise ValueError(f"its gray values reach from {low} to {high}, outside 0..65535")
        return deep.astype(np.uint16)
    if picture.has_transparency_data:
        return _on_white(picture)
    wanted = "L" if mode in _GRAY else "RGB"
    return np.asarray(picture if mode == wanted else picture.convert(wanted))


def _on_white(picture: Image.Image) -> np.ndarray:
    """Return a picture with transparency laid on white, a strip at a time to save memory."""
    width, height = picture.size
    is_gray = picture.mode in _GRAY
    pixels = np.empty((height, width) if is_gray else (height, width, 3), np.uint8)
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        strip = picture.crop((0, top, width, bottom)).convert("RGBA")
        laid = np.asarray(Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip))
        pixels[top:bottom] = laid[..., 0 if is_gray else slice(3)]
    return pixels


def write_png(path: str | Path, image: np.ndarray, text: Mapping[str, str] | None = None) -> None:
    """Write one picture as PNG, whole or not at all; an existing file is replaced in one step.

    Parameters are those of `png_bytes`.
    """
    atomic_write(path, png_bytes(image, text, Path(path).name))


def png_bytes(
    image: np.ndarray, text: Mapping[str, str] | None = None, name: str = "an image"
) -> bytes:
    """Return one picture as the content of a PNG file.

    Parameters
    ----------
    image
        `[H, W]`, `[H, W, 1]` or `[H, W, 3]` of uint8, or gray of uint16.
    text
        Keywords (1 to 79 Latin-1 characters) and values to store as PNG text chunks.
    name
        What an error calls it.

    Raises
    ------
    DataError
        The array is no such picture.
    """
    pixels = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    depth_fits = pixels.dtype == np.uint8 or (pixels.dtype == np.uint16 and not colour)
    if not (depth_fits and (colour or pixels.ndim == 2) and pixels.size):
        raise DataError(
            f"cannot write {name}: the array is {image.dtype} {list(image.shape)}; a PNG "
            "takes [H, W, 1] or [H, W, 3] of uint8, or gray of uint16; convert it first"
        )
    chunks = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        chunks.add_text(key, value)
    content = BytesIO()
    # Level 1 is several times faster than Pillow's default for files a few percent larger.
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.save(content, format="PNG", compress_level=1, pnginfo=chunks)
    return content.getvalue()


def image_grid(
    images: np.ndarray, columns: int, pad: int = 1, scale: int | None = None
) -> np.ndarray:
    """Lay pictures row by row on one white contact sheet.

    Parameters
    ----------
    images
        `[N, H, W, C]`, uint8.
    columns
        Tiles in a row; the last row may stay partly white.
    pad
        White pixels around each tile.
    scale
        Every pixel becomes `scale` x `scale` pixels. By default small tiles grow to at least 48.

    Returns
    -------
    np.ndarray
        `[H', W', C]`, uint8.

    Raises
    ------
    DataError
        There is no picture, or the array has another form.
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
