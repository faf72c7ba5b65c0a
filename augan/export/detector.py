"""A detector as a graph, and all that a scorer without augan must know beside it."""

from collections.abc import Callable
from typing import Any

from augan.bundle import Bundle
from augan.data.modalities.images import ImagePreprocessing
from augan.data.modalities.tiles import LONGEST, SHORTEST, TiledPreprocessing
from augan.detect.conformal.calibration import Calibration
from augan.detect.conformal.decision import achievable_rate
from augan.detect.conformal.guarantee import guarantee_void_reason
from augan.detect.detector import Detector
from augan.detect.ignore_mask import IgnoreMask
from augan.detect.methods.registry import get_method_spec
from augan.exceptions import ConfigError
from augan.export.preprocessing_graph import LEAST_SIDE, scaled
from augan.gan import tf

Tensor = Any

IMAGES, FILLED = "images", "filled_images"
_RESIZED = "by Pillow, channels in mode F, then rounded: BOX to fewer pixels, BILINEAR to more"
_SQUARE = (
    "L is the longer: kept if size / 2 < L <= size, else max(1, round(side * size / L)); then "
    "centred in the square, an odd pixel below or right, edge pixels repeated outward"
)
_AT_SCALE = "max(1, round(side * min(1, shortest / the shorter, longest / the longer)))"


def exportable(bundle: Bundle, method: str | None) -> Detector:
    """Return a calibrated detector that can leave augan as a graph.

    Raises
    ------
    BundleError
        If the bundle has none, or not this one, or it was never calibrated.
    ConfigError
        If it searches.
    """
    detector = Detector.from_bundle(bundle, method)
    detector.require_calibration()
    name = detector.method.name
    if get_method_spec(name, detector.preprocessing).is_iterative:
        raise ConfigError(
            f"the method '{name}' cannot be exported: it searches for the code of each image in "
            "hundreds of steps of gradient descent, which is no fixed graph; name another method "
            "with --method, such as fanogan, whose encoder finds the code at once"
        )
    return detector


def input_name(bundle: Bundle) -> str:
    """Return what the graph calls its input.

    Not `images` where pixels are ignored, so that nobody forgets to fill these first.
    """
    return IMAGES if IgnoreMask.from_bundle(bundle) is None else FILLED


def detector_graph(
    detector: Detector, name: str = IMAGES
) -> tuple[Callable[[Tensor], dict[str, Tensor]], list[Any]]:
    """Return a function of decoded images -> `score` and perhaps `map`, and what it takes."""
    preprocessing: Any = detector.preprocessing
    method: Any = detector.method

    def judged(images: Tensor) -> dict[str, Tensor]:
        components, heat = method.call(scaled(preprocessing, images))
        found = {"score": tf.reduce_sum(components, axis=1)}
        return found if heat is None else {**found, "map": heat}

    shape: tuple[int | None, ...] = (None, *preprocessing.sample_shape)
    if isinstance(preprocessing, TiledPreprocessing):
        shape = (1, None, None, preprocessing.channels)
    return judged, [tf.TensorSpec(shape, preprocessing.dtype, name=name)]


def describe_detector(bundle: Bundle, detector: Detector, has_map: bool) -> dict[str, Any]:
    """Return what to know of input, scores and decisions, JSON-able."""
    calibration = detector.require_calibration()
    preprocessing: Any = detector.preprocessing
    rate, warnings = achievable_rate(bundle, calibration, preprocessing.sample_type)
    about: dict[str, Any] = {
        "method": detector.method.name,
        "input": _describe_input(preprocessing, input_name(bundle)),
        "output": {"score": "float64 [N], higher = more anomalous"},
        "rate": rate,
        "threshold": calibration.threshold(rate),
        "flagged": "score > threshold",
        "guarantee": guarantee_void_reason(bundle) or calibration.guarantee(rate).sentence,
        "p_value": "(1 + number of calibration_scores >= score) / (1 + number of them)",
        "calibration_scores": calibration.scores.tolist(),
    }
    if warnings:
        about["warning"] = "; ".join(warnings)
    if has_map:
        about["output"]["map"] = "float32 [N, H, W, 1], higher = more anomalous"
        if isinstance(preprocessing, TiledPreprocessing):
            about["output"]["map"] += ", a place for each 4 x 4 pixels"
        is_promised = guarantee_void_reason(bundle) is None
        about["map"] = _describe_map(detector.map_calibration, rate, is_promised)
    return about


def _describe_map(
    line: Calibration | None, rate: float, is_promised: bool
) -> dict[str, Any] | None:
    if line is None:
        return None
    rate = max(rate, line.min_rate)
    promise = "; on average at most this share of good images has a hot place" * is_promised
    return {"rate": rate, "threshold": line.threshold(rate), "hot": f"map > threshold{promise}"}


def _describe_input(preprocessing: ImagePreprocessing, name: str) -> dict[str, Any]:
    size, channels = preprocessing.size, preprocessing.channels
    about: dict[str, Any] = {
        "name": name,
        "dtype": preprocessing.dtype,
        "shape": ["N", size, size, channels],
        "mode": "L" if channels == 1 else "RGB",
        "values": "as decoded; the graph scales them",
        "resized": _RESIZED,
    }
    if isinstance(preprocessing, TiledPreprocessing):
        about |= {"shape": [1, "H", "W", channels], "least_side": LEAST_SIDE}
        return about | {"size": None, "shortest": SHORTEST, "longest": LONGEST, "sides": _AT_SCALE}
    return about | {"size": size, "sides": _SQUARE}
