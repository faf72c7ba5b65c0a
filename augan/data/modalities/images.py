"""Preprocessing of images: letterboxing to a square, channels, range.

An image keeps its aspect ratio. An image whose longer side exceeds the square is shrunk by area
averaging until the longer side equals the side of the square. An image that fills at most half of
the square is enlarged bilinearly to the same size. The pixels of other images stay as they are.
The image is then centered, and its edge pixels are repeated outward to fill the square.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from augan.data.dataset import Dataset, Modality, SampleType
from augan.data.modalities.base import Preprocessing, TrainingDefaults
from augan.data.sequences import ImageFiles, RaggedImages
from augan.exceptions import DataError
from augan.io.images import MAX_PIXELS, ImageHeader, UnreadableImage

_SIZES = (8, 16, 32, 64, 128)
MAX_SIZE = 1024
MAX_DEFAULT_SIZE = 64  # 128 takes four times as long, so the user must request it
MAX_NORMALIZED = 1000.0  # normalized values are clipped here: their squares fit into float32
MAX_EXCESS_RANGES = 8  # values further outside, in units of the range, are of another unit
MIN_RANGE_RATIO = 30  # of the range to that of images that are probably scaled differently
MAX_SMALL_INTEGER = 63  # arrays of 8 bits up to here hold levels or flags, and not brightness
_INTEGER_RANGE = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0)}

TRAINING_DEFAULTS = TrainingDefaults(
    norm=None,
    betas=(0.5, 0.999),
    regularizer="none",
    has_transformations=True,
    needs_learned_features=True,
)


def letterbox_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Return the height and width to which an image is resized before it is padded to a square.

    An image whose longer side is more than half of `size` and at most `size` keeps its shape.

    Parameters
    ----------
    height, width : int
        Size of the image in pixels.
    size : int
        Side of the square in pixels.
    """
    longer = max(height, width)
    if size < 2 * longer <= 2 * size:
        return height, width
    return max(1, round(height * size / longer)), max(1, round(width * size / longer))


