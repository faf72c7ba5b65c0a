"""Gradient penalties of the discriminator.

Each penalty takes a function that maps images `[N, H, W, C]` to the discriminator's logits
`[N, 1]`, and returns the batch mean, which is then multiplied by a weight. A new penalty is one
function in this file.
"""

from collections.abc import Callable

import tensorflow as tf

from augan.choices import REGULARIZERS, Regularizer
from augan.gan import distribution
from augan.gan.tensorflow import Tensor

DiscriminatorFn = Callable[[Tensor], Tensor]


def _squared_gradient(discriminator: DiscriminatorFn, images: Tensor) -> Tensor:
    """Return the squared norm of the gradient of each image's logit by the image, `[N]`."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(discriminator(images))
    gradient = tape.gradient(total, images)
    return tf.reduce_sum(tf.square(gradient), axis=range(1, len(images.shape)))


@REGULARIZERS.register(
    Regularizer(
        "r1",
        description="squared gradient norm at real samples, which lets the training converge",
        paper="Mescheder et al. 2018, eq. 9",
        weight=0.1,
        interval=16,
    )
)
def r1(discriminator: DiscriminatorFn, real: Tensor, fake: Tensor, seed: Tensor) -> Tensor:
    """Return the R1 penalty, half the squared gradient norm at real images, a scalar.

    Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", eq. 9. `fake`
    and `seed` are not used.
    """
    del fake, seed
    return 0.5 * tf.reduce_mean(_squared_gradient(discriminator, real))


@REGULARIZERS.register(
    Regularizer(
        "wgan_gp",
        description="squared distance of the gradient norm from 1 between real and generated "
        "samples, which makes the discriminator about 1-Lipschitz",
        paper="Gulrajani et al. 2017, eq. 3",
        weight=10.0,
        norm="layer",
        is_lipschitz=True,
    )
)
def gradient_penalty(
    discriminator: DiscriminatorFn, real: Tensor, fake: Tensor, seed: Tensor
) -> Tensor:
    """Return WGAN-GP's penalty, the squared distance of the gradient norm from 1, a scalar.

    Gulrajani et al. 2017, eq. 3. The gradient is taken at a random point between each real and its
    generated image; `seed`, an int32 tensor `[2]`, sets the points.
    """
    shape = (tf.shape(real)[0],) + (1,) * (len(real.shape) - 1)
    fraction = distribution.uniform(shape, seed)
    between = real + fraction * (fake - real)
    norm = tf.sqrt(_squared_gradient(discriminator, between) + 1e-12)
    return tf.reduce_mean(tf.square(norm - 1.0))
