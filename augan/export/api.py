"""Export of a detector, generator or translator as an ONNX graph, with a parity check."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from augan.augment.generator import GeneratorSampler
from augan.bundle import Bundle, as_bundle, bundle_errors
from augan.bundle.bundle import current_versions
from augan.checks import check_out
from augan.data.modalities.images import ImagePreprocessing
from augan.detect.detector import load_calibrations
from augan.detect.ignore_mask import IgnoreMask
from augan.detect.methods.base import enlarge_map
from augan.detect.methods.registry import get_method, supported_methods
from augan.exceptions import ConfigError
from augan.export.onnx import OPSET, Session, require_onnx, to_onnx
from augan.export.parity import (
    Parity,
    ParitySamples,
    compare_images,
    compare_maps,
    compare_scores,
    load_parity_samples,
    parity_latents,
)
from augan.io.atomic import atomic_folder, check_replaceable, unmanaged_except
from augan.io.hashing import sha256_file
from augan.io.layout import PARITY_FILE

if TYPE_CHECKING:
    from augan.detect.predictor import Predictor

_FORMATS = ("onnx",)
PARTS = ("generator", "detector", "translator", "back_translator")
MASK_SOURCES_FILE = "fill.npy"
EXPORTED_MODALITIES = ("images", "tiles")
TABLE_MESSAGE = (
    "a model of a table cannot be exported: the conversion between columns and network inputs is "
    "not part of the graph; use augan {} for rows"
)


@dataclass(frozen=True)
class ExportResult:
    """Result of `export_onnx`: the written folder and how closely the graph matches augan.

    Attributes
    ----------
    out : Path
        The folder that was written.
    part : str
        The exported part of the bundle, one of `PARTS`.
    method : str
        The exported detection method; "" for other parts.
    files : tuple of str
        Names of the files in the folder, sorted.
    parity : Parity
        Differences between the results of the graph and those of augan.
    warnings : tuple of str
        Messages for the user, for example that parity was measured on synthetic images.
    """

    out: Path
    part: str
    method: str
    files: tuple[str, ...]
    parity: Parity
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as a JSON-able dict; an empty `method` becomes None."""
        return {
            "out": str(self.out),
            "part": self.part,
            "method": self.method or None,
            "files": list(self.files),
            "parity": self.parity.to_dict(),
            "warnings": list(self.warnings),
        }


def export_onnx(
    bundle: Bundle | str | Path,
    part: str,
    out: str | Path | None = None,
    *,
    method: str | None = None,
    training_data: str | Path | None = None,
    format: str = "onnx",
) -> ExportResult:
    """Write a detector, a generator or a translator as an ONNX graph that runs without augan.

    The graph of a detector contains everything between decoded images and scores: normalization,
    networks, nearest neighbors (as a matrix product) and the standardization of score components.
    `<part>.json` holds what a program needs to use the graph (resizing, threshold, calibration
    scores; latent codes, classes), and `parity.json` states how much the graph differs from augan.
    Requires the extra `augan[export]`.

    Parameters
    ----------
    bundle : Bundle or path
        A trained model of images, its file or its run folder; models of tables cannot be exported.
    part : {"generator", "detector", "translator", "back_translator"}
        Which part of the bundle is exported.
    out : path or None
        A new folder, or the folder of an earlier export of this part, which is replaced. None: a
        folder next to the bundle.
    method : str or None
        Method of the detector, one of the bundle that is not iterative; None: the default method.
    training_data : path, str or None
        The data that the bundle was trained on; the graph of a detector or translator is compared
        on its held-out images. None: the path that the bundle records, or synthetic images, with a
        warning, if the data is no longer there. A generator is compared on latent codes.
    format : {"onnx"}
        File format of the graph.

    Returns
    -------
    ExportResult

    Raises
    ------
    RefusedError
        If the results of the graph differ from those of augan. Nothing is written then.
    ConfigError
        If the part, the method or the format cannot be exported, or a package is missing.
    BundleError
        If the bundle lacks the part or the method, its detector was never calibrated, or `out` is
        None and the bundle was never saved.
    DataError
        If `out` holds other files, or the data is not what the bundle was trained on.
    """
    bundle = as_bundle(bundle)
    preprocessing = _check_request(bundle, part, method, training_data, format)
    target = check_out(out) or _default_out(bundle, part, method)
    document, graph_name = f"{part}.json", f"{part}.onnx"
    unmanaged = unmanaged_except(document, graph_name, PARITY_FILE)
    check_replaceable(target.absolute(), unmanaged)
    predictor = samples = None
    if part == "detector":
        from augan.detect.predictor import Predictor

        # Without the ignore mask: whoever runs the graph fills the ignored pixels before.
        predictor = Predictor.from_bundle(bundle, method)
    if part != "generator":
        samples = load_parity_samples(bundle, preprocessing, training_data)
    with atomic_folder(target, unmanaged) as tmp_dir:
        graph = tmp_dir / graph_name
        version = current_versions().get("augan", "")
        header = {"augan": version, "bundle": bundle.bundle_id, "part": part}
        if samples is None:
            metadata, parity = _export_generator(bundle, graph, header)
        elif predictor is None:
            metadata, parity = _export_translator(bundle, part, samples, graph, header)
        else:
            metadata, parity = _export_detector(bundle, predictor, samples, graph, header)
        graph_info = {
            "format": "onnx",
            "opset": OPSET,
            "file": graph_name,
            "file_sha256": sha256_file(graph),
        }
        metadata = {**header, **graph_info, "data": bundle.data.name, **metadata}
        _write_json(tmp_dir / document, metadata)
        _write_json(tmp_dir / PARITY_FILE, parity.to_dict())
        files = tuple(sorted(path.name for path in tmp_dir.iterdir()))
    warnings = [None if samples is None else samples.warning, metadata.get("warning")]
    name = "" if predictor is None else predictor.detector.method.name
    return ExportResult(target, part, name, files, parity, tuple(w for w in warnings if w))


