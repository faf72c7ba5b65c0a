"""Layers, initializers and blocks that all network architectures share."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, get_args

import keras
import tensorflow as tf
from keras import layers

from augan.config import Norm
from augan.gan import distribution
from augan.gan.networks.fast_conv import Conv2D, conv_same
from augan.gan.tensorflow import Tensor
from augan.seeding import child_seed

Initializer = Callable[..., Any]  # shape -> values
Backbone = Callable[..., Any]  # samples, width, norm, dropout, seed -> features [N, F]

NORMS: tuple[str, ...] = get_args(Norm)
# Momentum of the generator's moving statistics, which are updated once a step. With Keras' default
# of 0.99 they lag so far behind the weights that images after 300 steps look worse than they are.
GENERATOR_MOMENTUM = 0.98


# --- initializers

_MAX_SIZE: ContextVar[int | None] = ContextVar("largest size of a variable", default=None)


@contextmanager
def limit_size(max_variable_size: int | None) -> Iterator[None]:
    """Limit the size of network weights that are created in the block.

    `max_variable_size` is the largest number of values of one variable; None: no limit.
    Initializers raise ValueError for a larger variable before memory is allocated.
    """
    token = _MAX_SIZE.set(max_variable_size)
    try:
        yield
    finally:
        _MAX_SIZE.reset(token)


def bounded_initializer(initializer: Initializer) -> Initializer:
    """Return an initializer that raises ValueError for weights larger than `limit_size` allows."""

    def initialize(shape: tuple[int, ...], dtype: Any = None) -> Any:
        limit = _MAX_SIZE.get()
        if limit is not None and math.prod(shape) > limit:
            raise ValueError(
                f"weights of shape {list(shape)} have more values than the limit of {limit}"
            )
        return initializer(shape, dtype=dtype)

    return initialize


def random_normal(seed: int, name: str, stddev: float = 0.02) -> Initializer:
    """Return an initializer of normal weights with mean 0 and standard deviation `stddev`.

    The default 0.02 is DCGAN's. The weights are a function of `seed` and of the layer's `name`.
    """
    child = child_seed(seed, "weights", name)
    return bounded_initializer(keras.initializers.RandomNormal(0.0, stddev, seed=child))


def he_normal(seed: int, name: str) -> Initializer:
    """Return an initializer that preserves the variance through ReLU (He et al. 2015).

    The weights are a function of `seed` and of the layer's `name`.
    """
    return bounded_initializer(keras.initializers.HeNormal(child_seed(seed, "weights", name)))


# --- spectral normalization


class _SpectralNormalization:
    """Mixin for Keras layers that divides the kernel by its largest singular value.

    Spectral normalization (Miyato et al. 2018, "Spectral Normalization for GANs", algorithm 1). One
    power iteration in each training pass updates the estimate, and the gradient flows through the
    division, as in the paper; Keras' own wrapper overwrites the kernel instead.
    """

    name: str
    kernel: Any
    bias: Any

    def add_weight(self, *args: Any, **kwargs: Any) -> Any:
        """Add a weight that stays float32 for the power iteration, whatever the layer's dtype."""
        return super().add_weight(*args, autocast=False, **kwargs)  # type: ignore[misc]

    def _add_direction(self, units: int, seed: int) -> None:
        """Add the estimate of the kernel's first right singular vector, `[1, units]`."""
        initializer = keras.initializers.RandomNormal(
            seed=child_seed(seed, "weights", f"{self.name}/direction")
        )
        self.direction = self.add_weight(
            name="direction", shape=(1, units), trainable=False, initializer=initializer
        )

    def _normalized_kernel(self, training: bool) -> Tensor:
        """Return the kernel divided by its largest singular value.

        In training, one power iteration updates the estimate of the singular vector first.
        """
        matrix = tf.reshape(self.kernel, (-1, self.direction.shape[1]))
        right = tf.math.l2_normalize(tf.convert_to_tensor(self.direction))
        left = tf.math.l2_normalize(tf.matmul(right, matrix, transpose_b=True))
        if training:
            right = tf.math.l2_normalize(tf.matmul(left, matrix))
            left = tf.math.l2_normalize(tf.matmul(right, matrix, transpose_b=True))
            left, right = tf.stop_gradient(left), tf.stop_gradient(right)
            self.direction.assign(right)
        return self.kernel / tf.reduce_sum(tf.matmul(left, matrix) * right)


