"""Whether a graph says what augan says: both are asked about the same samples.

Sums of float32 come in another order in another program, so scores differ in their last digits,
and a decision may differ only where the score is that near to the line. Where a sample is nearly a
copy of a training sample, its distance to it is mostly rounding, and scores differ by more; they
are then far below the line. So a few may exceed `TOLERANCE`, but no decision may change beyond it.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from augan.detect.conformal.calibration import Calibration
from augan.exceptions import Refused

TOLERANCE = 0.01  # of scores: deviations of the calibration scores; of maps: of the highest place
EXCEPTIONS = 0.01  # share of samples whose scores may differ by more
REPORT = "please report this with the versions that augan doctor shows"
GRAY = 1 / 255  # of the range of pixels, that generated images may differ by


@dataclass(frozen=True)
class Parity:
    """How the answers of a graph differ from augan's own.

    Attributes
    ----------
    compared : str
        On which samples.
    num_samples : int
    largest_difference : float
        Of scores, or of pixels in stored units, absolute.
    relative_difference : float
        The same in deviations of the calibration scores, or as a share of the range of pixels.
    typical_difference : float
        The median of the absolute differences.
    """

    compared: str
    num_samples: int
    largest_difference: float
    relative_difference: float
    typical_difference: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class DetectorParity(Parity):
    """The same of a detector.

    Attributes
    ----------
    rate, threshold : float
        Of the decisions that were compared.
    num_near : int
        Samples whose score is no further from the threshold than the largest difference.
    num_disagreeing : int
        Samples on which the decisions differ; all of them are near.
    map_difference : float or None
        The largest between maps, None where the graph has none.
    """

    rate: float
    threshold: float
    num_near: int
    num_disagreeing: int
    map_difference: float | None = None


def compare_scores(
    own: np.ndarray, other: np.ndarray, calibration: Calibration, rate: float, compared: str
) -> DetectorParity:
    """Compare anomaly scores `[N]` of augan with those of a graph.

    Raises
    ------
    Refused
        They differ by more than rounding explains.
    """
    differences = np.abs(own - other)
    spread = float(calibration.scores.std()) or 1.0
    largest, threshold = float(differences.max()), calibration.threshold(rate)
    usual = differences <= TOLERANCE * spread
    if calibration.fold_sizes and np.isfinite(largest):
        # Of folds, a tie by rounding moves a score by one rank, however far that is.
        ranks = [np.rint(calibration.p_values(x) * (calibration.n + 1)) for x in (own, other)]
        usual |= np.abs(ranks[0] - ranks[1]) == 1
    if not np.isfinite(largest) or np.mean(~usual) > EXCEPTIONS:
        raise Refused(
            f"the scores of the graph are not augan's own: on {compared} they differ by up to "
            f"{largest:.3g}, where {TOLERANCE * spread:.3g} is allowed; nothing is written, and "
            f"augan detect scores as before; {REPORT}"
        )
    disagrees = (own > threshold) != (other > threshold)
    margin = np.abs(own - threshold)
    clear = (margin > min(largest, TOLERANCE * spread)) & ~usual
    if (disagrees & clear).any():
        raise Refused(
            f"{int((disagrees & clear).sum())} of {own.size} decisions of the graph are not "
            f"augan's own, although the scores are clearly on one side of the line; nothing is "
            f"written; {REPORT}"
        )
    return DetectorParity(
        compared,
        own.size,
        largest,
        largest / spread,
        float(np.median(differences)),
        rate,
        threshold,
        int((margin <= largest).sum()),
        int(disagrees.sum()),
    )


def compare_maps(own: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference between maps of the same shape; Refused if it is too large."""
    largest, highest = float(np.abs(own - other).max()), float(np.abs(own).max())
    if not largest <= TOLERANCE * highest:
        raise Refused(
            f"the maps of the graph are not augan's own: they differ by up to {largest:.3g}, where "
            f"the highest place has {highest:.3g}; nothing is written; {REPORT}"
        )
    return largest


def compare_images(own: np.ndarray, other: np.ndarray, span: float, compared: str) -> Parity:
    """Compare stored images `[N, ...]` of augan with those of a graph; `span` is their range."""
    differences = np.abs(own.astype(np.float64) - other)
    largest = float(differences.max())
    if not largest <= GRAY * span:
        raise Refused(
            f"the images of the graph are not augan's own: pixels differ by up to {largest:.3g} of "
            f"{span:g}; nothing is written; {REPORT}"
        )
    return Parity(compared, len(own), largest, largest / span, float(np.median(differences)))