def _check_request(
    bundle: Bundle,
    part: str,
    method: str | None,
    training_data: str | Path | None,
    format: str,
) -> ImagePreprocessing:
    """Check the arguments of `export_onnx` without building networks.

    Returns
    -------
    ImagePreprocessing
        The restored preprocessing of the bundle.

    Raises
    ------
    ConfigError
        If the format or part is unknown, an option does not apply to a generator, the model is of a
        table, the method is iterative or does not score the bundle's samples, or an ONNX package is
        missing.
    BundleError
        If the bundle lacks the part or the method, or its detector was never calibrated.
    """
    if format not in _FORMATS:
        raise ConfigError(f"there is no export format '{format}'; known: {', '.join(_FORMATS)}")
    if part not in PARTS:
        raise ConfigError(f"there is no part '{part}' to export; choose {', '.join(PARTS)}")
    bundle.require(part)
    if part == "generator" and (method is not None or training_data is not None):
        raise ConfigError(
            "`method` and `training_data` apply to detectors; leave them out for `part='generator'`"
        )
    if part != "detector" and method is not None:
        raise ConfigError(f"`method` applies to detectors; leave it out for `part={part!r}`")
    preprocessing = bundle.preprocessing
    if preprocessing.modality not in EXPORTED_MODALITIES:
        raise ConfigError(TABLE_MESSAGE.format("generate" if part == "generator" else "detect"))
    if part == "detector":
        load_calibrations(bundle, method)
        name = bundle.require_detector().method_names[0] if method is None else method
        if get_method(name, preprocessing).is_iterative:
            supported = supported_methods(preprocessing.modality).values()
            others = " or ".join(other.name for other in supported if not other.is_iterative)
            raise ConfigError(
                f"the method '{name}' cannot be exported: it searches for the latent code of each "
                "image by gradient descent, which is not a fixed graph; choose another method "
                f"with --method: {others}"
            )
    require_onnx()
    return preprocessing.require_images()


def _default_out(bundle: Bundle, part: str, method: str | None) -> Path:
    """Return the folder `export-<part>[-<method>]` next to the saved bundle."""
    name = "-".join(["export", part, *([] if method is None else [method])])
    return bundle.saved_path().parent / name


def _export_generator(
    bundle: Bundle, graph: Path, header: dict[str, str]
) -> tuple[dict[str, Any], Parity]:
    """Write the generator's ONNX graph to the file `graph` and compare its images with augan's.

    Returns
    -------
    metadata : dict
        Inputs and outputs, for `generator.json`.
    parity : Parity

    Raises
    ------
    RefusedError
        If the images of the graph differ by more than one gray level.
    """
    from augan.export.generator import describe_generator, generator_graph

    sampler = GeneratorSampler(bundle)
    with bundle_errors(bundle, "generator"):
        content = to_onnx(*generator_graph(sampler), header)
    graph.write_bytes(content)
    latents, classes = parity_latents(sampler)
    inputs = [latents]
    if sampler.conditional:
        inputs.append(np.eye(len(sampler.class_names), dtype=np.float32)[classes])
    graph_images = Session(graph)(*inputs)["images"]
    images, span = (
        sampler.decode(latents, classes),
        sampler.preprocessing.require_images().prepared_span,
    )
    parity = compare_images(images, graph_images, span, f"{len(images)} latent codes")
    return describe_generator(sampler), parity