class SpectralConv2D(_SpectralNormalization, keras.layers.Conv2D):
    """Keras convolution whose kernel is spectrally normalized, for discriminators.

    The convolution needs a bias and has padding "same".

    Parameters
    ----------
    seed : int
        Seed of the initial singular vector; the other arguments are those of `keras.layers.Conv2D`.
    """

    def __init__(self, *args: Any, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seed = seed

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        self._add_direction(self.filters, self._seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        kernel = tf.cast(self._normalized_kernel(training), inputs.dtype)
        outputs = conv_same(inputs, kernel, self.strides[0])
        return self.activation(tf.nn.bias_add(outputs, tf.cast(self.bias, inputs.dtype)))


class SpectralDense(_SpectralNormalization, keras.layers.Dense):
    """Keras dense layer whose kernel is spectrally normalized, for discriminators.

    The layer needs a bias.

    Parameters
    ----------
    seed : int
        Seed of the initial singular vector; the other arguments are those of `keras.layers.Dense`.
    """

    def __init__(self, *args: Any, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seed = seed

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        self._add_direction(self.units, self._seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        kernel = tf.cast(self._normalized_kernel(training), inputs.dtype)
        outputs = tf.matmul(inputs, kernel)
        return self.activation(tf.nn.bias_add(outputs, tf.cast(self.bias, inputs.dtype)))


_SPECTRAL_LAYERS = {Conv2D: SpectralConv2D, layers.Dense: SpectralDense}


def normalized_layer(kind: type, norm: str, seed: int) -> Callable[..., keras.layers.Layer]:
    """Return the layer class for a setting of normalization.

    Parameters
    ----------
    kind : {Conv2D, layers.Dense}
        Plain layer class.
    norm : str
        One of `NORMS`. "spectral" gives the spectrally normalized variant of `kind`, with initial
        singular vectors from `seed`; the other norms give `kind`.

    Raises
    ------
    ValueError
        Unknown `norm`.
    """
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}, got {norm!r}")
    return partial(_SPECTRAL_LAYERS[kind], seed=seed) if norm == "spectral" else kind


# --- batch normalization and dropout

_NUM_BATCHES: ContextVar[int] = ContextVar("number of concatenated batches", default=1)


@contextmanager
def separate_batches(count: int) -> Iterator[None]:
    """Keep the batch statistics of concatenated batches separate in the block.

    Batch normalization in training splits its input into `count` equal parts and normalizes each
    part by its own mean and variance.
    """
    token = _NUM_BATCHES.set(count)
    try:
        yield
    finally:
        _NUM_BATCHES.reset(token)


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras batch normalization that is faster in training and correct over several replicas.

    Training on images uses TensorFlow's fused operation; Keras composes a dozen operations instead,
    which takes twice as long. The variance for inference is the unbiased one, as in the paper
    (Ioffe and Szegedy 2015, algorithm 2).

    The statistics are those of the whole batch, also if several replicas share the batch: a replica
    may have few rows, and then the network would differ from the network of one replica. Batches
    inside `separate_batches` have separate statistics.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> Tensor:
        if not training or _NUM_BATCHES.get() == 1:
            return self._normalize(inputs, training, mask)
        batches = tf.split(inputs, _NUM_BATCHES.get())
        return tf.concat([self._normalize(batch, training, mask) for batch in batches], axis=0)

    def _normalize(self, inputs: Tensor, training: bool | None, mask: Any) -> Tensor:
        """Normalize one batch; training uses the batch's statistics and updates the moving ones."""
        has_replicas = distribution.num_replicas() > 1
        if not training or (len(inputs.shape) != 4 and not has_replicas):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        scale = tf.ones(channels) if self.gamma is None else tf.convert_to_tensor(self.gamma)
        shift = tf.zeros(channels) if self.beta is None else tf.convert_to_tensor(self.beta)
        if has_replicas:
            outputs, mean, variance = self._normalize_over_replicas(inputs, scale, shift)
        else:
            outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                inputs, scale, shift, epsilon=self.epsilon, is_training=True
            )
        for moving, current in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + current * (1.0 - self.momentum))
        return outputs

    def _normalize_over_replicas(
        self, inputs: Tensor, scale: Tensor, shift: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Normalize by the statistics of the whole batch, which several replicas share.

        Returns the outputs, the mean `[C]` and the variance `[C]`. The variance is unbiased for
        images and biased for table rows.
        """
        values, axes = tf.cast(inputs, tf.float32), list(range(len(inputs.shape) - 1))
        moments = tf.stack([tf.reduce_mean(x, axes) for x in (values, tf.square(values))])
        mean, square = tf.unstack(distribution.mean(moments))
        variance = tf.maximum(square - tf.square(mean), 0.0)
        outputs = tf.nn.batch_normalization(values, mean, variance, shift, scale, self.epsilon)
        outputs = tf.cast(outputs, inputs.dtype)
        if len(inputs.shape) == 4:
            rows = tf.size(inputs) // inputs.shape[-1] * distribution.num_replicas()
            size = tf.cast(rows, tf.float32)
            return outputs, mean, variance * size / (size - 1.0)
        return outputs, mean, variance


class Dropout(layers.Dropout):
    """Keras dropout that drops different values on each replica, although the seed is the same."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or distribution.num_replicas() == 1:
            return super().call(inputs, training=training)
        rows = tf.shape(inputs)[0] * distribution.num_replicas()
        mask = super().call(tf.ones((rows, *inputs.shape[1:]), inputs.dtype), training=True)
        return inputs * distribution.local_rows(mask)


# --- parts of generators


def generator_inputs(
    latent_dim: int, num_classes: int, conditioning: str, seed: int
) -> tuple[Any, Any, Any]:
    """Build the inputs of a generator and the tensors that carry the class into its layers.

    Parameters
    ----------
    latent_dim, num_classes : int
        Length of the noise and number of classes; 0 classes: an unconditional generator.
    conditioning : {"norm", "embedding"}
        "norm": the class sets the scale and shift of batch normalization. "embedding": an embedding
        of the class is concatenated to the noise.
    seed : int
        Seed of the embedding's initial weights.

    Returns
    -------
    inputs : keras.Input or list
        Noise `[N, latent_dim]`, followed by classes `[N, num_classes]` if there are classes.
    x : tensor
        Input of the generator's first layer.
    classes : tensor or None
        Input of `conditional_batch_norm`; None without classes or with "embedding".

    Raises
    ------
    ValueError
        Unknown `conditioning`.
    """
    if conditioning not in ("norm", "embedding"):
        raise ValueError(f"conditioning must be norm or embedding, got {conditioning!r}")
    noise, classes = keras.Input((latent_dim,), name="noise"), class_input(num_classes)
    inputs = noise if classes is None else [noise, classes]
    if conditioning == "norm":
        return inputs, noise, classes
    return inputs, concat_class_embedding(noise, classes, latent_dim, seed), None


def class_input(num_classes: int) -> Any:
    """Return the Keras input of classes `[N, num_classes]`, or None if `num_classes` is 0.

    A row is a one-hot class, or the probabilities of a mixture of classes.
    """
    return keras.Input((num_classes,), name="classes") if num_classes else None


def concat_class_embedding(noise: Any, classes: Any, units: int, seed: int) -> Any:
    """Return noise concatenated with a learned class embedding (Mirza and Osindero 2014).

    `units` is the length of the embedding. Without classes (None), the noise is returned unchanged.
    """
    if classes is None:
        return noise
    embed = layers.Dense(
        units, use_bias=False, name="embed", kernel_initializer=random_normal(seed, "embed", 1.0)
    )
    return layers.Concatenate(name="condition")([noise, embed(classes)])


def conditional_batch_norm(x: Any, classes: Any, name: str) -> Any:
    """Apply batch normalization and ReLU; with classes, each class has its own scale and shift.

    Conditional batch normalization (Dumoulin et al. 2017; Miyato and Koyama 2018). Everything that
    the class does not change comes from the noise alone, so the generator cannot ignore the noise.

    Parameters
    ----------
    x : tensor [N, ..., C]
        Activations of a layer of the generator.
    classes : tensor [N, K] or None
        One-hot classes; None: one scale and shift for all samples.
    name : str
        End of the names of the layers.
    """
    unconditional = classes is None
    x = BatchNormalization(
        momentum=GENERATOR_MOMENTUM,
        center=unconditional,
        scale=unconditional,
        name=f"norm_{name}",
    )(x)
    if not unconditional:
        scale = _class_parameter(classes, x, f"scale_{name}", 1.0)
        shift = _class_parameter(classes, x, f"shift_{name}", 0.0)
        x = layers.Multiply(name=f"scaled_{name}")([x, scale])
        x = layers.Add(name=f"shifted_{name}")([x, shift])
    return layers.ReLU(name=f"relu_{name}")(x)


def _class_parameter(classes: Any, x: Any, name: str, value: float) -> Any:
    """Return a learned value for each class and channel, to be broadcast over the image.

    The values start at `value`. Classes `[N, K]` and activations `x` `[N, ..., C]` give `[N, 1,
    ..., C]`; a mixture of classes gives the weighted mean of their values.
    """
    channels, spatial_dims = x.shape[-1], len(x.shape) - 2
    constant = bounded_initializer(keras.initializers.Constant(value))
    vector = layers.Dense(channels, use_bias=False, name=name, kernel_initializer=constant)(classes)
    return layers.Reshape((1,) * spatial_dims + (channels,), name=f"{name}_map")(vector)


# --- discriminators and encoders


def norm_act_dropout(x: Any, norm: str, block: int, dropout: float, seed: int) -> Any:
    """Apply the end of a discriminator's block: normalization, LeakyReLU 0.2 and dropout.

    Parameters
    ----------
    x : tensor
        Output of the block's convolution or dense layer.
    norm : str
        "batch" or "layer" normalizes here, except in block 0; other values of `NORMS` do not.
    block : int
        Number of the block; the activation layer is named `block_<number>`.
    dropout : float
        Fraction of values that training drops; 0: no dropout.
    seed : int
        Seed of the dropout.
    """
    if block and norm == "batch":
        x = BatchNormalization(name=f"norm_{block}")(x)
    elif block and norm == "layer":
        axes = tuple(range(1, len(x.shape)))
        x = layers.LayerNormalization(
            axis=axes,
            name=f"norm_{block}",
            gamma_initializer=bounded_initializer(keras.initializers.Ones()),
            beta_initializer=bounded_initializer(keras.initializers.Zeros()),
        )(x)
    x = layers.LeakyReLU(0.2, name=f"block_{block}")(x)
    if dropout:
        dropout_seed = child_seed(seed, "dropout", block)
        x = Dropout(dropout, seed=dropout_seed, name=f"dropout_{block}")(x)
    return x


def build_discriminator(
    backbone: Backbone,
    sample_shape: tuple[int, ...],
    *,
    num_classes: int,
    width: int,
    norm: str,
    seed: int,
    dropout: float = 0.0,
    **backbone_arguments: Any,
) -> keras.Model:
    """Build a discriminator around a backbone, with class projection if there are classes.

    Samples `[N, *sample_shape]` (and classes `[N, num_classes]`) -> logits `[N, 1]`. Higher logits
    mean "real", see `augan.gan.losses`. The layers `block_0`, `block_1`, ... of the backbone are
    the features that detectors compare. They do not depend on the class, which enters by projection
    (Miyato and Koyama 2018, "cGANs with Projection Discriminator", eq. 3).

    Parameters
    ----------
    backbone : callable
        (samples, width, norm, dropout, seed) -> features `[N, F]`.
    sample_shape : tuple
        `(H, W, C)` of an image or `(F,)` of a row.
    num_classes : int
        0: an unconditional discriminator.
    width : int
        Number of channels of the first block; a multiple of it for dense layers.
    norm : str
        One of `NORMS`.
    seed : int
        Seed of the initial weights and of the dropout.
    dropout : float
        Fraction of values that training drops after each block.
    """
    samples = keras.Input(sample_shape, name="images")
    features = backbone(
        samples, width=width, norm=norm, dropout=dropout, seed=seed, **backbone_arguments
    )
    logit = layers.Dense(
        1, name="logit", kernel_initializer=random_normal(seed, "logit"), dtype="float32"
    )(features)
    classes = class_input(num_classes)
    if classes is None:
        return keras.Model(samples, logit, name="discriminator")
    embed = layers.Dense(
        features.shape[-1],
        use_bias=False,
        name="embed",
        kernel_initializer=random_normal(seed, "embed"),
        dtype="float32",
    )
    projection = layers.Dot(axes=1, name="projection", dtype="float32")([embed(classes), features])
    logit = layers.Add(name="conditional_logit", dtype="float32")([logit, projection])
    return keras.Model([samples, classes], logit, name="discriminator")


def build_encoder(
    backbone: Backbone,
    sample_shape: tuple[int, ...],
    *,
    latent_dim: int,
    num_classes: int,
    width: int,
    seed: int,
) -> keras.Model:
    """Build an encoder, which maps samples to the inputs of the generator.

    Samples `[N, *sample_shape]` -> noise `[N, latent_dim]` (and class probabilities `[N,
    num_classes]` if `num_classes` is not 0). The encoder has the discriminator's backbone with
    batch normalization, as in f-AnoGAN (Schlegl et al. 2019).
    """
    samples = keras.Input(sample_shape, name="images")
    features = backbone(samples, width=width, norm="batch", dropout=0.0, seed=seed)
    noise = layers.Dense(latent_dim, name="noise", kernel_initializer=random_normal(seed, "noise"))
    if not num_classes:
        return keras.Model(samples, noise(features), name="encoder")
    classes = layers.Dense(
        num_classes,
        activation="softmax",
        name="classes",
        kernel_initializer=random_normal(seed, "classes"),
    )
    return keras.Model(samples, [noise(features), classes(features)], name="encoder")
