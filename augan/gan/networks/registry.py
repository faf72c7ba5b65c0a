"""The table of networks: a new architecture is one file here and its lines in `NETWORKS`.

A network is described by a JSON-able *spec*, and only this table turns a spec into a Keras model:
no code or class name ever comes out of a file.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras

from augan.exceptions import ConfigError
from augan.gan.networks import classifier, dcgan, heads, layers, mlp

NETWORKS: dict[tuple[str, str], Callable[..., keras.Model]] = {
    ("mlp", "generator"): mlp.generator,
    ("mlp", "discriminator"): mlp.discriminator,
    ("mlp", "encoder"): mlp.encoder,
    ("dcgan", "generator"): dcgan.generator,
    ("dcgan", "discriminator"): dcgan.discriminator,
    ("dcgan", "encoder"): dcgan.encoder,
    ("dcgan-upsampling", "generator"): dcgan.upsampling_generator,
    ("dcgan-upsampling", "discriminator"): dcgan.discriminator,
    ("dcgan-upsampling", "encoder"): dcgan.encoder,
    ("mlp", "classifier"): mlp.classifier,
    ("cnn", "classifier"): classifier.classifier,
    ("linear", "heads"): heads.heads,
    ("convolutional", "places"): heads.places,
}


def network_spec(architecture: str, role: str, **arguments: Any) -> dict[str, Any]:
    """Return the JSON-able description that `build_network` turns into a model."""
    return {"architecture": architecture, "role": role, "arguments": arguments}


def build_network(
    spec: Mapping[str, Any], dtype: str = "float32", most: int | None = None
) -> keras.Model:
    """Build the untrained network that `spec` describes.

    Parameters
    ----------
    dtype : {"float32", "bfloat16"}
        In which layers compute; weights and the network's outputs are float32 in any case.
    most : int or None
        How many values one of its variables may have, where the spec may be anybody's: nothing
        larger is made.

    Raises
    ------
    ConfigError
        If the table has no such architecture in that role, or the arguments do not fit it.
    """
    key = (str(spec.get("architecture")), str(spec.get("role")))
    builder = NETWORKS.get(key)
    if builder is None:
        known = ", ".join(f"{a} {r}" for a, r in sorted(NETWORKS))
        raise ConfigError(f"there is no network '{key[0]} {key[1]}'; known are: {known}")
    try:
        arguments = dict(spec.get("arguments", {}))
        with layers.at_most(most), _computing_in(dtype):
            return builder(tuple(arguments.pop("image_shape")), **arguments)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the {key[0]} {key[1]} cannot be built: {error}") from error


@contextmanager
def _computing_in(dtype: str) -> Iterator[None]:
    """Give layers that are made inside a policy, which Keras keeps for the whole process."""
    former = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if dtype == "bfloat16" else dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(former)


def feature_blocks(discriminator: keras.Model) -> keras.Model:
    """Return images -> list of the activations of `block_0`, `block_1`, ... (weights shared)."""
    layers = [layer.output for layer in discriminator.layers if layer.name.startswith("block_")]
    return keras.Model(discriminator.inputs[0], layers, name="feature_blocks")


def logits_and_blocks(discriminator: keras.Model, count: int) -> keras.Model:
    """Return images (and classes) -> logits and the `count` last blocks, with 0 all of them."""
    layers = feature_blocks(discriminator).outputs[-count:]
    return keras.Model(discriminator.inputs, [discriminator.output, *layers])
