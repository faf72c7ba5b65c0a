"""A generator as a graph, and what its inputs mean."""

from collections.abc import Callable
from typing import Any

from augan.augment.methods.prior import GeneratorSampler
from augan.bundle import restore_network
from augan.data.modalities.images import letterbox_padding, letterbox_shape
from augan.data.modalities.tiles import TiledPreprocessing
from augan.export.preprocessing_graph import unscaled
from augan.gan import tf

Tensor = Any

_DRAWN = {
    "normal": "independent standard normal numbers",
    "uniform": "independent numbers, uniform from -1 to 1",
}


def generator_graph(
    sampler: GeneratorSampler,
) -> tuple[Callable[..., dict[str, Tensor]], list[Any]]:
    """Return a function of noise, and perhaps of classes, -> `images`, and what it takes."""
    network = restore_network(sampler.bundle, "generator")
    preprocessing: Any = sampler.preprocessing

    def drawn(*codes: Tensor) -> dict[str, Tensor]:
        images = network(list(codes) if sampler.conditional else codes[0], training=False)
        return {"images": unscaled(preprocessing, images)}

    sizes = [x.shape[-1] for x in network.inputs]
    specs = [
        tf.TensorSpec((None, size), tf.float32, name=name)
        for name, size in zip(("noise", "classes"), sizes)
    ]
    return drawn, specs


def describe_generator(sampler: GeneratorSampler) -> dict[str, Any]:
    """Return what to know of codes and images, JSON-able."""
    preprocessing: Any = sampler.preprocessing
    noise = {
        "dtype": "float32",
        "shape": ["N", sampler.latent_dim],
        "values": _DRAWN.get(sampler.latent_prior, sampler.latent_prior),
    }
    about: dict[str, Any] = {"input": {"noise": noise}}
    if sampler.conditional:
        about["input"]["classes"] = {
            "dtype": "float32",
            "shape": ["N", len(sampler.class_names)],
            "values": "1 at the class, 0 elsewhere; shares that add up to 1 mix classes",
            "names": sampler.class_names,
        }
    dtype = preprocessing.prepared_dtype
    about["output"] = {"images": f"{dtype} [N, {', '.join(map(str, preprocessing.sample_shape))}]"}
    shape = preprocessing.original_shape
    if shape is not None and not isinstance(preprocessing, TiledPreprocessing):
        height, width = letterbox_shape(shape[0], shape[1], preprocessing.size)
        (top, _), (left, _) = letterbox_padding(height, width, preprocessing.size)
        cut = {"top": top, "left": left, "height": height, "width": width}
        about["training_images"] = {"height": shape[0], "width": shape[1], "cut": cut}
    return about
