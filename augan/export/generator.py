"""Tensor function of a generator for ONNX, and the metadata of its inputs and outputs."""

from collections.abc import Callable
from typing import Any

from augan.augment.generator import GeneratorSampler
from augan.bundle import restore_network
from augan.data.modalities.images import letterbox_padding, letterbox_shape
from augan.export.preprocessing_graph import denormalize
from augan.gan import Tensor, tf

PRIOR_DESCRIPTIONS = {
    "normal": "independent standard normal numbers",
    "uniform": "independent numbers, uniform from -1 to 1",
}


def generator_graph(
    sampler: GeneratorSampler,
) -> tuple[Callable[..., dict[str, Tensor]], list[Any]]:
    """Return the tensor function that maps latent codes to images, for `to_onnx`.

    Parameters
    ----------
    sampler : GeneratorSampler
        The bundle's generator with its preprocessing.

    Returns
    -------
    function : callable
        Noise `[B, Z]` and, for a conditional generator, class weights `[B, K]` -> dict with
        "images" in the pixel type and range of prepared images.
    specs : list of tf.TensorSpec
        Float32 inputs "noise" and, for a conditional generator, "classes".
    """
    network = restore_network(sampler.bundle, "generator")
    preprocessing = sampler.preprocessing.require_images()

    def generate(*inputs: Tensor) -> dict[str, Tensor]:
        images = network(list(inputs) if sampler.conditional else inputs[0], training=False)
        return {"images": denormalize(preprocessing, images)}

    sizes = [x.shape[-1] for x in network.inputs]
    specs = [
        tf.TensorSpec((None, size), tf.float32, name=name)
        for name, size in zip(("noise", "classes"), sizes)
    ]
    return generate, specs


def describe_generator(sampler: GeneratorSampler) -> dict[str, Any]:
    """Return the JSON-able metadata with which a program uses the generator's graph without augan.

    The metadata names shapes, types and distributions of the inputs, the class names, the type and
    shape of the images, and the crop that removes letterbox borders if all training images had one
    size.
    """
    preprocessing = sampler.preprocessing.require_images()
    noise = {
        "dtype": "float32",
        "shape": ["N", sampler.latent_dim],
        "values": PRIOR_DESCRIPTIONS.get(sampler.latent_prior, sampler.latent_prior),
    }
    metadata: dict[str, Any] = {"input": {"noise": noise}}
    if sampler.conditional:
        metadata["input"]["classes"] = {
            "dtype": "float32",
            "shape": ["N", len(sampler.class_names)],
            "values": "1 for the class, 0 for the others; weights with a sum of 1 mix classes",
            "names": sampler.class_names,
        }
    dtype, shape = preprocessing.prepared_dtype, preprocessing.sample_shape
    metadata["output"] = {"images": f"{dtype} [N, {', '.join(map(str, shape))}]"}
    original_shape = preprocessing.original_shape
    if original_shape is not None and preprocessing.has_fixed_size:
        height, width = letterbox_shape(original_shape[0], original_shape[1], preprocessing.size)
        (top, _), (left, _) = letterbox_padding(height, width, preprocessing.size)
        metadata["training_images"] = {
            "height": original_shape[0],
            "width": original_shape[1],
            "crop": {"top": top, "left": left, "height": height, "width": width},
        }
    return metadata
