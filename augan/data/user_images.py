"""Images of the user in memory: the kinds of images that a predictor or a translator takes.

Types are checked before anything is decoded. A list is checked as a whole, an iterator item by
item.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augan.data.files import describe_not_looked_at, expected_formats, search_images
from augan.data.folders import are_paths
from augan.data.modalities.tables import is_frame, is_table_file
from augan.data.validation import check_images
from augan.exceptions import DataError
from augan.io.images import convert_pil_image, decode_image, list_pages, read_image

EXPECTED_IMAGES = (
    "a path, the bytes of an image file, a PIL image or an array [H, W] or [H, W, C] was expected, "
    "or an array [N, H, W, C], a list or an iterator of these, or a DataFrame with paths"
)
_CHANNELS = (1, 3, 4)  # gray, color, color with transparency
ImageBytes = bytes | bytearray | memoryview


@dataclass(frozen=True, eq=False)
class UserImage:
    """One image of the user, not decoded yet.

    Attributes
    ----------
    name : str
        Path as the user gave it, else the number of the image, counted from 0.
    value : Path, bytes, PIL image or ndarray
        The image.
    pixel_type : str
        Type of the pixels of the model: "uint8", "uint16" or "float32".
    """

    name: str
    value: Any
    pixel_type: str

    def decode(self) -> np.ndarray:
        """Return the image upright and without transparency, `[H, W, C]`, as `read_image` does.

        Raises
        ------
        UnreadableImage
            A file or bytes are no image.
        DataError
            An array has another shape or type.
        """
        if isinstance(self.value, Path):
            return read_image(self.value)
        if isinstance(self.value, ImageBytes):
            return decode_image(bytes(self.value), f"image {self.name}")
        if isinstance(self.value, Image.Image):
            return convert_pil_image(self.value, f"image {self.name}")
        image: np.ndarray = as_images(self.value[None], self.pixel_type)[0]
        return image

    @property
    def num_bytes(self) -> int:
        """Size of the image in memory; 0 for a path."""
        if isinstance(self.value, np.ndarray):
            return self.value.nbytes
        if isinstance(self.value, ImageBytes):
            return len(self.value)
        if isinstance(self.value, Image.Image):
            return self.value.width * self.value.height * len(self.value.getbands())
        return 0

    def copy(self) -> "UserImage":
        """Return an image that stays the same if the user changes the array."""
        value = self.value.copy() if isinstance(self.value, np.ndarray) else self.value
        return UserImage(self.name, value, self.pixel_type)


def as_images(pixels: np.ndarray, pixel_type: str) -> np.ndarray:
    """Return images `[N, H, W]` or `[N, H, W, C]` in a type that a preprocessing takes.

    Transparency is composited on white, and `as_pixel_type` converts integers.

    Parameters
    ----------
    pixels : ndarray
        C is 1, 3 or 4.
    pixel_type : str
        Type of the pixels of the model.

    Raises
    ------
    DataError
        The array has another shape or type, or values that cannot be pixels.
    """
    if pixels.ndim == 4 and pixels.shape[-1] == 4 and pixels.dtype == np.uint8 and pixels.size:
        opaque = [
            convert_pil_image(Image.fromarray(image, "RGBA"), "the image") for image in pixels
        ]
        return np.stack(opaque)
    if pixel_type != "float32" and pixels.size:
        _check_scale(pixels, pixel_type)
    return check_images(as_pixel_type(pixels, pixel_type))


def _check_scale(pixels: np.ndarray, pixel_type: str) -> None:
    """Raise DataError if floats, or integers that are too large, meet a model of integers."""
    low, high = pixels.min(), pixels.max()
    limit = np.iinfo(pixel_type).max
    if pixels.dtype.kind == "f" and np.isfinite(low) and np.isfinite(high):
        scale = f"multiply by {limit} and " if low >= 0 and high <= 1 else ""
        raise DataError(
            f"the pixels are {pixels.dtype}, but the model takes {pixel_type}; {scale}convert them "
            f"to {pixel_type}"
        )
    if pixels.dtype.kind in "iu" and pixels.dtype not in (np.uint8, np.uint16) and high > limit:
        raise DataError(
            f"the pixels are {pixels.dtype} with a maximum of {high}, but the model takes "
            f"{pixel_type}, up to {limit}; scale them to 0..{limit}"
        )


def as_pixel_type(pixels: Any, pixel_type: str) -> Any:
    """Convert integers to the pixel type of the model, for example int64 to uint16.

    A dark 16-bit image alone would otherwise count as an 8-bit image. Other values are returned
    unchanged: uint8, uint16 and floats, integers outside of the pixel type, and everything if the
    pixel type is "float32".

    Parameters
    ----------
    pixels : array-like or DataFrame
        Pixels of any shape.
    pixel_type : str
        Type of the pixels of the model.
    """
    array = np.asarray(pixels)
    is_plain = array.dtype.kind in "iu" and array.dtype not in (np.uint8, np.uint16)
    if not is_plain or pixel_type == "float32" or not array.size:
        return pixels
    info = np.iinfo(pixel_type)
    fits = info.min <= array.min() and array.max() <= info.max
    return (pixels if is_frame(pixels) else array).astype(pixel_type) if fits else pixels


def iterate_images(
    images: Any, pixel_type: str, is_color: bool, notes: list[str] | None = None
) -> Iterator[UserImage]:
    """Return an iterator over the images of the user.

    The argument is checked by this call; the items of an iterator are checked when they are read.

    Parameters
    ----------
    images : path, bytes, PIL image, array, or an iterable of these
        A path of a folder gives all images below it, named relative to the folder, a path of a file
        all its pages, and a DataFrame those in its column of paths. An array `[H,
        W]` or `[H, W, C]` with C 1, 3 or 4 is one image; other arrays are `[N, H, W]` or `[N, H, W,
        C]`.
    pixel_type : str
        Type of the pixels of the model.
    is_color : bool
        Whether the model is one of color images: an array `[3, H, W]` is then refused, because its
        channels probably come first.
    notes : list of str or None
        Receives sentences on files of a folder that are not looked at. None (default): not needed.

    Raises
    ------
    DataError
        The type or shape of the argument, or of an item, is none of these, or there is no image.
    """
    if isinstance(images, str | os.PathLike) and os.fspath(images):
        named = _images_at(Path(os.fsdecode(images)), notes)
        if named:
            return (UserImage(name, path, pixel_type) for name, path in named)
    if _is_single(images):
        return iter([_as_image(images, 0, pixel_type)])
    if is_array(images):
        array = as_array(images)
        if array.dtype != object and not (array.dtype.kind == "U" and array.ndim == 1):
            return _iterate_array(array, pixel_type, is_color)
        images = array.tolist() if array.dtype.kind == "U" else list(array)
    images = _paths_in(images)
    if is_frame(images) or isinstance(images, Mapping | set | frozenset):
        raise DataError(
            f"got {describe_value(images)}, but the model is one of images: {EXPECTED_IMAGES}"
        )
    if not isinstance(images, Iterable) and not hasattr(images, "__getitem__"):
        raise DataError(f"got {describe_value(images)} in place of images: {EXPECTED_IMAGES}")
    if isinstance(images, list | tuple):
        if not images:
            raise DataError("the list of images is empty; give at least one image")
        checked = [_as_image(image, number, pixel_type) for number, image in enumerate(images)]
        if notes is not None:
            notes += _describe_first_pages(checked)
        return iter(checked)
    return (_as_image(image, number, pixel_type) for number, image in enumerate(images))


def _images_at(path: Path, notes: list[str] | None) -> list[tuple[str, Path]]:
    """Return name and path of the images below a folder or on the pages of a file.

    Empty for a file that is one image, and if there is no file. `notes` receives sentences on files
    that are not looked at. DataError if a folder holds no image.
    """
    if path.is_dir():
        found = search_images(path)
        if not found.names:
            raise DataError(
                f"there is no image below {path}; expected {expected_formats()}"
                f"{found.describe_nothing()}"
            )
        if notes is not None:
            notes += found.warnings
            if found.not_looked_at:
                notes.append(describe_not_looked_at(found.not_looked_at))
        return [(name, path / name) for name in found.names]
    if not path.is_file():
        return []
    return [(f"{path}#{n}", Path(f"{path}#{n}")) for n in list_pages(path).numbers]


def _paths_in(images: Any) -> Any:
    """Return the first column of paths of a DataFrame as a list; anything else as it is."""
    if not is_frame(images):
        return images
    columns = (images[name].tolist() for name in images.columns)
    return next((values for values in columns if are_paths(values)), images)


def _describe_first_pages(images: list[UserImage]) -> list[str]:
    """Return a sentence on the files of several pages in a list, of which the first is read."""
    paths = [image.value for image in images if isinstance(image.value, Path)]
    several = [path for path in paths if path.is_file() and list_pages(path).numbers]
    if not several:
        return []
    return [
        f"{len(several)} of {len(images)} files have several pages, of which the first is read, "
        f"for example {several[0]}; give {several[0]}#2 for the second page, or the file alone"
    ]


def is_array(value: Any) -> bool:
    """Whether a value is an array of NumPy, or of a library that converts to NumPy."""
    if isinstance(value, str | ImageBytes | Image.Image | list | tuple) or is_frame(value):
        return False
    return isinstance(value, np.ndarray) or hasattr(value, "__array__")


def as_array(value: Any) -> np.ndarray:
    """Return an array of any library as one of NumPy; DataError if it cannot be converted."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DataError(
            "the array has masked values, which are no samples; fill or remove masked values"
        )
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # such as PyTorch's of another device
        raise DataError(
            f"{describe_value(value)} cannot be converted to NumPy ({error}); give "
            "numpy.asarray(...)"
        ) from error


