"""Construction of networks from specs.

A *spec* is a JSON-able description of a network. Only the registry `augan.choices.ARCHITECTURES`
turns a spec into a Keras model, so no code and no class name ever comes from a file. A new
architecture is one file in this package.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras

from augan.choices import ARCHITECTURES
from augan.exceptions import ConfigError
from augan.gan.networks.layers import limit_size


def network_spec(architecture: str, role: str, **arguments: Any) -> dict[str, Any]:
    """Return the JSON-able description of a network, the input of `build_network`.

    Parameters
    ----------
    architecture, role : str
        Name in `augan.choices.ARCHITECTURES`, such as "dcgan"; role, such as "generator".
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
        Type in which layers compute. Weights, and the outputs of generators and discriminators, are
        always float32.
    max_variable_size : int or None
        Largest number of values of one variable, for specs from untrusted files. A larger variable
        is an error and is never allocated. None: no limit.

    Raises
    ------
    ConfigError
        The registry has no such architecture in that role, or the arguments do not fit it.
    """
    name, role = str(spec.get("architecture")), str(spec.get("role"))
    if name not in ARCHITECTURES or role not in ARCHITECTURES.get(name).roles:
        available = ", ".join(f"{entry.name} {r}" for entry in ARCHITECTURES for r in entry.roles)
        raise ConfigError(f"there is no network '{name} {role}'; available: {available}")
    builder = ARCHITECTURES.load(name)[role]
    smallest = ARCHITECTURES.get(name).min_size
    try:
        arguments = dict(spec.get("arguments", {}))
        shape = tuple(arguments.pop("image_shape"))
        if len(shape) == 3 and min(shape[:2]) < smallest:
            raise ValueError(f"images need at least {smallest} pixels a side, got {min(shape[:2])}")
        with limit_size(max_variable_size), _dtype_policy(dtype):
            return builder(shape, **arguments)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the {name} {role} cannot be built: {error}") from error


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
