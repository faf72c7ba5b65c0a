"""Files about the images of a detection: anomaly maps, overlays and thumbnails."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from augan.detect.inputs import ImageFolderSource
from augan.detect.predictor import Predictor
from augan.detect.visualization.anomaly_map import FILE_DESCRIPTION, MapScale
from augan.detect.visualization.overlay import render_overlay, thumbnail
from augan.detect.visualization.top_samples import ScoredSample
from augan.exceptions import DataError
from augan.io.atomic import atomic_write
from augan.io.hashing import sha256_bytes
from augan.io.images import png_bytes

THUMBNAIL_SIDE = 320  # pixels
MAX_NAME_BYTES = 200  # file systems allow 255, and suffixes are added to the images' names
RENDER_CHUNK_SIZE = 64  # flagged images that are in memory at once


class MapRenderer:
    """Renderer of map files and overlays for the images of one source.

    Parameters
    ----------
    predictor : Predictor
        A predictor of images. Without a calibration of its maps, no pixel is significant and no
        files are rendered.
    source : ImageFolderSource
        The images, read with the mask of the predictor.
    rate : float
        Share of normal images that may have a significant pixel.

    Attributes
    ----------
    scale : MapScale or None
        Conversion of maps to calibrated units; None without a calibration of maps.
    """

    def __init__(self, predictor: Predictor, source: ImageFolderSource, rate: float) -> None:
        self._predictor, self._source = predictor, source
        calibration = predictor.detector.map_calibration
        self.scale = None if calibration is None else MapScale(calibration, rate)

    def map_files(
        self, names: Sequence[str], maps: Sequence[np.ndarray]
    ) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the PNG map file of each image, in the size of the image.

        Pixels are 16-bit thousandths of calibrated units. Without a calibration of maps, nothing is
        yielded.

        Parameters
        ----------
        names : sequence of str
            Names of the images.
        maps : sequence of ndarray [H, W]
            Their anomaly maps, as of `Predictor.score_batch`; empty if no files are wanted.
        """
        if self.scale is None:
            return
        for name, values in zip(names, maps):
            units = self.scale.to_uint16(self.scale(values))
            yield name, png_bytes(units, {"augan": FILE_DESCRIPTION}, name)

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
        batch, ignore_mask = self._source.read(names), self._predictor.ignore_mask
        has_maps = self.scale is not None and batch.names
        maps: Sequence[np.ndarray | None] = [None] * len(batch.names)
        if has_maps:
            maps = self._predictor.score_batch(batch, maps=True).maps
        for name, values in zip(batch.names, maps):
            try:
                image = self._source.preprocessing.to_picture(self._source.load_image(name))
            except DataError:
                continue
            if self.scale is None or values is None or image.shape[:2] != values.shape:
                yield name, image, None
                continue
            mask = None if ignore_mask is None else ignore_mask.mask
            yield name, image, render_overlay(image, values, self.scale, mask)


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