def _is_single(value: Any) -> bool:
    """Whether a value is one image that is no array: a path, bytes, open file or PIL image."""
    return isinstance(value, str | os.PathLike | ImageBytes | Image.Image) or hasattr(value, "read")


def _as_image(value: Any, number: int, pixel_type: str) -> UserImage:
    """Return one item of the user as an image; DataError unless it is one."""
    if isinstance(value, str | os.PathLike):
        path = Path(os.fsdecode(value))
        _check_path(os.fsdecode(value))
        if is_table_file(path):
            raise DataError(
                f"{path} is a table, but the model was trained on images; give images, or load "
                "a model of a table"
            )
        return UserImage(os.fsdecode(value), path, pixel_type)
    if hasattr(value, "read"):
        value = value.read()
        if not isinstance(value, ImageBytes):
            raise DataError(f'image {number} is a file of text; open it in the mode "rb"')
    if isinstance(value, ImageBytes | Image.Image):
        return UserImage(str(number), value, pixel_type)
    if not is_array(value):
        is_nested = isinstance(value, list | tuple)
        hint = "; convert lists of pixels by numpy.asarray(x, numpy.uint8)" if is_nested else ""
        raise DataError(f"image {number} is {describe_value(value)}: {EXPECTED_IMAGES}{hint}")
    array = as_array(value)
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[-1] in _CHANNELS):
        raise DataError(
            f"image {number} is an array {list(array.shape)}, but one image is [H, W] or [H, W, C] "
            f"with C 1, 3 or 4{_shape_hint(array)}"
        )
    _check_number_type(array)
    return UserImage(str(number), array, pixel_type)


