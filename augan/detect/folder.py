"""Score every image below a folder, or every row of a table, and write `scores.csv`."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from augan.bundle import Bundle
from augan.data.output import output_folder
from augan.data.tables import is_table_file
from augan.detect.calibration import Calibration, Guarantee
from augan.detect.detector import Detector
from augan.detect.discoveries import (
    DiscoveryGuarantee,
    check_fdr,
    discovery_cutoff,
    discovery_guarantee,
)
from augan.detect.drift import Drift, find_drift
from augan.detect.sources import Source, open_source
from augan.exceptions import BundleError, ConfigError, DataError

SCORES = "scores.csv"
UNDECIDED = ".undecided.csv"  # the same table before anything is flagged
CHUNK = 512  # images in memory at once
GALLERY = 8  # most anomalous images that are kept for a picture


@dataclass(frozen=True)
class ScoredImage:
    """One image or row with its score and how the GAN would draw it, both as stored."""

    path: str
    score: float
    anomaly: bool
    image: np.ndarray
    reconstruction: np.ndarray | None


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
    guarantee : Guarantee or DiscoveryGuarantee
        What the false-alarm rate, or the false-discovery rate, promises.
    drift : Drift
        Whether all images have changed, and not only the anomalies.
    warnings : list of str
        What the user should know before trusting the decisions.
    most_anomalous : list of ScoredImage
        The highest scores, in order.
    """

    out: Path
    guarantee: Guarantee | DiscoveryGuarantee
    drift: Drift
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
            "drift": self.drift.to_dict(),
            "warnings": self.warnings,
            "most_anomalous": [
                {"path": image.path, "score": image.score, "anomaly": image.anomaly}
                for image in self.most_anomalous
            ],
        }


