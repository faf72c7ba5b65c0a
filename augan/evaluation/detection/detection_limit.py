"""The smallest defect that is caught: round spots of growing size, painted on good images.

A painted spot is no real defect, but its size and contrast are known: what is missed here will be
missed there. Each image gets one spot at a random place, and the share of images that are then
flagged, at the line that calibration drew, is counted. Images that were flagged before count too:
the row of size 0 is the rate of false alarms on these images.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from augan.data.splits import evenly_spaced
from augan.detect.detector import Detector
from augan.detect.inputs import ImageFolderSource
from augan.evaluation.detection.metrics import realised_rate
from augan.exceptions import DataError
from augan.seeding import child_rng

SIZES = (0, 1, 2, 4, 8, 16, 32, 64)  # pixels across, of the images as they come
CONTRASTS = (0.25, 0.5, 1.0)  # of the range of the images' type, towards the farther end
CAUGHT = 0.9  # share of images in which a defect counts as caught
MOST = 100  # images, evenly spaced


def min_detectable_defect(
    detector: Detector, source: ImageFolderSource, names: Sequence[str], rate: float, seed: int
) -> dict[str, Any]:
    """Return the share of images flagged for each size and contrast of a painted spot.

    Parameters
    ----------
    names : sequence of str
        Good images of `source`.
    rate : float
        The false-alarm rate of the line.

    Returns
    -------
    dict
        `num_images`; `rows` with `size` (pixels), `contrast`, and the estimate of the share; and
        `smallest`, for each contrast the smallest size that is caught in 90 % of the images, None
        if no size is.
    """
    if not names:
        raise DataError("there is no good image to paint defects on")
    some = [names[row] for row in evenly_spaced(np.arange(len(names)), MOST).tolist()]
    pictures = [source.picture(name) for name in some]
    line, rows = detector.require_calibration(), []
    for contrast in CONTRASTS:
        for size in SIZES:
            rng = child_rng(seed, "power")  # the same places for all sizes
            spoilt = [spot(picture, size, contrast, rng) for picture in pictures]
            stored = source.stored(spoilt)
            share = realised_rate(line.flags(detector.score(stored), rate))
            rows.append({"size": size, "contrast": contrast, **share.to_dict()})
    smallest = {
        f"{contrast:g}": next(
            (
                row["size"]
                for row in rows
                if row["contrast"] == contrast and row["size"] and row["rate"] >= CAUGHT
            ),
            None,
        )
        for contrast in CONTRASTS
    }
    return {"num_images": len(some), "rate": rate, "rows": rows, "smallest": smallest}


def spot(picture: np.ndarray, size: int, contrast: float, rng: np.random.Generator) -> np.ndarray:
    """Return a copy of an image `[H, W, C]` with a spot `size` pixels across at a random place.

    Each pixel inside goes that share of the range towards the end that is farther from it; the
    range of floating-point images is their own.
    """
    height, width = picture.shape[:2]
    y, x = rng.uniform(0.1, 0.9, 2) * (height, width)
    if not size:
        return picture.copy()
    down, across = np.ogrid[:height, :width]
    distance = np.hypot(down + 0.5 - y, across + 0.5 - x)
    cover = np.clip(size / 2 + 0.5 - distance, 0, 1)[..., None]  # its edge is one pixel soft
    whole = np.issubdtype(picture.dtype, np.integer)
    low, high = (0, np.iinfo(picture.dtype).max) if whole else (picture.min(), picture.max())
    values = picture.astype(np.float64)
    inside = np.broadcast_to(cover > 0, values.shape)
    towards = 1 if values.mean(where=inside) < (low + high) / 2 else -1
    spoilt = np.clip(values + cover * contrast * towards * (high - low), low, high)
    return (np.rint(spoilt) if whole else spoilt).astype(picture.dtype)
