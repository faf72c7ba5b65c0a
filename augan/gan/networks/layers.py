"""Spectral normalisation (Miyato et al. 2018, "Spectral Normalization for GANs", algorithm 1).

The kernel is divided by its largest singular value. One power iteration a training pass keeps the
estimate, and the gradient flows through the division, as in the paper (Keras' own wrapper
overwrites the kernel instead).
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

from augan.gan import distribution
from augan.gan.networks.fast_conv import Conv2D, convolved
from augan.seeding import child_seed

Tensor = Any


class _Spectral:
    """What both layers share: the singular vector, and the division."""

    name: str
    kernel: Any
    bias: Any

    def add_weight(self, *args: Any, **kwargs: Any) -> Any:
        """Add a weight that stays float32 in whatever the layer computes, for the iteration."""
        return super().add_weight(*args, autocast=False, **kwargs)  # type: ignore[misc]

    def _add_direction(self, units: int, seed: int) -> None:
        initializer = keras.initializers.RandomNormal(
            seed=child_seed(seed, "weights", f"{self.name}/direction")
        )
        self.direction = self.add_weight(
            name="direction", shape=(1, units), trainable=False, initializer=initializer
        )

    def _divided_kernel(self, training: bool) -> Tensor:
        matrix = tf.reshape(self.kernel, (-1, self.direction.shape[1]))
        right = tf.math.l2_normalize(tf.convert_to_tensor(self.direction))
        left = tf.math.l2_normalize(tf.matmul(right, matrix, transpose_b=True))
        if training:
            right = tf.math.l2_normalize(tf.matmul(left, matrix))
            left = tf.math.l2_normalize(tf.matmul(right, matrix, transpose_b=True))
            left, right = tf.stop_gradient(left), tf.stop_gradient(right)
            self.direction.assign(right)
        return self.kernel / tf.reduce_sum(tf.matmul(left, matrix) * right)


class SpectralConv2D(_Spectral, keras.layers.Conv2D):
    """A convolution with a spectrally normalised kernel."""

    def __init__(self, *args: Any, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seed = seed

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        self._add_direction(self.filters, self._seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        kernel = tf.cast(self._divided_kernel(training), inputs.dtype)
        outputs = convolved(inputs, kernel, self.strides[0])
        return self.activation(tf.nn.bias_add(outputs, tf.cast(self.bias, inputs.dtype)))


class SpectralDense(_Spectral, keras.layers.Dense):
    """A dense layer with a spectrally normalised kernel."""

    def __init__(self, *args: Any, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seed = seed

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        self._add_direction(self.units, self._seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        kernel = tf.cast(self._divided_kernel(training), inputs.dtype)
        outputs = tf.matmul(inputs, kernel)
        return self.activation(tf.nn.bias_add(outputs, tf.cast(self.bias, inputs.dtype)))


_APART: ContextVar[int] = ContextVar("batches one behind another", default=1)


@contextmanager
def apart(batches: int) -> Iterator[None]:
    """Inside of this block what networks are given is as many batches, one behind another."""
    token = _APART.set(batches)
    try:
        yield
    finally:
        _APART.reset(token)


class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation; of images in training by TensorFlow's one operation for it.

    What Keras composes of a dozen takes twice as long. The variance that is kept for inference is
    the unbiased one, as in the paper (Ioffe and Szegedy 2015, algorithm 2).

    The statistics are those of the whole batch, also where several replicas share it: a replica's
    rows may be few, and then the network would be another than that of one replica. Batches that
    are kept `apart` have statistics of their own.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> Tensor:
        if not training or _APART.get() == 1:
            return self._alone(inputs, training, mask)
        batches = tf.split(inputs, _APART.get())
        return tf.concat([self._alone(batch, training, mask) for batch in batches], axis=0)

    def _alone(self, inputs: Tensor, training: bool | None, mask: Any) -> Tensor:
        several = distribution.count() > 1
        if not training or (len(inputs.shape) != 4 and not several):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        scale = tf.ones(channels) if self.gamma is None else tf.convert_to_tensor(self.gamma)
        shift = tf.zeros(channels) if self.beta is None else tf.convert_to_tensor(self.beta)
        if several:
            outputs, mean, variance = self._over_replicas(inputs, scale, shift)
        else:
            outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                inputs, scale, shift, epsilon=self.epsilon, is_training=True
            )
        for kept, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            kept.assign(kept * self.momentum + now * (1.0 - self.momentum))
        return outputs

    def _over_replicas(
        self, inputs: Tensor, scale: Tensor, shift: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Do what one replica does with the whole batch; of rows it keeps the biased variance."""
        values, axes = tf.cast(inputs, tf.float32), list(range(len(inputs.shape) - 1))
        moments = tf.stack([tf.reduce_mean(x, axes) for x in (values, tf.square(values))])
        mean, square = tf.unstack(distribution.mean(moments))
        variance = tf.maximum(square - tf.square(mean), 0.0)
        outputs = tf.nn.batch_normalization(values, mean, variance, shift, scale, self.epsilon)
        if len(inputs.shape) == 4:
            size = tf.cast(tf.size(inputs) // inputs.shape[-1] * distribution.count(), tf.float32)
            return tf.cast(outputs, inputs.dtype), mean, variance * size / (size - 1.0)
        return tf.cast(outputs, inputs.dtype), mean, variance


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
        if not training or distribution.count() == 1:
            return super().call(inputs, training=training)
        rows = tf.shape(inputs)[0] * distribution.count()
        kept = super().call(tf.ones((rows, *inputs.shape[1:]), inputs.dtype), training=True)
        return inputs * distribution.share(kept)


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
