"""Ignore mask: pixels that never affect scores, such as a fixture, a date stamp or a scale bar.

Before an image is scored, each masked pixel is replaced by its nearest pixel outside the mask, with
the same mask for all images. The score is then a function of the other pixels, so nothing under the
mask can raise it. The guarantee holds if the calibration images were filled in the same way: a
bundle stores the mask of its calibration and applies it to all later images.

Filling with the image's own surroundings, rather than with one content for all images, creates no
edge around the mask and uses no other images, so images stay exchangeable.
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

IGNORE_MASK_TABLE = "ignore_mask"  # of the bundle


@dataclass(frozen=True, eq=False)
class IgnoreMask:
    """Mask of ignored pixels.

    Parameters
    ----------
    mask : ndarray of bool [H, W]
        True where a pixel is ignored, in the original size of the images.

    Raises
    ------
    DataError
        If the mask marks no pixel or every pixel.
    """

    mask: np.ndarray

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.all() or not self.mask.any():
            marked = "every" if self.mask.all() else "no"
            raise DataError(
                f"the ignore mask marks {marked} pixel, some but not all pixels were expected: "
                "white (above 0) is ignored, black counts"
            )

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a mask from an image file: pixels above 0 are ignored."""
        try:
            return cls(read_image(path).max(axis=2) > 0)
        except DataError as error:
            raise DataError(f"--ignore-mask {path}: {error}") from error

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self | None:
        """Return the mask with which a bundle was calibrated; None: no mask."""
        table: Mapping[str, np.ndarray] | None = bundle.tables.get(IGNORE_MASK_TABLE)
        if table is None:
            return None
        mask = np.asarray(table.get("mask", ()))
        if mask.ndim != 2 or mask.dtype != np.uint8:
            raise BundleError(
                f"the ignore mask of {bundle.path or 'this bundle'} is {mask.dtype} "
                f"{list(mask.shape)}, uint8 [H, W] was expected; calibrate the detector again"
            )
        return cls(mask > 0)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the table that `from_bundle` reads."""
        return {"mask": self.mask.astype(np.uint8)}

    def union(self, other: Self | None) -> "IgnoreMask":
        """Return the pixels that either mask ignores."""
        if other is None:
            return self
        self._check(other.mask.shape, "the mask that the model was calibrated with")
        return IgnoreMask(self.mask | other.mask)

    def contains(self, other: Self) -> bool:
        """Return whether this mask ignores all pixels that `other` ignores."""
        return self.mask.shape == other.mask.shape and not (other.mask & ~self.mask).any()

    def fill(self, image: np.ndarray) -> np.ndarray:
        """Return an image `[H, W, C]` with its ignored pixels filled.

        DataError if the image has another size.
        """
        self._check(image.shape, "the image")
        filled = image.copy()
        filled[self.mask] = image[self._nearest]
        return filled

    @property
    def source_indices(self) -> np.ndarray:
        """The flat index of the source of each pixel of a filled image, int32 `[H * W]`."""
        indices = np.arange(self.mask.size, dtype=np.int32).reshape(self.mask.shape)
        return self.fill(indices[..., None]).ravel()

    def zero_out(self, values: np.ndarray) -> np.ndarray:
        """Return a map `[H, W]` with 0, the minimum of all maps, at the ignored pixels."""
        return np.where(self.mask, values.dtype.type(0), values)

    def calibration_scores(
        self, detector: Detector, samples: np.ndarray | RaggedImages
    ) -> np.ndarray:
        """Return `Detector.calibration_scores` of filled images, without ignored pixels of maps."""
        preprocessing, shape = detector.preprocessing, self.mask.shape
        if not isinstance(preprocessing, ImagePreprocessing):
            raise DataError(
                "an ignore mask is for images, but this model is for rows of a table; leave out "
                "--ignore-mask"
            )
        maps = (resize_map(one, preprocessing, shape) for one in detector.maps(samples))
        maxima = [float(self.zero_out(one).max()) for one in maps]
        return np.column_stack([detector.score(samples), maxima])

    @cached_property
    def _nearest(self) -> tuple[np.ndarray, ...]:
        """Row and column of the nearest pixel outside the mask, for each pixel inside."""
        nearest = distance_transform_edt(self.mask, return_distances=False, return_indices=True)
        return tuple(axis[self.mask] for axis in nearest)

    def _check(self, shape: tuple[int, ...], what: str) -> None:
        if shape[:2] != self.mask.shape:
            height, width = self.mask.shape
            raise DataError(
                f"the ignore mask has {width} x {height} pixels, {what} has {shape[1]} x "
                f"{shape[0]}; a mask must have the size of the images"
            )


def resolve_ignore_mask(
    bundle: Bundle, path: str | Path | None
) -> tuple[IgnoreMask | None, str | None]:
    """Return the union of the bundle's mask and a mask file, and why the guarantee is void.

    The reason is None if the bundle was calibrated with all of the mask.
    """
    calibrated = IgnoreMask.from_bundle(bundle)
    if path is None:
        return calibrated, None
    requested = IgnoreMask.read(path)
    if calibrated is not None and calibrated.contains(requested):
        return calibrated, None
    return requested.union(calibrated), (
        "no guarantee: calibrated without this mask; run augan calibrate RUN NORMALS "
        f"--ignore-mask {path}"
    )
