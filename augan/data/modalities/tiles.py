"""Tiled preprocessing of large images: square windows at the scale of the image.

A small detail of a large image, such as a scratch, disappears if the image is shrunk to the input
size of a network. So an image keeps its scale, unless even its shorter side is very long, and the
network takes windows of the image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, overload

import numpy as np

from augan.data.dataset import Dataset, Modality
from augan.data.modalities.base import PreparedSamples, RowsOf, TrainingDefaults, TrainingSamples
from augan.data.modalities.images import TRAINING_DEFAULTS, ImagePreprocessing, resize
from augan.data.sequences import RaggedImages, SlidingWindows
from augan.exceptions import DataError

DEFAULT_WINDOW = 64  # pixels
MIN_WINDOWS_PER_SIDE = 2  # along the shorter side, from which tiling is used
MAX_SHORT_SIDE, MAX_LONG_SIDE = 256, 1024  # pixels; larger images shrink
STRIDES_PER_WINDOW = 4  # of training windows
SURROUNDINGS_SIGMA = 16.0  # pixels, of the Gaussian that averages the brightness around a pixel
BRIGHTNESS_OFFSET = 0.03  # fraction of the range, added to both so that noise in the dark is small
CONTRAST = 1.5  # factor of the logarithm


@dataclass(frozen=True)
class TiledPreprocessing(ImagePreprocessing):
    """Conversion of large images to their working scale, at which networks take windows of them.

    `size` is the side of a square canvas that holds every training image at its working scale.
    Prepared images have 8 bits and are the brightness relative to the surroundings, so that light
    which falls off or differs between images is not an anomaly. `dtype`, `low` and `high` describe
    the original images. The other attributes are those of `ImagePreprocessing`; `modality` is
    "tiles".

    Attributes
    ----------
    window : int
        Side of the square windows that the networks take, in pixels; default: 64.
    """

    window: int = DEFAULT_WINDOW

    modality: ClassVar[Modality] = "tiles"
    has_fixed_size: ClassVar[bool] = False
    # On tiles, a discriminator without norm learns to locate corruptions in the fewest steps.
    training_defaults: ClassVar[TrainingDefaults] = replace(
        TRAINING_DEFAULTS, norm="none", has_transformations=False
    )
    max_fitting_samples: ClassVar[int] = 500
    reading_chunk_size: ClassVar[int] = 32
    scoring_chunk_size: ClassVar[int] = 16

    @classmethod
    def fit(
        cls, dataset: Dataset, size: int | None = None, rows: np.ndarray | None = None
    ) -> "TiledPreprocessing":
        """Choose window, canvas, channels, type and range from the training images.

        Only the headers of image files are read.

        Parameters
        ----------
        dataset : Dataset
            The training images.
        size : int or None
            Side of the window in pixels, a power of two from 8; None (default): 64.
        rows : ndarray or None
            Ignored: the headers of all images are read.

        Raises
        ------
        DataError
            As for `ImagePreprocessing.fit`.
        """
        window = size or DEFAULT_WINDOW
        base = ImagePreprocessing.fit(dataset, window)
        shapes = [working_shape(h.height, h.width, window) for h in dataset.headers()]
        canvas = max(max(shape) for shape in shapes)
        return cls(**{**asdict(base), "size": canvas}, window=window)

    @property
    def prepared_dtype(self) -> str:
        """The type of prepared images: "uint8" for every type of original images."""
        return "uint8"

    @property
    def prepared_span(self) -> float:
        """Largest minus smallest possible value of prepared pixels: 255."""
        return 255.0

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """The shape (window, window, channels) of one window, which is a sample of the networks."""
        return self.window, self.window, self.channels

    def describe(self) -> str:
        """Return size and color of the windows, and the scale of the images, for reports."""
        color = "gray" if self.channels == 1 else "color"
        return f"windows of {self.window}x{self.window} {color} {self._describe_scale()}"

    def _describe_scale(self) -> str:
        """Return whether images are shrunk, as far as the size of the training images tells."""
        if self.original_shape is None:
            return (
                f"of images shrunk to a shorter side of {MAX_SHORT_SIDE} and a longer side of "
                f"{MAX_LONG_SIDE} pixels, smaller ones at their own scale"
            )
        height, width = self.original_shape
        rows, columns = _scaled_shape(height, width)
        if (rows, columns) == (height, width):
            return "at the scale of the images"
        return f"of images shrunk from {width}x{height} to {columns}x{rows} pixels"

    def detector_samples(self, stored: np.ndarray, dataset: Dataset) -> RaggedImages:
        """Cut the prepared images of a dataset out of their canvases; the result holds views.

        Parameters
        ----------
        stored : ndarray
            `[N, S, S, C]`, the result of `prepare_all` for these images.
        dataset : Dataset
            The images, whose headers state their sizes.
        """
        shapes = [working_shape(h.height, h.width, self.window) for h in dataset.headers()]
        return RaggedImages.from_padded(stored, np.array(shapes))

    def training_samples(self, prepared: PreparedSamples) -> tuple[TrainingSamples, RowsOf]:
        """Return overlapping windows of prepared images and their mirror images, to train on.

        Neighboring windows are at most a quarter of a window apart. See
        `Preprocessing.training_samples`.
        """
        if not isinstance(prepared, RaggedImages):
            raise DataError("got images of one size on canvases, but windows are cut from images")
        windows = SlidingWindows(prepared, self.window, self.window // STRIDES_PER_WINDOW)
        return windows, windows.rows_of

    def to_working_scale(self, image: np.ndarray) -> np.ndarray:
        """Shrink one image `[H, W, C]` to the working scale, in the type of original images.

        An image is shrunk until its shorter side has at most 256 and its longer side at most 1024
        pixels; smaller images keep their size.

        Raises
        ------
        DataError
            The image is color and the model is gray, or the type of the image has a larger range
            than the type of the model.
        """
        if image.ndim != 3 or not image.size:
            raise DataError(f"an image must be [H, W, C], but is {list(image.shape)}")
        return resize(self.convert(image), *_scaled_shape(*image.shape[:2]))

    def prepare_sample(self, image: np.ndarray) -> np.ndarray:
        """Prepare one image `[H, W, C]` at its working scale: relative brightness, uint8.

        A side shorter than a window is padded to the window by repeating edge pixels.

        Raises
        ------
        DataError
            As for `to_working_scale`.
        """
        pixels = self._relative_brightness(self.to_working_scale(image))
        rows, columns = (max(0, self.window - side) for side in pixels.shape[:2])
        return np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="edge")

    def _relative_brightness(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels `[H, W, C]` relative to their surroundings, uint8: 128 if equal.

        The surroundings are a Gaussian average over 16 pixels of all channels.
        """
        from scipy.ndimage import gaussian_filter  # loading a bundle does not need SciPy

        values = (pixels.astype(np.float64) - self.low) / (self.high - self.low)
        surroundings = gaussian_filter(
            values.mean(axis=-1, keepdims=True), (SURROUNDINGS_SIGMA,) * 2 + (0,)
        )
        ratio = np.log(
            (np.maximum(values, 0) + BRIGHTNESS_OFFSET)
            / (np.maximum(surroundings, 0) + BRIGHTNESS_OFFSET)
        )
        contrast: np.ndarray = np.rint(127.5 + np.clip(CONTRAST * ratio, -1, 1) * 127.5)
        return contrast.astype(np.uint8)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Prepare one image `[H, W, C]` in the upper left corner of a canvas `[S, S, C]`.

        Raises
        ------
        DataError
            The prepared image is larger than the canvas, or as for `to_working_scale`.
        """
        prepared = self.prepare_sample(image)
        height, width = prepared.shape[:2]
        if max(height, width) > self.size:
            raise DataError(
                f"the image takes {height}x{width} pixels, but the largest image had a side of "
                f"{self.size} pixels; a file must not change while it is read"
            )
        padding = ((0, self.size - height), (0, self.size - width), (0, 0))
        return np.pad(prepared, padding, mode="edge")

    def prepare_all(self, samples: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Prepare N images on canvases `[N, S, S, C]`, see `prepare`."""
        shape = (len(samples), self.size, self.size, self.channels)
        prepared = np.empty(shape, self.prepared_dtype)
        for row, image in enumerate(samples):
            prepared[row] = self.prepare(image)
        return prepared

    def prepare_samples(self, samples: Any) -> RaggedImages:
        """Prepare N images at their working scale, see `Preprocessing.prepare_samples`."""
        self.check_samples(samples)
        return self.stack([self.prepare_sample(image) for image in samples])

    def stack(self, images: Sequence[np.ndarray]) -> RaggedImages:
        """Collect results of `prepare_sample` as `RaggedImages`."""
        return RaggedImages(images)

    @overload
    def normalize(self, prepared: np.ndarray) -> np.ndarray: ...
    @overload
    def normalize(self, prepared: RaggedImages) -> RaggedImages: ...
    def normalize(self, prepared: np.ndarray | RaggedImages) -> np.ndarray | RaggedImages:
        """Scale prepared values, 0 to 255, to the float32 range -1..1 of the networks.

        An array gives an array, and `RaggedImages` give `RaggedImages`.
        """
        if isinstance(prepared, RaggedImages):
            return RaggedImages([self.normalize(image) for image in prepared])
        return prepared.astype(np.float32) / np.float32(127.5) - 1

    def denormalize(self, x: np.ndarray) -> np.ndarray:
        """Scale values of the networks, -1 to 1, back to prepared uint8 values, with clipping."""
        values: np.ndarray = np.rint((np.clip(x, -1, 1) + 1) * 127.5)
        return values.astype(np.uint8)

    def to_uint8(self, prepared: np.ndarray) -> np.ndarray:
        """Return prepared values for display; they are uint8 already."""
        return prepared

    def to_original_size(self, prepared: np.ndarray) -> np.ndarray:
        """Return windows unchanged, which have no original size."""
        return prepared

    def resize_map(self, raw: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Enlarge a map `[h, w, 1]` from the working scale to an image of `shape` (H, W, ...)."""
        height, width = _scaled_shape(shape[0], shape[1])
        return resize(raw[:height, :width], shape[0], shape[1])[..., 0]

    def whole_samples(self, dataset: Dataset) -> ImagePreprocessing:
        """Return a preprocessing that shrinks the images of a dataset to the size of a window."""
        return ImagePreprocessing.fit(dataset, self.window)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TiledPreprocessing":
        """Rebuild the preprocessing of a bundle from the values that `to_dict` returned.

        Raises
        ------
        DataError
            A field is missing, unknown, or of the wrong type or value.
        """
        base_values = {key: value for key, value in values.items() if key != "window"}
        window, size = values.get("window"), values.get("size")
        if isinstance(window, bool) or not isinstance(window, int) or window < 8:
            raise DataError(f"window must be an integer from 8, but is {window!r}")
        base = ImagePreprocessing.from_dict({**base_values, "modality": "images", "size": window})
        if isinstance(size, bool) or not isinstance(size, int) or size < window:
            raise DataError(f"size must be an integer from {window}, but is {size!r}")
        return cls(**{**asdict(base), "size": size}, window=window)

    def _check(self) -> None:
        """Raise DataError if the canvas is smaller than a window."""
        if self.size < self.window:
            raise DataError(f"a canvas of {self.size} pixels holds no window of {self.window}")


def working_shape(height: int, width: int, window: int) -> tuple[int, int]:
    """Return the height and width of a prepared image, from which windows are cut.

    The image is shrunk to a shorter side of at most 256 and a longer side of at most 1024 pixels,
    then padded to at least one window.

    Parameters
    ----------
    height, width : int
        Size of the original image in pixels.
    window : int
        Side of a window in pixels.

    Examples
    --------
    >>> working_shape(250, 380, 64), working_shape(3000, 4000, 64), working_shape(20, 300, 64)
    ((250, 380), (256, 341), (64, 300))
    """
    height, width = _scaled_shape(height, width)
    return max(height, window), max(width, window)


def _scaled_shape(height: int, width: int) -> tuple[int, int]:
    """Return the height and width of an image at the working scale, without padding."""
    factor = min(1.0, MAX_SHORT_SIDE / min(height, width), MAX_LONG_SIDE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def needs_tiling(dataset: Dataset, window: int = DEFAULT_WINDOW) -> bool:
    """Whether shrinking the images of a dataset to one square would lose small details.

    True if the shorter side of the median image holds two windows or more.

    Parameters
    ----------
    dataset : Dataset
        The training images; only headers are read.
    window : int
        Side of a window in pixels; default: 64.
    """
    shorter = [min(header.height, header.width) for header in dataset.headers()]
    return bool(np.median(shorter) >= MIN_WINDOWS_PER_SIDE * window)
