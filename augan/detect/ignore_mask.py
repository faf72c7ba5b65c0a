"""Places that never count: a fixture, a date stamp, a scale bar.

Before anything is scored, each masked pixel becomes its nearest pixel outside the mask, in every
image alike. A score is then a function of the other pixels alone, so nothing under the mask can
raise it. The promise holds where the calibration images were filled in the same way: the bundle
keeps the mask that it was calibrated with, and applies it from then on.

Filling with the image's own surroundings, rather than with one content for all, draws no edge
around the mask and takes nothing from other images, so images stay as exchangeable as they were.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from scipy.ndimage import distance_transform_edt

from augan.bundle import Bundle
from augan.data.modalities.images import ImagePreprocessing
from augan.data.sequences import RaggedImages
from augan.detect.detector import Detector
from augan.detect.visualization.anomaly_map import resize_map
from augan.exceptions import BundleError, DataError
from augan.io.images import read_image

TABLE = "ignore"  # of the bundle


@dataclass(frozen=True, eq=False)
class IgnoreMask:
    """The pixels of an image that never count.

    Parameters
    ----------
    mask : ndarray of bool [H, W]
        True where ignored, in the size of the images as they come.

    Raises
    ------
    DataError
        If nothing is ignored, or everything.
    """

    mask: np.ndarray

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.all() or not self.mask.any():
            what = "every" if self.mask.all() else "no"
            raise DataError(
                f"the ignore mask marks {what} pixel, and some but not all were expected: white "
                "(above 0) is ignored, black counts"
            )

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a mask from an image file: any value above 0 is ignored."""
        try:
            return cls(read_image(path).max(axis=2) > 0)
        except DataError as error:
            raise DataError(f"--ignore-mask {path}: {error}") from error

    @classmethod
    def of(cls, bundle: Bundle) -> Self | None:
        """Return what a bundle was calibrated to ignore; None: nothing."""
        table: Mapping[str, np.ndarray] | None = bundle.tables.get(TABLE)
        if table is None:
            return None
        mask = np.asarray(table.get("mask", ()))
        if mask.ndim != 2 or mask.dtype != np.uint8:
            raise BundleError(
                f"the ignore mask of {bundle.path or 'this bundle'} is {mask.dtype} "
                f"{list(mask.shape)}, uint8 [H, W] was expected: calibrate the detector again"
            )
        return cls(mask > 0)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the table that `of` reads."""
        return {"mask": self.mask.astype(np.uint8)}

    def with_more(self, other: Self | None) -> "IgnoreMask":
        """Return what either ignores."""
        if other is None:
            return self
        self._check(other.mask.shape, "the mask that the model was calibrated with")
        return IgnoreMask(self.mask | other.mask)

    def covers(self, other: Self) -> bool:
        """Return whether all that `other` ignores is ignored here too."""
        return self.mask.shape == other.mask.shape and not (other.mask & ~self.mask).any()

    def fill(self, image: np.ndarray) -> np.ndarray:
        """Return an image `[H, W, C]` without its ignored pixels; DataError if of another size."""
        self._check(image.shape, "the image")
        filled = image.copy()
        filled[self.mask] = image[self._nearest]
        return filled

    @property
    def sources(self) -> np.ndarray:
        """Where each pixel of a filled image comes from, int32 `[H * W]`, in rows."""
        places = np.arange(self.mask.size, dtype=np.int32).reshape(self.mask.shape)
        return self.fill(places[..., None]).ravel()

    def blank(self, one: np.ndarray) -> np.ndarray:
        """Return a map `[H, W]` with 0, the least there is, in the ignored places."""
        return np.where(self.mask, one.dtype.type(0), one)

    def measure(self, detector: Detector, squares: np.ndarray | RaggedImages) -> np.ndarray:
        """Do what `Detector.measure` does, of filled images: ignored places are never highest."""
        geometry, shape = detector.preprocessing, self.mask.shape
        if not isinstance(geometry, ImagePreprocessing):
            raise DataError("a mask of ignored pixels is about images, but this model is of rows")
        maps = (resize_map(one, geometry, shape) for one in detector.maps(squares))
        highest = [float(self.blank(one).max()) for one in maps]
        return np.column_stack([detector.score(squares), highest])

    @cached_property
    def _nearest(self) -> tuple[np.ndarray, ...]:
        """Row and column of the nearest pixel that counts, for each that does not."""
        places = distance_transform_edt(self.mask, return_distances=False, return_indices=True)
        return tuple(axis[self.mask] for axis in places)

    def _check(self, shape: tuple[int, ...], what: str) -> None:
        if shape[:2] != self.mask.shape:
            height, width = self.mask.shape
            raise DataError(
                f"the ignore mask has {width} x {height} pixels, {what} has {shape[1]} x "
                f"{shape[0]}; a mask must be as large as the images"
            )


def resolve_ignore_mask(
    bundle: Bundle, path: str | Path | None
) -> tuple[IgnoreMask | None, str | None]:
    """Return what to ignore, of the bundle and of a mask file, and why nothing is promised.

    That is None if the bundle was calibrated with all of it.
    """
    calibrated = IgnoreMask.of(bundle)
    if path is None:
        return calibrated, None
    asked = IgnoreMask.read(path)
    if calibrated is not None and calibrated.covers(asked):
        return calibrated, None
    return asked.with_more(calibrated), (
        "no guarantee: calibrated without this mask; run augan calibrate RUN NORMALS --ignore-mask "
        f"{path}"
    )
