"""Write a part of a bundle as an ONNX graph, with what a user of it must know, and prove it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from augan.augment.methods.prior import GeneratorSampler
from augan.bundle import Bundle, bundle_errors
from augan.bundle.bundle import current_versions
from augan.data.modalities.images import ImagePreprocessing, resize
from augan.data.modalities.registry import restore_preprocessing
from augan.data.modalities.tiles import TiledPreprocessing
from augan.data.sequences import RaggedImages
from augan.detect.detector import Detector
from augan.detect.ignore_mask import IgnoreMask
from augan.detect.methods.tiles import STRIDE
from augan.exceptions import ConfigError
from augan.export.detector import (
    describe_detector,
    detector_graph,
    exportable,
    input_name,
)
from augan.export.generator import describe_generator, generator_graph
from augan.export.onnx import OPSET, Session, as_onnx, require_onnx
from augan.export.parity import (
    Parity,
    Samples,
    codes_for,
    compare_images,
    compare_maps,
    compare_scores,
    samples_for,
)
from augan.io.atomic import atomic_folder, check_replaceable, unmanaged_except
from augan.io.hashing import sha256_file
from augan.io.layout import PARITY_FILE

FORMATS = ("onnx",)
PARTS = ("generator", "detector")
FILL = "fill.npy"
TABLES = (
    "a model of a table cannot be exported: augan turns columns and categories into the numbers of "
    "its networks and back, and a graph has no columns; use augan {} for rows"
)


@dataclass(frozen=True)
class ExportResult:
    """What `export_onnx` wrote.

    Attributes
    ----------
    out : Path
        The folder.
    part, method : str
        What was exported; the method of a detector, else empty.
    files : tuple of str
        In the folder.
    parity : Parity
        How the graph differs from augan's own.
    warnings : tuple of str
    """

    out: Path
    part: str
    method: str
    files: tuple[str, ...]
    parity: Parity
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able summary."""
        return {
            "out": str(self.out),
            "part": self.part,
            "method": self.method or None,
            "files": list(self.files),
            "parity": self.parity.to_dict(),
            "warnings": list(self.warnings),
        }


def export_onnx(
    bundle: Bundle,
    part: str,
    out: str | Path | None = None,
    *,
    method: str | None = None,
    data: str | Path | None = None,
    format: str = "onnx",
) -> ExportResult:
    """Write a detector or a generator as an ONNX graph that needs no augan to run.

    Everything between decoded images and scores is inside of the graph: scaling, networks, the
    nearest neighbours as a product of matrices, and the standardisation of terms. `<part>.json`
    beside it says what the rest is (resizing, threshold, calibration scores, codes, classes), and
    `parity.json` how far the graph differs from augan's own answers. Needs `augan[export]`.

    Parameters
    ----------
    bundle : Bundle
    part : {"generator", "detector"}
    out : path or None
        A new folder, or one that an earlier call made of this part; that is replaced. None: a
        folder beside the bundle.
    method : str or None
        Of a detector: one that the bundle carries, but for "anogan"; None: its first.
    data : path, str or None
        The data that the bundle was trained on, whose held-out images a detector's graph is
        compared on; None: where the bundle remembers it, or made-up images, with a warning, if
        nothing is there any more. A generator is compared on codes.
    format : {"onnx"}

    Raises
    ------
    RefusedError
        The graph does not say what augan says. Nothing is written.
    ConfigError
        The part, the method or the format cannot be exported, or a package is missing.
    BundleError
        The bundle lacks the part or the method.
    DataError
        `out` holds something else, or the data is not what the bundle was trained on.
    """
    preprocessing = _checked(bundle, part, method, data, format)
    detector = exportable(bundle, method) if part == "detector" else None
    target = Path(out) if out is not None else _default_out(bundle, part, method)
    document, graph_name = f"{part}.json", f"{part}.onnx"
    foreign = unmanaged_except(document, graph_name, PARITY_FILE)
    check_replaceable(target.absolute(), foreign)  # before anything is converted
    samples = None if detector is None else samples_for(bundle, preprocessing, data)
    with atomic_folder(target, foreign) as partial:
        graph = partial / graph_name
        version = current_versions().get("augan", "")
        notes = {"augan": version, "bundle": bundle.bundle_id, "part": part}
        if detector is None or samples is None:
            about, parity = _export_generator(bundle, graph, notes)
        else:
            about, parity = _export_detector(bundle, detector, samples, graph, notes)
        about = {**notes, **_about_graph(graph), "data": bundle.data.get("name"), **about}
        _write_json(partial / document, about)
        _write_json(partial / PARITY_FILE, parity.to_dict())
        files = tuple(sorted(path.name for path in partial.iterdir()))
    warnings = [None if samples is None else samples.warning, about.get("warning")]
    name = "" if detector is None else detector.method.name
    return ExportResult(target, part, name, files, parity, tuple(w for w in warnings if w))


