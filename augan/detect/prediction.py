"""Prediction: the result of a `Predictor`, as arrays, as a table, and in a notebook."""

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from augan.data.dataset import plural
from augan.data.modalities.images import ImagePreprocessing
from augan.data.user_images import UserImage
from augan.detect.conformal.fdr import DiscoveryGuarantee
from augan.detect.conformal.guarantee import Guarantee
from augan.detect.visualization.anomaly_map import MapScale
from augan.detect.visualization.overlay import render_overlay, thumbnail
from augan.exceptions import DataError
from augan.io.images import data_uri

if TYPE_CHECKING:
    import pandas as pd

MAX_SHOWN = 8  # samples in a notebook and in the text
_THUMBNAIL_SIDE = 256  # pixels
_STYLE = {
    "card": "border:1px solid #8888;border-top:4px solid {color};border-radius:4px;"
    "padding:8px;max-width:30em",
    "cards": "display:flex;flex-wrap:wrap;gap:12px;margin:8px 0",
    "picture": "width:128px;height:128px;object-fit:contain;image-rendering:pixelated",
    "name": "font-family:monospace;overflow-wrap:anywhere",
}
_COLORS = {True: "#c0392b", False: "#2e7d5b"}


@dataclass(frozen=True, eq=False)
class Prediction:
    """Scores and decisions of a `Predictor` for N samples; one sample gives arrays of length 1.

    In a notebook, the samples with the highest scores are shown with their anomaly maps.

    Attributes
    ----------
    names : list of str
        Path of each image as given, relative to the folder if a folder was given; otherwise the
        number of the sample, counted from 0. Rows of a DataFrame or Series are named by their
        index.
    scores : ndarray of float64 [N]
        Anomaly scores; higher = more anomalous.
    p_values : ndarray of float64 [N]
        Conformal p-values: the share of normal samples that score at least as high.
    decisions : ndarray of bool [N]
        True for anomalies. With a false-discovery rate, the decisions depend on all N samples.
    components : ndarray of float64 [N, T]
        Components of the scores; the sum of a row is the score.
    component_names : tuple of str
        Names of the T components.
    maps : list of ndarray of float32 [H, W], or None
        Anomaly map of each image in the size of the image, in the units of the detection method; 0
        at pixels that the mask of the bundle ignores. Pixels above `map_threshold` are significant.
        None for rows, and without maps.
    threshold : float or None
        Samples with a greater score are anomalies; None: no sample is.
    guarantee : Guarantee or DiscoveryGuarantee
        What is guaranteed about the decisions, in numbers and in the sentence `sentence`.
    warnings : list of str
        Messages that the user should read before trusting the decisions.
    sample_type : str
        "image" or "row".
    map_scale : MapScale or None
        Conversion of maps to calibrated units; None if the maps were never calibrated.
    top_images : dict of int to UserImage
        The images with the highest scores by their positions, for the notebook.
    preprocessing : ImagePreprocessing or None
        Conversion of images for display; None for rows.
    index : pandas.Index or None
        Index of the rows; None for images.
    """

    names: list[str]
    scores: np.ndarray
    p_values: np.ndarray
    decisions: np.ndarray
    components: np.ndarray
    component_names: tuple[str, ...]
    maps: list[np.ndarray] | None
    threshold: float | None
    guarantee: Guarantee | DiscoveryGuarantee
    warnings: list[str]
    sample_type: str = "image"
    map_scale: MapScale | None = None
    top_images: dict[int, UserImage] = field(default_factory=dict)
    preprocessing: ImagePreprocessing | None = None
    index: "pd.Index | None" = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.names)

    @property
    def map_threshold(self) -> float | None:
        """Map value above which a pixel is significant; None if the maps were never calibrated."""
        return None if self.map_scale is None else self.map_scale.threshold

    def calibrated_map(self, index: int) -> np.ndarray:
        """Return one anomaly map in calibrated units, float32 `[H, W]`; 0 is not significant.

        `augan detect --save-maps` writes thousandths of these units, which
        `augan.detect.visualization.anomaly_map` defines.

        Raises
        ------
        DataError
            There are no maps, or the maps of the detector were never calibrated.
        """
        if self.maps is None or self.map_scale is None:
            raise DataError(
                "this prediction has no calibrated maps; predict images with maps=True, by a "
                "detector whose maps were calibrated (augan calibrate RUN NORMALS)"
            )
        return self.map_scale(self.maps[index])

    def to_frame(self) -> "pd.DataFrame":
        """Return the samples as a table with the columns of `scores.csv` of `augan detect`.

        The column `anomaly` holds truth values. Rows keep the index of the user's table.
        """
        import pandas as pd

        columns = {
            "path": pd.Series(self.names, dtype=object),
            "score": self.scores,
            "p_value": self.p_values,
            "anomaly": self.decisions,
        }
        frame = pd.DataFrame({**columns, **dict(zip(self.component_names, self.components.T))})
        return frame if self.index is None else frame.set_index(self.index)

    def __repr__(self) -> str:
        """Return the decisions about the samples with the highest scores, one line each."""
        lines = [
            f"  {_printable(self.names[row])}: {self._verdict(row)}, score {self.scores[row]:.3g}, "
            f"p-value {self.p_values[row]:.2g}"
            for row in self._highest()
        ]
        return "\n".join([f"<Prediction: {self._summary()}>", *lines, *self._remainder()])

    def _repr_html_(self) -> str:
        """Return the samples with the highest scores as self-contained HTML, for a notebook."""
        cards = "".join(self._card(row) for row in self._highest())
        notes = "".join(f"<p>{escape(text)}</p>" for text in [*self._remainder(), *self.warnings])
        return (
            f"<div><p><b>{escape(self._summary())}</b><br><small>{escape(self.guarantee.sentence)}"
            f'</small></p><div style="{_STYLE["cards"]}">{cards}</div>{notes}</div>'
        )

    def _summary(self) -> str:
        """Return the numbers of anomalies and samples in one phrase."""
        samples = plural(self.sample_type) if len(self) != 1 else self.sample_type
        rate = (
            f"false-discovery rate {self.guarantee.fdr:g}"
            if isinstance(self.guarantee, DiscoveryGuarantee)
            else f"false-alarm rate {self.guarantee.far:g}"
        )
        return f"{int(self.decisions.sum()):,} of {len(self):,} {samples} anomalous, {rate}"

    def _highest(self) -> list[int]:
        """Return the positions of the highest scores, highest first, at most `MAX_SHOWN`."""
        return [int(row) for row in np.argsort(-self.scores, kind="stable")[:MAX_SHOWN]]

    def _remainder(self) -> list[str]:
        """Return one line about the samples that are not shown; empty if all are shown."""
        hidden = len(self) - MAX_SHOWN
        return [f"... and {hidden:,} with lower scores"] if hidden > 0 else []

    def _verdict(self, row: int) -> str:
        """Return the decision about one sample in a word."""
        return "anomaly" if self.decisions[row] else "normal"

    def _card(self, row: int) -> str:
        """Return one sample with its pictures, decision, score and p-value, as HTML."""
        name, is_anomaly = escape(_printable(self.names[row])), bool(self.decisions[row])
        pictures = "".join(
            f'<img alt="{alt} {name}" src="{data_uri(picture)}" style="{_STYLE["picture"]}">'
            for alt, picture in self._pictures(row).items()
        )
        color = _COLORS[is_anomaly]
        return (
            f'<div style="{_STYLE["card"].format(color=color)}">{pictures}'
            f'<div style="{_STYLE["name"]}">{name}</div>'
            f'<div><b style="color:{color}">{self._verdict(row)}</b> &middot; score '
            f"{self.scores[row]:.3g} &middot; p-value {self.p_values[row]:.2g}</div></div>"
        )

    def _pictures(self, row: int) -> dict[str, np.ndarray]:
        """Return small pictures of an image by what they show: the image and its anomaly map.

        Empty for rows and for files that can no longer be read.
        """
        image = self.top_images.get(row)
        if image is None or self.preprocessing is None:
            return {}
        try:
            pixels = self.preprocessing.to_picture(image.decode())
        except DataError:
            return {}
        pictures = {"image": thumbnail(pixels, _THUMBNAIL_SIDE)}
        if self.maps is not None and self.map_scale is not None:
            anomaly_map = self.maps[row]
            if anomaly_map.shape == pixels.shape[:2]:  # a file may have changed meanwhile
                overlay = render_overlay(*_shrunk(pixels, anomaly_map), self.map_scale)
                pictures["anomaly map"] = thumbnail(overlay, _THUMBNAIL_SIDE)
        return pictures


def _printable(name: str) -> str:
    """Return a name with line breaks and undecodable bytes as in Python code, such as `\\udcff`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _shrunk(pixels: np.ndarray, anomaly_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a large image and its map in about the size of a thumbnail.

    A pixel of the map is the maximum of its block, so that no significant pixel is lost.
    """
    step = -(-max(anomaly_map.shape) // _THUMBNAIL_SIDE)
    if step <= 1:
        return pixels, anomaly_map
    small = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).reduce(step)
    height, width = anomaly_map.shape
    rows = np.maximum.reduceat(anomaly_map, np.arange(0, height, step), axis=0)
    small_map = np.maximum.reduceat(rows, np.arange(0, width, step), axis=1)
    return np.asarray(small).reshape(*small_map.shape, -1), small_map
