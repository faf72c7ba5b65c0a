"""The original GAN's networks (Goodfellow et al. 2014): fully connected, for small images.

Two hidden layers each. The class joins the noise as a learned embedding, and the discriminator by
projection, as in `augan.gan.networks.dcgan`.
"""

from typing import Any

import keras
from keras import layers

from augan.gan.networks import blocks


def generator(
    image_shape: tuple[int, int, int],
    *,
    latent_dim: int,
    num_classes: int,
    width: int,
    seed: int,
    conditioning: str = "norm",
) -> keras.Model:
    """Build noise `[N, latent_dim]` (and classes `[N, num_classes]`) -> images `[N, H, W, C]`."""
    inputs, x, modulation = blocks.generator_inputs(latent_dim, num_classes, conditioning, seed)
    for i in range(2):
        x = _hidden(x, 8 * width, f"hidden_{i}", seed)
        x = blocks.normalised(x, modulation, str(i))
    height, across, channels = image_shape
    x = _hidden(x, height * across * channels, "pixels", seed)
    image = layers.Activation("tanh", name="image")(layers.Reshape(image_shape, name="grid")(x))
    return keras.Model(inputs, image, name="generator")


def discriminator(
    image_shape: tuple[int, int, int],
    *,
    num_classes: int,
    width: int,
    norm: str,
    seed: int,
    dropout: float = 0.0,
) -> keras.Model:
    """Build images `[N, H, W, C]` (and classes `[N, num_classes]`) -> logits `[N, 1]`."""
    images = keras.Input(image_shape, name="images")
    features = _trunk(images, width=width, norm=norm, dropout=dropout, seed=seed)
    return blocks.judged(images, features, num_classes, seed)


def encoder(
    image_shape: tuple[int, int, int],
    *,
    latent_dim: int,
    num_classes: int,
    width: int,
    seed: int,
) -> keras.Model:
    """Build images `[N, H, W, C]` -> noise `[N, latent_dim]` (and classes `[N, num_classes]`)."""
    images = keras.Input(image_shape, name="images")
    features = _trunk(images, width=width, norm="batch", dropout=0.0, seed=seed)
    return blocks.coded(images, features, latent_dim, num_classes, seed)


def _trunk(images: Any, *, width: int, norm: str, dropout: float, seed: int) -> Any:
    x = layers.Flatten(name="pixels")(images)
    for i in range(2):
        dense = blocks.layer(layers.Dense, norm, seed)
        x = dense(8 * width, name=f"hidden_{i}", kernel_initializer=blocks.he(seed, f"hidden_{i}"))(
            x
        )
        x = blocks.activated(x, norm, i, dropout, seed)
    return x


def _hidden(x: Any, units: int, name: str, seed: int) -> Any:
    return layers.Dense(units, name=name, kernel_initializer=blocks.he(seed, name))(x)
