"""Generative adversarial network: generator, discriminator, their optimizers and training step."""

from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from augan.choices import LOSSES, REGULARIZERS
from augan.config import Config, require_resolved
from augan.gan import distribution
from augan.gan.auxiliary import (
    CORRUPTED,
    TRANSFORMED,
    AuxiliaryLosses,
    DiscriminatorOutput,
)
from augan.gan.diffaug import augment
from augan.gan.networks.build import logits_and_blocks
from augan.gan.networks.layers import separate_batches
from augan.gan.tensorflow import Tensor
from augan.gan.unrolled import unroll
from augan.seeding import child_seed


class SeedSlot(IntEnum):
    """Offset of the first word of a stateless seed, by the purpose of the random numbers.

    The first word is the sum of the noise seed, the slot, and `SLOTS_PER_UPDATE` for each earlier
    update of the step. The second word is the step. An augmentation uses up to
    `SLOTS_PER_AUGMENTATION` slots.
    """

    NOISE = 0
    LABEL_NOISE = 1
    REGULARIZER = 2
    AUGMENT_REAL = 64
    AUGMENT_FAKE = 128
    UNROLLED = 256
    CORRUPTION = 1024
    AUGMENT_CORRUPTED = 1664


SLOTS_PER_UPDATE, SLOTS_PER_AUGMENTATION = 2048, 64
_AUGMENTATION_SLOTS: dict[str, SeedSlot | None] = {
    "real": SeedSlot.AUGMENT_REAL,
    "fake": SeedSlot.AUGMENT_FAKE,
    CORRUPTED: SeedSlot.AUGMENT_CORRUPTED,
    TRANSFORMED: None,  # transformed images are not augmented
}


