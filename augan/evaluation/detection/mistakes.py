"""Mistakes of a detector on labeled samples: missed anomalies and false alarms, with pictures."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from augan.detect.inputs import ImageFolderSource, InputSource
from augan.detect.predictor import Predictor
from augan.detect.visualization.renderer import RENDER_CHUNK_SIZE, MapRenderer, write_images
from augan.detect.visualization.top_samples import ScoredSample
from augan.evaluation.detection.metrics import DETECTOR, DetectionMetrics
from augan.io.layout import OVERLAYS_FOLDER

NUM_SHOWN = 12  # of each kind, in the page
MAX_OVERLAYS = 500  # files in full size, the worst mistakes first


@dataclass(frozen=True)
class Mistakes:
    """Samples that a detector decided wrongly, the worst first.

    Attributes
    ----------
    missed : tuple of str
        Names of the anomalies that were not flagged, the lowest score first.
    false_alarms : tuple of str
        Names of the normal samples that were flagged, the highest score first.
    shown : dict of str to ScoredSample
        The first of both kinds by name, with thumbnails and overlays for images.
    labels : dict of str to str
        Name of a mistake -> its label.
    """

    missed: tuple[str, ...] = ()
    false_alarms: tuple[str, ...] = ()
    shown: dict[str, ScoredSample] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def find_mistakes(metrics: DetectionMetrics, predictor: Predictor, source: InputSource) -> Mistakes:
    """Return the missed anomalies and the false alarms of a detector, with pictures of the worst.

    Parameters
    ----------
    metrics : DetectionMetrics
        Scores, labels and decisions of the samples.
    predictor : Predictor
        The detector, which computes the anomaly maps of the shown images.
    source : InputSource
        The samples; images are read again.
    """
    scores, names = metrics.scored.scores[DETECTOR], metrics.scored.names
    missed = np.flatnonzero(~metrics.is_normal & ~metrics.flags)
    alarms = np.flatnonzero(metrics.is_normal & metrics.flags)
    missed = missed[np.argsort(scores[missed], kind="stable")]
    alarms = alarms[np.argsort(-scores[alarms], kind="stable")]
    p_values = metrics.calibration.p_values(scores)
    rows = [*missed[:NUM_SHOWN], *alarms[:NUM_SHOWN]]
    samples = [
        ScoredSample(
            names[row],
            float(scores[row]),
            bool(metrics.flags[row]),
            np.empty(0),
            None,
            float(p_values[row]),
        )
        for row in rows
    ]
    if samples and isinstance(source, ImageFolderSource):
        samples = MapRenderer(predictor, source, metrics.rate).add_thumbnails(samples)
    wrong = [*missed, *alarms]
    return Mistakes(
        tuple(names[row] for row in missed),
        tuple(names[row] for row in alarms),
        {sample.path: sample for sample in samples},
        {names[row]: str(metrics.label_of[row]) for row in wrong},
    )


def write_overlays(
    mistakes: Mistakes, predictor: Predictor, source: InputSource, rate: float, folder: Path
) -> None:
    """Write the overlays of the mistakes in full size below `folder`, at most 500 files.

    Nothing is written for rows of a table, and without calibrated anomaly maps.
    """
    if not isinstance(source, ImageFolderSource):
        return
    renderer = MapRenderer(predictor, source, rate)
    half = MAX_OVERLAYS // 2
    names = [*mistakes.missed[:half], *mistakes.false_alarms[:half]]
    for start in range(0, len(names), RENDER_CHUNK_SIZE):
        files = renderer.overlays(names[start : start + RENDER_CHUNK_SIZE])
        write_images(folder / OVERLAYS_FOLDER, files)
