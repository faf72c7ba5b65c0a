"""Tensor function of a translator for ONNX, and the metadata of its inputs and outputs."""

from collections.abc import Callable
from typing import Any

from augan.bundle import Bundle, restore_network
from augan.data.modalities.images import ImagePreprocessing
from augan.export.preprocessing_graph import denormalize, normalize
from augan.gan import Tensor, tf
from augan.gan.translation import NOISE_BLOCKS
from augan.translate.request import Direction

# Part of a bundle that is exported -> direction of the translation.
TRANSLATOR_PARTS: dict[str, Direction] = {
    "translator": "old-to-new",
    "back_translator": "new-to-old",
}
NOISE_DESCRIPTION = (
    "independent standard normal numbers; channel i is constant in squares of "
    f"{', '.join(map(str, NOISE_BLOCKS))} pixels a side"
)


def translator_graph(
    bundle: Bundle, part: str, before: ImagePreprocessing, after: ImagePreprocessing
) -> tuple[Callable[..., dict[str, Tensor]], list[Any]]:
    """Return the tensor function that translates images, for `to_onnx`.

    Parameters
    ----------
    bundle : Bundle
    part : {"translator", "back_translator"}
        Network of the bundle.
    before, after : ImagePreprocessing
        Preprocessing of the images before and after the translation.

    Returns
    -------
    function : callable
        Prepared images `[N, S, S, C]` and, for the translator, noise `[N, S, S, 4]` -> dict with
        "translated", prepared images of the other camera.
    specs : list of tf.TensorSpec
        Inputs "images" and, for the translator, "noise" of float32.
    """
    network = restore_network(bundle, part)
    has_noise = len(network.inputs) > 1

    def translate(*inputs: Tensor) -> dict[str, Tensor]:
        images = normalize(before, inputs[0])
        outputs = network([images, inputs[1]] if has_noise else images, training=False)
        # Named unlike the input, because tf2onnx gives both one name space.
        return {"translated": denormalize(after, outputs)}

    size, dtype = before.side, tf.as_dtype(before.prepared_dtype)
    specs = [tf.TensorSpec((None, *before.sample_shape), dtype, name="images")]
    if has_noise:
        shape = (None, size, size, len(NOISE_BLOCKS))
        specs.append(tf.TensorSpec(shape, tf.float32, name="noise"))
    return translate, specs


def describe_translator(
    part: str, before: ImagePreprocessing, after: ImagePreprocessing
) -> dict[str, Any]:
    """Return the JSON-able metadata with which a program uses the graph without augan."""

    def text(preprocessing: ImagePreprocessing) -> str:
        shape = ", ".join(map(str, preprocessing.sample_shape))
        return f"{preprocessing.prepared_dtype} [N, {shape}]"

    inputs: dict[str, Any] = {"images": text(before)}
    if part == "translator":
        inputs["noise"] = {
            "dtype": "float32",
            "shape": ["N", before.side, before.side, len(NOISE_BLOCKS)],
            "values": NOISE_DESCRIPTION,
        }
    return {
        "direction": TRANSLATOR_PARTS[part],
        "input": inputs,
        "output": {"translated": text(after)},
        "range": {
            name: [preprocessing.low, preprocessing.high]
            for name, preprocessing in (("input", before), ("output", after))
        },
    }
