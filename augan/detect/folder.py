"""Score every image below a folder, or every row of a table, and write `scores.csv`."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from augan.bundle import Bundle
from augan.data.output import output_folder
from augan.data.tables import is_table_file
from augan.detect.calibration import Guarantee
from augan.detect.detector import Detector
from augan.detect.sources import open_source
from augan.exceptions import BundleError, DataError

SCORES = "scores.csv"
CHUNK = 512  # images in memory at once
GALLERY = 8  # most anomalous images that are kept for a picture


@dataclass(frozen=True)
class ScoredImage:
    """One image or row with its score and how the GAN would draw it, both as stored."""

    path: str
    score: float
    anomaly: bool
    image: np.ndarray
    reconstruction: np.ndarray


@dataclass
class DetectionResult:
    """What `detect_folder` found.

    Parameters
    ----------
    out : Path
        The folder that holds `scores.csv`.
    num_scored, num_anomalies : int
        Images or rows that could be read, and those of them that were flagged.
    unreadable : list of (path, reason)
        Files, or numbers of rows, without a score.
    noun : str
        "images" or "rows".
    guarantee : Guarantee
        What the false-alarm rate promises.
    warnings : list of str
        What the user should know before trusting the decisions.
    most_anomalous : list of ScoredImage
        The highest scores, in order.
    """

    out: Path
    guarantee: Guarantee
    num_scored: int = 0
    num_anomalies: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    most_anomalous: list[ScoredImage] = field(default_factory=list)
    noun: str = "images"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able summary."""
        return {
            "out": str(self.out),
            "num_scored": self.num_scored,
            "num_anomalies": self.num_anomalies,
            "unreadable": [{"path": path, "reason": reason} for path, reason in self.unreadable],
            "guarantee": self.guarantee.to_dict(),
            "warnings": self.warnings,
            "most_anomalous": [
                {"path": image.path, "score": image.score, "anomaly": image.anomaly}
                for image in self.most_anomalous
            ],
        }


def detect_folder(
    bundle: Bundle, images: str | Path, out: str | Path, far: float | None = None
) -> DetectionResult:
    """Score the images below `images`, or the rows of that table, and write `out/scores.csv`.

    It has the columns `path` (relative to `images`; of a row its number from 0), `score` (higher =
    more anomalous), `p_value`, `anomaly` (0, 1, or empty for what cannot be read) and one for each
    term.

    Parameters
    ----------
    bundle : Bundle
        One with a calibrated detector.
    images : path
        A folder, flat or nested, or one image file; for a model of a table, a table file. Its
        columns may stand in any order, unknown ones are ignored with a warning, and an unknown
        category counts as odd.
    out : path
        A new folder, or one that an earlier call made; that is replaced.
    far : float or None
        False-alarm rate; None: the bundle's own, else 0.05 or the smallest supported.

    Raises
    ------
    DataError
        If there is nothing to score, nothing can be read, or a table lacks a column.
    ConfigError
        If the calibration images are too few for `far`.
    """
    detector = Detector.from_bundle(bundle)
    source, noun = open_source(Path(images), detector.preprocessing), detector.preprocessing.noun
    calibration = detector.calibrated()
    far = bundle.config.get("detect", {}).get("far") if far is None else far
    rate, warning = calibration.choose_rate(far, noun)
    result = DetectionResult(Path(out), calibration.guarantee(rate, noun), noun=noun)
    result.warnings += [*source.warnings, *([warning] if warning else [])]
    with output_folder(out, replaces=SCORES) as partial:
        with open(partial / SCORES, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "score", "p_value", "anomaly", *detector.method.terms])
            for chunk in range(0, len(source.names), CHUNK):
                names = source.names[chunk : chunk + CHUNK]
                block = _Block(names, *source.read(names))
                writer.writerows(block.score(detector, rate, result))
        if not result.num_scored:
            reasons = "; ".join(f"{path}: {reason}" for path, reason in result.unreadable[:3])
            raise DataError(
                f"none of the {len(source.names)} {noun} in {images} can be used: {reasons}"
            )
    return result


def default_out(bundle: Bundle, images: str | Path, verb: str = "detect") -> Path:
    """Return the folder for what `verb` found in `images`: inside the run, named after them."""
    if bundle.path is None:
        raise BundleError("this bundle was never saved, so there is no folder beside it; give one")
    # Not by Path.resolve, which fails on a link to itself before Python 3.13.
    path = Path(os.path.realpath(images))
    return bundle.path.parent / f"{verb}-{path.stem if is_table_file(path) else path.name}"


@dataclass
class _Block:
    """Some of the samples: those that could be read, and why the others could not."""

    names: list[str]
    stored: np.ndarray
    failures: dict[str, str]

    def score(self, detector: Detector, rate: float, result: DetectionResult) -> Iterator[list]:
        """Yield the rows of the table in order, and add to the result what they say."""
        result.unreadable += self.failures.items()
        empty = [""] * (3 + len(detector.method.terms))
        readable = [name for name in self.names if name not in self.failures]
        if not readable:
            yield from (
                [name, "", "", "", *[""] * len(detector.method.terms)] for name in self.names
            )
            return
        terms = detector.score_terms(self.stored)
        scores = terms.sum(axis=1)
        calibration = detector.calibrated()
        p_values, flags = calibration.p_values(scores), calibration.flags(scores, rate)
        result.num_scored += len(scores)
        result.num_anomalies += int(flags.sum())
        self._keep_worst(detector, readable, scores, flags, result)
        rows = {
            name: [name, repr(float(s)), repr(float(p)), int(f), *(repr(float(t)) for t in parts)]
            for name, s, p, f, parts in zip(readable, scores, p_values, flags, terms)
        }
        yield from (rows.get(name, [name, *empty]) for name in self.names)

    def _keep_worst(
        self,
        detector: Detector,
        readable: list[str],
        scores: np.ndarray,
        flags: np.ndarray,
        result: DetectionResult,
    ) -> None:
        worst = np.argsort(-scores, kind="stable")[:GALLERY]
        again = detector.reconstruct(self.stored[worst])
        result.most_anomalous += [
            ScoredImage(readable[i], float(scores[i]), bool(flags[i]), self.stored[i], again[place])
            for place, i in enumerate(worst)
        ]
        result.most_anomalous.sort(key=lambda image: -image.score)
        del result.most_anomalous[GALLERY:]
