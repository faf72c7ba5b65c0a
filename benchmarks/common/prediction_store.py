"""Which test images a classifier recognised, kept beside the rows, a kilobyte each.

Intervals of a difference between arms need what was said of every image, and a row has means only.
"""

import base64
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.harness import Results, digest

_FILTERS = [{"id": lzma.FILTER_LZMA2, "lc": 0, "lp": 0, "pb": 0}]


class Verdicts:
    """An append-only file of verdicts, which processes may share as they share `Results`.

    Parameters
    ----------
    path
        Of a JSON Lines file; made with the first verdict.
    labels : ndarray of int [n]
        Classes of the test images: sorted by them, verdicts take less room.
    """

    def __init__(self, path: Path, labels: np.ndarray) -> None:
        self._results = Results(path)
        self._order = np.argsort(labels, kind="stable")

    def add(self, key: Mapping[str, Any], right: np.ndarray) -> None:
        """Keep what belongs to the row of `key`: whether each image was recognised, bool `[n]`."""
        bits = np.packbits(right[self._order]).tobytes()
        packed = lzma.compress(bits, lzma.FORMAT_RAW, filters=_FILTERS)
        self._results.append({"row": digest(key), "right": base64.b85encode(packed).decode()})

    def find(self, key: Mapping[str, Any]) -> np.ndarray | None:
        """Return what was kept for the row of `key`, None where nothing was."""
        found = self._results.find({"row": digest(key)})
        if found is None:
            return None
        bits = lzma.decompress(base64.b85decode(found["right"]), lzma.FORMAT_RAW, filters=_FILTERS)
        right = np.empty(len(self._order), bool)
        right[self._order] = np.unpackbits(np.frombuffer(bits, np.uint8), count=len(right))
        return right
