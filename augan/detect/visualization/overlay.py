"""An image with its hot places in colour: the colours are the same for all images.

The image becomes gray, so that colour means heat alone. The colours run from violet over orange to
pale yellow, each lighter than the one before, and so can be told apart without telling red from
green; a double outline, black and white, shows on any background.
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
from augan.detect.visualization.anomaly_map import MEANING, MapScale, enlarged, resize_map
from augan.detect.visualization.top_samples import ScoredSample
from augan.exceptions import DataError
from augan.io.atomic import atomic_write
from augan.io.hashing import sha256_bytes
from augan.io.images import png_bytes

SIDE = 256  # smaller images are enlarged to at least this, or an outline would hide them
COLOURS = ((140, 41, 129), (222, 73, 104), (254, 159, 109), (252, 253, 191))
OPACITY = 0.55
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


def overlay(
    picture: np.ndarray, raw: np.ndarray, heat: MapScale, ignored: np.ndarray | None = None
) -> np.ndarray:
    """Draw the hot places of one image over it.

    Parameters
    ----------
    picture : ndarray of uint8 [H, W, 1] or [H, W, 3]
    raw : ndarray [H, W]
        Its map, before calibration.
    heat : Heat
    ignored : ndarray of bool [H, W] or None
        Places that never count; they are faded.

    Returns
    -------
    ndarray of uint8 [k H, k W, 3]
        k is 1 but for small images.
    """
    times = enlargement(raw.shape)
    units = heat(enlarged(raw, times))
    gray = picture.astype(np.float32)
    gray = gray[..., 0] if gray.shape[-1] == 1 else gray @ _LUMINANCE
    if ignored is not None:
        gray = np.where(ignored, 0.3 * gray + 0.7 * 128, gray)
    drawn = np.repeat(_larger(gray, times)[..., None], 3, axis=2)
    hot = units > 0
    drawn[hot] += OPACITY * (colours(units[hot], heat) - drawn[hot])
    width = max(1, min(hot.shape) // 200)
    drawn[binary_dilation(hot, iterations=width) & ~hot] = 0
    drawn[hot & ~binary_erosion(hot, iterations=width, border_value=1)] = 255
    return np.rint(drawn).astype(np.uint8)


def colours(units: np.ndarray, heat: MapScale) -> np.ndarray:
    """Return the colours of calibrated units `[N]`, `[N, 3]` from 0 to 255.

    The scale runs from the line to twice the highest place of all calibration images.
    """
    top = heat.most_normal + 1
    share = np.clip((units - heat.least) / (top - heat.least), 0, 1)
    stops = np.linspace(0, 1, len(COLOURS))
    return np.stack([np.interp(share, stops, channel) for channel in zip(*COLOURS)], axis=-1)


def enlargement(shape: tuple[int, ...]) -> int:
    """Return how many times as long the sides of a small image become."""
    return max(1, -(-SIDE // max(shape[:2])))


def thumbnail(picture: np.ndarray, side: int) -> np.ndarray:
    """Return a picture for a page, uint8 `[H, W, 3]`, its longer side at most `side`."""
    grown = _larger(picture, enlargement(picture.shape))
    image = Image.fromarray(np.broadcast_to(grown, (*grown.shape[:2], 3)).copy())
    image.thumbnail((side, side), Image.Resampling.BOX)
    return np.asarray(image)


def _larger(picture: np.ndarray, times: int) -> np.ndarray:
    return picture.repeat(times, axis=0).repeat(times, axis=1)


PAGE_SIDE = 320  # pixels of a picture in a page
LONGEST = 200  # bytes of a file name: systems take 255, and ours are longer than the images'
PART = 64  # flagged images that are drawn together, their squares in memory at once


class MapRenderer:
    """Draws where the images of one source differ.

    Parameters
    ----------
    detector : Detector
        One of images; without a calibration of its maps, no place is hot and nothing is written.
    source : ImageSource
    rate : float
        Share of good images that may have a hot place.
    """

    def __init__(self, detector: Detector, source: ImageFolderSource, rate: float) -> None:
        self._detector, self._source = detector, source
        line = detector.map_calibration
        self.heat = None if line is None else MapScale(line, rate)

    def maps(self, samples: SampleBatch) -> Iterator[tuple[str, bytes]]:
        """Yield the file of each image's map, in calibrated units."""
        if self.heat is None:
            return
        maps = self._detector.maps(samples.stored)
        for name, shape, raw in zip(samples.names, samples.shapes, maps):
            units = self.heat(self._native(raw, shape))
            yield name, png_bytes(self.heat.stored(units), {"augan": MEANING}, name)

    def overlays(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the file of each image with its hot places in colour; the images are read again."""
        if self.heat is None:
            return
        for name, _, drawn in self._drawn(names):
            if drawn is not None:
                yield name, png_bytes(drawn, name=name)

    def shown(self, images: Sequence[ScoredSample]) -> list[ScoredSample]:
        """Return the same with their pictures, small enough for a page."""
        pairs = {
            name: (thumbnail(picture, PAGE_SIDE), drawn if drawn is None else _small(drawn))
            for name, picture, drawn in self._drawn([image.path for image in images])
        }
        return [
            replace(image, picture=pairs[image.path][0], overlay=pairs[image.path][1])
            if image.path in pairs
            else image
            for image in images
        ]

    def _drawn(self, names: Sequence[str]) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
        """Yield images and their overlays; one that can be read no longer is left out."""
        samples, ignored = self._source.read(names), self._source.ignored
        maps = samples.stored
        if self.heat is not None and samples.names:
            maps = self._detector.maps(maps)
        for name, shape, raw in zip(samples.names, samples.shapes, maps):
            try:
                picture = _for_a_screen(self._source.picture(name))
            except DataError:
                continue
            if self.heat is None or picture.shape[:2] != shape:
                yield name, picture, None
                continue
            mask = None if ignored is None else ignored.mask
            yield name, picture, overlay(picture, self._native(raw, shape), self.heat, mask)

    def _native(self, raw: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        one, ignored = resize_map(raw, self._source.preprocessing, shape), self._source.ignored
        return one if ignored is None else ignored.blank(one)


def place(folder: Path, name: str) -> Path:
    """Return where a picture about the image `name` goes: `folder/<name>.png`.

    `name` keeps its suffix, so that `a.png` and `a.jpg` do not meet. One that is too long for a
    file system is cut, and carries a digest of the whole.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"the name {name} leads out of the folder {folder}; rename the file")
    last = os.fsencode(path.name)
    if len(last) > LONGEST:
        digest = sha256_bytes(last)[:16]
        path = path.with_name(f"{last[: LONGEST - 20].decode('utf-8', 'ignore')}-{digest}")
    return folder / path.parent / f"{path.name}.png"


def keep(folder: Path, pictures: Iterable[tuple[str, bytes]]) -> None:
    """Write files about images into a folder, as `place` says."""
    for name, content in pictures:
        path = place(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, content)


def _for_a_screen(picture: np.ndarray) -> np.ndarray:
    return (picture // 257).astype(np.uint8) if picture.dtype == np.uint16 else picture


def _small(drawn: np.ndarray) -> np.ndarray:
    return thumbnail(drawn, PAGE_SIDE)
