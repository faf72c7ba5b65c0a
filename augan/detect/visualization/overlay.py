"""Overlays: images with their significant pixels in color, on one color scale for all images.

The image becomes gray, so that color marks significant pixels only. The colors run from violet over
orange to pale yellow with increasing lightness, so they can be distinguished without telling red
from green. A double outline in black and white is visible on any background.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from augan.detect.detector import Detector
from augan.detect.inputs import ImageFolderSource, SampleBatch
from augan.detect.visualization.anomaly_map import (
    FILE_DESCRIPTION,
    MapScale,
    enlarge,
)
from augan.detect.visualization.top_samples import ScoredSample
from augan.exceptions import DataError
from augan.io.atomic import atomic_write
from augan.io.hashing import sha256_bytes
from augan.io.images import png_bytes

_MIN_SIDE = 256  # smaller images are enlarged to this, because outlines would hide them
COLORS = ((140, 41, 129), (222, 73, 104), (254, 159, 109), (252, 253, 191))
OPACITY = 0.55
THUMBNAIL_SIDE = 320  # pixels
MAX_NAME_BYTES = 200  # file systems allow 255, and suffixes are added to the images' names
RENDER_CHUNK_SIZE = 64  # flagged images that are in memory at once
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


class MapRenderer:
    """Renderer of map files and overlays for the images of one source.

    Parameters
    ----------
    detector : Detector
        A detector of images. Without a calibration of its maps, no pixel is significant and no
        files are rendered.
    source : ImageFolderSource
        The images; their ignored pixels are never significant.
    rate : float
        Share of normal images that may have a significant pixel.

    Attributes
    ----------
    scale : MapScale or None
        Conversion of maps to calibrated units; None without a calibration of maps.
    """

    def __init__(self, detector: Detector, source: ImageFolderSource, rate: float) -> None:
        self._detector, self._source = detector, source
        calibration = detector.map_calibration
        self.scale = None if calibration is None else MapScale(calibration, rate)

    def maps(self, batch: SampleBatch) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the PNG map file of each image of a batch, in the size of the image.

        Pixels are 16-bit thousandths of calibrated units. Without a calibration of maps, nothing is
        yielded.

        Parameters
        ----------
        batch : SampleBatch
            Prepared images of this renderer's source.
        """
        if self.scale is None:
            return
        maps = self._detector.maps(batch.samples)
        for name, shape, raw in zip(batch.names, batch.shapes, maps):
            units = self.scale(self._resized(raw, shape))
            yield name, png_bytes(self.scale.to_uint16(units), {"augan": FILE_DESCRIPTION}, name)

    def overlays(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Read the named images again, and yield the name and the PNG overlay of each image.

        Left out are images that have become unreadable or changed their size. Without a calibration
        of maps, nothing is yielded.
        """
        if self.scale is None:
            return
        for name, _, rendered in self._render(names):
            if rendered is not None:
                yield name, png_bytes(rendered, name=name)

    def add_thumbnails(self, samples: Sequence[ScoredSample]) -> list[ScoredSample]:
        """Return the same samples with thumbnails and overlays for the report.

        The images are read again; samples whose image has become unreadable stay unchanged.
        """
        pairs = {
            name: (
                thumbnail(image, THUMBNAIL_SIDE),
                None if rendered is None else thumbnail(rendered, THUMBNAIL_SIDE),
            )
            for name, image, rendered in self._render([sample.path for sample in samples])
        }
        return [
            replace(sample, thumbnail=pairs[sample.path][0], overlay=pairs[sample.path][1])
            if sample.path in pairs
            else sample
            for sample in samples
        ]

    def _render(self, names: Sequence[str]) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
        """Read images and yield the name, uint8 image and overlay of each.

        The overlay is None without a calibration of maps, or if the image changed its size
        meanwhile. Images that have become unreadable are left out.
        """
        batch, ignore_mask = self._source.read(names), self._source.ignore_mask
        maps = batch.samples
        if self.scale is not None and batch.names:
            maps = self._detector.maps(maps)
        for name, shape, raw in zip(batch.names, batch.shapes, maps):
            try:
                image = _to_uint8(self._source.load_image(name))
            except DataError:
                continue
            if self.scale is None or image.shape[:2] != shape:
                yield name, image, None
                continue
            mask = None if ignore_mask is None else ignore_mask.mask
            yield name, image, render_overlay(image, self._resized(raw, shape), self.scale, mask)

    def _resized(self, raw: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return the raw map of an image in the image's size, with 0 at ignored pixels."""
        values = self._source.preprocessing.resize_map(raw, shape)
        ignore_mask = self._source.ignore_mask
        return values if ignore_mask is None else ignore_mask.zero_out(values)


def render_overlay(
    image: np.ndarray, raw: np.ndarray, scale: MapScale, ignored: np.ndarray | None = None
) -> np.ndarray:
    """Return a gray version of an image with its significant pixels in color and outlined.

    Parameters
    ----------
    image : ndarray of uint8 [H, W, 1] or [H, W, 3]
    raw : ndarray [H, W]
        Anomaly map of the image, before calibration.
    scale : MapScale
        Conversion of the map to calibrated units.
    ignored : ndarray of bool [H, W] or None
        Ignored pixels; they are faded. None: no pixels.

    Returns
    -------
    ndarray of uint8 [k H, k W, 3]
        k is greater than 1 for small images only; see `enlargement_factor`.
    """
    factor = enlargement_factor(raw.shape)
    units = scale(enlarge(raw, factor))
    gray = image.astype(np.float32)
    gray = gray[..., 0] if gray.shape[-1] == 1 else gray @ _LUMINANCE
    if ignored is not None:
        gray = np.where(ignored, 0.3 * gray + 0.7 * 128, gray)
    rendered = np.repeat(_repeat(gray, factor)[..., None], 3, axis=2)
    significant = units > 0
    rendered[significant] += OPACITY * (colors(units[significant], scale) - rendered[significant])
    width = max(1, min(significant.shape) // 200)
    rendered[binary_dilation(significant, iterations=width) & ~significant] = 0
    inner = binary_erosion(significant, iterations=width, border_value=1)
    rendered[significant & ~inner] = 255
    return np.rint(rendered).astype(np.uint8)


def colors(units: np.ndarray, scale: MapScale) -> np.ndarray:
    """Return the overlay colors of calibrated units `[N]` as RGB values from 0 to 255, `[N, 3]`.

    The color scale runs from the threshold to twice the map maximum of all calibration images, the
    same for every image.
    """
    top = scale.max_calibration_unit + 1
    position = np.clip((units - scale.min_unit) / (top - scale.min_unit), 0, 1)
    stops = np.linspace(0, 1, len(COLORS))
    return np.stack([np.interp(position, stops, channel) for channel in zip(*COLORS)], axis=-1)


def enlargement_factor(shape: tuple[int, ...]) -> int:
    """Return the whole number by which a small image is enlarged, so that outlines do not hide it.

    Enlarged images have a longer side of at least 256 pixels; for larger images the factor is 1.
    `shape` is (H, W) or (H, W, C).
    """
    return max(1, -(-_MIN_SIDE // max(shape[:2])))


def thumbnail(image: np.ndarray, side: int) -> np.ndarray:
    """Return a small RGB version of an image for the report, uint8 `[h, w, 3]`.

    Parameters
    ----------
    image : ndarray of uint8 [H, W, 1] or [H, W, 3]
        Small images are enlarged first.
    side : int
        Maximum of the longer side in pixels.
    """
    enlarged = _repeat(image, enlargement_factor(image.shape))
    picture = Image.fromarray(np.broadcast_to(enlarged, (*enlarged.shape[:2], 3)).copy())
    picture.thumbnail((side, side), Image.Resampling.BOX)
    return np.asarray(picture)


def image_path(folder: Path, name: str) -> Path:
    """Return the path of a result file about an image: `folder/<name>.png`.

    The name keeps its suffix, so that the files of `a.png` and `a.jpg` differ. A name that is too
    long for a file system is cut and gets a digest of the full name.

    Parameters
    ----------
    folder : Path
        Folder of the result files.
    name : str
        Path of the image relative to the folder of images, with `/` as separator.

    Raises
    ------
    DataError
        If the name is absolute or contains `..`, which would lead out of the folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"the name {name} leads out of the folder {folder}; rename the file")
    last = os.fsencode(path.name)
    if len(last) > MAX_NAME_BYTES:
        digest = sha256_bytes(last)[:16]
        start = last[: MAX_NAME_BYTES - 20].decode("utf-8", "ignore")
        path = path.with_name(f"{start}-{digest}")
    return folder / path.parent / f"{path.name}.png"


def write_images(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write PNG files about images into a folder, at the paths that `image_path` returns.

    Parameters
    ----------
    folder : Path
        Folder of the files; subfolders are created as needed.
    files : iterable of (name, bytes)
        Name of the image and content of the file.
    """
    for name, content in files:
        path = image_path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, content)


def _repeat(image: np.ndarray, factor: int) -> np.ndarray:
    """Return an image `[H, W, ...]` enlarged to `factor` x `factor` equal pixels for each pixel."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _to_uint8(image: np.ndarray) -> np.ndarray:
    """Return a 16-bit image as an 8-bit image; other images unchanged."""
    return (image // 257).astype(np.uint8) if image.dtype == np.uint16 else image
