"""Fitting pictures into a square, by one rule.

A picture keeps its aspect ratio. If its longer side exceeds the square it is shrunk by area
averaging, if it fills at most half of the square it is enlarged bilinearly, until the longer
side equals the square's; otherwise no pixel is touched. It is then centred, and its edge pixels
are repeated outward to fill the square.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from augan.data.dataset import Dataset, Modality, SampleType
from augan.exceptions import DataError
from augan.io.images import MAX_PIXELS, UnreadableImage


def letterbox_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Return the height and width that a picture takes inside a square of side `size`."""
    longer = max(height, width)
    if size < 2 * longer <= 2 * size:
        return height, width
    return max(1, round(height * size / longer)), max(1, round(width * size / longer))


def letterbox_padding(
    height: int, width: int, size: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the rows above and below, and the columns left and right, of a centred picture."""
    top, left = (size - height) // 2, (size - width) // 2
    return (top, size - height - top), (left, size - width - left)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize one picture `[H, W, C]` of any type: area averaging down, bilinear up."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    # One float plane per channel: Pillow resizes 16-bit pictures properly in no other way.
    planes = [
        Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize((width, height), method)
        for plane in np.moveaxis(image, -1, 0)
    ]
    resized = np.stack([np.asarray(plane) for plane in planes], axis=-1)
    if np.issubdtype(image.dtype, np.integer):
        resized = np.rint(resized)
    return resized.astype(image.dtype)


SIZES = (8, 16, 32, 64, 128)
FARTHEST = 1000.0  # scaled values end here: their squares must stay finite as float32
LARGEST = 1024  # that is built at all
LARGEST_CHOSEN = 64  # 128 takes four times as long, so it must be asked for
TOO_FAR = 8  # ranges beyond the range: no anomaly, but other units
_INTEGER_RANGE = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0)}


@dataclass(frozen=True)
class ImagePreprocessing:
    """What was learned from the training images about size, channels and range.

    Attributes
    ----------
    size
        Side S of the model's square in pixels, a power of two from 8.
    channels
        1 (gray) or 3 (colour).
    dtype
        How squares are stored: "uint8", "uint16" or "float32".
    low, high
        Pixel values that become -1 and +1.
    native_shape
        Height and width of the training images when all are alike, else None.
    """

    size: int
    channels: int
    dtype: str
    low: float
    high: float
    original_shape: tuple[int, int] | None = None

    sample_type: ClassVar[SampleType] = "image"
    modality: ClassVar[Modality] = "images"

    def __post_init__(self) -> None:
        self._check()
        if self.channels not in (1, 3):
            raise DataError(f"channels must be 1 or 3, but is {self.channels!r}")
        if self.dtype not in ("uint8", "uint16", "float32"):
            raise DataError(f"dtype must be uint8, uint16 or float32, but is {self.dtype!r}")
        expected = _INTEGER_RANGE.get(self.dtype)
        if expected not in (None, (self.low, self.high)):
            raise DataError(
                f"{self.dtype} images range over {expected}, but low and high are "
                f"{self.low} and {self.high}"
            )
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise DataError(f"low must lie below high, but they are {self.low} and {self.high}")
        shape = self.original_shape
        if shape is not None and (min(shape) < 1 or math.prod(shape) > MAX_PIXELS):
            raise DataError(
                f"original_shape must be positive and of at most {MAX_PIXELS} pixels, but is "
                f"{shape}"
            )

    @classmethod
    def fit(cls, dataset: Dataset, size: int | None = None) -> "ImagePreprocessing":
        """Learn from a dataset, reading only the headers of image files.

        Parameters
        ----------
        dataset
            The training images; unlabeled ones beside them count like the others.
        size
            Side of the square, a power of two from 8; by default the smallest of 8, 16, 32 and
            64 that holds the longer side of the median image, or 64 if none does.

        Raises
        ------
        DataError
            `size` is impossible, or floating-point images hold one value only.
        """
        parts = [part for part in (dataset, dataset.unlabeled) if part is not None and len(part)]
        headers = [header for part in parts for header in part.headers()]
        if not len(dataset):
            raise DataError(f"{dataset.name} holds no image; give at least one")
        if size is None:
            median = float(np.median([max(header.height, header.width) for header in headers]))
            fitting = (side for side in SIZES if side >= min(median, LARGEST_CHOSEN))
            size = next(fitting)
        dtypes = {header.dtype for header in headers}
        dtype = next((kind for kind in ("float32", "uint16") if kind in dtypes), "uint8")
        low, high = _INTEGER_RANGE.get(dtype) or _float_range(
            part.require_images() for part in parts
        )
        shapes = {(header.height, header.width) for header in headers}
        channels = max(header.channels for header in headers)
        return cls(size, channels, dtype, low, high, shapes.pop() if len(shapes) == 1 else None)

    @property
    def prepared_dtype(self) -> str:
        """The type of stored samples."""
        return self.dtype

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """The shape of one stored square."""
        return self.size, self.size, self.channels

    @property
    def groups(self) -> tuple[int, ...]:
        """Sizes of one-hot groups, of which squares have none."""
        return ()

    @property
    def warnings(self) -> list[str]:
        """What the user should know: nothing, where all images become squares."""
        return []

    def describe(self) -> str:
        """Say in a few words what the network sees."""
        return f"{self.size}x{self.size} {'gray' if self.channels == 1 else 'colour'}"

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Return one picture `[H, W, C]` as the square `[S, S, channels]` of the stored type.

        The geometry is that of `augan.data.modalities.images`: aspect kept, centred, edges
        repeated.
        Gray becomes colour by repetition; 8 bits become 16 by a factor of 257.

        Raises
        ------
        DataError
            The picture is colour and the model is gray, or its type holds more than the model's.
        """
        if image.ndim != 3 or not image.size:
            raise DataError(f"an image must be [H, W, C], but is {list(image.shape)}")
        height, width = letterbox_shape(image.shape[0], image.shape[1], self.size)
        pixels = resize(self._as_stored(image), height, width)
        if height == width == self.size:  # padding by nothing would take as long as decoding
            return pixels
        return np.pad(pixels, (*letterbox_padding(height, width, self.size), (0, 0)), mode="edge")

    def prepare_all(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Return all pictures as squares `[N, S, S, channels]` of the stored type.

        Raises
        ------
        DataError
            As for `prepare`; the message gives the row of the picture.
        """
        if isinstance(images, np.ndarray) and images.ndim == 4 and images.size:
            height, width = images.shape[1:3]
            if letterbox_shape(height, width, self.size) == (height, width):
                around = ((0, 0), *letterbox_padding(height, width, self.size), (0, 0))
                return np.pad(self._as_stored(images), around, mode="edge")
        squares = np.empty((len(images), self.size, self.size, self.channels), self.dtype)
        for row, image in enumerate(images):
            try:
                squares[row] = self.prepare(image)
            except UnreadableImage:
                raise  # names its file already
            except DataError as error:
                raise DataError(f"image {row}: {error}") from error
        return squares

    def normalize(self, stored: np.ndarray) -> np.ndarray:
        """Map stored values to float32, `low` to -1 and `high` to +1.

        What lies outside is not clipped, unless it is 1000 times as far.
        """
        x = stored.astype(self._working_type)
        x = (x - self.low) * (2 / (self.high - self.low)) - 1
        return (np.clip(x, -FARTHEST, FARTHEST) if self.dtype == "float32" else x).astype(
            np.float32
        )

    def denormalize(self, x: np.ndarray) -> np.ndarray:
        """Map -1..1 back to stored values; what lies outside is clipped, integers are rounded."""
        x = np.clip(x.astype(self._working_type), -1, 1)
        values = (x + 1) * ((self.high - self.low) / 2) + self.low
        return (values if self.dtype == "float32" else np.rint(values)).astype(self.dtype)

    def to_original_size(self, stored: np.ndarray) -> np.ndarray:
        """Undo the geometry of squares, or of maps over them, of any channel count and type.

        Parameters
        ----------
        stored
            `[N, S, S, C]`.

        Returns
        -------
        np.ndarray
            `[N, H, W, C]` in the size that all training images shared, of the same type; the
            squares themselves when the training images differed in size.
        """
        if stored.ndim != 4 or stored.shape[1:3] != (self.size, self.size):
            raise DataError(
                f"expected squares [N, {self.size}, {self.size}, C], but got {list(stored.shape)}"
            )
        if self.original_shape is None:
            return stored
        height, width = letterbox_shape(*self.original_shape, self.size)
        (top, _), (left, _) = letterbox_padding(height, width, self.size)
        cropped = stored[:, top : top + height, left : left + width]
        if (height, width) == self.original_shape or not len(stored):
            return cropped
        return np.stack([resize(image, *self.original_shape) for image in cropped])

    def to_uint8(self, stored: np.ndarray) -> np.ndarray:
        """Return stored values as uint8 for a screen: `low` is black, `high` is white."""
        if self.dtype == "uint8":
            return stored
        share = (stored.astype(np.float64) - self.low) / (self.high - self.low)
        return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        shape = None if self.original_shape is None else list(self.original_shape)
        return {"modality": self.modality, **asdict(self), "original_shape": shape}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ImagePreprocessing":
        """Rebuild what `to_dict` returned.

        Raises
        ------
        DataError
            A field is missing, unknown, or of the wrong type or value.
        """
        expected = {"modality", *(field.name for field in fields(cls))}
        if not isinstance(values, Mapping) or set(values) != expected:
            came = sorted(map(str, values)) if isinstance(values, Mapping) else repr(values)
            raise DataError(
                f"preprocessing must have the fields {sorted(expected)}, but came as {came}"
            )
        shape = values["original_shape"]
        if shape is not None:
            if not (isinstance(shape, (list, tuple)) and len(shape) == 2):
                raise DataError(f"original_shape must be [height, width] or null, but is {shape!r}")
            shape = (_integer("original_shape", shape[0]), _integer("original_shape", shape[1]))
        return cls(
            size=_integer("size", values["size"]),
            channels=_integer("channels", values["channels"]),
            dtype=str(values["dtype"]),
            low=_number("low", values["low"]),
            high=_number("high", values["high"]),
            original_shape=shape,
        )

    def _check(self) -> None:
        """Refuse an impossible size."""
        _check_size(self.size)

    @property
    def _working_type(self) -> type[np.floating]:
        # The range of float data may be far from zero or huge; that of integers is tame.
        return np.float64 if self.dtype == "float32" else np.float32

    def _refuse_other_units(self, pixels: np.ndarray) -> None:
        """Refuse integers that are no values of floating-point images: 0 to 255 beside 0 to 1."""
        most = float(pixels.max(initial=0))
        if most > self.high + TOO_FAR * (self.high - self.low):
            raise DataError(
                f"pixels are {pixels.dtype} up to {most:g}, but the model was trained on floating-"
                f"point images from {self.low:g} to {self.high:g}; bring them to that range and "
                "type, or train on images like these"
            )

    def _as_stored(self, pixels: np.ndarray) -> np.ndarray:
        """Convert type and channels of `[..., C]`, or refuse what would lose information."""
        is_float = np.issubdtype(pixels.dtype, np.floating)
        if not is_float and pixels.dtype not in (np.uint8, np.uint16):
            raise DataError(f"pixels must be uint8, uint16 or float, but are {pixels.dtype}")
        deep = pixels.dtype == np.uint16 and self.dtype == "uint8"
        if deep or (is_float and self.dtype in ("uint8", "uint16")):
            raise DataError(
                f"pixels are {pixels.dtype}, but the model takes "
                f"{self.dtype}, 0 to {np.iinfo(self.dtype).max}; bring them there and convert them "
                f"with .astype('{self.dtype}')"
            )
        if not is_float and self.dtype == "float32":
            self._refuse_other_units(pixels)
        widened = pixels.dtype == np.uint8 and self.dtype == "uint16"
        pixels = pixels.astype(self.dtype, copy=False)
        if widened:
            pixels = pixels * np.uint16(257)  # 255 becomes 65535
        if pixels.shape[-1] == self.channels:
            return pixels
        if pixels.shape[-1] == 1:
            return np.repeat(pixels, self.channels, axis=-1)
        raise DataError(
            f"the image has another channel count ({pixels.shape[-1]}) than the model "
            f"({self.channels}); convert the image, or train on images like it"
        )


def _check_size(size: int) -> None:
    if not SIZES[0] <= size <= LARGEST or size & (size - 1):
        raise DataError(
            f"size must be a power of two from {SIZES[0]} to {LARGEST}, but is {size}; try 32"
        )


def _float_range(parts: Iterable[np.ndarray | Sequence[np.ndarray]]) -> tuple[float, float]:
    ranges = [(float(image.min()), float(image.max())) for images in parts for image in images]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    if not low < high:
        raise DataError(
            f"every pixel of the floating-point images has the value {low}; nothing can be learned "
            "from constant images: check how they were made"
        )
    return low, high


def _integer(field: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"{field} must be an integer, but is {value!r}")
    return value


def _number(field: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DataError(f"{field} must be a number, but is {value!r}")
    return float(value)