def _check_path(text: str) -> None:
    """Raise DataError for a text that is no path of an image, as far as the text shows."""
    if not text:
        raise DataError("got an empty path; give the path of an image or of a folder")
    if text.startswith(("http://", "https://")):
        raise DataError(f"{text} is an address; download the image, and give its bytes")
    if os.path.isdir(text):
        raise DataError(f"{text} is a folder; give it alone, or the paths of its images")
    if os.path.exists(text):
        return
    if text.startswith("~"):
        raise DataError(f"there is no {text}; use pathlib.Path({text!r}).expanduser()")
    if "*" in text:
        raise DataError(f"{text} is a pattern, and no file; give the list glob.glob({text!r})")


def _shape_hint(array: np.ndarray) -> str:
    """Return the remedy for one image of a wrong shape, as the end of an error message."""
    if array.ndim == 3 and array.shape[0] in _CHANNELS:
        return "; channels come last: use x.transpose(1, 2, 0)"
    if array.ndim == 4:
        return "; give the arrays of several images one after the other, or joined as one array"
    return "; reshape it"


def _check_number_type(array: np.ndarray) -> None:
    """Raise DataError if an array holds other values than numbers and booleans."""
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"images must be uint8, uint16 or floating point, but the array is {array.dtype}; "
            "convert it"
        )


def _iterate_array(array: np.ndarray, pixel_type: str, is_color: bool) -> Iterator[UserImage]:
    """Return an iterator over the images of one array, which is converted at once."""
    _check_number_type(array)
    if array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in _CHANNELS):
        array = array[None]
    elif array.ndim == 3 and array.shape[-1] == 2:
        raise DataError(
            f"the array {list(array.shape)} is one image of 2 channels; give 1, 3 or 4, for "
            "example x[..., :1]"
        )
    elif array.ndim == 3 and is_color and array.shape[0] in (1, 3):
        raise DataError(
            f"the array {list(array.shape)} would be {array.shape[0]} gray images, but the model "
            "is one of color images; channels come last: use x.transpose(1, 2, 0), or give gray "
            "images as [N, H, W, 1]"
        )
    images = as_images(array, pixel_type)
    return (UserImage(str(row), image, pixel_type) for row, image in enumerate(images))


def describe_value(value: Any) -> str:
    """Return the type of a value of the user with its article, for messages."""
    if value is None:
        return "None"
    if is_frame(value):
        return "a table"
    if hasattr(value, "toarray"):
        return "a sparse matrix"
    if isinstance(value, bytes):
        return "bytes"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