class GAN(keras.Model):
    """Generator and discriminator that are trained against each other, as one Keras model.

    Parameters
    ----------
    generator, discriminator, ema_generator : keras.Model
        `ema_generator` has the architecture of the generator. It holds the exponential moving
        average of the generator's weights, including the batch statistics, and generates the
        samples.
    config : Config
        Resolved settings; `gan`, `generator`, `discriminator` and `seed` are used. All random
        numbers are functions of the seed and the step, so a resumed training repeats them.
    transformation_head : keras.Model or None
        Features of the discriminator's last block `[N, F]` -> logits of the transformations `[N,
        13]`, trained with the discriminator; see `augan.gan.self_supervision`. None: no such task.
    localization_head : keras.Model or None
        Concatenated blocks `[N, H, W, F]` -> logit of each location, trained with the discriminator
        to find the corruptions of `gan.negative_augmentations`; see `augan.gan.networks.heads`.
        None: no such task.
    """

    metric_names: tuple[str, ...] = ("d_loss", "g_loss", "d_accuracy")

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        ema_generator: keras.Model,
        config: Config,
        transformation_head: keras.Model | None = None,
        localization_head: keras.Model | None = None,
    ) -> None:
        super().__init__(name="gan")
        self.generator, self.discriminator = generator, discriminator
        self.ema_generator = ema_generator
        self.transformation_head = transformation_head
        self.localization_head = localization_head
        heads = [h for h in (transformation_head, localization_head) if h is not None]
        self._auxiliary = AuxiliaryLosses(
            config.gan.negative_augmentations or (), transformation_head, localization_head
        )
        self._multi_output_discriminator = None
        if heads:
            self._multi_output_discriminator = logits_and_blocks(
                discriminator, self._auxiliary.num_blocks
            )
        self.settings = config.gan
        self.network_configs = (config.generator, config.discriminator)
        self.adversarial_loss = LOSSES.load(require_resolved(config.gan.loss))
        self.diffaug = require_resolved(config.gan.diffaug)
        self.latent_dim = generator.inputs[0].shape[-1]
        self.conditional = len(generator.inputs) > 1
        self.noise_seed = child_seed(config.seed, "noise") // 2  # leaves room for all slots
        self.iterations = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, name="steps_done"
        )
        # Losses of the last step that trained both networks, for the steps that do not.
        self._losses = self.add_weight(
            shape=(3,), initializer="zeros", trainable=False, name="losses"
        )
        self._discriminator_variables = [*discriminator.trainable_variables]
        for head in heads:
            self._discriminator_variables += head.trainable_variables
        self.generator_optimizer = self._adam(
            config.generator.learning_rate, generator.trainable_variables
        )
        self.discriminator_optimizer = self._adam(
            config.discriminator.learning_rate, self._discriminator_variables
        )
        self.ema_generator.set_weights(generator.get_weights())
        self.compile()  # for `fit`; the losses and optimizers above are used
        self.built = True

    @property
    def networks(self) -> list[keras.Model]:
        """The networks that a training saves: averaged generator, discriminator and heads."""
        networks = [self.ema_generator, self.discriminator]
        heads = (self.transformation_head, self.localization_head)
        return networks + [head for head in heads if head is not None]

    @property
    def state(self) -> list[Any]:
        """All variables that a checkpoint must hold to resume the training, in a fixed order."""
        ema_generator, discriminator, *heads = self.networks
        networks = [self.generator, discriminator, ema_generator, *heads]
        optimizers = (self.generator_optimizer, self.discriminator_optimizer)
        return [
            self.iterations,
            self._losses,
            *(variable for owner in (*networks, *optimizers) for variable in owner.variables),
        ]

    def _adam(self, rate: float | None, variables: list[Any]) -> keras.optimizers.Optimizer:
        """Return an Adam optimizer for `variables`, with learning rate `rate` and `gan.betas`."""
        optimizer = keras.optimizers.Adam(
            require_resolved(rate), *require_resolved(self.settings.betas)
        )
        optimizer.build(variables)
        return optimizer

    def train_step(self, data: tuple[Tensor, Tensor] | Tensor) -> dict[str, Tensor]:
        """Update the discriminator, the generator and its moving average on one batch.

        Parameters
        ----------
        data : (images, classes) or images
            Images float32 `[N, H, W, C]` in [-1, 1]; classes float32 `[N, K]`, one-hot. The
            generated batch has the classes of the real batch, so that both have the same class
            distribution. With `discriminator.steps` above 1, the batch is split into as many parts,
            one for each update. Each of several replicas receives the whole batch, see
            `augan.gan.distribution`.

        Returns
        -------
        dict of scalar tensors
            `d_loss`, `g_loss`, and `d_accuracy`, the fraction of samples whose logit is on the
            right side of the loss's decision boundary. Between two steps of the generator
            (`gan.generator_interval`), the values of the last step that trained both networks.
        """
        real, classes = data if self.conditional else (_first(data), None)
        interval = self.settings.generator_interval or 1
        if interval == 1:
            self._train_both(real, classes)
        else:
            tf.cond(
                self.iterations % interval == 0,
                partial(self._train_both, real, classes),
                partial(self._reuse_losses, real, classes),
            )
        self.iterations.assign_add(1)
        losses = tf.unstack(self._losses)
        return dict(zip(self.metric_names, losses))

    def _train_both(self, real: Tensor, classes: Tensor | None) -> Tensor:
        """Train generator and discriminator on a batch; store and return their losses, `[3]`.

        The order of the losses is that of `metric_names`.
        """
        losses = self._adversarial_step(real, classes)
        return self._losses.assign(tf.stack([losses[name] for name in self.metric_names]))

    def _reuse_losses(self, real: Tensor, classes: Tensor | None) -> Tensor:
        """Train only the discriminator; return the losses of the last step that trained both."""
        self._discriminator_only_step(real, classes)
        return tf.identity(self._losses)

    @distribution.per_replica
    def _adversarial_step(self, real: Tensor, classes: Tensor | None) -> dict[str, Tensor]:
        """Run every update of the discriminator, then of the generator, on one batch.

        Returns a dict of scalars: the losses and the accuracy of the last update, by the names of
        `metric_names`. `discriminator.steps` and `generator.steps` set the numbers of updates.
        """
        generator_config, discriminator_config = self.network_configs
        updates = discriminator_config.steps
        parts = tf.split(real, updates)
        labels = tf.split(classes, updates) if self.conditional else [None] * updates
        for update in range(updates):
            auxiliary = self._auxiliary_images(parts[update], update)
            local = _local_rows(parts[update], labels[update])
            generated = self._generate(*local, update)
            d_loss, accuracy = self._update_discriminator(
                *local, generated.images, auxiliary, update
            )
        for update in range(updates, updates + generator_config.steps):
            if update > updates:  # the first update reuses the last images of the discriminator
                generated = self._generate(*local, update)
            g_loss = self._update_generator(*local, generated, update)
        self._update_average()
        return {"d_loss": d_loss, "g_loss": g_loss, "d_accuracy": accuracy}

    @distribution.per_replica
    def _discriminator_only_step(self, real: Tensor, classes: Tensor | None) -> dict[str, Tensor]:
        """Update the discriminator on real images and the auxiliary tasks only."""
        auxiliary = self._auxiliary_images(real, 0)
        real, classes = _local_rows(real, classes)
        with tf.GradientTape() as tape:
            outputs = self._batched_outputs(classes, 0, real=real, **auxiliary)
            total = tf.reduce_mean(self.adversarial_loss.real(outputs["real"].logits))
            total += self._auxiliary.loss(self.adversarial_loss, real, auxiliary, outputs)
            local_loss = distribution.local_loss(total)
        variables = self._discriminator_variables
        self.discriminator_optimizer.apply(tape.gradient(local_loss, variables), variables)
        return {"loss": total}

    def _seed(self, update: int, slot: int) -> Tensor:
        """Return the stateless seed, int32 `[2]`, of one purpose (`SeedSlot`) in one update."""
        step = tf.cast(self.iterations, tf.int32)
        return tf.stack([self.noise_seed + update * SLOTS_PER_UPDATE + int(slot), step])

    def _auxiliary_images(self, real: Tensor, update: int) -> dict[str, Tensor]:
        """Return this replica's images of the auxiliary tasks of one update."""
        seed = self._seed(update, SeedSlot.CORRUPTION)
        return self._auxiliary.images(real, self.iterations, seed)

    def _generate(self, real: Tensor, classes: Tensor | None, update: int) -> "_Generated":
        """Generate a batch with the size and the classes of this replica's real batch."""
        shape, seed = (tf.shape(real)[0], self.latent_dim), self._seed(update, SeedSlot.NOISE)
        if self.settings.latent_prior == "uniform":
            noise = distribution.uniform(shape, seed, -1.0, 1.0)
        else:
            noise = distribution.normal(shape, seed)
        with tf.GradientTape() as tape:
            inputs = [noise, classes] if self.conditional else noise
            return _Generated(self.generator(inputs, training=True), tape)

    def _discriminate(self, images: Tensor, classes: Tensor | None, seed: Tensor) -> Tensor:
        """Return the discriminator's logits `[N, 1]` of images after augmentation."""
        augmented = augment(images, self.diffaug, seed)
        inputs = [augmented, classes] if self.conditional else augmented
        return self.discriminator(inputs, training=True)

    def _batched_outputs(
        self, classes: Tensor | None, update: int, **images: Tensor
    ) -> dict[str, DiscriminatorOutput]:
        """Return the discriminator's outputs for several batches of the same classes.

        The batches pass through the discriminator together, which is faster. Batch normalization
        keeps their statistics separate.
        """
        augmented = {}
        for name, batch in images.items():
            slot = _AUGMENTATION_SLOTS[name]
            policies = () if slot is None else self.diffaug
            augmented[name] = augment(batch, policies, self._seed(update, slot or 0))
        count = len(augmented)
        labels = tf.tile(classes, (count, 1)) if self.conditional else None
        with separate_batches(count):
            output = self._discriminator_outputs(
                tf.concat(list(augmented.values()), axis=0), labels
            )
        logits = tf.split(output.logits, count)
        blocks = zip(*(tf.split(block, count) for block in output.blocks))
        parts = zip(logits, blocks) if output.blocks else ((part, ()) for part in logits)
        return {name: DiscriminatorOutput(*part) for name, part in zip(augmented, parts)}

    def _discriminator_outputs(self, images: Tensor, classes: Tensor | None) -> DiscriminatorOutput:
        """Return the discriminator's logits and, if there are auxiliary heads, its last blocks."""
        inputs = [images, classes] if self.conditional else images
        if self._multi_output_discriminator is None:
            return DiscriminatorOutput(self.discriminator(inputs, training=True), ())
        logits, *blocks = self._multi_output_discriminator(inputs, training=True)
        return DiscriminatorOutput(logits, tuple(blocks))

    def _update_discriminator(
        self,
        real: Tensor,
        classes: Tensor | None,
        fake: Tensor,
        auxiliary: dict[str, Tensor],
        update: int,
    ) -> tuple[Tensor, Tensor]:
        """Update the discriminator and its heads once; return the adversarial loss and accuracy.

        The accuracy is the fraction of real and generated samples on the right side of the boundary
        logit.
        """
        with tf.GradientTape() as tape:
            outputs = self._batched_outputs(classes, update, real=real, fake=fake, **auxiliary)
            logits = outputs["real"].logits, outputs["fake"].logits
            loss = self._discriminator_loss(*logits, update)
            total = loss + self._regularization(real, fake, classes, update)
            total += self._auxiliary.loss(self.adversarial_loss, real, auxiliary, outputs)
            total = distribution.local_loss(total)
        variables = self._discriminator_variables
        self.discriminator_optimizer.apply(tape.gradient(total, variables), variables)
        clip = self.network_configs[1].weight_clip
        if clip is not None:
            for variable in variables:
                variable.assign(tf.clip_by_value(variable, -clip, clip))
        boundary = self.adversarial_loss.boundary_logit(*logits)
        correct = tf.concat([logits[0] > boundary, logits[1] < boundary], axis=0)
        return loss, tf.reduce_mean(tf.cast(correct, tf.float32))

    def _discriminator_loss(self, real: Tensor, fake: Tensor, update: int) -> Tensor:
        """Return the adversarial loss of the discriminator with label smoothing and label noise."""
        smoothing, flip_rate = self.settings.label_smoothing, self.settings.label_noise
        real_targets, fake_targets = 1.0 - smoothing, 0.0
        if flip_rate:
            shape = (2, tf.shape(real)[0] * distribution.num_replicas(), 1)
            numbers = tf.random.stateless_uniform(shape, self._seed(update, SeedSlot.LABEL_NOISE))
            numbers = distribution.local_rows(numbers, axis=1)
            flipped = tf.cast(numbers < flip_rate, tf.float32)
            real_targets = real_targets * (1 - flipped[0])
            fake_targets = flipped[1]
        return self.adversarial_loss.discriminator(
            real, fake, real_targets=real_targets, fake_targets=fake_targets
        )

    def _regularization(
        self, real: Tensor, fake: Tensor, classes: Tensor | None, update: int
    ) -> Tensor:
        """Return the weighted gradient penalty of the discriminator for one update, a scalar.

        With an interval above 1 (lazy regularization), the penalty is computed only at every so
        many steps and is 0 at the others.
        """
        if not self.settings.has_gradient_penalty:
            return 0.0
        name = require_resolved(self.settings.regularizer)
        regularizer, penalty = REGULARIZERS.get(name), REGULARIZERS.load(name)
        weight = self.settings.regularizer_weight or regularizer.weight
        interval = self.settings.regularizer_interval or regularizer.interval

        def discriminate(images: Tensor) -> Tensor:
            return self._discriminate(images, classes, self._seed(update, SeedSlot.AUGMENT_REAL))

        def weighted() -> Tensor:
            seed = self._seed(update, SeedSlot.REGULARIZER)
            value = penalty(discriminate, real, fake, seed)
            return weight * interval * value

        if interval == 1:
            return weighted()
        return tf.cond(self.iterations % interval == 0, weighted, lambda: 0.0)

    def _update_generator(
        self, real: Tensor, classes: Tensor | None, generated: "_Generated", update: int
    ) -> Tensor:
        """Update the generator once, from a batch already generated, and return its loss."""
        with generated.tape:  # continues the tape that recorded the generation
            logits = self._unrolled_logits(real, generated.images, classes, update)
            loss = tf.reduce_mean(self.adversarial_loss.generator(logits))
            local_loss = distribution.local_loss(loss)
        variables = self.generator.trainable_variables
        gradients = generated.tape.gradient(local_loss, variables)
        self.generator_optimizer.apply(gradients, variables)
        return loss

    def _unrolled_logits(
        self, real: Tensor, fake: Tensor, classes: Tensor | None, update: int
    ) -> Tensor:
        """Return the logits `[N, 1]` of generated images by which the generator is trained.

        With `gan.unrolled_steps`, the logits are those of a discriminator that has taken so many
        further steps (Metz et al. 2017); otherwise those of the present discriminator.
        """
        if not self.settings.unrolled_steps:
            return self._discriminate(fake, classes, self._seed(update, SeedSlot.AUGMENT_FAKE))

        def logits(weights: list[Tensor], images: Tensor, slot: int) -> Tensor:
            augmented = augment(images, self.diffaug, self._seed(update, slot))
            outputs, _ = self.discriminator.stateless_call(
                weights,
                self.discriminator.non_trainable_variables,
                [augmented, classes] if self.conditional else augmented,
                training=True,
            )
            return outputs

        def loss(weights: list[Tensor], step: int) -> Tensor:
            slot = SeedSlot.UNROLLED + 2 * step * SLOTS_PER_AUGMENTATION
            return self.adversarial_loss.discriminator(
                logits(weights, real, slot),
                logits(weights, fake, slot + SLOTS_PER_AUGMENTATION),
            )

        weights = [tf.convert_to_tensor(v) for v in self.discriminator.trainable_variables]
        unrolled = unroll(
            weights,
            loss,
            steps=self.settings.unrolled_steps,
            rate=self.settings.unrolled_learning_rate,
        )
        return logits(unrolled, fake, SeedSlot.AUGMENT_FAKE)

    def _update_average(self) -> None:
        """Move the averaged generator toward the generator, faster in the first steps."""
        step = tf.cast(self.iterations, tf.float32)
        change = 1.0 - tf.minimum(self.settings.ema, (1.0 + step) / (10.0 + step))
        for average, value in zip(self.ema_generator.variables, self.generator.variables):
            average.assign_sub(change * (average - value))


class _Generated(NamedTuple):
    """Generated images and the tape that recorded their generation."""

    images: Tensor
    tape: tf.GradientTape


def _local_rows(real: Tensor, classes: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return this replica's rows of a batch: real images, and classes unless they are None."""
    local_classes = None if classes is None else distribution.local_rows(classes)
    return distribution.local_rows(real), local_classes


def _first(data: Any) -> Tensor:
    """Return the images of a batch that may also hold classes."""
    return data[0] if isinstance(data, tuple | list) else data
