"""Small convolutional classifier of images."""

import keras
from keras import layers

from augan.choices import ARCHITECTURES, Architecture
from augan.gan.networks.layers import bounded_initializer, he_normal
from augan.seeding import child_seed


def cnn_classifier(
    image_shape: tuple[int, int, int], *, num_classes: int, width: int, seed: int
) -> keras.Model:
    """Build a small convolutional classifier: images `[N, H, W, C]` -> logits `[N, num_classes]`.

    Images are in [-1, 1]. The layer `hidden` holds the features `[N, 4 * width]`; `width` is the
    number of channels of the first block, which doubles from block to block. Images above 64 pixels
    get three convolutional blocks instead of two, because the dense layer would otherwise hold most
    of the weights.
    """
    images = keras.Input(image_shape, name="images")
    x = images
    for i in range(2 if image_shape[0] <= 64 else 3):
        x = layers.Conv2D(
            width << i,
            3,
            padding="same",
            activation="relu",
            name=f"conv_{i}",
            kernel_initializer=he_normal(seed, f"conv_{i}"),
        )(x)
        x = layers.MaxPooling2D(name=f"pool_{i}")(x)
    hidden = layers.Dense(
        4 * width,
        activation="relu",
        name="hidden",
        kernel_initializer=he_normal(seed, "hidden"),
    )(layers.Flatten(name="flatten")(x))
    glorot = keras.initializers.GlorotUniform(child_seed(seed, "weights", "logits"))
    logits = layers.Dense(
        num_classes,
        name="logits",
        kernel_initializer=bounded_initializer(glorot),
        dtype="float32",
    )(hidden)
    return keras.Model(images, logits, name="classifier")


ARCHITECTURES.register(
    Architecture(
        "cnn",
        description="two or three convolutions with pooling, for the classification of images",
        roles=("classifier",),
        default_for=("image",),
        min_size=4,
    ),
    {"classifier": cnn_classifier},
)
