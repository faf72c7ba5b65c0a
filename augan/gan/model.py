"""The GAN: two networks, their optimisers, and one training step. Nothing else of a run is here."""

from functools import partial
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from augan.config import Config, decided
from augan.gan import distribution
from augan.gan.auxiliary import MOVED, SPOILT, Lessons, Seen
from augan.gan.diffaug import augment
from augan.gan.losses import LOSSES
from augan.gan.networks.layers import apart
from augan.gan.networks.registry import logits_and_blocks
from augan.gan.regularizers import PENALTIES
from augan.gan.unrolled import look_ahead
from augan.seeding import child_seed

Tensor = Any

# The second word of a stateless seed is the step; the first tells the update within it and the
# purpose. What is seen is augmented, which takes up to 64 slots.
_SLOTS, _SEEN = 2048, 64
_NOISE, _LABELS, _PENALTY, _LOOK_AHEAD, _SPOIL = 0, 1, 2, 256, 1024
_SEE = {"real": 64, "fake": 128, SPOILT: 1664, MOVED: 0}  # what is moved is shown as it is


class GAN(keras.Model):
    """A generator and a discriminator that train against each other.

    Parameters
    ----------
    generator, discriminator, average : keras.Model
        `average` has the generator's shape; it holds the exponential moving average of its weights,
        batch statistics included, and is what samples are drawn from.
    config : Config
        Resolved settings; `gan`, `generator`, `discriminator` and `seed` are read. All noise is a
        function of the seed and the step alone, so a resumed run repeats.
    heads : keras.Model or None
        Features of the discriminator's last block `[N, F]` -> logits of the transformations
        `[N, 13]`, trained with it; see `augan.gan.self_supervision`.
    places : keras.Model or None
        Joined blocks `[N, H, W, F]` -> logits of each place, trained with it to find what
        `gan.negative_augmentations` spoilt; see `augan.gan.networks.heads`.
    """

    measures: tuple[str, ...] = ("d_loss", "g_loss", "d_accuracy")

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        average: keras.Model,
        config: Config,
        heads: keras.Model | None = None,
        places: keras.Model | None = None,
    ) -> None:
        super().__init__(name="gan")
        self.generator, self.discriminator, self.average = generator, discriminator, average
        self.heads, self.places = heads, places
        self._lessons = Lessons(config.gan.negative_augmentations or (), heads, places)
        self._sees = None
        if heads is not None or places is not None:
            self._sees = logits_and_blocks(discriminator, self._lessons.num_blocks)
        self.settings, self.players = config.gan, (config.generator, config.discriminator)
        self.adversarial_loss = LOSSES[decided(config.gan.loss)]
        self.penalty = PENALTIES.get(config.gan.regularizer or "none")
        self.diffaug = decided(config.gan.diffaug)
        self.latent_dim = generator.inputs[0].shape[-1]
        self.conditional = len(generator.inputs) > 1
        self.noise_seed = child_seed(config.seed, "noise") // 2  # leaves room for all slots
        self.steps_done = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, name="steps_done"
        )
        # Of the last turn of both players, for the steps between.
        self._losses = self.add_weight(
            shape=(3,), initializer="zeros", trainable=False, name="losses"
        )
        self._judging = [*discriminator.trainable_variables]
        for more in (heads, places):
            self._judging += more.trainable_variables if more is not None else []
        rates = config.generator.learning_rate, config.discriminator.learning_rate
        self.generator_optimizer = self._adam(rates[0], generator.trainable_variables)
        self.discriminator_optimizer = self._adam(rates[1], self._judging)
        self.average.set_weights(generator.get_weights())
        self.compile()  # so that `fit` works too: the losses and optimisers above are used
        self.built = True

    @property
    def state(self) -> list[Any]:
        """All variables that the next step depends on, in a fixed order."""
        networks = [self.generator, self.discriminator, self.average]
        networks += [more for more in (self.heads, self.places) if more is not None]
        optimizers = (self.generator_optimizer, self.discriminator_optimizer)
        return [
            self.steps_done,
            self._losses,
            *(variable for owner in (*networks, *optimizers) for variable in owner.variables),
        ]

    def _adam(self, rate: float | None, variables: list[Any]) -> keras.optimizers.Optimizer:
        optimizer = keras.optimizers.Adam(decided(rate), *decided(self.settings.betas))
        optimizer.build(variables)
        return optimizer

    def train_step(self, data: tuple[Tensor, Tensor] | Tensor) -> dict[str, Tensor]:
        """Update the discriminator, then the generator, then its average, on one batch.

        Parameters
        ----------
        data : (images, classes) or images
            Images float32 `[N, H, W, C]` in [-1, 1]; classes float32 `[N, K]`, one-hot. The
            generated batch has the real batch's classes: both follow one joint distribution. With
            `discriminator.steps` above 1 the batch is cut into as many parts, one for each update.
            Of several replicas each is given the whole, see `augan.gan.distribution`.

        Returns
        -------
        dict of scalar tensors
            `d_loss`, `g_loss`, and `d_accuracy`, the share of logits with the right sign.
        """
        real, classes = data if self.conditional else (_first(data), None)
        every = self.settings.generator_interval or 1
        if every == 1:
            self._turn(real, classes)
        else:
            is_turn = self.steps_done % every == 0
            alone = partial(self._between, real, classes)
            tf.cond(is_turn, partial(self._turn, real, classes), alone)
        self.steps_done.assign_add(1)
        losses = tf.unstack(self._losses)
        return dict(zip(self.measures, losses))

    def _turn(self, real: Tensor, classes: Tensor | None) -> Tensor:
        """Let both players play, and return the losses, which are kept."""
        losses = self._play(real, classes)
        return self._losses.assign(tf.stack([losses[name] for name in self.measures]))

    def _between(self, real: Tensor, classes: Tensor | None) -> Tensor:
        """Let the discriminator learn alone, and return the last losses of both."""
        self._judge_alone(real, classes)
        return tf.identity(self._losses)

    @distribution.on_each
    def _play(self, real: Tensor, classes: Tensor | None) -> dict[str, Tensor]:
        """Both players' turns, and their losses."""
        updates = self.players[1].steps
        parts = tf.split(real, updates)
        labels = tf.split(classes, updates) if self.conditional else [None] * updates
        for update in range(updates):
            lessons = self._lesson_images(parts[update], update)
            mine = _own(parts[update], labels[update])
            drawn = self._draw(*mine, update)
            d_loss, accuracy = self._update_discriminator(*mine, drawn.images, lessons, update)
        for update in range(updates, updates + self.players[0].steps):
            if update > updates:  # the first learns by what the discriminator has judged last
                drawn = self._draw(*mine, update)
            g_loss = self._update_generator(*mine, drawn, update)
        self._update_average()
        return {"d_loss": d_loss, "g_loss": g_loss, "d_accuracy": accuracy}

    @distribution.on_each
    def _judge_alone(self, real: Tensor, classes: Tensor | None) -> dict[str, Tensor]:
        """The discriminator's turn without generated images: what else it is to learn."""
        lessons = self._lesson_images(real, 0)
        real, classes = _own(real, classes)
        with tf.GradientTape() as tape:
            seen = self._look_at(classes, 0, real=real, **lessons)
            total = tf.reduce_mean(self.adversarial_loss.real(seen["real"].logits))
            total += self._lessons.loss(self.adversarial_loss, real, lessons, seen)
            part = distribution.part(total)
        variables = self._judging
        self.discriminator_optimizer.apply(tape.gradient(part, variables), variables)
        return {"loss": total}

    def _seed(self, update: int, slot: int) -> Tensor:
        step = tf.cast(self.steps_done, tf.int32)
        return tf.stack([self.noise_seed + update * _SLOTS + slot, step])

    def _lesson_images(self, real: Tensor, update: int) -> dict[str, Tensor]:
        return self._lessons.images(real, self.steps_done, self._seed(update, _SPOIL))

    def _draw(self, real: Tensor, classes: Tensor | None, update: int) -> "_Drawn":
        """As many images as there are real ones, which are this replica's."""
        shape, seed = (tf.shape(real)[0], self.latent_dim), self._seed(update, _NOISE)
        if self.settings.latent_prior == "uniform":
            noise = distribution.uniform(shape, seed, -1.0, 1.0)
        else:
            noise = distribution.normal(shape, seed)
        with tf.GradientTape() as tape:
            inputs = [noise, classes] if self.conditional else noise
            return _Drawn(self.generator(inputs, training=True), tape)

    def _judge(self, images: Tensor, classes: Tensor | None, seed: Tensor) -> Tensor:
        """The logits of images."""
        seen = augment(images, self.diffaug, seed)
        return self.discriminator([seen, classes] if self.conditional else seen, training=True)

    def _look_at(self, classes: Tensor | None, update: int, **images: Tensor) -> dict[str, Seen]:
        """What the discriminator sees in several batches of the same classes.

        They go through it together, which is faster; a norm that mixes images does not mix them.
        """
        seen = {
            name: augment(some, self.diffaug if _SEE[name] else (), self._seed(update, _SEE[name]))
            for name, some in images.items()
        }
        count = len(seen)
        labels = tf.tile(classes, (count, 1)) if self.conditional else None
        with apart(count):
            together = self._look(tf.concat(list(seen.values()), axis=0), labels)
        logits = tf.split(together.logits, count)
        blocks = zip(*(tf.split(block, count) for block in together.blocks))
        parts = zip(logits, blocks) if together.blocks else ((part, ()) for part in logits)
        return {name: Seen(*part) for name, part in zip(seen, parts)}

    def _look(self, images: Tensor, classes: Tensor | None) -> Seen:
        inputs = [images, classes] if self.conditional else images
        if self._sees is None:
            return Seen(self.discriminator(inputs, training=True), ())
        logits, *blocks = self._sees(inputs, training=True)
        return Seen(logits, tuple(blocks))

    def _update_discriminator(
        self,
        real: Tensor,
        classes: Tensor | None,
        fake: Tensor,
        lessons: dict[str, Tensor],
        update: int,
    ) -> tuple[Tensor, Tensor]:
        with tf.GradientTape() as tape:
            seen = self._look_at(classes, update, real=real, fake=fake, **lessons)
            logits = seen["real"].logits, seen["fake"].logits
            loss = self._discriminator_loss(*logits, update)
            total = loss + self._penalty(real, fake, classes, update)
            total += self._lessons.loss(self.adversarial_loss, real, lessons, seen)
            total = distribution.part(total)
        variables = self._judging
        self.discriminator_optimizer.apply(tape.gradient(total, variables), variables)
        clip = self.players[1].weight_clip
        if clip is not None:
            for variable in variables:
                variable.assign(tf.clip_by_value(variable, -clip, clip))
        middle = self.adversarial_loss.middle(*logits)
        right = tf.concat([logits[0] > middle, logits[1] < middle], axis=0)
        return loss, tf.reduce_mean(tf.cast(right, tf.float32))

    def _discriminator_loss(self, real: Tensor, fake: Tensor, update: int) -> Tensor:
        smooth, flip = self.settings.label_smoothing, self.settings.label_noise
        real_share, fake_share = 1.0 - smooth, 0.0
        if flip:
            shape = (2, tf.shape(real)[0] * distribution.count(), 1)
            draws = tf.random.stateless_uniform(shape, self._seed(update, _LABELS))
            draws = distribution.share(draws, axis=1)
            flipped = tf.cast(draws < flip, tf.float32)
            real_share = real_share * (1 - flipped[0])
            fake_share = flipped[1]
        return self.adversarial_loss.discriminator(
            real, fake, real_share=real_share, fake_share=fake_share
        )

    def _penalty(self, real: Tensor, fake: Tensor, classes: Tensor | None, update: int) -> Tensor:
        """The penalty, applied every few steps and as much stronger (lazy regularisation)."""
        penalty = self.penalty
        if penalty is None:
            return 0.0
        weight = self.settings.regularizer_weight or penalty.weight
        every = self.settings.regularizer_interval or penalty.every

        def judge(images: Tensor) -> Tensor:
            return self._judge(images, classes, self._seed(update, _SEE["real"]))

        def applied() -> Tensor:
            value = penalty.function(judge, real, fake, self._seed(update, _PENALTY))
            return weight * every * value

        if every == 1:
            return applied()
        return tf.cond(self.steps_done % every == 0, applied, lambda: 0.0)

    def _update_generator(
        self, real: Tensor, classes: Tensor | None, drawn: "_Drawn", update: int
    ) -> Tensor:
        with drawn.tape:  # goes on where the images were drawn
            logits = self._judge_ahead(real, drawn.images, classes, update)
            loss = tf.reduce_mean(self.adversarial_loss.generator(logits))
            part = distribution.part(loss)
        variables = self.generator.trainable_variables
        self.generator_optimizer.apply(drawn.tape.gradient(part, variables), variables)
        return loss

    def _judge_ahead(
        self, real: Tensor, fake: Tensor, classes: Tensor | None, update: int
    ) -> Tensor:
        """Logits of the generated images, by the discriminator `unrolled_steps` from now."""
        if not self.settings.unrolled_steps:
            return self._judge(fake, classes, self._seed(update, _SEE["fake"]))

        def logits(weights: list[Tensor], images: Tensor, slot: int) -> Tensor:
            seen = augment(images, self.diffaug, self._seed(update, slot))
            outputs, _ = self.discriminator.stateless_call(
                weights,
                self.discriminator.non_trainable_variables,
                [seen, classes] if self.conditional else seen,
                training=True,
            )
            return outputs

        def loss(weights: list[Tensor], step: int) -> Tensor:
            return self.adversarial_loss.discriminator(
                logits(weights, real, _LOOK_AHEAD + 2 * step * _SEEN),
                logits(weights, fake, _LOOK_AHEAD + (2 * step + 1) * _SEEN),
            )

        weights = [tf.convert_to_tensor(v) for v in self.discriminator.trainable_variables]
        ahead = look_ahead(
            weights,
            loss,
            steps=self.settings.unrolled_steps,
            rate=self.settings.unrolled_learning_rate,
        )
        return logits(ahead, fake, _SEE["fake"])

    def _update_average(self) -> None:
        step = tf.cast(self.steps_done, tf.float32)
        change = 1.0 - tf.minimum(self.settings.ema, (1.0 + step) / (10.0 + step))
        for mean, value in zip(self.average.variables, self.generator.variables):
            mean.assign_sub(change * (mean - value))


class _Drawn(NamedTuple):
    """Generated images, and the tape that saw how they were drawn."""

    images: Tensor
    tape: tf.GradientTape


def _own(real: Tensor, classes: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return this replica's rows of a batch."""
    return distribution.share(real), None if classes is None else distribution.share(classes)


def _first(data: Any) -> Tensor:
    return data[0] if isinstance(data, tuple | list) else data
