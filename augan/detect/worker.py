"""Scoring worker: the predictor and input with which one process scores chunks of samples."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from augan.bundle import Bundle
from augan.bundle.reference import BundleRef
from augan.data.splits import evenly_spaced
from augan.detect.ignore_mask import resolve_ignore_mask
from augan.detect.inputs import (
    ImageFolderSource,
    InputSource,
    get_expected_shape,
    open_source,
)
from augan.detect.predictor import Predictor
from augan.detect.request import DetectionRequest
from augan.detect.visualization.renderer import MapRenderer
from augan.exceptions import DataError
from augan.io.hashing import sha256_file, sha256_parts
from augan.io.images import split_page
from augan.parallel.sharding import ShardRecord

NUM_PROBED_FILES = 8  # images whose content must be the same on every machine


@dataclass(frozen=True)
class ScoredChunk:
    """Score components and map files of one chunk of samples.

    Attributes
    ----------
    failures : dict of str to str
        Name of each unreadable sample -> reason.
    components : ndarray of float64 [N, T]
        Score components of the readable samples, in order.
    resized : list of str
        Names of the images that do not have the expected size.
    maps : list of (name, bytes)
        Name and PNG file of each image's anomaly map; empty unless maps are saved.
    values : (float, float) or None
        Smallest and largest pixel of the images, see `SampleBatch`.
    """

    failures: dict[str, str]
    components: np.ndarray
    resized: list[str] = field(default_factory=list)
    maps: list[tuple[str, bytes]] = field(default_factory=list)
    values: tuple[float, float] | None = None

    def to_record(self) -> ShardRecord:
        """Return this chunk as the record that a shard stores; `from_record` restores it."""
        names = [name for name, _ in self.maps]
        content = b"".join(content for _, content in self.maps)
        sizes = np.array([len(content) for _, content in self.maps], np.int64)
        values = {
            "failures": self.failures,
            "resized": self.resized,
            "maps": names,
            "values": None if self.values is None else list(self.values),
        }
        arrays = {"components": self.components}
        if names:
            arrays |= {"sizes": sizes, "content": np.frombuffer(content, np.uint8)}
        return ShardRecord(values, arrays)

    @classmethod
    def from_record(cls, record: ShardRecord) -> "ScoredChunk":
        """Restore a chunk from the record that `to_record` returned."""
        values, arrays = record.values, record.arrays
        maps: list[tuple[str, bytes]] = []
        if values["maps"]:
            ends = np.cumsum(arrays["sizes"])[:-1]
            contents = np.split(arrays["content"], ends)
            maps = [(name, content.tobytes()) for name, content in zip(values["maps"], contents)]
        limits = None if values["values"] is None else (values["values"][0], values["values"][1])
        return cls(values["failures"], arrays["components"], values["resized"], maps, limits)


@dataclass(frozen=True, eq=False)
class ScoringWorker:
    """Detector with its opened input, from which a process scores samples by name.

    Attributes
    ----------
    bundle : Bundle
        The bundle from which the detector was restored.
    request : DetectionRequest
        The options of the user.
    map_rate : float
        Share of normal images that may have a significant pixel.
    predictor : Predictor
        Scorer with the ignore mask of the request.
    source : InputSource
    """

    bundle: Bundle
    request: DetectionRequest
    map_rate: float
    predictor: Predictor
    source: InputSource

    @property
    def renderer(self) -> MapRenderer | None:
        """New renderer of anomaly maps and overlays; None for rows of a table."""
        if not isinstance(self.source, ImageFolderSource):
            return None
        return MapRenderer(self.predictor, self.source, self.map_rate)

    def spec(self) -> "ScoringWorkerSpec":
        """Return the specification from which another process builds an equal worker.

        The specification contains digests of at most 8 images (or of the table) and of the mask, so
        that a process that sees other data is detected. See `augan.parallel.executor`.

        Raises
        ------
        BundleError
            If the bundle cannot be loaded by another process, for example because it was never
            saved.
        """
        request = self.request.with_absolute_paths()
        files = [] if request.ignore_mask is None else [Path(request.ignore_mask)]
        if isinstance(self.source, ImageFolderSource):
            rows = evenly_spaced(np.arange(len(self.source.names)), NUM_PROBED_FILES)
            paths = (self.source.root / self.source.names[row] for row in rows)
            files += dict.fromkeys(split_page(path)[0] for path in paths)
        else:
            files.append(request.path)
        return ScoringWorkerSpec(
            BundleRef.of(self.bundle),
            request,
            self.map_rate,
            tuple((os.path.abspath(path), content_digest(path)) for path in files),
        )


@dataclass(frozen=True)
class ScoringWorkerSpec:
    """Hashable specification from which another process builds a `ScoringWorker`.

    Attributes
    ----------
    bundle : BundleRef
        Reference to the saved bundle.
    request : DetectionRequest
        The options of the user, with absolute paths.
    map_rate : float
        As in `ScoringWorker`.
    probed_files : tuple of (path, digest)
        Absolute paths of some of the files, and the SHA-256 that they had where the job started.
    """

    bundle: BundleRef
    request: DetectionRequest
    map_rate: float
    probed_files: tuple[tuple[str, str], ...]

    def build(self) -> ScoringWorker:
        """Load the bundle and open the input in the current process.

        Raises
        ------
        BundleError
            If the bundle is missing or differs.
        DataError
            If a probed file is missing or differs.
        """
        bundle, request = self.bundle.load(), self.request
        for path, digest in self.probed_files:
            if content_digest(Path(path)) != digest:
                raise DataError(
                    f"the worker on {platform.node()} finds other data, or none, at {path}; all "
                    "machines must see the same files at the same path, and no file may change"
                )
        ignore_mask, _ = resolve_ignore_mask(bundle, request.ignore_mask)
        predictor = Predictor.from_bundle(bundle, request.method, ignore_mask)
        preprocessing = predictor.detector.preprocessing
        shape = get_expected_shape(bundle, preprocessing)
        source = open_source(request.path, preprocessing, shape, ignore_mask, names=())
        return ScoringWorker(bundle, request, self.map_rate, predictor, source)


def score_chunk(worker: ScoringWorker, names: list[str]) -> ScoredChunk:
    """Read and score the samples with these names.

    Returns
    -------
    ScoredChunk
        If no sample can be read, it has no rows.
    """
    predictor, source, renderer = worker.predictor, worker.source, worker.renderer
    batch = source.read(names)
    if not batch.names:
        return ScoredChunk(batch.failures, np.empty((0, len(predictor.component_names))))
    scored = predictor.score_batch(batch, maps=worker.request.save_maps)
    maps = list(renderer.map_files(batch.names, scored.maps)) if renderer else []
    resized = [name for name in batch.names if name in source.resized]
    return ScoredChunk(batch.failures, scored.components, resized, maps, batch.values)


def render_overlays(worker: ScoringWorker, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and overlay PNG of each of the named images; nothing for rows of a table.

    Images that have become unreadable are left out.
    """
    renderer = worker.renderer
    if renderer is not None:
        yield from renderer.overlays(names)


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits, or the name of the error if it cannot be read."""
    try:
        return sha256_file(path)
    except OSError as error:
        return type(error).__name__


def names_digest(names: list[str]) -> str:
    """Return the SHA-256 of a list of names as hex digits; the order counts."""
    return sha256_parts(os.fsencode(name) + b"\0" for name in names)
