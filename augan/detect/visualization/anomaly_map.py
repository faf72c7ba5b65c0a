"""Calibrated anomaly maps: significant pixels of an image and their units.

Calibration stores the maximum of each calibration image's map. A pixel is significant at the rate A
if its p-value against these maxima is at most A, that is, if it is higher than the map maximum of
all but a share A of normal images. On average, at least 1 - A of normal images then have no
significant pixel, by the same argument as for scores: an image has a significant pixel if and only
if its map maximum has a p-value of at most A. With folds
(`augan.detect.conformal.cross_conformal`) the detectors of all folds score each pixel; this flags
no more images than their map maxima would, so on average as many images have no significant pixel
as are not flagged by score.

The unit of a significant pixel is -log10 p: 2 is as high as the map maxima of 1 % of normal images.
With n calibration images, -log10 p ends at log10(n + 1). Beyond the highest calibration maximum,
the excess relative to that maximum is added: 1 more is twice as high. Other pixels are 0. Maps are
never stretched to the range of one image: equal colors mean the same in all images.
"""

import numpy as np

from augan.data.modalities.images import resize
from augan.detect.conformal.calibration import Calibration

UNIT_STEPS = 1000  # steps of a 16-bit file for one unit
FILE_DESCRIPTION = (
    "thousandths; 0: not above the threshold; else -log10 p against the map maxima of the "
    "calibration images, plus, beyond the highest maximum, the excess relative to that maximum"
)


class MapScale:
    """Conversion of raw anomaly maps to calibrated units, the same for all images.

    Parameters
    ----------
    calibration : Calibration
        Calibration of the maximum of each calibration image's map.
    rate : float
        Share of normal images that may have a significant pixel; raised to the smallest rate that n
        calibration images support.

    Attributes
    ----------
    rate : float
        The share, after it was raised.
    threshold : float
        Raw map value above which a pixel is significant.
    max_calibration_score : float
        Highest raw map value of all calibration images.
    """

    def __init__(self, calibration: Calibration, rate: float) -> None:
        self._calibration = calibration
        self.rate = max(rate, calibration.min_rate)
        self.threshold = calibration.threshold(self.rate)
        self.max_calibration_score = float(calibration.scores[-1])

    @property
    def min_unit(self) -> float:
        """Unit of a pixel just above the threshold, -log10 of `rate`."""
        return float(-np.log10(self.rate))

    @property
    def guaranteed_rate(self) -> float:
        """Upper bound of the average share of normal images with a significant pixel.

        The bound is `rate`, or more with folds.
        """
        return max(self.rate, self._calibration.guarantee(self.rate).expected)

    @property
    def max_calibration_unit(self) -> float:
        """Unit of a pixel as high as the maximum of all calibration images: log10(n + 1)."""
        return float(np.log10(self._calibration.n + 1))

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """Convert raw maps of any shape to calibrated units, float32; 0 means not significant.

        The module docstring defines the units.
        """
        units, significant = np.zeros(raw.shape, np.float32), raw > self.threshold
        values, maximum = raw[significant].astype(np.float64), self.max_calibration_score
        excess = np.maximum(values - maximum, 0) / (maximum if maximum > 0 else 1)
        units[significant] = excess - np.log10(self._calibration.p_values(values))
        return units

    @staticmethod
    def to_uint16(units: np.ndarray) -> np.ndarray:
        """Convert calibrated units to pixels of map files: thousandths, uint16, at most 65535."""
        return np.rint(np.minimum(units * UNIT_STEPS, 65535)).astype(np.uint16)


def enlarge(raw: np.ndarray, factor: int) -> np.ndarray:
    """Return a map `[H, W]` enlarged by interpolation; `factor` multiplies both sides."""
    return resize(raw[..., None], factor * raw.shape[0], factor * raw.shape[1])[..., 0]
