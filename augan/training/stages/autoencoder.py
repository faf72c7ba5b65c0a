"""An autoencoder whose reconstructions a discriminator judges: codes that keep what varies."""

from typing import Any

from augan.gan import distribution, keras, tf
from augan.gan.networks.registry import logits_and_blocks
from augan.seeding import child_seed

Tensor = Any

PIXELS, FEATURES, ADVERSARY, CODES = 10.0, 1.0, 0.02, 1e-3  # weights of the generator's losses
SLOWER = 0.25  # the judge's rate, of that of the others: what a severe one asks for transfers badly
BLUR = 0.05  # standard deviation of the noise on codes, so that neighbours are drawn alike


class AutoencoderUpdate:
    """One step of an encoder and a generator together, and of the discriminator against them.

    The generator draws each image again, from its code, and what lies between the codes of two
    images of a class. It is held to the images themselves (mean absolute difference, in pixels and
    in the discriminator's last two blocks: Larsen et al. 2016, "Autoencoding beyond pixels using a
    learned similarity metric"), and to what the discriminator takes for real, the images in between
    too (Berthelot et al. 2019, "Understanding and improving interpolation in autoencoders").
    Codes are drawn towards 0. The discriminator has the hinge loss and knows no classes.

    Parameters
    ----------
    encoder, generator, discriminator : keras.Model
        Without classes.
    learning_rate : float
        Adam's, of encoder and generator; the discriminator's is a quarter of it.
    """

    metric_names: tuple[str, ...] = ("image_loss", "feature_loss", "discriminator_loss")

    def __init__(
        self,
        encoder: keras.Model,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        learning_rate: float,
        seed: int,
    ) -> None:
        self.encoder, self.generator, self.discriminator = encoder, generator, discriminator
        self._judge = logits_and_blocks(discriminator, 2)
        self._drawing = [*encoder.trainable_variables, *generator.trainable_variables]
        self.seed = child_seed(seed, "autoencoder") // 2
        self.optimizers = [
            keras.optimizers.Adam(rate, 0.5, 0.99)
            for rate in (learning_rate, SLOWER * learning_rate)  # drawing, judging
        ]
        self.optimizers[0].build(self._drawing)
        self.optimizers[1].build(discriminator.trainable_variables)

    @property
    def state(self) -> list[Any]:
        """All variables that the next step depends on."""
        owners = (self.encoder, self.generator, self.discriminator, *self.optimizers)
        return [variable for owner in owners for variable in owner.variables]

    @distribution.per_replica
    def train_step(self, data: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Take one step on (images, classes); an image of unknown class is a class of its own.

        Several replicas find partners in their own rows, so theirs are others than one would find.
        """
        images, classes = (distribution.local_rows(whole) for whole in data)
        step = tf.cast(self.optimizers[0].iterations, tf.int32)
        partner = _partners(classes)
        count = tf.shape(images)[0]
        share = distribution.uniform((count, 1), [self.seed, step])
        with tf.GradientTape() as drawing, tf.GradientTape() as judging:
            codes = self.encoder(images, training=True)
            codes += BLUR * distribution.normal((count, codes.shape[1]), [self.seed + 1, step])
            between = codes + share * (tf.gather(codes, partner) - codes)
            drawn = self.generator(tf.concat([codes, between], axis=0), training=True)
            real, seen = (self._judge(some, training=True) for some in (images, drawn))
            image_loss = tf.reduce_mean(tf.abs(drawn[:count] - images))
            feature_loss = tf.add_n(
                [
                    tf.reduce_mean(tf.abs(tf.stop_gradient(x) - y[:count]))
                    for x, y in zip(real[1:], seen[1:])
                ]
            )
            loss = PIXELS * image_loss + FEATURES * feature_loss
            loss += CODES * tf.reduce_mean(tf.square(codes)) - ADVERSARY * tf.reduce_mean(seen[0])
            judged = tf.reduce_mean(tf.nn.relu(1 - real[0])) + tf.reduce_mean(
                tf.nn.relu(1 + seen[0])
            )
            drawing_part, judging_part = (
                distribution.local_loss(loss),
                distribution.local_loss(judged),
            )
        judge = self.discriminator.trainable_variables
        self.optimizers[0].apply(drawing.gradient(drawing_part, self._drawing), self._drawing)
        self.optimizers[1].apply(judging.gradient(judging_part, judge), judge)
        return {
            "image_loss": image_loss,
            "feature_loss": feature_loss,
            "discriminator_loss": judged,
        }


def _partners(classes: Tensor) -> Tensor:
    """For each image another of its class in the batch, or itself where there is none."""
    count = tf.shape(classes)[0]
    if not classes.shape[-1]:
        return tf.roll(tf.range(count), 1, axis=0)
    known = tf.reduce_max(classes, axis=1) > 0
    number = tf.where(known, tf.argmax(classes, axis=1, output_type=tf.int32), -1 - tf.range(count))
    order = tf.argsort(number, stable=True)
    after = tf.roll(order, -1, axis=0)
    same = tf.equal(tf.gather(number, order), tf.gather(number, after))
    return tf.scatter_nd(order[:, None], tf.where(same, after, order), (count,))
