"""Detection limit: the smallest synthetic defect that the detector flags.

Round spots of increasing size are painted on normal images, one spot at a random position of each
image. The detection rate at the calibrated threshold is measured for each size and contrast. A
painted spot is not a real defect, but its size and contrast are known: a detector that misses a
spot also misses real defects of that size and contrast. Images that are flagged without a spot
count too, so the rate at size 0 is the false-alarm rate on these images.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from augan.data.splits import evenly_spaced
from augan.detect.inputs import ImageFolderSource
from augan.detect.predictor import Predictor
from augan.evaluation.detection.metrics import estimate_rate
from augan.exceptions import DataError
from augan.seeding import child_rng

SPOT_SIZES = (0, 1, 2, 4, 8, 16, 32, 64)  # diameters in pixels of the original images
CONTRASTS = (0.25, 0.5, 1.0)  # fraction of the value range, towards its farther end
DETECTION_TARGET = 0.9  # detection rate at the detection limit
_MAX_IMAGES = 100  # normal images that spots are painted on, evenly spaced


def min_detectable_defect(
    predictor: Predictor, source: ImageFolderSource, names: Sequence[str], rate: float, seed: int
) -> dict[str, Any]:
    """Measure how often painted spots of each size and contrast are flagged by a detector.

    Parameters
    ----------
    predictor : Predictor
        A calibrated predictor.
    source : ImageFolderSource
        Folder of the images.
    names : sequence of str
        Names of normal images in `source`; at most 100 of these images are used.
    rate : float
        False-alarm rate of the threshold.
    seed : int
        Seed of the positions of the spots.

    Returns
    -------
    dict
        `num_images` and `rate`. `rows`: for each `size` (diameter in pixels of the original image;
        0: no spot) and `contrast` (fraction of the value range) the estimated detection rate, see
        `RateEstimate`. `smallest`: for each contrast, as text, the smallest size with a detection
        rate of at least 90 %, or None.

    Raises
    ------
    DataError
        There is no normal image.
    """
    if not names:
        raise DataError("the detection limit needs normal images, but there are none")
    indices = evenly_spaced(np.arange(len(names)), _MAX_IMAGES)
    images = [source.load_image(names[index]) for index in indices.tolist()]
    preprocessing = predictor.detector.preprocessing.require_images()
    # Of 16 bits, cameras use a part only. Other files have the type and range of the model.
    is_deep = preprocessing.dtype == "uint16" and all(image.dtype == np.uint16 for image in images)
    limits = (preprocessing.low, preprocessing.high) if is_deep else None
    calibration, rows = predictor.calibration, []
    for contrast in CONTRASTS:
        for size in SPOT_SIZES:
            rng = child_rng(seed, "power")  # the same positions for all sizes
            painted = [paint_spot(image, size, contrast, rng, limits) for image in images]
            scores = predictor.score(painted)
            detected = estimate_rate(calibration.flags(scores, rate))
            rows.append({"size": size, "contrast": contrast, **detected.to_dict()})
    smallest = {
        f"{contrast:g}": next(
            (
                row["size"]
                for row in rows
                if row["contrast"] == contrast and row["size"] and row["rate"] >= DETECTION_TARGET
            ),
            None,
        )
        for contrast in CONTRASTS
    }
    return {"num_images": len(images), "rate": rate, "rows": rows, "smallest": smallest}


def paint_spot(
    image: np.ndarray,
    size: int,
    contrast: float,
    rng: np.random.Generator,
    limits: tuple[float, float] | None = None,
) -> np.ndarray:
    """Return a copy of an image with a round spot at a random position.

    Parameters
    ----------
    image : ndarray [H, W, C]
    size : int
        Diameter of the spot in pixels; 0: no spot.
    contrast : float
        Change of the pixels in the spot, as a fraction of the value range, towards the farther end
        of the range.
    rng : numpy Generator
        Random generator of the position. The position does not depend on the size.
    limits : tuple (low, high) or None
        The value range. None: the limits of an integer type, or the minimum and the maximum of a
        floating-point image.
    """
    height, width = image.shape[:2]
    y, x = rng.uniform(0.1, 0.9, 2) * (height, width)
    if not size:
        return image.copy()
    rows, columns = np.ogrid[:height, :width]
    distance = np.hypot(rows + 0.5 - y, columns + 0.5 - x)
    coverage = np.clip(size / 2 + 0.5 - distance, 0, 1)[..., None]  # with an edge of one pixel
    is_integer = np.issubdtype(image.dtype, np.integer)
    if limits is None:
        limits = (0, np.iinfo(image.dtype).max) if is_integer else (image.min(), image.max())
    low, high = limits
    values = image.astype(np.float64)
    inside = np.broadcast_to(coverage > 0, values.shape)
    sign = 1 if values.mean(where=inside) < (low + high) / 2 else -1
    change = coverage * contrast * sign * (high - low)
    painted = np.clip(values + change, np.minimum(low, values), np.maximum(high, values))
    return (np.rint(painted) if is_integer else painted).astype(image.dtype)