def _checked(
    bundle: Bundle, part: str, method: str | None, data: str | Path | None, format: str
) -> ImagePreprocessing:
    """Refuse what cannot be exported; return the preprocessing, of images."""
    if format not in FORMATS:
        raise ConfigError(f"there is no export format '{format}'; known: {', '.join(FORMATS)}")
    if part not in PARTS:
        raise ConfigError(f"there is no part '{part}' to export; choose {' or '.join(PARTS)}")
    bundle.require(part)
    if part == "generator" and (method is not None or data is not None):
        raise ConfigError(
            "--method and --training-data are about a detector; leave them out for --part generator"
        )
    preprocessing = restore_preprocessing(bundle.preprocessing)
    if not isinstance(preprocessing, ImagePreprocessing):
        raise ConfigError(TABLES.format("generate" if part == "generator" else "detect"))
    require_onnx()
    return preprocessing


def _default_out(bundle: Bundle, part: str, method: str | None) -> Path:
    name = "-".join(["export", part, *([] if method is None else [method])])
    return bundle.saved_path().parent / name


def _export_generator(
    bundle: Bundle, graph: Path, notes: dict[str, str]
) -> tuple[dict[str, Any], Parity]:
    sampler = GeneratorSampler(bundle)
    with bundle_errors(bundle, "generator"):
        content = as_onnx(*generator_graph(sampler), notes)
    graph.write_bytes(content)
    noise, classes = codes_for(sampler)
    codes = [noise]
    if sampler.conditional:
        codes.append(np.eye(len(sampler.class_names), dtype=np.float32)[classes])
    other = Session(graph)(*codes)["images"]
    own, preprocessing = sampler.decode(noise, classes), sampler.preprocessing
    span = 255.0
    if isinstance(preprocessing, ImagePreprocessing) and not isinstance(
        preprocessing, TiledPreprocessing
    ):
        span = preprocessing.high - preprocessing.low
    parity = compare_images(own, other, span, f"{len(own)} codes")
    return describe_generator(sampler), parity


def _export_detector(
    bundle: Bundle, detector: Detector, samples: Samples, graph: Path, notes: dict[str, str]
) -> tuple[dict[str, Any], Parity]:
    with bundle_errors(bundle, "detector"):
        content = as_onnx(*detector_graph(detector, input_name(bundle)), notes)
    graph.write_bytes(content)
    session = Session(graph)
    is_large = isinstance(samples.stored, RaggedImages)
    batches = [image[None] for image in samples.decoded] if is_large else [samples.decoded]
    found = [session(batch) for batch in batches]
    about = describe_detector(bundle, detector, "map" in found[0])
    scores = np.concatenate([one["score"] for one in found])
    line = detector.require_calibration()
    parity = compare_scores(
        detector.score(samples.stored), scores, line, about["rate"], samples.sentence
    )
    if "map" in found[0]:
        own = list(detector.maps(samples.stored))
        maps = [heat for one in found for heat in one["map"]]
        parity = replace(parity, map_difference=_map_difference(own, maps, is_large))
    ignored = IgnoreMask.from_bundle(bundle)
    if ignored is not None:
        np.save(graph.parent / FILL, ignored.source_indices)
        about["ignored"] = {"file": FILL, "shape": list(ignored.mask.shape)}
    return about, parity


def _map_difference(own: list[np.ndarray], maps: list[np.ndarray], is_large: bool) -> float:
    if is_large:
        shapes = [tuple(STRIDE * side for side in heat.shape[:2]) for heat in maps]
        maps = [resize(heat, *shape) for heat, shape in zip(maps, shapes)]
        maps = [heat[: x.shape[0], : x.shape[1]] for heat, x in zip(maps, own)]
    flat = [np.concatenate([heat.ravel() for heat in some]) for some in (own, maps)]
    return compare_maps(*flat)


def _about_graph(graph: Path) -> dict[str, Any]:
    return {
        "format": "onnx",
        "opset": OPSET,
        "file": graph.name,
        "file_sha256": sha256_file(graph),
    }


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")
