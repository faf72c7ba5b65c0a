"""A detector: a method that scores, and the calibration that turns scores into decisions.

A detector works on stored squares, or on the stored rows of a table. Files (`augan.detect.folder`)
and scikit-learn (`augan.detect.estimator`) are two ways to feed it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from augan.bundle import Bundle, restore_network
from augan.config import DetectSection
from augan.data.prepared import AnyPreprocessing, restore_preprocessing
from augan.data.stacked import Stacked
from augan.detect.anogan import AnoGAN
from augan.detect.auto import Auto
from augan.detect.calibration import Calibration
from augan.detect.fanogan import FAnoGAN
from augan.detect.features import Features
from augan.exceptions import BundleError, ConfigError
from augan.gan import keras


class Method(Protocol):
    """What every method offers; images are float32 `[N, S, S, C]` in [-1, 1], rows `[N, F]`."""

    name: str
    accepts: tuple[str, ...]  # of "images" and "rows"
    needs: tuple[str, ...]  # networks
    uses: tuple[str, ...]  # networks that it takes where they were trained
    terms: tuple[str, ...]

    def __init__(self, models: Mapping[str, keras.Model]) -> None: ...
    def fit(self, reference: np.ndarray, tune: np.ndarray) -> Self: ...
    def score_terms(self, images: np.ndarray) -> np.ndarray: ...
    def reconstruct(self, images: np.ndarray) -> np.ndarray | None: ...
    def maps(self, images: np.ndarray) -> np.ndarray: ...
    def state(self) -> dict[str, np.ndarray]: ...
    def restore(self, state: Mapping[str, np.ndarray]) -> Self: ...


CHUNK = 512  # images that are float32 at once; a multiple of the batch of inference

MOST_REFERENCE = 5000  # images of the fit split that a method may learn from, drawn evenly

METHODS: dict[str, type[Method]] = {
    method.name: method for method in (Auto, Features, FAnoGAN, AnoGAN)
}


def methods_of(settings: DetectSection) -> tuple[str, ...]:
    """Return the methods that a bundle is to carry, the one that scores unless told first."""
    return tuple(dict.fromkeys((settings.method, *settings.methods)))


def methods_in(bundle: Bundle) -> tuple[str, ...]:
    """Return the methods that a bundle carries, the one that scores unless told first."""
    described = bundle.detector or {}
    return (str(described.get("method")), *described.get("others", ()))


def check_accepts(method: str, noun: str) -> None:
    """Raise ConfigError if `method` cannot score `noun`, "images" or "rows"."""
    if noun not in METHODS[method].accepts:
        able = ", ".join(name for name, known in METHODS.items() if noun in known.accepts)
        raise ConfigError(f"the method '{method}' does not score {noun}; choose one of {able}")


@dataclass
class Detector:
    """A fitted method with its preprocessing and, once calibrated, its calibration.

    The anomaly score of an image is the sum of the method's terms: higher = more anomalous. This is
    the sign of files and reports; scikit-learn's `score_samples` is its negative.
    """

    method: Method
    preprocessing: AnyPreprocessing
    calibration: Calibration | None = None
    map_calibration: Calibration | None = None  # of the highest place of each image's map

    @classmethod
    def fit(
        cls,
        method: str,
        models: Mapping[str, keras.Model],
        preprocessing: AnyPreprocessing,
        squares: np.ndarray | Stacked,
        *,
        fit: np.ndarray,
        tune: np.ndarray,
    ) -> Self:
        """Fit `method` on stored squares `[N, S, S, C]`: rows that were trained on, and others."""
        if method not in METHODS:
            raise ConfigError(f"there is no method '{method}'; choose one of {', '.join(METHODS)}")
        check_accepts(method, preprocessing.noun)
        reference = fit[np.linspace(0, len(fit) - 1, min(len(fit), MOST_REFERENCE)).astype(int)]
        parts = (preprocessing.scale(squares[rows]) for rows in (reference, tune))
        return cls(METHODS[method](models).fit(*parts), preprocessing)

    def calibrated(self) -> Calibration:
        """Return the calibration; BundleError if there is none."""
        if self.calibration is None:
            raise BundleError("this detector was never calibrated; train with --task both")
        return self.calibration

    def calibrate(
        self,
        squares: np.ndarray,
        groups: Sequence[str] | np.ndarray | None,
        rows: np.ndarray | None = None,
    ) -> None:
        """Draw the line from normal images that nothing was fitted on; `groups` has one for each.

        They are `squares`, or those at `rows`, which are then read a part at a time.
        """
        rows = np.arange(len(squares)) if rows is None else rows
        self.draw_line(np.concatenate([self.measure(squares[p]) for p in _chunks(rows)]), groups)

    def measure(self, squares: np.ndarray) -> np.ndarray:
        """Return what calibration needs of stored squares, float64 `[N, 2]`, of rows `[N, 1]`.

        It is the score of each image, and the highest place of its map.
        """
        measured = [self.score(squares)]
        if self.preprocessing.noun == "images":
            measured.append(self.maps(squares).max(axis=(1, 2, 3)).astype(np.float64))
        return np.stack(measured, axis=1)

    def draw_line(self, measured: np.ndarray, groups: Sequence[str] | np.ndarray | None) -> None:
        """Draw the lines of scores and of maps through what `measure` said of normal images."""
        lines = [Calibration.fit(column, groups) for column in measured.T]
        self.calibration, self.map_calibration = (*lines, None)[:2]

    def score_terms(self, squares: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Return each term's part of the score of stored squares (at `rows`), float64 `[N, T]`."""
        rows = np.arange(len(squares)) if rows is None else rows
        parts = (self.preprocessing.scale(squares[part]) for part in _chunks(rows))
        return np.concatenate([self.method.score_terms(part) for part in parts])

    def score(self, squares: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the anomaly scores of stored squares (at `rows`), float64 `[N]`."""
        return self.score_terms(squares, rows).sum(axis=1)

    def reconstruct(self, squares: np.ndarray) -> np.ndarray | None:
        """Return how the GAN would draw stored squares, as such; None if the method draws none."""
        again = self.method.reconstruct(self.preprocessing.scale(squares))
        return None if again is None else self.preprocessing.unscale(again)

    def maps(self, squares: np.ndarray) -> np.ndarray:
        """Return how anomalous each place of stored squares is, float32 `[N, S, S, 1]`.

        In the method's own units, higher = more anomalous; `Preprocessing.to_native` brings maps to
        the size of their images.
        """
        parts = (self.preprocessing.scale(squares[p]) for p in _chunks(np.arange(len(squares))))
        return np.concatenate([self.method.maps(part) for part in parts])

    @classmethod
    def from_bundle(cls, bundle: Bundle, method: str | None = None) -> Self:
        """Rebuild a detector that a bundle carries: that of `method`, or its first.

        Raises
        ------
        BundleError
            If it carries none, not this one, or one that this version does not know.
        """
        bundle.require("detector")
        present = methods_in(bundle)
        name = present[0] if method is None else method
        if name not in present:
            raise BundleError(
                f"{bundle.path or 'this bundle'} has no detector '{name}', only "
                f"{', '.join(present)}; choose one of these, or train with --set "
                f"detect.methods=[{name}]"
            )
        if name not in METHODS:
            known = ", ".join(METHODS)
            raise BundleError(
                f"{bundle.path} was calibrated for the method '{name}'; known: {known}"
            )
        kind, suffix = METHODS[name], _suffix(name, present[0])
        used = (role for role in kind.uses if role in bundle.networks)
        models = {role: restore_network(bundle, role) for role in (*kind.needs, *used)}
        fitted = kind(models).restore(bundle.tables[f"detector{suffix}"])
        lines = (bundle.tables.get(f"{table}{suffix}") for table in ("calibration", "maps"))
        return cls(
            fitted,
            restore_preprocessing(bundle.preprocessing),
            *(None if line is None else Calibration.from_arrays(line) for line in lines),
        )


def add_detectors(bundle: Bundle, detectors: Sequence[Detector]) -> None:
    """Put detectors into a bundle; the first is the one that scores unless told otherwise."""
    terms = {detector.method.name: list(detector.method.terms) for detector in detectors}
    first = detectors[0].method.name
    bundle.detector = {"method": first, "terms": terms.pop(first), "others": terms}
    for detector in detectors:
        suffix = _suffix(detector.method.name, first)
        lines = {"calibration": detector.calibration, "maps": detector.map_calibration}
        bundle.tables[f"detector{suffix}"] = detector.method.state()
        bundle.tables |= {f"{name}{suffix}": c.to_arrays() for name, c in lines.items() if c}


def _suffix(method: str, first: str) -> str:
    return "" if method == first else f"-{method}"


def _chunks(rows: np.ndarray) -> Iterator[np.ndarray]:
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))
