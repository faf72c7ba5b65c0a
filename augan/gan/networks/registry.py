"""Registry of network architectures, and construction of networks from specs.

A *spec* is a JSON-able description of a network. Only the table `NETWORKS` turns a spec into a
Keras model, so no code and no class name ever comes from a file. A new architecture is one file in
this package and its entries in `NETWORKS`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras

from augan.exceptions import ConfigError
from augan.gan.networks.classifier import cnn_classifier
from augan.gan.networks.dcgan import (
    dcgan_discriminator,
    dcgan_encoder,
    dcgan_generator,
    dcgan_upsampling_generator,
)
from augan.gan.networks.heads import localization_head, transformation_head
from augan.gan.networks.layers import limit_size
from augan.gan.networks.mlp import mlp_classifier, mlp_discriminator, mlp_encoder, mlp_generator

NETWORKS: dict[tuple[str, str], Callable[..., keras.Model]] = {
    ("mlp", "generator"): mlp_generator,
    ("mlp", "discriminator"): mlp_discriminator,
    ("mlp", "encoder"): mlp_encoder,
    ("dcgan", "generator"): dcgan_generator,
    ("dcgan", "discriminator"): dcgan_discriminator,
    ("dcgan", "encoder"): dcgan_encoder,
    ("dcgan-upsampling", "generator"): dcgan_upsampling_generator,
    ("dcgan-upsampling", "discriminator"): dcgan_discriminator,
    ("dcgan-upsampling", "encoder"): dcgan_encoder,
    ("mlp", "classifier"): mlp_classifier,
    ("cnn", "classifier"): cnn_classifier,
    ("linear", "transformation_head"): transformation_head,
    ("convolutional", "localization_head"): localization_head,
}


def network_spec(architecture: str, role: str, **arguments: Any) -> dict[str, Any]:
    """Return the JSON-able description of a network, the input of `build_network`.

    Parameters
    ----------
    architecture, role : str
        A key of `NETWORKS`, such as "dcgan" and "generator".
    **arguments : JSON-able
        Arguments of the architecture's builder; `image_shape` is the shape of one sample.
    """
    return {"architecture": architecture, "role": role, "arguments": arguments}


def build_network(
    spec: Mapping[str, Any], dtype: str = "float32", max_variable_size: int | None = None
) -> keras.Model:
    """Build the untrained network that a spec describes.

    Parameters
    ----------
    spec : mapping
        The result of `network_spec`.
    dtype : {"float32", "bfloat16"}
        Type in which layers compute. Weights and the network's outputs are always float32.
    max_variable_size : int or None
        Largest number of values of one variable, for specs from untrusted files. A larger variable
        is an error and is never allocated. None: no limit.

    Raises
    ------
    ConfigError
        The registry has no such architecture in that role, or the arguments do not fit it.
    """
    key = (str(spec.get("architecture")), str(spec.get("role")))
    builder = NETWORKS.get(key)
    if builder is None:
        available = ", ".join(f"{a} {r}" for a, r in sorted(NETWORKS))
        raise ConfigError(f"there is no network '{key[0]} {key[1]}'; available: {available}")
    try:
        arguments = dict(spec.get("arguments", {}))
        with limit_size(max_variable_size), _dtype_policy(dtype):
            return builder(tuple(arguments.pop("image_shape")), **arguments)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the {key[0]} {key[1]} cannot be built: {error}") from error


@contextmanager
def _dtype_policy(dtype: str) -> Iterator[None]:
    """Set Keras' dtype policy for layers that are built in the block, and restore it afterwards.

    "bfloat16" gives mixed precision: layers compute in bfloat16 with float32 weights.
    """
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if dtype == "bfloat16" else dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)


def feature_blocks(discriminator: keras.Model) -> keras.Model:
    """Return a model of the discriminator's intermediate activations, with shared weights.

    Images `[N, H, W, C]` (or rows `[N, F]`) -> list of the activations of `block_0`, `block_1`, ...
    """
    blocks = [layer.output for layer in discriminator.layers if layer.name.startswith("block_")]
    return keras.Model(discriminator.inputs[0], blocks, name="feature_blocks")


def logits_and_blocks(discriminator: keras.Model, count: int) -> keras.Model:
    """Return a model of the discriminator's logits and last blocks, with shared weights.

    Images (and classes) -> list of the logits `[N, 1]` and the activations of the last `count`
    blocks; a `count` of 0 means all blocks.
    """
    blocks = feature_blocks(discriminator).outputs[-count:]
    return keras.Model(discriminator.inputs, [discriminator.output, *blocks])
