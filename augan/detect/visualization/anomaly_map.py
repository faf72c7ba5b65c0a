"""Maps in calibrated units: which places of an image stand out, and how much.

Calibration keeps the highest place of each calibration image's map. A place is hot at the rate A
where its own p-value against those is at most A, that is where it is higher than the highest place
of all but a share A of good images. So at least 1 - A of good images have no hot place at all, on
average, by the same argument as for scores: an image has one iff its highest place has a p-value of
at most A. Of folds (`augan.detect.conformal.cross_conformal`) each place is judged by all, which
flags no
more images than their highest places would; so many have none as are not flagged by score, on
average.

The unit of a hot place is -log10 p: 2 is as high as the highest places of 1 % of good images. With
n calibration images it ends at log10(n + 1); beyond the highest of them, the excess relative to
that highest value is added, so that 1 more is twice as high. Elsewhere it is 0. Nothing is ever
stretched from the least to the most of one image: equal colours mean the same in all.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from augan.data.modalities.images import ImagePreprocessing, resize
from augan.data.modalities.tiles import TiledPreprocessing
from augan.data.sequences import RaggedImages
from augan.detect.conformal.calibration import Calibration

STEPS = 1000  # of a 16-bit file to one unit
MEANING = (
    "thousandths; 0: not above the line; else -log10 p against the highest places of the "
    "calibration images, beyond all of them plus the excess relative to the highest"
)


class MapScale:
    """From raw maps to calibrated ones.

    Parameters
    ----------
    calibration : Calibration
        Of the highest place of each calibration image's map.
    rate : float
        Share of good images that may have a hot place; raised to what n images support.
    """

    def __init__(self, calibration: Calibration, rate: float) -> None:
        self._calibration = calibration
        self.rate = max(rate, calibration.min_rate)
        self.line = calibration.threshold(self.rate)
        self.highest = float(calibration.scores[-1])

    @property
    def least(self) -> float:
        """The unit of a place just above the line."""
        return float(-np.log10(self.rate))

    @property
    def promised(self) -> float:
        """The share of good images with a hot place is at most this, on average: `rate`, or more.

        More is of folds.
        """
        return max(self.rate, self._calibration.guarantee(self.rate).expected)

    @property
    def most_normal(self) -> float:
        """The unit of a place as high as the highest of all calibration images: log10(n + 1)."""
        return float(np.log10(self._calibration.n + 1))

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """Return raw maps of any shape in calibrated units, float32; see above."""
        units, hot = np.zeros(raw.shape, np.float32), raw > self.line
        values = raw[hot].astype(np.float64)
        beyond = np.maximum(values - self.highest, 0) / (self.highest if self.highest > 0 else 1)
        units[hot] = beyond - np.log10(self._calibration.p_values(values))
        return units

    @staticmethod
    def stored(units: np.ndarray) -> np.ndarray:
        """Return calibrated units as a file keeps them, uint16 in thousandths."""
        return np.rint(np.minimum(units * STEPS, 65535)).astype(np.uint16)


def resize_map(raw: np.ndarray, geometry: ImagePreprocessing, shape: tuple[int, ...]) -> np.ndarray:
    """Return the raw map `[S, S, 1]` of an image in the image's size (H, W), `[H, W]`.

    Averaging and interpolating never raise the highest place, so the line stays valid.
    """
    own = replace(geometry, original_shape=(shape[0], shape[1]))
    one: Any = RaggedImages([raw]) if isinstance(own, TiledPreprocessing) else raw[None]
    some = own.to_original_size(one)
    # What is left to resize is the map of an image that was seen at a scale of its own.
    return resize(some[0], shape[0], shape[1])[..., 0]


def enlarged(raw: np.ndarray, times: int) -> np.ndarray:
    """Return a map `[H, W]` with its sides so many times as long."""
    return resize(raw[..., None], times * raw.shape[0], times * raw.shape[1])[..., 0]