def detect_folder(
    bundle: Bundle,
    images: str | Path,
    out: str | Path,
    far: float | None = None,
    fdr: float | None = None,
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
        False-alarm rate, the share of good images that may be flagged; None: the bundle's own,
        else 0.05 or the smallest supported.
    fdr : float or None
        In place of `far`, the false-discovery rate: the share of good images among the flagged
        ones (Benjamini-Hochberg over all images of this call).

    Raises
    ------
    DataError
        If there is nothing to score, nothing can be read, or a table lacks a column.
    ConfigError
        If the calibration images are too few for the rate, or both rates are given.
    """
    detector = Detector.from_bundle(bundle)
    source, noun = open_source(Path(images), detector.preprocessing), detector.preprocessing.noun
    calibration = detector.calibrated()
    rate, warning = _rate(bundle, calibration, far, fdr, noun)
    with output_folder(out, replaces=SCORES) as partial:
        seen = _score(detector, source, partial / UNDECIDED)
        if not seen.scores:
            reasons = "; ".join(f"{path}: {reason}" for path, reason in seen.unreadable[:3])
            raise DataError(
                f"none of the {len(source.names)} {noun} in {images} can be used: {reasons}"
            )
        scores = np.concatenate(seen.scores)
        p_values = calibration.p_values(scores)
        cutoff, guarantee = _decide(calibration, p_values, rate, fdr is not None, noun)
        _flag(partial / UNDECIDED, partial / SCORES, cutoff)
    drift = find_drift(calibration, scores, noun)
    said = [*source.warnings, warning, drift.sentence, _unflagged(guarantee, p_values, noun)]
    flags = calibration.p_values([image.score for image in seen.worst]) <= cutoff
    return DetectionResult(
        Path(out),
        guarantee,
        drift,
        num_scored=scores.size,
        num_anomalies=int((p_values <= cutoff).sum()),
        unreadable=seen.unreadable,
        warnings=[text for text in said if text],
        most_anomalous=[replace(image, anomaly=bool(f)) for image, f in zip(seen.worst, flags)],
        noun=noun,
    )


def _rate(
    bundle: Bundle, calibration: Calibration, far: float | None, fdr: float | None, noun: str
) -> tuple[float, str | None]:
    """Return the rate to flag at, of either kind, and perhaps a warning about it."""
    if far is not None and fdr is not None:
        raise ConfigError(
            f"both a false-alarm rate (far {far!r}) and a false-discovery rate (fdr {fdr!r}) came; "
            "choose one: far is the share of good images that is flagged, fdr the share of good "
            "images among the flagged ones"
        )
    if fdr is not None:
        return check_fdr(calibration, fdr, noun), None
    far = bundle.config.get("detect", {}).get("far") if far is None else far
    return calibration.choose_rate(far, noun)


def _decide(
    calibration: Calibration, p_values: np.ndarray, rate: float, is_fdr: bool, noun: str
) -> tuple[float, Guarantee | DiscoveryGuarantee]:
    """Return the largest p-value that is flagged, and what that promises."""
    if is_fdr:
        guarantee = discovery_guarantee(calibration, rate, p_values.size, noun)
        return discovery_cutoff(p_values, rate), guarantee
    return rate, calibration.guarantee(rate, noun)


def _unflagged(
    guarantee: Guarantee | DiscoveryGuarantee, p_values: np.ndarray, noun: str
) -> str | None:
    """Say that what stands out was not flagged only because calibration images are too few."""
    if not isinstance(guarantee, DiscoveryGuarantee):
        return None
    count = int((p_values * (guarantee.n + 1) < 1.5).sum())
    if not 0 < count < guarantee.smallest_count or discovery_cutoff(p_values, guarantee.fdr):
        return None
    return (
        f"nothing is flagged, although {count} {noun} score higher than all {guarantee.n} "
        f"calibration {noun}: with so few calibration {noun} this false-discovery rate can only "
        f"flag {guarantee.smallest_count} or more of {guarantee.num_scored}; look at the highest "
        f"scores, choose --far, or calibrate on more normal {noun}"
    )


def default_out(bundle: Bundle, images: str | Path, verb: str = "detect") -> Path:
    """Return the folder for what `verb` found in `images`: inside the run, named after them."""
    if bundle.path is None:
        raise BundleError("this bundle was never saved, so there is no folder beside it; give one")
    # Not by Path.resolve, which fails on a link to itself before Python 3.13.
    path = Path(os.path.realpath(images))
    return bundle.path.parent / f"{verb}-{path.stem if is_table_file(path) else path.name}"


@dataclass
class _Seen:
    """What the first pass over the samples leaves in memory: 8 bytes of each, and a few images."""

    scores: list[np.ndarray] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    worst: list[ScoredImage] = field(default_factory=list)


def _score(detector: Detector, source: Source, table: Path) -> _Seen:
    """Write the table without decisions, a chunk at a time."""
    seen = _Seen()
    with open(table, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "score", "p_value", "anomaly", *detector.method.terms])
        for start in range(0, len(source.names), CHUNK):
            names = source.names[start : start + CHUNK]
            writer.writerows(_rows(detector, names, *source.read(names), seen))
    return seen


def _rows(
    detector: Detector,
    names: list[str],
    stored: np.ndarray,
    failures: dict[str, str],
    seen: _Seen,
) -> Iterator[list]:
    """Yield the rows of some samples in order, and remember what they say."""
    seen.unreadable += failures.items()
    empty = [""] * (3 + len(detector.method.terms))
    readable = [name for name in names if name not in failures]
    if not readable:
        yield from ([name, *empty] for name in names)
        return
    terms = detector.score_terms(stored)
    scores = terms.sum(axis=1)
    p_values = detector.calibrated().p_values(scores)
    seen.scores.append(scores)
    _keep_worst(detector, readable, stored, scores, seen)
    rows = {
        name: [name, repr(float(s)), repr(float(p)), "", *(repr(float(t)) for t in parts)]
        for name, s, p, parts in zip(readable, scores, p_values, terms)
    }
    yield from (rows.get(name, [name, *empty]) for name in names)


def _keep_worst(
    detector: Detector, readable: list[str], stored: np.ndarray, scores: np.ndarray, seen: _Seen
) -> None:
    worst = np.argsort(-scores, kind="stable")[:GALLERY]
    again = detector.reconstruct(stored[worst])
    seen.worst += [
        ScoredImage(
            readable[i],
            float(scores[i]),
            False,
            stored[i],
            None if again is None else again[place],
        )
        for place, i in enumerate(worst)
    ]
    seen.worst.sort(key=lambda image: -image.score)
    del seen.worst[GALLERY:]


def _flag(undecided: Path, table: Path, cutoff: float) -> None:
    """Write the table anew with its decisions: a rate may depend on all p-values at once."""
    with (
        open(undecided, newline="", encoding="utf-8") as former,
        open(table, "w", newline="", encoding="utf-8") as file,
    ):
        rows, writer = csv.reader(former), csv.writer(file)
        writer.writerow(next(rows))
        for path, score, p_value, _, *terms in rows:
            flag = int(float(p_value) <= cutoff) if p_value else ""
            writer.writerow([path, score, p_value, flag, *terms])
    undecided.unlink()
