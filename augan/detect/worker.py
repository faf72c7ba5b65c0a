"""What one process needs to score a part of the samples, and the same in another process."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from augan.bundle import Bundle
from augan.bundle.reference import BundleRef
from augan.data.splits import evenly_spaced
from augan.detect.detector import Detector
from augan.detect.ignore_mask import resolve_ignore_mask
from augan.detect.inputs import ImageFolderSource, InputSource, open_source, usual_shape
from augan.detect.visualization.overlay import MapRenderer
from augan.exceptions import DataError
from augan.io.hashing import sha256_file, sha256_parts
from augan.parallel.sharding import ShardRecord

NUM_PROBED_FILES = 8  # images by which another machine is known to see the same


@dataclass(frozen=True)
class ScoredChunk:
    """What came of a part of the samples.

    Attributes
    ----------
    failures : dict of str to str
        Name -> why it cannot be read.
    terms : ndarray of float64 [N, T]
        Of the others, in order.
    unusual : list of str
        Images of another size than usual.
    maps : list of (name, bytes)
        The files of their maps, where maps are asked for.
    """

    failures: dict[str, str]
    components: np.ndarray
    unusual: list[str] = field(default_factory=list)
    maps: list[tuple[str, bytes]] = field(default_factory=list)

    def record(self) -> ShardRecord:
        """Return what a shard keeps."""
        names = [name for name, _ in self.maps]
        content = b"".join(content for _, content in self.maps)
        sizes = np.array([len(content) for _, content in self.maps], np.int64)
        values = {"failures": self.failures, "unusual": self.unusual, "maps": names}
        arrays = {"components": self.components}
        if names:
            arrays |= {"sizes": sizes, "content": np.frombuffer(content, np.uint8)}
        return ShardRecord(values, arrays)

    @classmethod
    def of(cls, record: ShardRecord) -> "ScoredChunk":
        """Return what `record` kept."""
        values, arrays = record.values, record.arrays
        maps: list[tuple[str, bytes]] = []
        if values["maps"]:
            ends = np.cumsum(arrays["sizes"])[:-1]
            parts = np.split(arrays["content"], ends)
            maps = [(name, part.tobytes()) for name, part in zip(values["maps"], parts)]
        return cls(values["failures"], arrays["components"], values["unusual"], maps)


@dataclass(frozen=True, eq=False)
class ScoringWorker:
    """A detector with the samples that it looks at.

    Attributes
    ----------
    bundle, images, method, ignore
        What it was made of.
    rate : float
        Share of good images that may have a hot place.
    maps : bool
        Whether a map of every image is wanted.
    """

    bundle: Bundle
    images: Path
    method: str | None
    ignore: Path | None
    rate: float
    maps: bool
    detector: Detector
    source: InputSource

    @property
    def painter(self) -> MapRenderer | None:
        """What draws places; rows have none."""
        if not isinstance(self.source, ImageFolderSource):
            return None
        return MapRenderer(self.detector, self.source, self.rate)

    def spec(self) -> "WorkerSpec":
        """Return what makes the same elsewhere; see `augan.parallel.executor`."""
        files = [] if self.ignore is None else [self.ignore]
        if isinstance(self.source, ImageFolderSource):
            rows = evenly_spaced(np.arange(len(self.source.names)), NUM_PROBED_FILES)
            files += [self.source.root / self.source.names[row] for row in rows]
        else:
            files.append(self.images)
        return WorkerSpec(
            BundleRef.of(self.bundle),
            os.path.abspath(self.images),
            self.method,
            None if self.ignore is None else os.path.abspath(self.ignore),
            self.rate,
            self.maps,
            tuple((os.path.abspath(path), content_digest(path)) for path in files),
        )


@dataclass(frozen=True)
class WorkerSpec:
    """How to make an examiner; paths are absolute.

    Attributes
    ----------
    seen : tuple of (path, digest)
        Some of the files as they were where the job began.
    """

    bundle: BundleRef
    images: str
    method: str | None
    ignore: str | None
    rate: float
    maps: bool
    seen: tuple[tuple[str, str], ...]

    def build(self) -> ScoringWorker:
        """Make it; BundleError or DataError if it would not score the same."""
        bundle = self.bundle.load()
        for path, digest in self.seen:
            if content_digest(Path(path)) != digest:
                raise DataError(
                    f"the worker on {platform.node()} finds other data, or none, at {path}; all "
                    "machines must see the same files at the same path, and none may change"
                )
        detector = Detector.from_bundle(bundle, self.method)
        preprocessing, images = detector.preprocessing, Path(self.images)
        ignore = None if self.ignore is None else Path(self.ignore)
        ignored, _ = resolve_ignore_mask(bundle, ignore)
        usual = usual_shape(bundle, preprocessing)
        source = open_source(images, preprocessing, usual, ignored, names=())
        return ScoringWorker(
            bundle, images, self.method, ignore, self.rate, self.maps, detector, source
        )


def score(examiner: ScoringWorker, names: list[str]) -> ScoredChunk:
    """Score the samples called `names`."""
    detector, source, painter = examiner.detector, examiner.source, examiner.painter
    samples = source.read(names)
    if not samples.names:
        return ScoredChunk(samples.failures, np.empty((0, len(detector.method.components))))
    components = detector.score_components(samples.stored)
    maps = list(painter.maps(samples)) if painter and examiner.maps else []
    unusual = [name for name in samples.names if name in source.unusual]
    return ScoredChunk(samples.failures, components, unusual, maps)


def draw(examiner: ScoringWorker, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the names of images, and the files of their overlays."""
    painter = examiner.painter
    if painter is not None:
        yield from painter.overlays(names)


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or why it cannot be read."""
    try:
        return sha256_file(path)
    except OSError as error:
        return type(error).__name__


def names_digest(names: list[str]) -> str:
    """Return one SHA-256 of a list of names."""
    return sha256_parts(os.fsencode(name) + b"\0" for name in names)
