"""Tensor function of a detector for ONNX, and the metadata that a scorer without augan needs."""

from collections.abc import Callable
from typing import Any

from augan.bundle import Bundle
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.tiles import MAX_LONG_SIDE, MAX_SHORT_SIDE
from augan.detect.conformal.calibration import Calibration
from augan.detect.conformal.decision import achievable_rate
from augan.detect.conformal.guarantee import guarantee_void_reason
from augan.detect.detector import Detector
from augan.detect.ignore_mask import IgnoreMask
from augan.export.preprocessing_graph import MIN_SIDE, normalize
from augan.gan import Tensor, tf

IMAGES_INPUT, FILLED_INPUT = "images", "filled_images"
RESIZE_METHOD = "by Pillow, channels in mode F, then rounded: BOX to fewer pixels, BILINEAR to more"
LETTERBOX_RULE = (
    "L is the longer side: kept if size / 2 < L <= size, else max(1, round(side * size / L)); then "
    "centered in the square, an odd pixel below or right, edge pixels repeated outward"
)
TILED_RULE = "max(1, round(side * min(1, shortest / the shorter, longest / the longer)))"


def input_name(bundle: Bundle) -> str:
    """Return the name of the input of a detector's graph.

    The name is "images". With an ignore mask it is "filled_images", as a reminder that the caller
    must fill the ignored pixels first.
    """
    return IMAGES_INPUT if IgnoreMask.from_bundle(bundle) is None else FILLED_INPUT


def detector_graph(
    detector: Detector, name: str = IMAGES_INPUT
) -> tuple[Callable[[Tensor], dict[str, Tensor]], list[Any]]:
    """Return the tensor function that maps decoded images to anomaly scores, for `to_onnx`.

    Parameters
    ----------
    detector : Detector
        A detector of images whose method is not iterative.
    name : str
        Name of the graph's input.

    Returns
    -------
    function : callable
        Decoded images -> dict with "score", float64 `[B]`, and "map", float32 `[B, H, W, 1]`, if
        the method exports anomaly maps.
    specs : list of tf.TensorSpec
        Spec of the input: `[None, S, S, C]`, or `[1, None, None, C]` for large images, in the pixel
        type of the training images.
    """
    preprocessing: Any = detector.preprocessing
    method = detector.method

    def score(images: Tensor) -> dict[str, Tensor]:
        components, anomaly_map = method.call(normalize(preprocessing, images))
        outputs = {"score": tf.reduce_sum(components, axis=1)}
        return outputs if anomaly_map is None else {**outputs, "map": anomaly_map}

    shape: tuple[int | None, ...] = (None, *preprocessing.sample_shape)
    if not preprocessing.has_fixed_size:
        shape = (1, None, None, preprocessing.channels)
    return score, [tf.TensorSpec(shape, preprocessing.dtype, name=name)]


def describe_detector(bundle: Bundle, detector: Detector, has_map: bool) -> dict[str, Any]:
    """Return the JSON-able metadata with which a program uses the detector's graph without augan.

    Parameters
    ----------
    bundle : Bundle
    detector : Detector
        The exported detector, calibrated.
    has_map : bool
        Whether the graph returns anomaly maps.

    Returns
    -------
    dict
        Method, input (shape, pixel type, resizing), outputs, false-alarm rate, threshold,
        guarantee, calibration scores, and "warning" if the rate is not the requested one.

    Raises
    ------
    BundleError
        If the detector was never calibrated.
    """
    calibration = detector.require_calibration()
    preprocessing: Any = detector.preprocessing
    rate, warnings = achievable_rate(bundle, calibration, preprocessing.sample_type)
    void_reason = guarantee_void_reason(bundle)
    metadata: dict[str, Any] = {
        "method": detector.method.name,
        "input": _describe_input(preprocessing, input_name(bundle)),
        "output": {"score": "float64 [N], higher = more anomalous"},
        "rate": rate,
        "threshold": calibration.threshold(rate),
        "flagged": "score > threshold",
        "guarantee": void_reason or calibration.guarantee(rate).sentence,
        "p_value": "(1 + number of calibration_scores >= score) / (1 + number of them)",
        "calibration_scores": calibration.scores.tolist(),
    }
    if warnings:
        metadata["warning"] = "; ".join(warnings)
    if has_map:
        metadata["output"]["map"] = "float32 [N, H, W, 1], higher = more anomalous"
        if not preprocessing.has_fixed_size:
            side = detector.method.map_stride
            metadata["output"]["map"] += f", a value for each {side} x {side} pixels"
        metadata["map"] = _describe_map(detector.map_calibration, rate, void_reason is None)
    return metadata


def _describe_map(
    calibration: Calibration | None, rate: float, is_guaranteed: bool
) -> dict[str, Any] | None:
    """Return the rate and threshold of significant map pixels; None without a calibration.

    Parameters
    ----------
    calibration : Calibration or None
        Calibration of the map maxima.
    rate : float
        Requested share of normal images with a significant pixel; raised to the smallest rate that
        the calibration supports.
    is_guaranteed : bool
        Whether the text may state that share as an upper bound.
    """
    if calibration is None:
        return None
    rate = max(rate, calibration.min_rate)
    threshold = calibration.threshold(rate)
    significant = "map > threshold"
    if is_guaranteed:
        significant += "; on average at most this fraction of normal images has a significant pixel"
    return {"rate": rate, "threshold": threshold, "significant": significant}


def _describe_input(preprocessing: ImagePreprocessing, name: str) -> dict[str, Any]:
    """Return the metadata of the graph's input: name, shape, pixel type and resizing rules."""
    size, channels = preprocessing.size, preprocessing.channels
    metadata: dict[str, Any] = {
        "name": name,
        "dtype": preprocessing.dtype,
        "shape": ["N", size, size, channels],
        "mode": "L" if channels == 1 else "RGB",
        "values": "as decoded; the graph normalizes them",
        "resize_method": RESIZE_METHOD,
    }
    if not preprocessing.has_fixed_size:
        metadata |= {"shape": [1, "H", "W", channels], "min_side": MIN_SIDE, "size": None}
        return metadata | {
            "shortest": MAX_SHORT_SIDE,
            "longest": MAX_LONG_SIDE,
            "sides": TILED_RULE,
        }
    return metadata | {"size": size, "sides": LETTERBOX_RULE}
