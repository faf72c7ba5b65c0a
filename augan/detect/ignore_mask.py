"""Ignore mask: pixels that never affect scores, such as a fixture, a date stamp or a scale bar.

Before an image is scored, each masked pixel is replaced by its nearest pixel outside the mask, with
the same mask for all images. The score is then a function of the other pixels, so nothing under the
mask can raise it. The guarantee holds if the calibration images were filled in the same way: a
bundle stores the mask of its calibration and applies it to all later images.

Filling with the image's own surroundings, rather than with one content for all images, creates no
edge around the mask and uses no other images, so images stay exchangeable.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from scipy.ndimage import distance_transform_edt

from augan.bundle import Bundle
from augan.data.sequences import RaggedImages
from augan.detect.detector import Detector
from augan.exceptions import DataError
from augan.io.images import read_mask

MASK_OF_ROWS = (
    "an ignore mask is for images, but this model is for rows of a table; leave out `ignore_mask`"
)


@dataclass(frozen=True, eq=False)
class IgnoreMask:
    """Mask of pixels that never affect anomaly scores, the same for all images.

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
        """Read a mask from an image file in which pixels above 0 mark ignored pixels.

        Transparent pixels are not marked, see `augan.io.images.read_mask`.

        Raises
        ------
        DataError
            If the file cannot be read, or marks no pixel or every pixel.
        """
        try:
            return cls(read_mask(path))
        except DataError as error:
            raise DataError(f"`ignore_mask` {path}: {error}") from error

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self | None:
        """Return the mask with which the detector of a bundle was calibrated; None: no mask."""
        mask = None if bundle.detector is None else bundle.detector.ignore_mask
        return None if mask is None else cls(mask)

    def union(self, other: Self | None) -> "IgnoreMask":
        """Return a mask of the pixels that this mask or `other` ignores; None: this mask.

        Raises
        ------
        DataError
            If the masks have different sizes.
        """
        if other is None:
            return self
        self._check(other.mask.shape, "the mask that the model was calibrated with")
        return IgnoreMask(self.mask | other.mask)

    def contains(self, other: Self) -> bool:
        """Return whether this mask ignores all pixels of `other`; False if the sizes differ."""
        return self.mask.shape == other.mask.shape and not (other.mask & ~self.mask).any()

    def fill(self, image: np.ndarray) -> np.ndarray:
        """Return an image in which each ignored pixel has the value of the nearest other pixel.

        Parameters
        ----------
        image : ndarray [H, W, C]
            An image of any type; it is not changed.

        Raises
        ------
        DataError
            If the image and the mask have different sizes.
        """
        self._check(image.shape, "the image")
        filled = image.copy()
        filled[self.mask] = image[self._nearest]
        return filled

    @property
    def source_indices(self) -> np.ndarray:
        """Flat index of the pixel from which `fill` takes each pixel's value, int32 `[H * W]`.

        Pixels outside the mask have their own index.
        """
        indices = np.arange(self.mask.size, dtype=np.int32).reshape(self.mask.shape)
        return self.fill(indices[..., None]).ravel()

    def zero_out(self, values: np.ndarray) -> np.ndarray:
        """Return an anomaly map `[H, W]` with 0 (not significant) at the ignored pixels."""
        return np.where(self.mask, values.dtype.type(0), values)

    def calibration_scores(
        self, detector: Detector, samples: np.ndarray | RaggedImages
    ) -> np.ndarray:
        """Return scores and map maxima of filled images, ignoring the masked pixels of the maps.

        Parameters
        ----------
        detector : Detector
        samples : ndarray [N, S, S, C] or RaggedImages
            Prepared images, filled by `fill` before preparation.

        Returns
        -------
        ndarray of float64 [N, 2]
            Anomaly score and maximum of the anomaly map in the size of the mask, for
            `Detector.set_calibration`.

        Raises
        ------
        DataError
            If the detector scores rows of a table.
        """
        preprocessing, shape = detector.preprocessing, self.mask.shape
        of_images = preprocessing.require_images(MASK_OF_ROWS)
        components, maps = detector.score_and_maps(samples)
        resized = (of_images.resize_map(one, shape) for one in maps)
        maxima = [float(self.zero_out(one).max()) for one in resized]
        return np.column_stack([components.sum(axis=1), maxima])

    @cached_property
    def _nearest(self) -> tuple[np.ndarray, ...]:
        """Rows and columns of the nearest pixels outside the mask, one for each ignored pixel."""
        nearest = distance_transform_edt(self.mask, return_distances=False, return_indices=True)
        return tuple(axis[self.mask] for axis in nearest)

    def _check(self, shape: tuple[int, ...], what: str) -> None:
        """Raise DataError if the shape `[H, W, ...]` of `what` does not have the mask's size."""
        if shape[:2] != self.mask.shape:
            height, width = self.mask.shape
            raise DataError(
                f"the ignore mask has {width} x {height} pixels, {what} has {shape[1]} x "
                f"{shape[0]}; a mask must have the size of the images"
            )


def resolve_ignore_mask(
    bundle: Bundle, path: str | Path | None
) -> tuple[IgnoreMask | None, str | None]:
    """Combine the ignore mask of a bundle with a mask file of the user.

    Parameters
    ----------
    bundle : Bundle
    path : path or None
        Image file of the user's mask; None: only the mask of the bundle applies.

    Returns
    -------
    mask : IgnoreMask or None
        Union of both masks; None if there is none.
    void_reason : str or None
        Why the guarantee is void; None if the bundle was calibrated with the whole mask.

    Raises
    ------
    DataError
        If the file is no valid mask, or the masks have different sizes.
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
