"""What architectures share: how weights begin, how classes enter, how networks end.

Every layer has a name of its own, and its first weights depend on that name and the seed only.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from augan.gan import replicas
from augan.gan.networks.batchnorm import BatchNormalization
from augan.gan.networks.spectral import SpectralConv2D, SpectralDense
from augan.gan.networks.strided import Conv2D
from augan.seeding import child_seed

NORMS = ("none", "batch", "layer", "spectral")
Trunk = Callable[..., Any]  # samples, width, norm, dropout, seed -> features [N, F]
# Of a generator's statistics, which move once an update: at Keras's 0.99 they are so far behind the
# weights that what is drawn after 300 updates looks like less than it is.
MOMENTUM = 0.98
SPECTRAL = {Conv2D: SpectralConv2D, layers.Dense: SpectralDense}


Initial = Callable[..., Any]  # a shape -> values
_MOST: ContextVar[int | None] = ContextVar("most values of a variable", default=None)


@contextmanager
def at_most(values: int | None) -> Iterator[None]:
    """Refuse to begin any weights with more values inside of this block: ValueError."""
    token = _MOST.set(values)
    try:
        yield
    finally:
        _MOST.reset(token)


def bounded(initial: Initial) -> Initial:
    """Return how weights begin, heeding `at_most`."""

    def values(shape: tuple[int, ...], dtype: Any = None) -> Any:
        most = _MOST.get()
        if most is not None and math.prod(shape) > most:
            raise ValueError(f"weights of shape {list(shape)} are more than the {most} expected")
        return initial(shape, dtype=dtype)

    return values


def normal(seed: int, name: str, stddev: float = 0.02) -> Initial:
    """Return N(0, stddev) weights, DCGAN's 0.02 unless told."""
    child = child_seed(seed, "weights", name)
    return bounded(keras.initializers.RandomNormal(0.0, stddev, seed=child))


def he(seed: int, name: str) -> Initial:
    """Return weights that keep the variance through ReLU (He et al. 2015), for dense networks."""
    return bounded(keras.initializers.HeNormal(child_seed(seed, "weights", name)))


def layer(kind: type, norm: str, seed: int) -> Callable[..., keras.layers.Layer]:
    """Return `kind`, spectrally normalised if `norm` says so."""
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}, got {norm!r}")
    return partial(SPECTRAL[kind], seed=seed) if norm == "spectral" else kind


def generator_inputs(
    latent_dim: int, num_classes: int, conditioning: str, seed: int
) -> tuple[Any, Any, Any]:
    """Return a generator's inputs, what its first layer sees, and what modulates its norms.

    `conditioning` is "norm", by the scale and shift of normalisation, or "embedding", beside the
    noise.
    """
    if conditioning not in ("norm", "embedding"):
        raise ValueError(f"conditioning must be norm or embedding, got {conditioning!r}")
    noise, classes = keras.Input((latent_dim,), name="noise"), class_input(num_classes)
    inputs = noise if classes is None else [noise, classes]
    if conditioning == "norm":
        return inputs, noise, classes
    return inputs, joined(noise, classes, latent_dim, seed), None


def class_input(num_classes: int) -> Any:
    """Return the input of class weights `[N, num_classes]`, or None."""
    return keras.Input((num_classes,), name="classes") if num_classes else None


def joined(noise: Any, classes: Any, units: int, seed: int) -> Any:
    """Return the noise with an embedding of the class beside it (Mirza and Osindero 2014)."""
    if classes is None:
        return noise
    embed = layers.Dense(
        units, use_bias=False, name="embed", kernel_initializer=normal(seed, "embed", 1.0)
    )
    return layers.Concatenate(name="condition")([noise, embed(classes)])


def normalised(x: Any, classes: Any, name: str) -> Any:
    """Batch normalisation and ReLU; with classes, each has its own scale and shift.

    Conditional batch normalisation (Dumoulin et al. 2017; Miyato and Koyama 2018): what the class
    does not change comes from the noise alone, so the noise cannot be ignored.
    """
    plain = classes is None
    norm = BatchNormalization(momentum=MOMENTUM, center=plain, scale=plain, name=f"norm_{name}")
    x = norm(x)
    if not plain:
        scale = _per_class(classes, x, f"scale_{name}", 1.0)
        shift = _per_class(classes, x, f"shift_{name}", 0.0)
        x = layers.Multiply(name=f"scaled_{name}")([x, scale])
        x = layers.Add(name=f"shifted_{name}")([x, shift])
    return layers.ReLU(name=f"relu_{name}")(x)