def _export_translator(
    bundle: Bundle, part: str, samples: ParitySamples, graph: Path, header: dict[str, str]
) -> tuple[dict[str, Any], Parity]:
    """Write the ONNX graph of a translator to the file `graph` and compare its images with augan's.

    The graph of the translator back is compared on images that augan has translated to the new
    camera.

    Returns
    -------
    metadata : dict
        Inputs and outputs, for `translator.json`.
    parity : Parity

    Raises
    ------
    RefusedError
        If the images of the graph differ by more than one gray level.
    """
    from augan.export.translator import TRANSLATOR_PARTS, describe_translator, translator_graph
    from augan.translate.translator import Translator

    translator, direction = Translator.from_bundle(bundle), TRANSLATOR_PARTS[part]
    before, after = translator.cameras(direction)
    with bundle_errors(bundle, part):
        content = to_onnx(*translator_graph(bundle, part, before, after), header)
    graph.write_bytes(content)
    images, compared = np.asarray(samples.decoded), samples.description
    keys = range(len(images))
    if direction == "new-to-old":
        images = translator.translate_prepared(images, keys)
        compared = f"translations of {compared}"
    inputs = [images]
    if direction == "old-to-new":
        inputs.append(translator.noise(keys, before.sample_shape[:2], seed=0))
    graph_images = Session(graph)(*inputs)["translated"]
    expected = translator.translate_prepared(images, keys, direction=direction)
    parity = compare_images(expected, graph_images, after.prepared_span, compared)
    return describe_translator(part, before, after), parity


def _export_detector(
    bundle: Bundle,
    predictor: "Predictor",
    samples: ParitySamples,
    graph: Path,
    header: dict[str, str],
) -> tuple[dict[str, Any], Parity]:
    """Write the detector's ONNX graph to the file `graph` and compare its results with augan's.

    If the bundle has an ignore mask, `MASK_SOURCES_FILE` is written next to the graph.

    Returns
    -------
    metadata : dict
        Input, outputs, threshold and calibration scores, for `detector.json`.
    parity : Parity

    Raises
    ------
    RefusedError
        If scores, decisions or maps of the graph differ by more than the tolerances.
    """
    from augan.export.detector import describe_detector, detector_graph, input_name

    detector = predictor.detector
    with bundle_errors(bundle, "detector"):
        content = to_onnx(*detector_graph(detector, input_name(bundle)), header)
    graph.write_bytes(content)
    session = Session(graph)
    is_large = not detector.preprocessing.has_fixed_size
    batches = [image[None] for image in samples.decoded] if is_large else [samples.decoded]
    outputs = [session(batch) for batch in batches]
    has_map = "map" in outputs[0]
    metadata = describe_detector(bundle, detector, has_map)
    scored = list(predictor.score_batches(samples.decoded, maps=has_map))
    parity = compare_scores(
        np.concatenate([batch.scores for batch in scored]),
        np.concatenate([output["score"] for output in outputs]),
        detector.require_calibration(),
        metadata["rate"],
        samples.description,
    )
    if has_map:
        maps = [one for batch in scored for one in batch.maps]
        graph_maps = [anomaly_map for output in outputs for anomaly_map in output["map"]]
        if is_large:
            stride = detector.method.map_stride
            graph_maps = [enlarge_map(x, stride, y.shape) for x, y in zip(graph_maps, maps)]
        difference = compare_maps(*map(_concatenated, (maps, graph_maps)))
        parity = replace(parity, map_difference=difference)
    ignore_mask = IgnoreMask.from_bundle(bundle)
    if ignore_mask is not None:
        np.save(graph.parent / MASK_SOURCES_FILE, ignore_mask.source_indices)
        shape = list(ignore_mask.mask.shape)
        metadata["ignore_mask"] = {"file": MASK_SOURCES_FILE, "shape": shape}
    return metadata, parity


def _concatenated(maps: list[np.ndarray]) -> np.ndarray:
    """Return the values of all maps in one dimension."""
    return np.concatenate([one.ravel() for one in maps])


def _write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a dict as an indented JSON file; NaN and infinity raise ValueError."""
    path.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")
