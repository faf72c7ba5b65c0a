"""Predictor: scores of images or rows in memory, the one way from samples to anomaly scores.

`augan detect` reads files in chunks and scores each chunk with a predictor in each process. The
estimator `GANDetector` and the parity check of an export score arrays with one. `load_detector`
gives a predictor to a notebook or a server.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from augan.bundle import Bundle, as_bundle
from augan.data.dataset import SampleType
from augan.data.modalities.base import Preprocessing
from augan.data.modalities.images import ImagePreprocessing, join_values
from augan.data.modalities.tabular import TabularPreprocessing
from augan.data.user_images import UserImage, iterate_images
from augan.detect.conformal.calibration import Calibration
from augan.detect.conformal.decision import check_rates, choose_decision_rule, decide
from augan.detect.conformal.guarantee import guarantee_void_reason
from augan.detect.detector import Detector, load_calibrations
from augan.detect.ignore_mask import IgnoreMask
from augan.detect.inputs import (
    SampleBatch,
    describe_resized,
    describe_unknown_columns,
    get_expected_shape,
    prepare_images,
    prepare_rows,
)
from augan.detect.prediction import MAX_SHOWN, Prediction
from augan.detect.user_rows import iterate_rows
from augan.detect.visualization.anomaly_map import MapScale
from augan.exceptions import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd

MAX_CHUNK_BYTES = 2**28  # of images in memory that are scored together


@dataclass(frozen=True)
class ScoredBatch:
    """Score components and anomaly maps of the samples of one batch.

    Attributes
    ----------
    components : ndarray of float64 [N, T]
        Components of the anomaly scores.
    maps : list of ndarray of float32 [H, W]
        Anomaly map of each image in its original size, 0 at ignored pixels; empty unless requested.
    """

    components: np.ndarray
    maps: list[np.ndarray] = field(default_factory=list)

    @property
    def scores(self) -> np.ndarray:
        """Anomaly scores, the sums of the components, float64 `[N]`."""
        return self.components.sum(axis=1)


def load_detector(run_or_bundle: Bundle | str | Path, method: str | None = None) -> "Predictor":
    """Load the detector of a run for images or rows in memory.

    The networks are built now, which takes seconds, so that predictions do not wait for them.

    Parameters
    ----------
    run_or_bundle : Bundle or path
        A run folder, a bundle file, or a loaded bundle, with a calibrated detector.
    method : str or None
        A detection method of the bundle. None: its default method.

    Returns
    -------
    Predictor

    Raises
    ------
    BundleError
        If the bundle cannot be read, has no detector of this method, or the detector was never
        calibrated.

    Examples
    --------
    One image, as a file or as an array, and a folder::

        detector = augan.load_detector("runs/parts")
        detector.predict("incoming/part-17.png")
        detector.predict(pixels, far=0.01).decisions
        detector.predict("incoming", maps=False).to_frame()
    """
    bundle = as_bundle(run_or_bundle)
    load_calibrations(bundle, method)  # before TensorFlow, which takes seconds, is loaded
    return Predictor.from_bundle(bundle, method, IgnoreMask.from_bundle(bundle))


class Predictor:
    """Scorer of images or rows in memory, with the preprocessing of the training.

    Several threads may use one predictor. Use `load_detector` to make one. `pickle`, `joblib` and
    `copy.deepcopy` store the bundle and restore the detector, which takes seconds. Start other
    processes by "spawn": TensorFlow does not work in processes that were started by "fork".

    Parameters
    ----------
    detector : Detector
        A fitted detector. `score` works without a calibration, `predict` needs one.
    bundle : Bundle
        The bundle of the detector, for the default rate and for what voids the guarantee.
    ignore_mask : IgnoreMask or None
        Pixels that never affect scores; None: no pixels.

    Attributes
    ----------
    detector, ignore_mask
        As given.
    """

    def __init__(
        self, detector: Detector, bundle: Bundle, ignore_mask: IgnoreMask | None = None
    ) -> None:
        self.detector, self.ignore_mask = detector, ignore_mask
        self._bundle = bundle
        self._expected_shape = get_expected_shape(bundle, detector.preprocessing)
        self._is_color = getattr(detector.preprocessing, "channels", 1) == 3

    @classmethod
    def from_bundle(
        cls, bundle: Bundle, method: str | None = None, ignore_mask: IgnoreMask | None = None
    ) -> "Predictor":
        """Restore a detector of a bundle, which loads TensorFlow.

        Parameters
        ----------
        bundle : Bundle
        method : str or None
            A detection method of the bundle. None: its default method.
        ignore_mask : IgnoreMask or None
            As for the constructor; the mask of the bundle is not applied by itself.

        Raises
        ------
        BundleError
            If the bundle has no detector, or not this one.
        """
        return cls(Detector.from_bundle(bundle, method), bundle, ignore_mask)

    def __repr__(self) -> str:
        """Return the method and the bundle in one line."""
        return f"<Predictor {self.detector.method.name} of {self._bundle!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the bundle for pickling and copying, from which the detector is restored."""
        # Compiled functions can be neither pickled nor copied.
        return Predictor.from_bundle, (self._bundle, self.detector.method.name, self.ignore_mask)

    @property
    def calibration(self) -> Calibration:
        """Calibration of the scores; BundleError if the detector was never calibrated."""
        return self.detector.require_calibration()

    @property
    def component_names(self) -> tuple[str, ...]:
        """Names of the score components."""
        return tuple(component.name for component in self.detector.method.components)

    def predict(
        self,
        images: Any,
        far: float | None = None,
        *,
        fdr: float | None = None,
        maps: bool = True,
    ) -> Prediction:
        """Score one or several images or rows, and decide which are anomalies.

        The preprocessing is that of `augan detect`, and so are the scores: equal to the last bit
        for 48 samples or more at once. Fewer run in smaller batches of the networks to take less
        time, and their scores differ by at most 0.01 standard deviations of the calibration scores,
        the tolerance of an export. The largest differences are those of samples that nearly equal
        a training sample, because float32 cancels digits of their small distance to it.

        Parameters
        ----------
        images : path, bytes, PIL image, array, DataFrame, or an iterable of these
            For a model of images: the path of an image or of a folder, the bytes of an image file,
            a PIL image, an array `[H, W]`, `[H, W, C]`, `[N, H, W]` or `[N, H, W, C]` (a last axis
            of 1, 3 or 4 is C), or a list or an iterator of single images. For a model of a table: a
            DataFrame, an array `[N, F]` with the columns of the training table in order, the path
            of a table, one row (Series, mapping, array `[F]`), or a list or an iterator of these.
            Iterators are read in chunks of at most 512 samples (32 large images, or 256 MiB).
        far : float or None
            False-alarm rate: share of normal samples that may be flagged. None: the rate of the
            bundle, else 0.05 or the smallest supported rate.
        fdr : float or None
            False-discovery rate, in place of `far`: share of normal samples among the flagged ones.
        maps : bool
            Whether to compute anomaly maps of images. They take 4 bytes for each pixel of all
            images; without maps, memory does not grow with the size of the images.

        Returns
        -------
        Prediction
            With arrays of length 1 for a single sample.

        Raises
        ------
        DataError
            If the samples are of a wrong type or shape, do not fit the model, cannot be read, or
            there are none. Types are checked before anything is scored.
        ConfigError
            If a rate is no number between 0 and 1, both rates are given, `maps` is no truth
            value, or the calibration samples are too few for the rate.
        BundleError
            If the detector was never calibrated.
        """
        check_rates(far, fdr)
        if not isinstance(maps, bool | np.bool_):
            raise ConfigError(f"`maps` must be True or False, but is {maps!r}")
        calibration, preprocessing = self.calibration, self.detector.preprocessing
        sample_type = preprocessing.sample_type
        rule = choose_decision_rule(self._bundle, calibration, far, fdr, sample_type)
        with_maps = maps and preprocessing.supports_maps
        collected = _Collected()
        notes: list[str] = []
        for batch, user_images in self._batches(images, notes):
            # A chunk that is followed by others runs in full batches, and so do the others.
            is_partial = sum(image.num_bytes for image in user_images) >= MAX_CHUNK_BYTES
            few = not (collected.names or is_partial)
            scored = self.score_batch(batch, maps=with_maps, small_batches=few)
            collected.add(batch, scored, user_images)
        components = np.concatenate(collected.components)
        scores = components.sum(axis=1)
        p_values = calibration.p_values(scores)
        decision = decide(calibration, p_values, rule, sample_type)
        void_reason = guarantee_void_reason(self._bundle)
        if void_reason is not None:
            decision = decision.without_guarantee(void_reason)
        warnings = [
            void_reason,
            _describe_other_range(preprocessing, collected.values),
            *notes,
            *collected.input_warnings(self._expected_shape, self._is_color),
            rule.warning,
            decision.warning,
        ]
        map_calibration = self.detector.map_calibration
        map_rate = rule.rate if map_calibration is None else rule.map_rate(map_calibration)
        return Prediction(
            collected.names,
            scores,
            p_values,
            decision.flags(p_values),
            components,
            self.component_names,
            collected.maps if with_maps else None,
            decision.threshold,
            decision.guarantee,
            [text for text in warnings if text],
            sample_type,
            None if map_calibration is None else MapScale(map_calibration, map_rate),
            collected.top_images,
            preprocessing.require_images() if preprocessing.has_pixels else None,
            collected.index,
        )

    def score(self, images: Any) -> np.ndarray:
        """Return the anomaly scores of images or rows, float64 `[N]`; higher = more anomalous.

        Scores need no calibration. Each is equal to the last bit whatever other samples are scored.

        Parameters
        ----------
        images
            Samples as for `predict`.

        Raises
        ------
        DataError
            As for `predict`.
        """
        return np.concatenate([batch.scores for batch in self.score_batches(images)])

    def score_batches(self, images: Any, *, maps: bool = False) -> Iterator[ScoredBatch]:
        """Yield score components and, with `maps`, anomaly maps of images or rows in batches.

        Parameters
        ----------
        images
            Samples as for `predict`.
        maps : bool
            Whether to compute the anomaly maps of images too.

        Raises
        ------
        DataError
            As for `predict`.
        """
        for batch, _ in self._batches(images):
            yield self.score_batch(batch, maps=maps)

    def score_batch(
        self, batch: SampleBatch, *, maps: bool = False, small_batches: bool = False
    ) -> ScoredBatch:
        """Return the score components and, with `maps`, the anomaly maps of prepared samples.

        Parameters
        ----------
        batch : SampleBatch
            At least one sample; images were prepared with the mask of this predictor.
        maps : bool
            Whether to compute the anomaly maps of images too.
        small_batches : bool
            Whether fewer than 48 samples are scored fast, with scores that differ by rounding from
            those of more samples.
        """
        detector, samples = self.detector, batch.samples
        if not maps:
            components = detector.score_components(samples, small_batches=small_batches)
            return ScoredBatch(components)
        components, raw = detector.score_and_maps(samples, small_batches=small_batches)
        resized = [self._resized(one, shape) for one, shape in zip(raw, batch.shapes)]
        return ScoredBatch(components, resized)

    def _resized(self, raw: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return the map of a prepared image in the size of the image, 0 at ignored pixels."""
        values = self.detector.preprocessing.resize_map(raw, shape)
        return values if self.ignore_mask is None else self.ignore_mask.zero_out(values)

    def _batches(
        self, images: Any, notes: list[str] | None = None
    ) -> Iterator[tuple[SampleBatch, Sequence[UserImage]]]:
        """Return an iterator over prepared samples of the user, with the images they come from.

        The type of the argument is checked by this call. Rows come with no images. `notes` receives
        sentences on files that are not looked at.
        """
        preprocessing = self.detector.preprocessing
        size = preprocessing.reading_chunk_size
        if preprocessing.pixel_type is None:
            of_rows = preprocessing.require_rows()
            return self._row_batches(iterate_rows(images, of_rows, size), of_rows)
        of_images = preprocessing.require_images()
        is_color = of_images.channels == 3
        user_images = iterate_images(images, preprocessing.pixel_type, is_color, notes)
        return self._image_batches(_chunks(user_images, size), of_images)

    def _image_batches(
        self, chunks: Iterator[list[UserImage]], preprocessing: ImagePreprocessing
    ) -> Iterator[tuple[SampleBatch, Sequence[UserImage]]]:
        """Yield chunks of images, prepared; DataError if an image cannot be used."""
        is_empty = True
        for chunk in chunks:
            loaders = ((image.name, image.decode) for image in chunk)
            batch = prepare_images(loaders, preprocessing, self.ignore_mask)
            _require_all(batch, "image", "leave out such images, or score files with augan detect")
            yield batch, chunk
            is_empty = False
        if is_empty:
            raise DataError("the iterator of images is empty; give at least one image")

    def _row_batches(
        self, frames: Iterator["pd.DataFrame"], preprocessing: TabularPreprocessing
    ) -> Iterator[tuple[SampleBatch, Sequence[UserImage]]]:
        """Yield rows, prepared; DataError if a row cannot be used."""
        start = 0
        for frame in frames:
            if None in frame.index:  # rows without a label
                labels = enumerate(frame.index, start)
                frame.index = [number if label is None else label for number, label in labels]
            names = [str(label) for label in frame.index]
            batch = prepare_rows(frame, names, preprocessing)
            _require_all(batch, "row", "correct or remove such rows")
            yield batch, ()
            start += len(frame)
        if not start:
            raise DataError("the iterator of rows is empty; give at least one row")


@dataclass
class _Collected:
    """Scores and maps of the batches of one prediction, and the images with the highest scores."""

    names: list[str] = field(default_factory=list)
    components: list[np.ndarray] = field(default_factory=list)
    maps: list[np.ndarray] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    channels: list[int] = field(default_factory=list)
    unknown_columns: list[str] = field(default_factory=list)
    values: tuple[float, float] | None = None
    top_images: dict[int, UserImage] = field(default_factory=dict)
    index: "pd.Index | None" = None
    _scores: dict[int, float] = field(default_factory=dict)  # of the top images

    def add(self, batch: SampleBatch, scored: ScoredBatch, images: Sequence[UserImage]) -> None:
        """Add the scores of a batch, in which only the images with the highest scores are kept."""
        start = len(self.names)
        scores = scored.scores.tolist()
        candidates = {start + row: (scores[row], image) for row, image in enumerate(images)}
        candidates |= {row: (self._scores[row], image) for row, image in self.top_images.items()}
        highest = sorted(candidates, key=lambda row: (-candidates[row][0], row))[:MAX_SHOWN]
        self._scores = {row: candidates[row][0] for row in highest}
        self.top_images = {
            row: self.top_images.get(row) or candidates[row][1].copy() for row in highest
        }
        self.names += batch.names
        self.components.append(scored.components)
        self.maps += scored.maps
        self.shapes += batch.shapes
        self.channels += batch.channels
        self.unknown_columns = list(batch.unknown_columns)
        self.values = join_values(self.values, batch.values)
        if batch.index is not None:
            self.index = batch.index if self.index is None else self.index.append(batch.index)

    def input_warnings(self, expected_shape: tuple[int, ...] | None, is_color: bool) -> list[str]:
        """Return warnings about images of unexpected sizes or colors, or unknown columns."""
        resized = [
            name
            for name, shape in zip(self.names, self.shapes)
            if expected_shape is not None and shape != expected_shape
        ]
        warnings = []
        if resized and expected_shape is not None:
            warnings.append(describe_resized(resized, len(self.names), expected_shape))
        gray = [name for name, count in zip(self.names, self.channels) if count == 1]
        if gray and is_color:
            warnings.append(
                f"{len(gray)} of {len(self.names)} images are gray, for example {min(gray)}, but "
                "the model is one of color images: they look different to a model that was "
                "trained on color"
            )
        if self.unknown_columns:
            warnings.append(describe_unknown_columns(self.unknown_columns))
        return warnings


def _describe_other_range(
    preprocessing: Preprocessing, values: tuple[float, float] | None
) -> str | None:
    """Return a warning if images have another range of values than those of the training."""
    if values is None:
        return None
    return preprocessing.require_images().describe_other_range(values)


def _chunks(images: Iterator[UserImage], size: int) -> Iterator[list[UserImage]]:
    """Yield images in chunks of at most `size` images and about `MAX_CHUNK_BYTES` in memory."""
    chunk: list[UserImage] = []
    num_bytes = 0
    for image in images:
        chunk.append(image)
        num_bytes += image.num_bytes
        if len(chunk) == size or num_bytes >= MAX_CHUNK_BYTES:
            yield chunk
            chunk, num_bytes = [], 0
    if chunk:
        yield chunk


def _require_all(batch: SampleBatch, sample_type: SampleType, remedy: str) -> None:
    """Raise DataError, which names the first, if samples of a batch cannot be used.

    There is no count, because later chunks of an iterator were not read yet. A single sample
    cannot be left out, so the message then has no such remedy.
    """
    if batch.failures:
        name, reason = next(iter(batch.failures.items()))
        is_single = len(batch.failures) + len(batch.names) == 1
        end = "" if is_single else f"; {remedy}"
        raise DataError(f"{sample_type} {name} cannot be used: {reason}{end}")
