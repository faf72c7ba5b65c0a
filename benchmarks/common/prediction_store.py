"""Store of correct predictions: which test images a classifier classified correctly.

The confidence interval of a difference between arms needs the prediction for every test image,
while a row holds means only. The predictions of a row take about a kilobyte.
"""

import base64
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.harness import Results, digest

_FILTERS = [{"id": lzma.FILTER_LZMA2, "lc": 0, "lp": 0, "pb": 0}]


class PredictionStore:
    """Append-only file of correct predictions, which processes may share as they share `Results`.

    Parameters
    ----------
    path
        JSON Lines file, created with the first prediction.
    labels : ndarray of int [n]
        Classes of the test images. Predictions that are sorted by class take less space.
    """

    def __init__(self, path: Path, labels: np.ndarray) -> None:
        self._results = Results(path)
        self._order = np.argsort(labels, kind="stable")

    def add(self, key: Mapping[str, Any], correct: np.ndarray) -> None:
        """Keep whether each test image was classified correctly, bool `[n]`, for a row's key."""
        bits = np.packbits(correct[self._order]).tobytes()
        packed = lzma.compress(bits, lzma.FORMAT_RAW, filters=_FILTERS)
        self._results.append({"row": digest(key), "right": base64.b85encode(packed).decode()})

    def find(self, key: Mapping[str, Any]) -> np.ndarray | None:
        """Return the correct predictions of a row's key, or None."""
        stored = self._results.find({"row": digest(key)})
        if stored is None:
            return None
        packed = base64.b85decode(stored["right"])
        bits = lzma.decompress(packed, lzma.FORMAT_RAW, filters=_FILTERS)
        correct = np.empty(len(self._order), bool)
        correct[self._order] = np.unpackbits(np.frombuffer(bits, np.uint8), count=len(correct))
        return correct