def letterbox_padding(
    height: int, width: int, size: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the padding that centers a resized image in a square, as `numpy.pad` takes it.

    Parameters
    ----------
    height, width : int
        Size of the image in pixels, at most `size`.
    size : int
        Side of the square in pixels.

    Returns
    -------
    ((int, int), (int, int))
        Rows above and below, and columns left and right. Odd padding puts one more pixel below or
        right.
    """
    top, left = (size - height) // 2, (size - width) // 2
    return (top, size - height - top), (left, size - width - left)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize one image `[H, W, C]` to `[height, width, C]`: area averaging down, bilinear up.

    An image that loses pixels in total is averaged. The type stays the same; integers are rounded.
    """
    if image.shape[:2] == (height, width):
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    # One float plane per channel, because Pillow does not resize 16-bit images properly.
    planes = [
        Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize((width, height), method)
        for plane in np.moveaxis(image, -1, 0)
    ]
    resized = np.stack([np.asarray(plane) for plane in planes], axis=-1)
    if np.issubdtype(image.dtype, np.integer):
        resized = np.rint(resized)
    return resized.astype(image.dtype)


@dataclass(frozen=True)
class ImagePreprocessing(Preprocessing):
    """Conversion of images to squares of the size, channels and range of the training images.

    Attributes
    ----------
    size : int
        Side S of the prepared square images in pixels, a power of two from 8 to 1024.
    channels : int
        1 (gray) or 3 (color).
    dtype : str
        Type of prepared images: "uint8", "uint16" or "float32".
    low, high : float
        Pixel values that become -1 and +1 in the networks, and black and white in pictures: the
        smallest and largest training value. For 8 bits 0 and 255, except for arrays up to 63.
    original_shape : (int, int) or None
        Height and width of the training images if all are equal, else None (default).

    The class attributes are those of `Preprocessing`.

    Raises
    ------
    DataError
        An attribute has an invalid value.
    """

    size: int
    channels: int
    dtype: str
    low: float
    high: float
    original_shape: tuple[int, int] | None = None

    sample_type: ClassVar[SampleType] = "image"
    modality: ClassVar[Modality] = "images"
    has_pixels: ClassVar[bool] = True
    supports_maps: ClassVar[bool] = True
    supports_residuals: ClassVar[bool] = True
    has_files: ClassVar[bool] = True
    file_formats: ClassVar[tuple[str, ...]] = ("png", "npz")
    training_defaults: ClassVar[TrainingDefaults] = TRAINING_DEFAULTS
    classes_remedy: ClassVar[str] = "sort the images into one folder for each class"
    duplicates_remedy: ClassVar[str] = "give the groups of images with `groups` or `group_by`"

    def __post_init__(self) -> None:
        self._check()
        if self.channels not in (1, 3):
            raise DataError(f"channels must be 1 or 3, but is {self.channels!r}")
        if self.dtype not in ("uint8", "uint16", "float32"):
            raise DataError(f"dtype must be uint8, uint16 or float32, but is {self.dtype!r}")
        limits = _INTEGER_RANGE.get(self.dtype)
        if limits is not None and not (
            limits[0] <= self.low < self.high <= limits[1]
            and float(self.low).is_integer()
            and float(self.high).is_integer()
        ):
            raise DataError(
                f"low and high of {self.dtype} images must be whole numbers in "
                f"{limits[0]:g}..{limits[1]:g}, low below high, but are {self.low} and {self.high}"
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
    def fit(
        cls, dataset: Dataset, size: int | None = None, rows: np.ndarray | None = None
    ) -> "ImagePreprocessing":
        """Choose size, channels, type and range from the training images.

        Only the headers of files with 8 bits are read. Files with 16 bits are decoded: cameras of
        10, 12 or 14 bits use a small part of that type.

        Parameters
        ----------
        dataset : Dataset
            The training images; unlabeled images count like the others.
        size : int or None
            Side of the square, a power of two from 8. None (default): the smallest of 8, 16, 32 and
            64 that holds the longer side of the median image, or 64 if none does.
        rows : ndarray or None
            Ignored: the headers of all images are read.

        Raises
        ------
        DataError
            `size` is impossible, there is no image, or floating-point images hold one value only.
        """
        datasets = [some for some in (dataset, dataset.unlabeled) if some is not None and len(some)]
        headers = [header for some in datasets for header in some.headers()]
        if not len(dataset):
            raise DataError(f"{dataset.name} holds no image; give at least one")
        if size is None:
            median = float(np.median([max(header.height, header.width) for header in headers]))
            size = next(side for side in _SIZES if side >= min(median, MAX_DEFAULT_SIZE))
        dtypes = {header.dtype for header in headers}
        dtype = next((name for name in ("float32", "uint16") if name in dtypes), "uint8")
        low, high = _value_range([some.require_images() for some in datasets], dtype, headers)
        shapes = {(header.height, header.width) for header in headers}
        channels = max(header.channels for header in headers)
        return cls(size, channels, dtype, low, high, shapes.pop() if len(shapes) == 1 else None)

    @property
    def prepared_dtype(self) -> str:
        """The type of prepared images: "uint8", "uint16" or "float32", the same as `dtype`."""
        return self.dtype

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """The shape (S, S, channels) of one sample that the networks read and generate."""
        return self.size, self.size, self.channels

    @property
    def pixel_type(self) -> str:
        """Type of the pixels of original images, the same as `dtype`."""
        return self.dtype

    @property
    def prepared_span(self) -> float:
        """Largest minus smallest possible value of prepared pixels, for example 255."""
        return self.high - self.low

    @property
    def has_full_range(self) -> bool:
        """Whether `low` and `high` are the limits of the pixel type, so that no value is outside.

        Otherwise they are the smallest and the largest value of the training images.
        """
        return _INTEGER_RANGE.get(self.dtype) == (self.low, self.high)

    @property
    def becomes_uint8(self) -> bool:
        """Whether prepared images become uint8 in PNG files, which do not have their type."""
        return self.prepared_dtype == "float32" or (
            self.prepared_dtype == "uint16" and self.channels == 3
        )

    @property
    def side(self) -> int:
        """Side of the square images of the networks in pixels."""
        return self.sample_shape[0]

    def describe(self) -> str:
        """Return size, color and range of prepared images for reports, such as "32x32 gray".

        The range of values is left out if it is that of the pixel type, such as 0 to 255.
        """
        color = "gray" if self.channels == 1 else "color"
        values = "" if self.has_full_range else f", values {self.low:g} to {self.high:g}"
        return f"{self.size}x{self.size} {color}{values}"

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Letterbox one image `[H, W, C]` to `[S, S, channels]` in the prepared type.

        Gray becomes color by repetition; 8 bits are stretched to the depth of a model of 16 bits.

        Raises
        ------
        DataError
            The array is not `[H, W, C]`; the image is color and the model is gray; or the type of
            the image has a larger range than the type of the model.
        """
        if image.ndim != 3 or not image.size:
            raise DataError(f"an image must be [H, W, C], but is {list(image.shape)}")
        height, width = letterbox_shape(image.shape[0], image.shape[1], self.size)
        pixels = resize(self.convert(image), height, width)
        if height == width == self.size:  # np.pad without padding would take as long as decoding
            return pixels
        return np.pad(pixels, (*letterbox_padding(height, width, self.size), (0, 0)), mode="edge")

    def to_working_scale(self, image: np.ndarray) -> np.ndarray:
        """Return one image `[H, W, C]` in its prepared size and its original type; as `prepare`."""
        return self.prepare(image)

    def prepare_sample(self, image: np.ndarray) -> np.ndarray:
        """Prepare one image `[H, W, C]` for a detector; the same as `prepare`, unlike for tiles."""
        return self.prepare(image)

    def stack(self, images: Sequence[np.ndarray]) -> np.ndarray | RaggedImages:
        """Collect results of `prepare_sample`: an array `[N, S, S, channels]`, or RaggedImages."""
        return np.stack(images) if images else np.empty((0,))

    def prepare_all(self, samples: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Letterbox N images to one array `[N, S, S, channels]` in the prepared type.

        Parameters
        ----------
        samples : ndarray or sequence of ndarray
            `[N, H, W, C]`, or N images `[H, W, C]` of any size, such as `ImageFiles`.

        Raises
        ------
        UnreadableImage
            A file cannot be decoded.
        DataError
            An image does not fit, as for `prepare`; the message has the row of the image.
        """
        if isinstance(samples, np.ndarray) and samples.ndim == 4 and samples.size:
            height, width = samples.shape[1:3]
            if letterbox_shape(height, width, self.size) == (height, width):
                padding = ((0, 0), *letterbox_padding(height, width, self.size), (0, 0))
                return np.pad(self.convert(samples), padding, mode="edge")
        prepared = np.empty((len(samples), self.size, self.size, self.channels), self.dtype)
        for row, image in enumerate(samples):
            try:
                prepared[row] = self.prepare(image)
            except UnreadableImage:
                raise  # the message names the file
            except DataError as error:
                raise DataError(f"image {row}: {error}") from error
        return prepared

    def normalize(self, prepared: np.ndarray) -> np.ndarray:
        """Scale prepared values to the float32 range of the networks: `low` to -1, `high` to +1.

        Values outside are clipped only beyond -1000 and 1000. Any shape is accepted and kept.
        """
        x = prepared.astype(self._compute_type)
        x = (x - self.low) * (2 / (self.high - self.low)) - 1
        x = x if self.has_full_range else np.clip(x, -MAX_NORMALIZED, MAX_NORMALIZED)
        return x.astype(np.float32)

    def denormalize(self, x: np.ndarray) -> np.ndarray:
        """Scale values of the networks, -1 to 1, back to prepared values: undo `normalize`.

        Values outside -1..1 are clipped, and integers are rounded. Any shape is accepted and kept.
        """
        x = np.clip(x.astype(self._compute_type), -1, 1)
        values = (x + 1) * ((self.high - self.low) / 2) + self.low
        return (values if self.dtype == "float32" else np.rint(values)).astype(self.dtype)

    def to_original_size(self, prepared: np.ndarray) -> np.ndarray:
        """Undo the letterboxing of images, or of anomaly maps over images, of any type.

        Parameters
        ----------
        prepared : ndarray
            `[N, S, S, C]`, C any number of channels.

        Returns
        -------
        np.ndarray
            `[N, H, W, C]` in the common size of the training images, of the same type; the input
            itself if the training images had different sizes.

        Raises
        ------
        DataError
            The array is not `[N, S, S, C]`.
        """
        if prepared.ndim != 4 or prepared.shape[1:3] != (self.size, self.size):
            raise DataError(
                f"expected images [N, {self.size}, {self.size}, C], but got {list(prepared.shape)}"
            )
        if self.original_shape is None:
            return prepared
        height, width = letterbox_shape(*self.original_shape, self.size)
        (top, _), (left, _) = letterbox_padding(height, width, self.size)
        cropped = prepared[:, top : top + height, left : left + width]
        if (height, width) == self.original_shape or not len(prepared):
            return cropped
        return np.stack([resize(image, *self.original_shape) for image in cropped])

    def resize_map(self, raw: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Undo the letterboxing of a map `[S, S, 1]` over an image of `shape` (H, W, ...)."""
        fitted = replace(self, original_shape=(shape[0], shape[1]))
        resized: np.ndarray = fitted.to_original_size(raw[None])[0][..., 0]
        return resized

    def is_blank(self, sample: np.ndarray) -> bool:
        """Whether all pixels of a prepared image are equal."""
        return bool(np.ptp(sample) == 0)

    def whole_samples(self, dataset: Dataset) -> "ImagePreprocessing":
        """Return this object, whose samples are whole images of one shape."""
        return self

    def require_images(self, message: str = "") -> "ImagePreprocessing":
        """Return this object."""
        return self

    def to_uint8(self, prepared: np.ndarray) -> np.ndarray:
        """Convert prepared values to uint8 for display: `low` becomes black 0, `high` white 255."""
        return displayed(prepared, self.low, self.high)

    def values_of(self, image: np.ndarray) -> tuple[float, float] | None:
        """Return the smallest and largest value of an original image, in the range of the model.

        None if `has_full_range`, because no value is outside then.
        """
        if self.has_full_range or not image.size:
            return None
        pixels = image
        if image.dtype == np.uint8 and self.dtype == "uint16":
            pixels = _stretched(image.astype(np.uint16), self.high)
        return float(pixels.min()), float(pixels.max())

    def describe_other_range(self, values: tuple[float, float] | None) -> str | None:
        """Return a warning if images have another range than those of the training; else None.

        Values count as of another range if they reach further outside than the range is wide, or
        fill less than a thirtieth of it.

        Parameters
        ----------
        values : (float, float) or None
            The smallest and largest value of all images, see `values_of`; None: unknown.
        """
        if values is None:
            return None
        (lowest, highest), span = values, self.high - self.low
        is_outside = lowest < self.low - span or highest > self.high + span
        if not is_outside and not 0 < highest - lowest < span / MIN_RANGE_RATIO:
            return None
        return (
            f"the pixels reach from {lowest:g} to {highest:g}, but those of the training images "
            f"from {self.low:g} to {self.high:g}: to the model such images look different, "
            "whatever they show; scale them as the training images were"
        )

    def to_picture(self, image: np.ndarray) -> np.ndarray:
        """Convert an original image `[H, W, C]` to uint8 for display, in the range of the model.

        Images of 8 bits stay as they are, unless those of the training had few levels.
        """
        is_small = self.dtype == "uint8" and not self.has_full_range
        if image.dtype == np.uint8 and not is_small:
            return image
        return displayed(image, self.low, self.high)

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as JSON-able values, for `preprocessing.json` of a bundle."""
        shape = None if self.original_shape is None else list(self.original_shape)
        return {"modality": self.modality, **asdict(self), "original_shape": shape}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ImagePreprocessing":
        """Rebuild the preprocessing of a bundle from the values that `to_dict` returned.

        Raises
        ------
        DataError
            A field is missing, unknown, or of the wrong type or value.
        """
        expected = {"modality", *(field.name for field in fields(cls))}
        if not isinstance(values, Mapping) or set(values) != expected:
            given = sorted(map(str, values)) if isinstance(values, Mapping) else repr(values)
            raise DataError(f"preprocessing must have the fields {sorted(expected)}, got {given}")
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
        """Raise DataError for an invalid `size`; a subclass has other sizes."""
        _check_size(self.size)

    @property
    def _compute_type(self) -> type[np.floating]:
        """The type in which values are scaled: float64 for float32 pixels, else float32."""
        # Floating-point data may have a huge range, or a range far from zero.
        return np.float64 if self.dtype == "float32" else np.float32

    def _check_units(self, pixels: np.ndarray) -> None:
        """Raise DataError for integer pixels far outside the floating-point range of the model.

        Such pixels are in another unit, for example 0 to 255 where the model was trained on 0 to 1.
        """
        highest = float(pixels.max(initial=0))
        if highest > self.high + MAX_EXCESS_RANGES * (self.high - self.low):
            raise DataError(
                f"pixels are {pixels.dtype} up to {highest:g}, but the model was trained on "
                f"floating-point images from {self.low:g} to {self.high:g}; convert them to that "
                "range and type, or train on images like these"
            )

    def convert(self, pixels: np.ndarray) -> np.ndarray:
        """Convert type and channels of pixels `[..., C]`; DataError if information is lost."""
        is_float = np.issubdtype(pixels.dtype, np.floating)
        if not is_float and pixels.dtype not in (np.uint8, np.uint16):
            raise DataError(f"pixels must be uint8, uint16 or float, but are {pixels.dtype}")
        is_deeper = pixels.dtype == np.uint16 and self.dtype == "uint8"
        if is_deeper or (is_float and self.dtype in ("uint8", "uint16")):
            raise DataError(
                f"pixels are {pixels.dtype}, but the model takes {self.dtype}, {self.low:g} to "
                f"{self.high:g}; scale them to this range, and give them as {self.dtype}"
            )
        if not is_float and self.dtype == "float32":
            self._check_units(pixels)
        is_8_bit = pixels.dtype == np.uint8 and self.dtype == "uint16"
        pixels = pixels.astype(self.dtype, copy=False)
        if is_8_bit:
            pixels = _stretched(pixels, self.high)
        if pixels.shape[-1] == self.channels:
            return pixels
        if pixels.shape[-1] == 1:
            return np.repeat(pixels, self.channels, axis=-1)
        raise DataError(
            f"the image has another channel count ({pixels.shape[-1]}) than the model "
            f"({self.channels}); convert the image, or train on images like it"
        )


def _check_size(size: int) -> None:
    """Raise DataError unless the side of a square is a power of two from 8 to 1024."""
    if not _SIZES[0] <= size <= MAX_SIZE or size & (size - 1):
        raise DataError(
            f"size must be a power of two from {_SIZES[0]} to {MAX_SIZE}, but is {size}; try 32"
        )


def join_values(
    first: tuple[float, float] | None, second: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Return the smallest and largest value of two sets of images; None counts as no image."""
    if first is None or second is None:
        return second if first is None else first
    return min(first[0], second[0]), max(first[1], second[1])


def displayed(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return pixels of any type and shape as uint8 for display: `low` is black, `high` white."""
    if pixels.dtype == np.uint8 and (low, high) == _INTEGER_RANGE["uint8"]:
        return pixels
    fraction = (pixels.astype(np.float64) - low) / (high - low)
    return np.rint(np.clip(fraction, 0, 1) * 255).astype(np.uint8)


def _value_range(
    collections: Sequence[np.ndarray | Sequence[np.ndarray]],
    dtype: str,
    headers: Sequence[ImageHeader],
) -> tuple[float, float]:
    """Return the values of black and white for training images: see `ImagePreprocessing.low`.

    Parameters
    ----------
    collections : sequence of array or sequence
        The images, and unlabeled images.
    dtype : str
        The type of the model: the deepest type of the images.
    headers : sequence of ImageHeader
        The headers of all images.

    Raises
    ------
    DataError
        All floating-point pixels are equal.
    """
    limits = _INTEGER_RANGE.get(dtype)
    is_array = all(isinstance(images, np.ndarray) for images in collections)
    if limits is not None and dtype == "uint8" and not is_array:
        return limits
    ranges = [values for images in collections for values in _ranges(images, dtype)]
    low, high = (
        (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else (0, 0)
    )
    if limits is None and not low < high:
        raise DataError(
            f"every pixel of the floating-point images has the value {low}; nothing can be learned "
            "from constant images: check how they were made"
        )
    if limits is None:
        return low, high
    if not low < high or (dtype == "uint8" and high > MAX_SMALL_INTEGER):
        return limits
    if any(header.dtype != dtype for header in headers):  # images of 8 bits are stretched
        return limits[0], _depth_limit(high)
    return low, high


def _ranges(images: np.ndarray | Sequence[np.ndarray], dtype: str) -> Iterator[tuple[float, float]]:
    """Yield the smallest and largest pixel of images; those of another integer type are left out.

    So are files that cannot be decoded, which are listed when the samples are prepared.
    """
    if isinstance(images, np.ndarray):
        if len(images) and (dtype == "float32" or images.dtype == dtype):
            yield float(images.min()), float(images.max())
        return
    files = images if isinstance(images, ImageFiles) else None
    rows: Iterable[int] = range(len(images))
    if files is not None:
        rows = [row for row, header in enumerate(files.headers()) if header.dtype == dtype]
    for row in rows:
        try:
            image = images[row]
        except UnreadableImage:
            continue
        if dtype == "float32" or image.dtype == dtype:
            yield float(image.min()), float(image.max())


def _depth_limit(high: float) -> float:
    """Return the largest value of the depth in bits that a largest pixel needs, at least 255.

    Examples
    --------
    >>> _depth_limit(3900), _depth_limit(65535)
    (4095.0, 65535.0)
    """
    return float(2 ** max(8, int(high).bit_length()) - 1)


def _stretched(pixels: np.ndarray, high: float) -> np.ndarray:
    """Return 8-bit values, already uint16, in the depth in bits that the value `high` needs."""
    limit = _depth_limit(high)
    if limit == _INTEGER_RANGE["uint16"][1]:
        return pixels * np.uint16(257)  # 255 becomes 65535
    return np.rint(pixels * (limit / 255)).astype(np.uint16)


def _integer(field: str, value: Any) -> int:
    """Return the value of a field of a bundle; DataError unless it is an integer."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"{field} must be an integer, but is {value!r}")
    return value


def _number(field: str, value: Any) -> float:
    """Return the value of a field of a bundle as a float; DataError unless it is a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DataError(f"{field} must be a number, but is {value!r}")
    return float(value)