def _per_class(classes: Any, x: Any, name: str, value: float) -> Any:
    units, spread = x.shape[-1], len(x.shape) - 2
    constant = bounded(keras.initializers.Constant(value))
    vector = layers.Dense(units, use_bias=False, name=name, kernel_initializer=constant)(classes)
    return layers.Reshape((1,) * spread + (units,), name=f"{name}_map")(vector)


class Dropout(layers.Dropout):
    """Dropout that drops other values in each of several replicas, which have one seed."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or replicas.count() == 1:
            return super().call(inputs, training=training)
        rows = tf.shape(inputs)[0] * replicas.count()
        kept = super().call(tf.ones((rows, *inputs.shape[1:]), inputs.dtype), training=True)
        return inputs * replicas.share(kept)


def activated(x: Any, norm: str, block: int, dropout: float, seed: int) -> Any:
    """End a discriminator's block: normalisation (not in the first), LeakyReLU 0.2, dropout."""
    if block and norm == "batch":
        x = BatchNormalization(name=f"norm_{block}")(x)
    elif block and norm == "layer":
        axes = tuple(range(1, len(x.shape)))
        x = layers.LayerNormalization(
            axis=axes,
            name=f"norm_{block}",
            gamma_initializer=bounded(keras.initializers.Ones()),
            beta_initializer=bounded(keras.initializers.Zeros()),
        )(x)
    x = layers.LeakyReLU(0.2, name=f"block_{block}")(x)
    if dropout:
        drop_seed = child_seed(seed, "dropout", block)
        x = Dropout(dropout, seed=drop_seed, name=f"dropout_{block}")(x)
    return x


def discriminator(
    trunk: Trunk,
    sample_shape: tuple[int, ...],
    *,
    num_classes: int,
    width: int,
    norm: str,
    seed: int,
    dropout: float = 0.0,
    **of_trunk: Any,
) -> keras.Model:
    """Build samples `[N, *sample_shape]` (and classes `[N, num_classes]`) -> logits `[N, 1]`.

    Higher logits say "real", see `augan.gan.losses`. The layers `block_0`, `block_1`, ... of the
    trunk are the features that detectors compare; they do not depend on the class, which enters by
    projection (Miyato and Koyama 2018, "cGANs with Projection Discriminator", eq. 3).
    """
    images = keras.Input(sample_shape, name="images")
    features = trunk(images, width=width, norm=norm, dropout=dropout, seed=seed, **of_trunk)
    logit = layers.Dense(
        1, name="logit", kernel_initializer=normal(seed, "logit"), dtype="float32"
    )(features)
    classes = class_input(num_classes)
    if classes is None:
        return keras.Model(images, logit, name="discriminator")
    embed = layers.Dense(
        features.shape[-1],
        use_bias=False,
        name="embed",
        kernel_initializer=normal(seed, "embed"),
        dtype="float32",
    )
    projection = layers.Dot(axes=1, name="projection", dtype="float32")([embed(classes), features])
    logit = layers.Add(name="conditional_logit", dtype="float32")([logit, projection])
    return keras.Model([images, classes], logit, name="discriminator")


def encoder(
    trunk: Trunk,
    sample_shape: tuple[int, ...],
    *,
    latent_dim: int,
    num_classes: int,
    width: int,
    seed: int,
) -> keras.Model:
    """Build samples -> noise `[N, latent_dim]` (and classes `[N, num_classes]`).

    The discriminator's trunk with batch normalisation, as in f-AnoGAN (Schlegl et al. 2019). The
    outputs feed the generator as they are.
    """
    images = keras.Input(sample_shape, name="images")
    features = trunk(images, width=width, norm="batch", dropout=0.0, seed=seed)
    noise = layers.Dense(latent_dim, name="noise", kernel_initializer=normal(seed, "noise"))
    if not num_classes:
        return keras.Model(images, noise(features), name="encoder")
    classes = layers.Dense(
        num_classes,
        activation="softmax",
        name="classes",
        kernel_initializer=normal(seed, "classes"),
    )
    return keras.Model(images, [noise(features), classes(features)], name="encoder")
