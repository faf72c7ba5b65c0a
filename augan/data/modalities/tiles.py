"""Large images, seen at their own scale through square windows instead of shrunk to one square.

What is small in a large image, such as a scratch, is gone once the image is shrunk to the square of
a network. So an image keeps its scale, unless even its shorter side is very long, and the network
sees windows of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, overload

import numpy as np
from scipy.ndimage import gaussian_filter

from augan.data.dataset import Dataset, Modality
from augan.data.modalities.images import ImagePreprocessing, resize
from augan.data.sequences import RaggedImages, SlidingWindows
from augan.exceptions import DataError

WINDOW = 64  # side of the window, unless told
LEAST_SIDES = 2  # windows that the shorter side must hold for windows to be worth it
SHORTEST, LONGEST = 256, 1024  # of the shorter and the longer side, in pixels; larger ones shrink
TRAIN_STEP = 4  # windows lie that part of their side apart
SURROUNDINGS = 16.0  # pixels, of the Gaussian that says how bright the surroundings are
DARK = 0.03  # share of the range that is added to both, so that noise in the dark stays small
CONTRAST = 1.5  # of the logarithm that fills the range


@dataclass(frozen=True)
class TiledPreprocessing(ImagePreprocessing):
    """What was learned from large training images.

    `size` is here the side of a canvas that holds every training image at its working scale;
    windows are cut from it. Images are stored in 8 bits, as brightness beside that of the
    surroundings, so that light which falls off or differs from image to image is no anomaly;
    `dtype`, `low` and `high` are those of the images as they came.

    Attributes
    ----------
    window
        Side of the square that the networks see, in pixels.
    """

    window: int = WINDOW

    modality: ClassVar[Modality] = "tiles"

    @classmethod
    def fit(cls, dataset: Dataset, size: int | None = None) -> "TiledPreprocessing":
        """Learn from a dataset, reading only the headers of image files.

        Parameters
        ----------
        dataset
            The training images.
        size
            Side of the window; None: 64.

        Raises
        ------
        DataError
            As for `ImagePreprocessing.fit`.
        """
        window = size or WINDOW
        known = ImagePreprocessing.fit(dataset, window)
        shapes = [working_shape(h.height, h.width, window) for h in dataset.headers()]
        canvas = max(max(shape) for shape in shapes)
        return cls(**{**asdict(known), "size": canvas}, window=window)

    @property
    def prepared_dtype(self) -> str:
        """The type of stored pictures, whatever the images' own."""
        return "uint8"

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """The shape of one window."""
        return self.window, self.window, self.channels

    def describe(self) -> str:
        """Say in a few words what the network sees."""
        colour = "gray" if self.channels == 1 else "colour"
        return f"windows of {self.window}x{self.window} {colour} at the images' own scale"

    def pictures(self, dataset: Dataset, canvas: np.ndarray) -> RaggedImages:
        """Return a dataset's images, decoded into `canvas` `[N, S, S, C]`, each in its size."""
        shapes = [working_shape(h.height, h.width, self.window) for h in dataset.headers()]
        return RaggedImages.from_padded(canvas, np.array(shapes))

    def training_windows(self, pictures: RaggedImages) -> SlidingWindows:
        """Return the windows that networks train on."""
        return SlidingWindows(pictures, self.window, self.window // TRAIN_STEP)

    def to_working_scale(self, image: np.ndarray) -> np.ndarray:
        """Return one image `[H, W, C]` at the working scale, in the model's own type and light.

        Raises
        ------
        DataError
            The image is colour and the model is gray, or its type holds more than the model's.
        """
        if image.ndim != 3 or not image.size:
            raise DataError(f"an image must be [H, W, C], but is {list(image.shape)}")
        return resize(self._as_stored(image), *_scaled(*image.shape[:2]))

    def prepare_ragged(self, image: np.ndarray) -> np.ndarray:
        """Return one image `[H, W, C]` at the working scale, in the stored type.

        Raises
        ------
        DataError
            As for `to_working_scale`.
        """
        pixels = self._flattened(self.to_working_scale(image))
        rows, columns = (max(0, self.window - side) for side in pixels.shape[:2])
        return np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="edge")

    def _flattened(self, pixels: np.ndarray) -> np.ndarray:
        """Return brightness beside that of the surroundings, uint8: 128 where they are equal."""
        values = (pixels.astype(np.float64) - self.low) / (self.high - self.low)
        around = gaussian_filter(values.mean(axis=-1, keepdims=True), (SURROUNDINGS,) * 2 + (0,))
        ratio = np.log((np.maximum(values, 0) + DARK) / (np.maximum(around, 0) + DARK))
        flat: np.ndarray = np.rint(127.5 + np.clip(CONTRAST * ratio, -1, 1) * 127.5)
        return flat.astype(np.uint8)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Return one image in the upper left corner of a canvas `[S, S, C]`."""
        picture = self.prepare_ragged(image)
        height, width = picture.shape[:2]
        if max(height, width) > self.size:
            raise DataError(
                f"the image takes {height}x{width} pixels, but the largest one that was counted on "
                f"{self.size}; a file must not change while it is read"
            )
        around = ((0, self.size - height), (0, self.size - width), (0, 0))
        return np.pad(picture, around, mode="edge")

    def prepare_all(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Return all images on canvases `[N, S, S, C]`."""
        return np.stack([self.prepare(image) for image in images])

    @overload
    def normalize(self, stored: np.ndarray) -> np.ndarray: ...
    @overload
    def normalize(self, stored: RaggedImages) -> RaggedImages: ...
    def normalize(self, stored: np.ndarray | RaggedImages) -> np.ndarray | RaggedImages:
        """Map stored values, 0 to 255, to float32 from -1 to 1."""
        if isinstance(stored, RaggedImages):
            return RaggedImages([self.normalize(picture) for picture in stored])
        return stored.astype(np.float32) / np.float32(127.5) - 1

    def denormalize(self, x: np.ndarray) -> np.ndarray:
        """Map -1..1 back to stored values."""
        values: np.ndarray = np.rint((np.clip(x, -1, 1) + 1) * 127.5)
        return values.astype(np.uint8)

    def to_uint8(self, stored: np.ndarray) -> np.ndarray:
        """Return stored values as uint8 for a screen: they are already."""
        return stored

    def to_original_size(self, stored: Any) -> Any:
        """Bring maps over images, which are `RaggedImages`, to the images' size.

        That is the size that all training images shared; where they differed, maps stay at their
        working scale. Windows are returned as they are.
        """
        if not isinstance(stored, RaggedImages) or self.original_shape is None:
            return stored
        height, width = _scaled(*self.original_shape)
        return RaggedImages(
            [resize(heat[:height, :width], *self.original_shape) for heat in stored]
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TiledPreprocessing":
        """Rebuild what `to_dict` returned."""
        plain = {key: value for key, value in values.items() if key != "window"}
        window = values.get("window")
        if isinstance(window, bool) or not isinstance(window, int) or window < 8:
            raise DataError(f"window must be an integer from 8, but is {window!r}")
        known = ImagePreprocessing.from_dict({**plain, "modality": "images", "size": window})
        size = plain["size"]
        if isinstance(size, bool) or not isinstance(size, int) or size < window:
            raise DataError(f"size must be an integer from {window}, but is {size!r}")
        return cls(**{**asdict(known), "size": size}, window=window)

    def _check(self) -> None:
        if self.size < self.window:
            raise DataError(f"a canvas of {self.size} pixels holds no window of {self.window}")


def working_shape(height: int, width: int, window: int) -> tuple[int, int]:
    """Return the height and width at which windows are cut from an image.

    Examples
    --------
    >>> working_shape(250, 380, 64), working_shape(3000, 4000, 64), working_shape(20, 300, 64)
    ((250, 380), (256, 341), (64, 300))
    """
    height, width = _scaled(height, width)
    return max(height, window), max(width, window)


def _scaled(height: int, width: int) -> tuple[int, int]:
    factor = min(1.0, SHORTEST / min(height, width), LONGEST / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def needs_tiling(dataset: Dataset, window: int = WINDOW) -> bool:
    """Whether shrinking the images of a dataset to one square would lose what is small in them."""
    shorter = [min(header.height, header.width) for header in dataset.headers()]
    return bool(np.median(shorter) >= LEAST_SIDES * window)
